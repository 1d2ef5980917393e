"""OAuth 2.0 access tokens of a process: got when first needed, renewed before they end, shared by all deliveries.

           ──80 % of its life──▶ serves, and is renewed beside it ──10 s before its end──▶ everybody waits for a new one
    renewal failed: the old one serves on; without one, everybody hears of the failure for 5 s before it is tried again

However many deliveries of an endpoint wait, one request is made. A token lives in memory only.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote_plus, urlencode
from uuid import UUID

import orjson

from offhook.db import Tenant
from offhook.outbound import Answer, NoAnswer, Outbound, Reach
from offhook.webhooks.credentials import ClientCredentials, basic

TIMEOUT_S = 10.0
KEPT = 10_000
USUAL_LIFE_S = 300.0
FAILURE_S = 5.0
_LONGEST_LIFE_S = 86_400.0
_RENEWED_AT = 0.8
_MARGIN_S = 10.0
"""So long before its end a token is not sent any more, for the request is still under way then; at most a tenth of it."""
_VISIBLE = re.compile(r"[!-~]+")
_SAID = frozenset(  # RFC 6749, section 5.2; nothing else that a server says is repeated
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client"}
    | {"unsupported_grant_type", "invalid_scope"}
)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, to be sent as `authorization: Bearer …`."""

    value: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The header that proves us, with the token in clear."""
        return {"authorization": f"Bearer {self.value}"}


@dataclass(frozen=True, slots=True)
class NoToken:
    """There is none at the moment: `code` for machines, `text` to be shown to the endpoint's owner."""

    code: Literal["token_unreachable", "token_refused", "token_unreadable", "token_not_bearer", "token_over"]
    text: str


@dataclass(frozen=True, slots=True)
class Granted:
    """A token and how long it lives from the moment on at which it was asked for."""

    token: Token
    life_s: float


@dataclass(eq=False, slots=True)
class _Entry:
    """What is known about one endpoint; instants are those of the process's clock."""

    tenant: Tenant
    credentials: ClientCredentials
    token: Token | None = None
    renew_at: float = 0.0
    ends_at: float = 0.0
    failure: NoToken | None = None
    failed_until: float = 0.0
    renewal: "asyncio.Task[Token | NoToken] | None" = None


