"""What stands between us and a receiver, step by step: URL, name, connection, TLS, HTTP, clock.

Each step goes through the guard that deliveries go through and has a bound of its own; the first that fails is the
last, and what was found until then is told. Until HTTP nothing is sent but the handshake. When a receiver's
certificate is not accepted, a second handshake that believes anybody reads what it shows and hangs up.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from time import perf_counter
from typing import Literal, NamedTuple

from offhook.outbound import findings
from offhook.outbound.answer import NoAnswer, Request
from offhook.outbound.connections import Outbound
from offhook.outbound.findings import Finding, Skew
from offhook.outbound.handshake import Certificate, Shaken, TlsTrouble, shake
from offhook.outbound.identity import Identity, NotAnIdentity
from offhook.outbound.lanes import open_socket
from offhook.outbound.reach import (
    Address,
    AddressFine,
    Reach,
    UrlFine,
    UrlRefused,
    is_literal,
    judge_address,
    judge_url,
)

__all__ = ["Certificate", "Diagnosis", "Finding", "Http", "Name", "Seen", "Skew", "Tls", "diagnose"]

_CONNECT_S = _TLS_S = 5.0
_ADDRESSES_TRIED = 8


@dataclass(frozen=True, slots=True)
class Seen:
    """One address of the name: why no connection may be made, how long one took to stand, or why it did not.

    None of the three: it was not tried, since there were enough others or the name had failed already.
    """

    address: str
    refused: str | None
    connect_ms: float | None = None
    lost: Literal["connect_refused", "connect_timeout"] | None = None


@dataclass(frozen=True, slots=True)
class Name:
    """The look-up of the host; an address in the URL took 0.0 ms."""

    host: str
    ms: float
    addresses: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Tls:
    """The handshake. Not `verified`: what a receiver showed that was not accepted, or nothing when it showed nothing."""

    verified: bool
    ms: float
    version: str = ""
    cipher: str = ""
    chain: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Http:
    """The answer to the request, which may have gone out on a connection kept from before. Milliseconds from its start."""

    status: int
    version: str
    first_byte_ms: float
    total_ms: float
    headers: Mapping[str, str] = field(repr=False)


@dataclass(slots=True)
class Diagnosis:
    """What was found. A step is None when it was not come to, `tls` also by plain HTTP; `skew` when nobody told.

    `address` is the one whose connection was used. No findings: a request arrives and is answered with 2xx.
    """

    at: datetime
    name: Name | None = None
    address: str | None = None
    tls: Tls | None = None
    http: Http | None = None
    skew: Skew | None = None
    findings: list[Finding] = field(default_factory=list)


class _Ask(NamedTuple):
    outbound: Outbound
    request: Request
    reach: Reach
    identity: Identity | None


async def diagnose(
    outbound: Outbound, request: Request, reach: Reach, *, identity: Identity | None = None
) -> Diagnosis:
    """Find out whether this request arrives, and send it once if everything before went well.

    Takes at most 15 s and the request's time-out. Whatever goes wrong is a finding, never an exception.
    """
    diagnosis = Diagnosis(datetime.now(UTC))
    fine = judge_url(request.url, reach)
    if isinstance(fine, UrlRefused):
        diagnosis.findings.append(Finding("url_refused", _sentence(fine.why), findings.OPENING))
        return diagnosis
    examination = _Examination(_Ask(outbound, request, reach, identity), fine, diagnosis)
    if identity and fine.plain:
        detail = "A client certificate or a CA of its own needs https."
        diagnosis.findings.append(Finding("identity_without_tls", detail, "Begin the URL with https://."))
    elif await examination.looks_up() and await examination.connects():
        if fine.plain or await examination.is_trusted():
            await examination.is_answered()
    return diagnosis


class _Examination:
    """The steps, each of which writes what it finds into the diagnosis, and says whether the next makes sense."""

    def __init__(self, ask: _Ask, fine: UrlFine, diagnosis: Diagnosis) -> None:
        self._outbound, self._request, self._reach, self._identity = ask
        self._fine = fine
        self._found = diagnosis

    async def looks_up(self) -> bool:
        host, start = self._fine.host, perf_counter()
        literal = is_literal(host)
        try:
            addresses = [ip_address(host)] if literal else await self._outbound.look_up(host)
        except OSError:
            detail = "The name of the host does not resolve to an address."
            return self._fails(Finding("dns", detail, "Check its spelling, and that it has an A or AAAA record."))
        seen = [self._judged(one) for one in addresses]
        self._found.name = Name(host, 0.0 if literal else _ms_since(start), tuple(seen))
        refused = next((one for one in seen if one.refused), None)
        if refused:
            return self._fails(Finding("refused_address", f"{refused.address}: {refused.refused}.", findings.OPENING))
        return True

    def _judged(self, address: Address) -> Seen:
        verdict = judge_address(address, self._reach, plain=self._fine.plain)
        return Seen(str(address), None if isinstance(verdict, AddressFine) else verdict.why)

    async def connects(self) -> bool:
        assert self._found.name
        name = self._found.name
        tried = await asyncio.gather(*map(self._tried, name.addresses[:_ADDRESSES_TRIED]))
        self._found.name = replace(name, addresses=(*tried, *name.addresses[_ADDRESSES_TRIED:]))
        self._found.address = next((one.address for one in tried if one.lost is None), None)
        silent = [one for one in tried if one.lost]
        if self._found.address is None:
            return self._fails(findings.of_silence(silent[0].lost or "connect_refused"))
        if silent:
            self._found.findings.append(findings.of_some_silence([one.address for one in silent]))
        return True

    async def _tried(self, seen: Seen) -> Seen:
        start = perf_counter()
        try:
            async with self._connection(seen.address):
                return replace(seen, connect_ms=_ms_since(start))
        except TimeoutError:
            return replace(seen, lost="connect_timeout")
        except OSError:
            return replace(seen, lost="connect_refused")

    @asynccontextmanager
    async def _connection(self, address: str) -> AsyncIterator[socket.socket]:
        """A connection to this very address, through the guard. Raises OSError, TimeoutError among them."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        info = (family, socket.SOCK_STREAM, 0, "", (address, self._fine.url.port or 443))
        with open_socket(self._reach, self._fine.plain, info) as sock:
            sock.setblocking(False)
            async with asyncio.timeout(_CONNECT_S):
                await asyncio.get_running_loop().sock_connect(sock, info[4])
            yield sock

    async def is_trusted(self) -> bool:
        as_client = bool(self._identity and self._identity.certificate)
        start = perf_counter()
        try:
            outcome = await self._shaken(self._identity or Identity(), verified=True)
        except NotAnIdentity as why:
            return self._fails(Finding("identity_unusable", f"{_sentence(str(why))}", "Give the endpoint another one."))
        now = datetime.now(UTC)
        if self._identity:
            self._found.findings += findings.of_identity(self._identity.expires_at, now)
        if isinstance(outcome, Shaken):
            self._found.tls = Tls(True, _ms_since(start), outcome.version, outcome.cipher, outcome.chain)
            self._found.findings += findings.of_chain(outcome.chain, now)
            return True
        shown = await self._shaken(Identity(), verified=False) if outcome.startswith("certificate_") else outcome
        seen = (shown.version, shown.cipher, shown.chain) if isinstance(shown, Shaken) else ()
        self._found.tls = Tls(False, _ms_since(start), *seen)
        return self._fails(findings.of_tls(outcome, as_client=as_client))

    async def _shaken(self, identity: Identity, *, verified: bool) -> Shaken | TlsTrouble:
        """Shake hands on a connection of its own. Not `verified`: nothing of ours is shown, and nothing is sent."""
        assert self._found.address
        trust = await asyncio.to_thread(identity.trust, verified=verified)
        try:
            async with self._connection(self._found.address) as sock:
                return await shake(sock, trust, self._fine.host, _TLS_S)
        except OSError:
            return "hung_up"

    async def is_answered(self) -> None:
        sent = datetime.now(UTC)
        try:
            answer = await self._outbound.send(self._request, self._reach, identity=self._identity)
        except ValueError:
            self._fails(Finding("bad_header", "A header holds a line break.", "Take it out of the endpoint's headers."))
            return
        if isinstance(answer, NoAnswer):
            self._fails(findings.of_no_answer(answer))
            return
        head = sent + timedelta(milliseconds=answer.timing_ms.first_byte or answer.timing_ms.total)
        timing = answer.timing_ms
        self._found.http = Http(answer.status, answer.version, timing.first_byte or 0.0, timing.total, answer.headers)
        self._found.findings += findings.of_answer(answer)
        self._found.skew = findings.skew_of(answer.headers.get("date"), sent, head)
        if self._found.skew:
            self._found.findings += findings.of_skew(self._found.skew)

    def _fails(self, finding: Finding) -> bool:
        self._found.findings.append(finding)
        return False


def _ms_since(start: float) -> float:
    return (perf_counter() - start) * 1000


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
