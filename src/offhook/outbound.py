"""The one way to the network. Whoever opens a connection elsewhere has gone around the guard.

Three promises. A request goes only where its `Reach` lets it: the address is judged at connect, on the very address
that is used, so a name that changes its mind after it was checked (DNS rebinding) gains nothing. A receiver costs at
most the time-out and 16 KB, however slowly or endlessly it answers. No failure of the network is an exception: what
came back is an `Answer`, what did not is a `NoAnswer` with a stable code.

Redirects are never followed, cookies never kept, bodies never unpacked. Connections are kept alive and never shared
between two reaches. Nothing is sent twice, save that aiohttp repeats an idempotent method (POST is none) when a kept
connection turns out to be closed.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from time import perf_counter
from typing import Any, Literal

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

BODY_CAP = 16_384
_HEADER_COUNT_CAP, _HEADER_CHARS_CAP, _URL_CAP, _HOST_CAP = 64, 8_192, 2_048, 253
_LOOK_UP_S, _CONNECT_S = 5.0, 5.0
_LANES_KEPT = 10_000
_LOOK_UPS_AT_ONCE = 64  # a hanging name server holds a thread for seconds; the neighbours need others

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Awaitable[Sequence[str]]]  # a name's addresses; raises OSError when there are none to be had
Lost = Literal[
    "dns", "connect_refused", "connect_timeout", "tls", "timeout", "reset", "refused_address", "refused_url", "protocol"
]


@dataclass(frozen=True, slots=True)
class Reach:
    """Where requests may go: public addresses by HTTPS, and what is opened here.

    `plain_http_loopback` opens loopback, by HTTP too. `allowed_networks` opens those networks, by HTTP too when
    `plain_http`. Nothing opens the metadata services of clouds, nor an address that cannot be one machine's.
    """

    plain_http_loopback: bool
    allowed_networks: tuple[IPv4Network | IPv6Network, ...]
    plain_http: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `timeout_s` covers all of it, from the look-up of the name to the last byte of the answer."""

    method: str
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds. `first_byte` and `total` count from the start; `dns`, `connect` and `tls` are durations.

    A phase that was not needed (a kept connection, a cached name, plain HTTP) took 0.0; None: nobody measured it.
    `first_byte` is when the answer's head was complete; None: it never was. The wait for another request's look-up
    of the same name counts as `connect`.
    """

    dns: float | None
    connect: float | None
    tls: float | None
    first_byte: float | None
    total: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver answered. Header names in lower case, the first of each; body as sent, at most 16 KB of it."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    truncated: bool
    timing_ms: Timing


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing to go by came back. `text` says why in plain words, without address, URL or anybody's exception text."""

    code: Lost
    text: str
    timing_ms: Timing

    @property
    def never_sent(self) -> bool:
        """True when the receiver surely got nothing. False is not the opposite: it may or may not have."""
        return self.code not in ("timeout", "reset", "protocol")


@dataclass(frozen=True, slots=True)
class UrlFine:
    """A request may set out for this URL; its address is still to be judged. `plain`: by HTTP without TLS."""

    url: URL = field(repr=False)
    host: str
    plain: bool


@dataclass(frozen=True, slots=True)
class UrlRefused:
    """No request may set out for this URL: `code` for machines, `why` to be shown to its owner."""

    code: str
    why: str


@dataclass(frozen=True, slots=True)
class AddressFine:
    """A connection may be made to this address."""

    address: Address


@dataclass(frozen=True, slots=True)
class AddressRefused:
    """This address is out of reach; `code` is its kind, or `plain_http` when only HTTPS may go there."""

    address: Address
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class NameUnknown:
    """The name has no address at the moment, so nothing can be said about it."""

    why: str