class Tokens:
    """The tokens of one process. Make one per event loop, close it at the end."""

    def __init__(self, outbound: Outbound, *, clock: Callable[[], float] = time.monotonic, most: int = KEPT) -> None:
        """`clock` answers seconds that never run back. Of more than `most` endpoints, the longest unused are forgotten."""
        self._outbound = outbound
        self._clock = clock
        self._most = most
        self._entries: OrderedDict[UUID, _Entry] = OrderedDict()
        self._renewals: set[asyncio.Task[Token | NoToken]] = set()

    @property
    def under_way(self) -> int:
        """How many requests for tokens are being made."""
        return len(self._renewals)

    async def bearer(
        self, tenant: Tenant, endpoint: UUID, credentials: ClientCredentials, reach: Reach
    ) -> Token | NoToken:
        """A token that is good now; at once where one is known, else after one request of ten seconds at most.

        Never raises. To be cancelled harms nobody else who waits for the same token.
        """
        entry = self._entry(tenant, endpoint, credentials)
        now = self._clock()
        if entry.token is not None and now < entry.ends_at:
            if now >= entry.renew_at and now >= entry.failed_until:
                self._renewal(entry, reach)
            return entry.token
        if entry.failure is not None and now < entry.failed_until:
            return entry.failure
        return await asyncio.shield(self._renewal(entry, reach))

    def forget(self, endpoint: UUID, token: Token) -> None:
        """The receiver refused this very token (401), so the next delivery gets another. A newer one stays."""
        entry = self._entries.get(endpoint)
        if entry is not None and entry.token == token:
            entry.token = None

    async def drain(self) -> None:
        """Wait for the requests under way, ten seconds at most."""
        await asyncio.gather(*self._renewals, return_exceptions=True)

    async def close(self) -> None:
        """End the requests under way. Whoever still waits for one of them is cancelled."""
        for renewal in self._renewals:
            renewal.cancel()
        await self.drain()

    def _entry(self, tenant: Tenant, endpoint: UUID, credentials: ClientCredentials) -> _Entry:
        entry = self._entries.get(endpoint)
        if entry is None or entry.credentials != credentials or entry.tenant != tenant:
            # Not changed in place: a request under way with the old credentials must not bring its token here.
            entry = self._entries[endpoint] = _Entry(tenant, credentials)
        self._entries.move_to_end(endpoint)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return entry

    def _renewal(self, entry: _Entry, reach: Reach) -> "asyncio.Task[Token | NoToken]":
        if entry.renewal is None:
            entry.renewal = asyncio.create_task(self._renew(entry, reach))
            self._renewals.add(entry.renewal)
            entry.renewal.add_done_callback(self._renewals.discard)
        return entry.renewal

    async def _renew(self, entry: _Entry, reach: Reach) -> Token | NoToken:
        try:
            asked_at = self._clock()
            body, headers = token_request(entry.credentials)
            url = entry.credentials.token_url
            answer = await self._outbound.post(url, body, headers, timeout_s=TIMEOUT_S, reach=reach)
            match granted(answer):
                case NoToken() as failure:
                    entry.failure, entry.failed_until = failure, self._clock() + FAILURE_S
                    return failure
                case Granted(token, life_s):
                    entry.token = token
                    entry.renew_at = asked_at + life_s * _RENEWED_AT
                    entry.ends_at = asked_at + life_s - min(_MARGIN_S, life_s / 10)
                    return token
        finally:
            entry.renewal = None


def token_request(credentials: ClientCredentials) -> tuple[bytes, dict[str, str]]:
    """The form and the headers of RFC 6749, section 4.4.2. Pure."""
    form = {"grant_type": "client_credentials"}
    form |= {name: value for name in ("scope", "audience") if (value := getattr(credentials, name))}
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    id, secret = credentials.client_id, credentials.client_secret
    if credentials.client_auth == "body":
        form |= {"client_id": id, "client_secret": secret}
    else:
        # Section 2.3.1 has both encoded before they are joined, so that a colon in them does no harm.
        headers["authorization"] = basic(quote_plus(id), quote_plus(secret))
    return urlencode(form).encode(), headers


def granted(answer: Answer | NoAnswer) -> Granted | NoToken:
    """The token that this answer holds, or why it holds none, in words that repeat nothing secret. Pure."""
    if isinstance(answer, NoAnswer):
        return NoToken("token_unreachable", f"no token, as its URL gave no answer: {answer.text}")
    told = _json(answer.body)
    if not 200 <= answer.status < 300:
        error = told.get("error")
        said = f" ({error})" if isinstance(error, str) and error in _SAID else ""
        return NoToken("token_refused", f"no token, as its URL answered {answer.status}{said}")
    value, kind = told.get("access_token"), told.get("token_type")
    if not (isinstance(value, str) and _VISIBLE.fullmatch(value)):
        return NoToken("token_unreadable", "no token, as the answer is no JSON of at most 16 KB with an access_token")
    if not (isinstance(kind, str) and kind.lower() == "bearer"):
        return NoToken("token_not_bearer", "no token, as the answer's token_type is not bearer")
    life_s = _life_s(told.get("expires_in"))
    if life_s <= 0:
        return NoToken("token_over", "no token, as by its expires_in it has ended already")
    return Granted(Token(value), life_s)


def _json(body: bytes) -> dict[str, object]:
    try:
        told = orjson.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _life_s(told: object) -> float:
    if isinstance(told, str) and told.isdecimal():  # as some servers write it
        told = float(told)
    if isinstance(told, int | float) and not isinstance(told, bool):
        return min(float(told), _LONGEST_LIFE_S)
    return USUAL_LIFE_S
