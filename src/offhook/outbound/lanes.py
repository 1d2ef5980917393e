"""The lanes: connections kept alive for one reach, scheme and identity, and never shared with another."""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from offhook.outbound.exchange import Forbidden
from offhook.outbound.identity import Identity, NotAnIdentity
from offhook.outbound.reach import Address, AddressRefused, Reach, judge_address
from offhook.outbound.stopwatch import Trust, note

LANES_OF_IDENTITIES = 128  # a context with the system's CAs takes 0.8 MB

Addresses = Callable[[str], Awaitable[Sequence[Address]]]  # of a name; raises OSError when there are none to be had


class Lane:
    """The connections of one reach and scheme. Two sessions share them, since tracing costs every request of one."""

    under_way = 0

    def __init__(self, reach: Reach, plain: bool, addresses: Addresses, trust: Trust) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(partial(note, "opening"))
        trace.on_dns_resolvehost_start.append(partial(note, "look_up"))
        trace.on_dns_resolvehost_end.append(partial(note, "looked_up"))
        trace.on_connection_create_end.append(partial(note, "opened"))
        guard = partial(open_socket, reach, plain)
        self._connector = aiohttp.TCPConnector(
            limit=0, socket_factory=guard, resolver=_Resolver(addresses, reach, plain), ssl=trust
        )
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


class IdentityLanes:
    """A bounded number of lanes, one for each identity and reach. The longest unused is closed when it is idle."""

    def __init__(self, addresses: Addresses, most: int) -> None:
        self._addresses = addresses
        self._most = most
        self._lanes: OrderedDict[tuple[Reach, Identity], Lane] = OrderedDict()
        self._crowded_out: set[Lane] = set()
        self._loading: dict[Identity, asyncio.Task[Trust | NotAnIdentity]] = {}

    @asynccontextmanager
    async def taken(self, reach: Reach, identity: Identity, within_s: float) -> AsyncIterator[Lane]:
        """The lane, open at least until the block ends.

        Raises NotAnIdentity when OpenSSL does not take it, TimeoutError when loading it takes longer than `within_s`.
        """
        trust = None
        if (reach, identity) not in self._lanes:
            async with asyncio.timeout(within_s):
                trust = await self._trust_of(identity)
        lane = self._found(reach, identity, trust)  # from here to `under_way` nothing waits, so nobody closes it
        lane.under_way += 1
        try:
            yield lane
        finally:
            lane.under_way -= 1
            await self._close_idle()

    async def close(self) -> None:
        for loading in self._loading.values():
            loading.cancel()
        for lane in [*self._lanes.values(), *self._crowded_out]:
            await lane.close()

    def _found(self, reach: Reach, identity: Identity, trust: Trust | None) -> Lane:
        key = (reach, identity)
        if key not in self._lanes:
            assert trust
            self._lanes[key] = Lane(reach, False, self._addresses, trust)
        self._lanes.move_to_end(key)
        while len(self._lanes) > self._most:
            self._crowded_out.add(self._lanes.popitem(last=False)[1])
        return self._lanes[key]

    async def _close_idle(self) -> None:
        while idle := next((lane for lane in self._crowded_out if not lane.under_way), None):
            self._crowded_out.remove(idle)
            await idle.close()

    async def _trust_of(self, identity: Identity) -> Trust:
        # In a thread, and once for all who wait: loading the system's CAs would hold everybody else's requests up.
        if identity not in self._loading:
            self._loading[identity] = asyncio.create_task(asyncio.to_thread(_load, identity))
            self._loading[identity].add_done_callback(lambda _: self._loading.pop(identity))
        found = await asyncio.shield(self._loading[identity])
        if isinstance(found, NotAnIdentity):
            raise found
        return found


def _load(identity: Identity) -> Trust | NotAnIdentity:
    try:
        return identity.trust()
    except NotAnIdentity as why:
        return why


class _Resolver(AbstractResolver):
    """Looks names up. One address out of reach closes the name, as at its creation: which one answers is a race."""

    def __init__(self, addresses: Addresses, reach: Reach, plain: bool) -> None:
        self._addresses = addresses
        self._judge = partial(_must_be_fine, reach, plain)

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await self._addresses(host)
        for one in found:
            self._judge(one)
        return [
            ResolveResult(hostname=host, host=str(one), port=port, family=family, proto=0, flags=0) for one in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


def open_socket(reach: Reach, plain: bool, info: aiohttp.AddrInfoType) -> socket.socket:
    # Here once more: a resolver is not asked about literal addresses, a socket is opened for every one.
    family, kind, protocol, _, where = info
    _must_be_fine(reach, plain, ip_address(where[0]))
    return socket.socket(family, kind, protocol)


def _must_be_fine(reach: Reach, plain: bool, address: Address) -> None:
    verdict = judge_address(address, reach, plain=plain)
    if isinstance(verdict, AddressRefused):
        raise Forbidden(verdict.why)