# Ports on which something else than HTTP listens: "bad ports" of the WHATWG Fetch standard, which browsers refuse too.
_BAD_PORTS = frozenset(
    {0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109}
    | {110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530}
    | {531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190}
    | {5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_NUMERIC_END = re.compile(r"(^|\.)([0-9]+|0x[0-9a-f]*)\.?$")
_UNICAST_6, _NAT64 = IPv6Network("2000::/3"), IPv6Network("64:ff9b::/96")
# The special-purpose registries of IANA, and the metadata services that clouds put anywhere; the first kind counts.
# Spelt out because `ipaddress.is_global` changes its mind with the Python version.
_KINDS = {
    "metadata": "169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd00:ec2::23 fd20:ce::254",
    "unspecified": "0.0.0.0/8 ::",
    "broadcast": "255.255.255.255",
    "multicast": "224.0.0.0/4 ff00::/8",
    "loopback": "127.0.0.0/8 ::1",
    "link_local": "169.254.0.0/16 fe80::/10",
    "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10",
    "shared": "100.64.0.0/10",
    "reserved": "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 2001::/23 2001:db8::/32 3fff::/20",
}
_NETWORKS = [(kind, ip_network(network)) for kind, networks in _KINDS.items() for network in networks.split()]
_NEVER = ("metadata", "unspecified", "broadcast", "multicast")


def judge_url(url: str, reach: Reach) -> UrlFine | UrlRefused:
    """Whether a request may set out for `url` at all. Pure; a name is only judged when it is looked up.

    Refused: what is no URL, another scheme, HTTP where only HTTPS may go, credentials, ports of other protocols, an
    address out of reach, and an IPv4 address in any notation but the dotted one, since parsers disagree about those.
    """
    if len(url) > _URL_CAP or not url.isprintable() or " " in url or "\\" in url:
        return UrlRefused("bad_url", f"not a URL of at most {_URL_CAP} characters without blanks")
    try:
        parsed = URL(url)
    except ValueError:
        return UrlRefused("bad_url", "not a URL")
    if parsed.scheme not in ("https", "http"):
        return UrlRefused("scheme", "the URL must begin with https://")
    if parsed.scheme == "http" and not (reach.plain_http or reach.plain_http_loopback):
        return UrlRefused("plain_http", "plain HTTP is not allowed here; use https://")
    if parsed.raw_user is not None or parsed.raw_password is not None:
        return UrlRefused("credentials", "the URL must not hold credentials; use a header")
    if parsed.port in _BAD_PORTS:
        return UrlRefused("port", "this port belongs to another protocol than HTTP")
    return _judge_host(parsed, reach)


def _judge_host(url: URL, reach: Reach) -> UrlFine | UrlRefused:
    fine = UrlFine(url, url.raw_host or "", plain=url.scheme == "http")
    if not _is_literal(fine.host):
        known = len(fine.host) <= _HOST_CAP and _NAME.fullmatch(fine.host)
        return fine if known else UrlRefused("host", "the URL names no host")
    try:
        address = ip_address(fine.host)
    except ValueError:
        return UrlRefused("host", "an address must be written as 198.51.100.7 or [2001:db8::7]")
    verdict = judge_address(address, reach, plain=fine.plain)
    return fine if isinstance(verdict, AddressFine) else UrlRefused(verdict.code, verdict.why)


def _is_literal(host: str) -> bool:
    return ":" in host or _NUMERIC_END.search(host) is not None


def judge_address(address: Address, reach: Reach, *, plain: bool = False) -> AddressFine | AddressRefused:
    """Whether a connection may be made to `address`. Pure. An IPv4 address inside an IPv6 one is judged as itself."""
    real = _unwrapped(address)
    kind = _kind(real)
    listed = kind not in _NEVER and any(real in network or address in network for network in reach.allowed_networks)
    if kind == "loopback" and reach.plain_http_loopback:
        return AddressFine(address)
    if kind != "public" and not listed:
        return AddressRefused(address, kind, f"the address is of the kind {kind}, and no setting opens it")
    if plain and not (listed and reach.plain_http):
        return AddressRefused(address, "plain_http", "plain HTTP may not go to this address; use https://")
    return AddressFine(address)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that mapping, 6to4 or NAT64 would really reach, else the address as it is."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _kind(address: Address) -> str:
    fallback = "public" if address.version == 4 or address in _UNICAST_6 else "reserved"
    return next((kind for kind, network in _NETWORKS if address in network), fallback)


class Outbound:
    """All connections of one process. Make one per event loop, close it at the end."""

    def __init__(self, resolve: Resolve | None = None) -> None:
        """Names are looked up by `resolve`, or by the system when None."""
        self._threads = ThreadPoolExecutor(_LOOK_UPS_AT_ONCE, thread_name_prefix="look-up")
        self._resolve = resolve or self._ask_system
        self._trust = _Trust(ssl.PROTOCOL_TLS_CLIENT)
        self._trust.load_default_certs()
        self._lanes: dict[tuple[Reach, bool], _Lane] = {}
        self._lane_to = lru_cache(_LANES_KEPT)(self._find_lane)  # judging a URL costs more than signing its body

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, reach: Reach, timed: bool = False
    ) -> Answer | NoAnswer:
        """POST `body`, at most once. `timed` also splits the time into name, connection and TLS, which costs CPU."""
        return await self.send(Request("POST", url, body, headers, timeout_s), reach, timed=timed)

    async def send(self, request: Request, reach: Reach, *, timed: bool = False) -> Answer | NoAnswer:
        """Send the request and read its answer. Raises ValueError for a header that holds a line break."""
        watch = _Stopwatch(timed)
        way = self._lane_to(request.url, reach)
        if isinstance(way, UrlRefused):
            return NoAnswer("refused_url", way.why, watch.reading())
        url, lane = way
        if not timed:
            return await _exchange(lane.quick, url, request, watch)
        mark = _watch.set(watch)
        try:
            return await _exchange(lane.timed, url, request, watch)
        finally:
            _watch.reset(mark)

    async def resolve_and_judge(
        self, url: str, reach: Reach
    ) -> AddressFine | AddressRefused | UrlRefused | NameUnknown:
        """What would happen to a request for `url` now. Every address of its name must be fine; the first is shown."""
        fine = judge_url(url, reach)
        if isinstance(fine, UrlRefused):
            return fine
        try:
            addresses = [ip_address(fine.host)] if _is_literal(fine.host) else await self._addresses(fine.host)
        except OSError:
            return NameUnknown("the name does not resolve to an address")
        verdicts = [judge_address(address, reach, plain=fine.plain) for address in addresses]
        return next((verdict for verdict in verdicts if isinstance(verdict, AddressRefused)), verdicts[0])

    async def close(self) -> None:
        """Close every connection. Requests under way fail."""
        for lane in self._lanes.values():
            await lane.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _find_lane(self, url: str, reach: Reach) -> "tuple[URL, _Lane] | UrlRefused":
        fine = judge_url(url, reach)
        if isinstance(fine, UrlRefused):
            return fine
        key = (reach, fine.plain)  # HTTP and HTTPS apart: the guard at the socket sees an address, not a scheme
        if key not in self._lanes:
            self._lanes[key] = _Lane(partial(_open_socket, *key), _Resolver(self._addresses), self._trust)
        return fine.url, self._lanes[key]

    async def _addresses(self, host: str) -> list[Address]:
        try:
            async with asyncio.timeout(_LOOK_UP_S):
                found = await self._resolve(host)
        except TimeoutError:  # aiohttp would take it for one of the connection
            raise socket.gaierror(socket.EAI_AGAIN, "the look-up took too long") from None
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        return [ip_address(address) for address in found]

    async def _ask_system(self, host: str) -> list[str]:
        ask = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [str(where[0]) for *_, where in found]


class _Forbidden(OSError):
    """Raised at connect. Its `str` never differs: aiohappyeyeballs then raises the first of several as it is."""

    def __init__(self, why: str) -> None:
        super().__init__("address refused")
        self.why = why


def _open_socket(reach: Reach, plain: bool, info: aiohttp.AddrInfoType) -> socket.socket:
    # Here and nowhere earlier: a resolver is not asked about literal addresses, a socket is opened for every one.
    family, kind, protocol, _, where = info
    verdict = judge_address(ip_address(where[0]), reach, plain=plain)
    if isinstance(verdict, AddressRefused):
        raise _Forbidden(verdict.why)
    return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    def __init__(self, addresses: Callable[[str], Awaitable[Sequence[Address]]]) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await self._addresses(host)
        return [
            ResolveResult(hostname=host, host=str(one), port=port, family=family, proto=0, flags=0) for one in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


_watch: ContextVar["_Stopwatch"] = ContextVar("watch")


class _Stopwatch:
    """The moments of one request; those of its connection are written by the hooks of the timed session."""

    opening = look_up = looked_up = shaking = opened = head = 0.0  # 0.0: has not come

    def __init__(self, timed: bool) -> None:
        self._timed = timed
        self._start = perf_counter()

    def reading(self) -> Timing:
        now = perf_counter()
        dns, connect, tls = self._phases(now) if self._timed else (None, None, None)
        first_byte = (self.head - self._start) * 1000 if self.head else None
        return Timing(dns, connect, tls, first_byte, (now - self._start) * 1000)

    def _phases(self, now: float) -> tuple[float, float, float]:
        if not self.opening:
            return 0.0, 0.0, 0.0
        end = self.opened or now
        looked_up = self.looked_up or (end if self.look_up else self.opening)
        shaking = self.shaking or end
        return (looked_up - (self.look_up or looked_up)) * 1000, (shaking - looked_up) * 1000, (end - shaking) * 1000


async def _note(moment: str, *_: object) -> None:
    setattr(_watch.get(), moment, perf_counter())


class _Trust(ssl.SSLContext):
    """The system's certificates. asyncio calls `wrap_bio` once TCP stands: nothing else parts `connect` from `tls`."""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        if watch := _watch.get(None):
            watch.shaking = perf_counter()
        return super().wrap_bio(*args, **kwargs)


class _Lane:
    """The connections of one reach and scheme. Two sessions share them, since tracing costs every request of one."""

    def __init__(self, open_socket: aiohttp.SocketFactoryType, resolver: _Resolver, trust: _Trust) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(partial(_note, "opening"))
        trace.on_dns_resolvehost_start.append(partial(_note, "look_up"))
        trace.on_dns_resolvehost_end.append(partial(_note, "looked_up"))
        trace.on_connection_create_end.append(partial(_note, "opened"))
        self._connector = aiohttp.TCPConnector(limit=0, socket_factory=open_socket, resolver=resolver, ssl=trust)
        self.quick, self.timed = self._session([]), self._session([trace])

    def _session(self, traces: list[aiohttp.TraceConfig]) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "Offhook", "Accept-Encoding": "identity"},
            trace_configs=traces,
        )

    async def close(self) -> None:
        await self.quick.close()
        await self.timed.close()


