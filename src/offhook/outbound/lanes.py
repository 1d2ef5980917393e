"""The lanes: connections kept alive for one reach, scheme and identity, and never shared with another."""

import asyncio
import socket
import ssl
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address
from time import perf_counter

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType

from offhook.outbound.identity import Identity, NotAnIdentity
from offhook.outbound.names import Addresses
from offhook.outbound.reach import Address, AddressRefused, Reach, is_literal, judge_address
from offhook.outbound.stopwatch import Stopwatch
from offhook.outbound.wire import Broken, Wire, is_refusal_of_client

LANES_OF_IDENTITIES = 128  # a context with the system's CAs takes 0.8 MB
_CONNECT_S = 5.0
_NEXT_ADDRESS_S = 0.25
_KEPT_S = 15.0
"""An idle connection is closed after that: sooner than most receivers do it, so that nothing is sent into a closing one."""


class Forbidden(OSError):
    """Raised at connect, when an address is out of reach. Its `str` never tells which."""

    def __init__(self, why: str) -> None:
        super().__init__("address refused")
        self.why = why


class Lane:
    """The connections of one reach and scheme, or of one identity."""

    under_way = 0

    def __init__(self, reach: Reach, plain: bool, addresses: Addresses, trust: ssl.SSLContext) -> None:
        self._addresses = addresses
        self._judge = partial(_must_be_fine, reach, plain)
        self._guard = partial(open_socket, reach, plain)
        self._trust = None if plain else trust
        self._wires: set[Wire] = set()
        self._idle: defaultdict[tuple[str, int], list[Wire]] = defaultdict(list)
        self._sweeper: asyncio.TimerHandle | None = None

    def idle(self, host: str, port: int) -> Wire | None:
        """A kept connection to that origin, the one that was used last."""
        kept = self._idle.get((host, port))
        while kept:
            if not (wire := kept.pop()).is_over:
                return wire
        return None

    def keep(self, host: str, port: int, wire: Wire) -> None:
        """Keep it for the next request, unless it is over."""
        if wire.is_over:
            return
        wire.idle_since = perf_counter()
        self._idle[host, port].append(wire)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_KEPT_S, self._sweep)

    async def opened(self, host: str, port: int, within_s: float, watch: Stopwatch) -> Wire:
        """A new connection, judged at the very address it is made to. Raises Broken."""
        watch.opening = perf_counter()
        try:
            async with asyncio.timeout(within_s):
                addresses = await self._judged(host, watch)
                sock = await self._connected(addresses, port, within_s)
                if self._trust is not None:
                    watch.shaking = perf_counter()
                wire = await self._shaken(sock, host)
                watch.opened = perf_counter()
                return wire
        except TimeoutError:
            raise Broken("timeout", "the connection did not stand in time") from None

    async def _judged(self, host: str, watch: Stopwatch) -> Sequence[Address]:
        """Every address of it must be fine, as at its creation: which one answers is a race."""
        literal = is_literal(host)
        try:
            addresses = [ip_address(host)] if literal else await self._addresses(host)
            for one in addresses:
                self._judge(one)
        except Forbidden as forbidden:
            raise Broken("refused_address", forbidden.why) from None
        except OSError:
            raise Broken("dns", "the name of the receiver did not resolve to an address") from None
        finally:
            watch.looked_up = watch.opening if literal else perf_counter()
        return addresses

    async def _connected(self, addresses: Sequence[Address], port: int, within_s: float) -> socket.socket:
        infos: list[AddrInfoType] = [
            (
                socket.AF_INET6 if one.version == 6 else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (str(one), port),
            )
            for one in addresses
        ]
        try:
            # At most half of the time, so that "never sent" and "never answered" can be told apart.
            async with asyncio.timeout(min(within_s / 2, _CONNECT_S)):
                return await aiohappyeyeballs.start_connection(
                    infos, happy_eyeballs_delay=_NEXT_ADDRESS_S, socket_factory=self._guard
                )
        except TimeoutError:
            raise Broken("connect_timeout", "the connection did not stand in time") from None
        except Forbidden as forbidden:
            raise Broken("refused_address", forbidden.why) from None
        except OSError:
            raise Broken("connect_refused", "the receiver did not accept the connection") from None

    async def _shaken(self, sock: socket.socket, host: str) -> Wire:
        named = host.rstrip(".") if self._trust else None
        try:
            _, wire = await asyncio.get_running_loop().create_connection(
                partial(Wire, self._wires.discard), sock=sock, ssl=self._trust, server_hostname=named
            )
        except ssl.SSLError as error:
            if is_refusal_of_client(error):
                raise Broken("tls", "the receiver wants a client certificate, or did not accept ours") from None
            raise Broken("tls", "no trusted TLS connection: the certificate or the protocol was not accepted") from None
        except OSError:
            raise Broken("connect_refused", "the receiver did not accept the connection") from None
        if not wire.is_over:  # the receiver may have hung up by now
            self._wires.add(wire)
        return wire

    def _sweep(self) -> None:
        before = perf_counter() - _KEPT_S
        for origin, kept in list(self._idle.items()):
            for wire in kept:
                if wire.idle_since <= before:
                    wire.end()
            if left := [wire for wire in kept if not wire.is_over]:
                self._idle[origin] = left
            else:
                del self._idle[origin]
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(_KEPT_S / 3, self._sweep) if self._idle else None

    async def close(self) -> None:
        """Close every connection. Requests under way fail."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for wire in list(self._wires):
            wire.end()
        await asyncio.sleep(0)  # the transports take a turn of the loop to close


class IdentityLanes:
    """A bounded number of lanes, one for each identity and reach. The longest unused is closed when it is idle."""

    def __init__(self, addresses: Addresses, most: int) -> None:
        self._addresses = addresses
        self._most = most
        self._lanes: OrderedDict[tuple[Reach, Identity], Lane] = OrderedDict()
        self._crowded_out: set[Lane] = set()
        self._loading: dict[Identity, asyncio.Task[ssl.SSLContext | NotAnIdentity]] = {}

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

    def _found(self, reach: Reach, identity: Identity, trust: ssl.SSLContext | None) -> Lane:
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

    async def _trust_of(self, identity: Identity) -> ssl.SSLContext:
        # In a thread, and once for all who wait: loading the system's CAs would hold everybody else's requests up.
        if identity not in self._loading:
            self._loading[identity] = asyncio.create_task(asyncio.to_thread(_load, identity))
            self._loading[identity].add_done_callback(lambda _: self._loading.pop(identity))
        found = await asyncio.shield(self._loading[identity])
        if isinstance(found, NotAnIdentity):
            raise found
        return found


def _load(identity: Identity) -> ssl.SSLContext | NotAnIdentity:
    try:
        return identity.trust()
    except NotAnIdentity as why:
        return why


def open_socket(reach: Reach, plain: bool, info: AddrInfoType) -> socket.socket:
    # Here once more, where every connection passes, whoever has looked its address up.
    family, kind, protocol, _, where = info
    _must_be_fine(reach, plain, ip_address(where[0]))
    return socket.socket(family, kind, protocol)


def _must_be_fine(reach: Reach, plain: bool, address: Address) -> None:
    verdict = judge_address(address, reach, plain=plain)
    if isinstance(verdict, AddressRefused):
        raise Forbidden(verdict.why)
