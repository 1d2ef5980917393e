"""The connections of a process: which lane a request takes, and what a URL or a name is worth before it does."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any

from offhook.outbound.answer import Answer, NoAnswer, Request
from offhook.outbound.exchange import Way, exchange
from offhook.outbound.identity import Identity, NotAnIdentity
from offhook.outbound.lanes import LANES_OF_IDENTITIES, IdentityLanes, Lane
from offhook.outbound.names import Names
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
from offhook.outbound.stopwatch import Stopwatch

_LOOK_UP_S = 5.0
_LANES_KEPT = 10_000
_LOOK_UPS_AT_ONCE = 64  # a hanging name server holds a thread for seconds; the neighbours need others

Sending = Coroutine[Any, Any, Answer | NoAnswer]
Resolve = Callable[[str], Awaitable[Sequence[str]]]  # a name's addresses; raises OSError when there are none to be had


class Outbound:
    """All connections of one process. Make one per event loop, close it at the end."""

    def __init__(self, resolve: Resolve | None = None, *, identities: int = LANES_OF_IDENTITIES) -> None:
        """Names are looked up by `resolve`, or by the system when None. Connections of so many `identities` are kept."""
        self._threads = ThreadPoolExecutor(_LOOK_UPS_AT_ONCE, thread_name_prefix="look-up")
        self._resolve = resolve or self._ask_system
        self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._trust.load_default_certs()
        self._lanes: dict[tuple[Reach, bool], Lane] = {}
        self._names = Names(self.look_up)
        self._identities = IdentityLanes(self._names, identities)
        self._judged = lru_cache(_LANES_KEPT)(judge_url)
        self._way_to = lru_cache(_LANES_KEPT)(self._find_way)  # judging a URL costs more than signing its body

    def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        reach: Reach,
        identity: Identity | None = None,
    ) -> Sending:
        """POST `body`, at most once, when this is awaited."""
        return self.send(Request("POST", url, body, headers, timeout_s), reach, identity=identity)

    def send(self, request: Request, reach: Reach, *, identity: Identity | None = None) -> Sending:
        """Send the request and read its answer, when this is awaited. Raises ValueError for a header that holds a line break.

        With an `identity`, only by HTTPS, and on connections that nobody else uses.
        """
        # No coroutine around another: this is the hot path.
        watch = Stopwatch()
        if identity is not None:
            return self._send_as(identity, request, reach, watch)
        way = self._way_to(request.url, reach)
        return _refused(way, watch) if isinstance(way, UrlRefused) else exchange(way, request, watch)

    async def _send_as(self, identity: Identity, request: Request, reach: Reach, watch: Stopwatch) -> Answer | NoAnswer:
        fine = self._judged(request.url, reach)
        if isinstance(fine, UrlRefused):
            return await _refused(fine, watch)
        if fine.plain:
            return NoAnswer("refused_url", "a client certificate or a CA of its own needs https://", watch.reading())
        try:
            async with self._identities.taken(reach, identity, within_s=request.timeout_s) as lane:
                return await exchange(Way.to(fine.url, lane), request, watch)
        except TimeoutError:
            return NoAnswer("connect_timeout", "the CAs of the system were not loaded in time", watch.reading())
        except NotAnIdentity as why:
            return NoAnswer("tls", f"the identity cannot be used: {why}", watch.reading())

    async def resolve_and_judge(
        self, url: str, reach: Reach
    ) -> AddressFine | AddressRefused | UrlRefused | NameUnknown:
        """What would happen to a request for `url` now. Every address of its name must be fine; the first is shown."""
        fine = judge_url(url, reach)
        if isinstance(fine, UrlRefused):
            return fine
        try:
            addresses = [ip_address(fine.host)] if is_literal(fine.host) else await self.look_up(fine.host)
        except OSError:
            return NameUnknown("the name does not resolve to an address")
        verdicts = [judge_address(address, reach, plain=fine.plain) for address in addresses]
        return next((verdict for verdict in verdicts if isinstance(verdict, AddressRefused)), verdicts[0])

    async def close(self) -> None:
        """Close every connection. Requests under way fail."""
        for lane in self._lanes.values():
            await lane.close()
        await self._identities.close()
        await self._names.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _find_way(self, url: str, reach: Reach) -> Way | UrlRefused:
        fine = judge_url(url, reach)
        if isinstance(fine, UrlRefused):
            return fine
        key = (reach, fine.plain)  # HTTP and HTTPS apart: the guard at the socket sees an address, not a scheme
        if key not in self._lanes:
            self._lanes[key] = Lane(*key, self._names, self._trust)
        return Way.to(fine.url, self._lanes[key])

    async def look_up(self, host: str) -> list[Address]:
        """Every address of this name, none of them judged. Raises OSError when there is none within five seconds."""
        try:
            async with asyncio.timeout(_LOOK_UP_S):
                found = await self._resolve(host)
        except TimeoutError:  # else it would pass for one of the connection
            raise socket.gaierror(socket.EAI_AGAIN, "the look-up took too long") from None
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        return [ip_address(address) for address in found]

    async def _ask_system(self, host: str) -> list[str]:
        ask = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [str(where[0]) for *_, where in found]


async def _refused(why: UrlRefused, watch: Stopwatch) -> NoAnswer:
    return NoAnswer("refused_url", why.why, watch.reading())