async def _exchange(session: aiohttp.ClientSession, url: URL, request: Request, watch: _Stopwatch) -> Answer | NoAnswer:
    try:
        response = await session.request(
            request.method,
            url,
            data=request.body or None,
            headers=request.headers,
            timeout=_limits(request.timeout_s),
            allow_redirects=False,
        )
        watch.head = perf_counter()
        with closing(response):  # an answer read to its end has given its connection back by then
            body, truncated = await _read(response)
        return Answer(response.status, _kept(response.headers), body, truncated, watch.reading())
    except (aiohttp.ClientError, OSError) as error:
        return NoAnswer(*_tell(error), watch.reading())


@lru_cache(64)
def _limits(timeout_s: float) -> aiohttp.ClientTimeout:
    # Connecting gets at most half, so that "never sent" and "never answered" can be told apart.
    return aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s / 2, _CONNECT_S), ceil_threshold=3600)


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    content = response.content
    body = await content.read(BODY_CAP + 1)
    while len(body) <= BODY_CAP and not content.at_eof():
        body += await content.read(BODY_CAP + 1 - len(body))
    return body[:BODY_CAP], len(body) > BODY_CAP


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    room = _HEADER_CHARS_CAP
    for name, value in headers.items():
        room -= len(name) + len(value)
        if room < 0 or len(kept) == _HEADER_COUNT_CAP:
            break
        kept.setdefault(name.lower(), value)
    return kept


def _tell(error: aiohttp.ClientError | OSError) -> tuple[Lost, str]:
    match error:
        case aiohttp.ClientSSLError():
            return "tls", "no trusted TLS connection: the certificate or the protocol was not accepted"
        case aiohttp.ClientConnectorDNSError():
            return "dns", "the name of the receiver did not resolve to an address"
        case aiohttp.ClientConnectorError(os_error=_Forbidden(why=why)):
            return "refused_address", why
        case aiohttp.ClientConnectorError():
            return "connect_refused", "the receiver did not accept the connection"
        case aiohttp.ConnectionTimeoutError():
            return "connect_timeout", "the connection did not stand in time"
        case TimeoutError():
            return "timeout", "the answer was not complete in time"
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | OSError():
            return "reset", "the receiver closed the connection before its answer was complete"
        case _:
            return "protocol", "the receiver answered something that is not HTTP"
