"""The door: from a request to one transaction and back to an answer."""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from fastapi import Depends, Request, Response

from offhook.db import Database, Tenant, Tx
from offhook.db.races import unraced
from offhook.errors import Fault, Forbidden, Invalid, Unauthenticated
from offhook.http.answer import Answer
from offhook.http.idempotency import Once, once
from offhook.http.wire import is_ndjson
from offhook.privacy import Vault

_ESCAPED = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the key decides workspace and environment, what may be done, and how fast."""

    tenant: Tenant
    key_id: UUID
    scopes: frozenset[str]
    rate_per_s: int = 100
    burst: int = 200

    def may(self, scope: str) -> bool:
        """Whether the key bears this scope, or the one that includes it (`leads:*`, `*`)."""
        room = scope.partition(":")[0]
        return bool(self.scopes & {scope, f"{room}:*", "*"})


def no_api_key() -> Unauthenticated:
    return Unauthenticated("no_api_key", "Send Authorization: Bearer ofk_… with an API key.")


def caller(scope: str) -> Any:
    """A FastAPI dependency: the Caller, who bears `scope`. Raises Unauthenticated or Forbidden naming the scope."""

    async def who(request: Request) -> Caller:
        return await admitted(request, scope)

    return Depends(who)


async def admitted(request: Request, scope: str) -> Caller:
    """Who asks, if they bear `scope` and what they say can be kept. Raises Unauthenticated, Forbidden or Invalid."""
    found: Caller | None = getattr(request.state, "caller", None)
    if found is None:
        raise no_api_key()
    if not found.may(scope):
        raise Forbidden("missing_scope", f"This key lacks the scope {scope}.", param=scope)
    if request.method != "GET":
        await _refuse_half_characters(request)
    return found


Work = Callable[[Tx], Awaitable[Answer]]


class Door:
    """Opens the one transaction of a request."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def read(self, who: Caller, work: Work) -> Response:
        """Run `work` in a transaction of the caller's tenant."""
        async with self._database.transaction(who.tenant, reading=True) as tx:
            answer = await work(tx)
        return answer.response()

    async def write(self, request: Request, who: Caller, work: Work, *, content: bytes | None = None) -> Response:
        """Run `work` once: the same Idempotency-Key and body get the same answer for 24 hours.

        What `work` raises rolls everything back and is remembered nowhere. `content` stands for the body of a form.
        """
        return (await self.answer(request, who, work, content=content)).response()

    async def answer(self, request: Request, who: Caller, work: Work, *, content: bytes | None = None) -> Answer:
        """`write`, for an answer that is not to be kept as it is sent."""
        keyed = await once(request, who.tenant, self._vault, content)
        return await unraced(lambda: self._answered(who, work, keyed))

    async def _answered(self, who: Caller, work: Work, keyed: Once | None) -> Answer:
        async with self._database.transaction(who.tenant) as tx:
            answer = await keyed.answered(tx) if keyed else None
            if answer is None:
                answer = await work(tx)
                if keyed:
                    await keyed.keep(tx, answer)
        return answer

    async def preview(self, who: Caller, work: Work) -> Response:
        """What `work` would answer, with nothing done: its transaction rolls back."""
        try:
            async with self._database.transaction(who.tenant) as tx:
                answer = await work(tx)
                await tx.flush()  # what nobody waited for may yet be refused
                raise _Undone(answer)
        except _Undone as undone:
            return Answer(200, undone.answer.body, {"Offhook-Dry-Run": "true"}).response()


class _Undone(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


async def _refuse_half_characters(request: Request) -> None:
    """Refuse NUL, which PostgreSQL cannot store, and half a surrogate pair, which UTF-8 cannot say.

    JSON can spell both. The search costs a microsecond; only a body, or a line, that spells such an escape is looked at
    closely.
    """
    kind = request.headers.get("content-type", "").lower()
    if "json" not in kind or not _ESCAPED.search(body := await request.body()):
        return
    lines = body.splitlines() if is_ndjson(kind) else [body]
    detail = "A text holds NUL (\\u0000) or half of a surrogate pair; leave it out."
    faults = [
        Fault(f"line {n}" if is_ndjson(kind) else "body", "unstorable_text", detail)
        for n, line in enumerate(lines, start=1)
        if _ESCAPED.search(line) and _is_spoiled(line)
    ]
    if faults:
        raise Invalid(faults)


def _is_spoiled(text: bytes) -> bool:
    try:
        return any("\0" in text for text in _texts(orjson.loads(text)))
    except orjson.JSONDecodeError:
        return True


def _texts(value: Any) -> Iterator[str]:
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case list() as items:
                left += items
            case dict() as members:
                left += members.keys()
                left += members.values()
