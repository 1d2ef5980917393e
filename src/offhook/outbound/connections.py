"""The connections of a process: one lane for each reach and scheme, each with its guard at the socket."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from offhook.outbound.answer import Answer, NoAnswer, Request
from offhook.outbound.exchange import Forbidden, exchange
from offhook.outbound.reach import (
    Address,
    AddressFine,
    AddressRefused,
    NameUnknown,
    Reach,
    UrlRefused,
    is_literal,
    judge_address,
    judge_url,
)
from offhook.outbound.stopwatch import Stopwatch, Trust, current, note

_LOOK_UP_S = 5.0
_LANES_KEPT = 10_000
_LOOK_UPS_AT_ONCE = 64  # a hanging name server holds a thread for seconds; the neighbours need others

Resolve = Callable[[str], Awaitable[Sequence[str]]]  # a name's addresses; raises OSError when there are none to be had


class Outbound:
    """All connections of one process. Make one per event loop, close it at the end."""

    def __init__(self, resolve: Resolve | None = None) -> None:
        """Names are looked up by `resolve`, or by the system when None."""
        self._threads = ThreadPoolExecutor(_LOOK_UPS_AT_ONCE, thread_name_prefix="look-up")
        self._resolve = resolve or self._ask_system
        self._trust = Trust(ssl.PROTOCOL_TLS_CLIENT)
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
        watch = Stopwatch(timed)
        way = self._lane_to(request.url, reach)
        if isinstance(way, UrlRefused):
            return NoAnswer("refused_url", way.why, watch.reading())
        url, lane = way
        if not timed:
            return await exchange(lane.quick, url, request, watch)
        mark = current.set(watch)
        try:
            return await exchange(lane.timed, url, request, watch)
        finally:
            current.reset(mark)

    async def resolve_and_judge(
        self, url: str, reach: Reach
    ) -> AddressFine | AddressRefused | UrlRefused | NameUnknown:
        """What would happen to a request for `url` now. Every address of its name must be fine; the first is shown."""
        fine = judge_url(url, reach)
        if isinstance(fine, UrlRefused):
            return fine
        try:
            addresses = [ip_address(fine.host)] if is_literal(fine.host) else await self._addresses(fine.host)
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


def _open_socket(reach: Reach, plain: bool, info: aiohttp.AddrInfoType) -> socket.socket:
    # Here and nowhere earlier: a resolver is not asked about literal addresses, a socket is opened for every one.
    family, kind, protocol, _, where = info
    verdict = judge_address(ip_address(where[0]), reach, plain=plain)
    if isinstance(verdict, AddressRefused):
        raise Forbidden(verdict.why)
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


class _Lane:
    """The connections of one reach and scheme. Two sessions share them, since tracing costs every request of one."""

    def __init__(self, open_socket: aiohttp.SocketFactoryType, resolver: _Resolver, trust: Trust) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(partial(note, "opening"))
        trace.on_dns_resolvehost_start.append(partial(note, "look_up"))
        trace.on_dns_resolvehost_end.append(partial(note, "looked_up"))
        trace.on_connection_create_end.append(partial(note, "opened"))
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
