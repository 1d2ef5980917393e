"""The gate: what every request passes before it is routed, in one plain ASGI step.

In: a request id, which version of the API, who asks, whether the key's rate allows it, how large the body may be. Out:
headers, a line in the log, a measurement. A failure that nobody foresaw ends here as a 500 that says nothing but its
request id. The log line holds no query string, no body and no address: those are where personal data hides.
"""

import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from offhook import ids
from offhook.errors import Unauthenticated
from offhook.http.door import Caller, no_api_key
from offhook.http.limits import Allowance, Limits
from offhook.http.problems import problem, request_id
from offhook.http.straight import Ways
from offhook.http.versions import API, HEADER, NEWEST, version_of
from offhook.log import get
from offhook.metrics import request_seconds

_VERSION = HEADER.lower().encode()
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Authenticate = Callable[[str], Awaitable[Caller | None]]


class Gate:
    """The middleware. `body_limits` names the paths that take other than `max_body_bytes`, `ways` those that need no router."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticate: Authenticate,
        limits: Limits,
        max_body_bytes: int,
        body_limits: Mapping[str, int],
        ways: Ways,
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._limits = limits
        self._max_body_bytes = max_body_bytes
        self._body_limits = body_limits
        self._ways = ways
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._log = get("http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        passage = _Passage(scope, send)
        token = request_id.set(passage.request_id)
        try:
            await self._pass(passage, receive)
        except Exception as failure:
            if passage.status == 0:
                await problem(failure).response()(scope, receive, passage.send)
            else:  # its head is out: all that is left is to end it short, which the client sees
                problem(failure)
        finally:
            self._note(passage, time.perf_counter() - began)
            request_id.reset(token)

    async def _pass(self, passage: "_Passage", receive: Receive) -> None:
        scope = passage.scope
        path: str = scope["path"]
        limit = self._body_limits.get(path, self._max_body_bytes)
        declared = passage.header(b"content-length")
        if declared.isdigit() and int(declared) > limit:
            raise HTTPException(413)
        if passage.is_api:
            passage.version = version_of(passage.header(_VERSION))
            if authorization := passage.header(b"authorization"):
                who = await self._who(authorization)
                scope.setdefault("state", {})["caller"] = who
                passage.allowance = self._limits.spend(who) or await self._limits.take(who)
            else:  # before its body is read: a form is written to the disk first and asked for its key then
                raise no_api_key()
        onward = self._ways.get((scope["method"], path), self._app)
        await onward(scope, receive if declared.isdigit() else _counted(receive, limit), passage.send)

    async def _who(self, authorization: bytes) -> Caller:
        kind, _, key = authorization.partition(b" ")
        who = await self._authenticate(key.strip().decode("latin-1")) if kind.lower() == b"bearer" else None
        if who is None:
            raise Unauthenticated(
                "bad_api_key", "This API key is unknown or revoked; send Authorization: Bearer ofk_…."
            )
        return who

    def _note(self, passage: "_Passage", seconds: float) -> None:
        scope = passage.scope
        route = getattr(scope.get("route"), "path", "unmatched")
        # A method is free text on the wire; a label for each would let a stranger fill the memory.
        key = (scope["method"] if scope["method"] in _METHODS else "other", route, passage.status)
        observe = self._observers.get(key)
        if observe is None:
            observe = self._observers[key] = request_seconds.labels(*map(str, key)).observe
        observe(seconds)
        self._log.info(
            "request",
            method=scope["method"],
            route=route,
            status=passage.status,
            ms=round(seconds * 1000, 2),
            request_id=passage.request_id,
        )


class _Passage:
    """One request on its way through: its id, its version and allowance, and the status it was answered."""

    __slots__ = ("_send", "allowance", "is_api", "request_id", "scope", "status", "version")

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.request_id = ids.show("req", ids.new())
        self.is_api = scope["path"].startswith(API)
        self.version = NEWEST
        self.allowance: Allowance | None = None
        self.status = 0
        self._send = send

    def header(self, name: bytes) -> bytes:
        for key, value in self.scope["headers"]:
            if key == name:
                return bytes(value)
        return b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id.encode()),
                *([(_VERSION, self.version.encode())] if self.is_api else []),
                *self._limits(),
            ]
        await self._send(message)

    def _limits(self) -> list[tuple[bytes, bytes]]:
        if self.allowance is None:
            return []
        return [
            (b"ratelimit-limit", b"%d" % self.allowance.limit),
            (b"ratelimit-remaining", b"%d" % self.allowance.remaining),
            (b"ratelimit-reset", b"%d" % self.allowance.reset_s),
        ]


def _counted(receive: Receive, limit: int) -> Receive:
    """`receive` for a body that did not declare its length: it ends at the limit."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413)
        return message

    return counted
