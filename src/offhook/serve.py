"""One process on the wire: its port, its HTTP server, and a house that is started before and stopped after.

    port taken ──▶ house started ──▶ listening ──▶ told to stop ──▶ streams ended, no new requests ──▶ house stopped

The port is bound first, so that a start that cannot succeed fails before it has touched any data; nobody is let in
until the house is open. Being told to stop is a cancellation: requests under way get three seconds, the house fifteen.
What has no end of its own, an open stream, must be ended by `on_stop`, or it would use up the three.
"""

import asyncio
import errno
import gc
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import uvicorn
from starlette.types import ASGIApp

from offhook import log
from offhook.errors import CannotStart

if TYPE_CHECKING:
    from offhook.wiring import House

_REQUESTS_END_IN_S = 3
_HOUSE_STOPS_IN_S = 15
_IDLE_S = 65  # more than the minute after which the usual balancers give up a connection: they must be the first
_GC_THRESHOLD = 50_000


async def serve(
    app: ASGIApp, port: socket.socket, on_ready: Callable[[], None], on_stop: Callable[[], None] = lambda: None
) -> None:
    """Answer on that port until cancelled; `on_ready` is called once connections are let in, `on_stop` before they end."""
    server = _Server(app, on_ready)
    serving = asyncio.create_task(server.serve([port]))
    try:
        await asyncio.shield(serving)
    finally:
        on_stop()
        server.should_exit = True
        await serving


@contextmanager
def taking_port(host: str, port: int) -> Iterator[socket.socket]:
    """Hold a port; 0 takes any that is free. Raises CannotStart naming who has it, as far as that can be known."""
    with _address(host, port) as held:
        yield held


@asynccontextmanager
async def living_in(house: "House") -> AsyncIterator[None]:
    """The house, started; stopped afterwards, also when its start was broken off half-way."""
    try:
        await house.start()
        _spare_the_long_lived()
        yield
    finally:
        try:
            async with asyncio.timeout(_HOUSE_STOPS_IN_S):
                await house.stop()
        except TimeoutError:
            log.get("serve").warning("stop_took_too_long", waited_s=_HOUSE_STOPS_IN_S)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, which would end the process before the house is closed."""

    def __init__(self, app: ASGIApp, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_keep_alive=_IDLE_S,
                timeout_graceful_shutdown=_REQUESTS_END_IN_S,
            )
        )
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as failure:  # another process bound it at the same moment, and was the first to listen
            assert sockets is not None
            host, port, *_ = sockets[0].getsockname()
            raise CannotStart("port_not_free", _why_not(host, port, failure)) from None
        self._on_ready()


def _address(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise CannotStart("bad_host", f"{host} is no address of this machine. Name another by --host.") from None
    held = socket.socket(family, kind, protocol)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind(address)
    except OSError as failure:
        held.close()
        raise CannotStart("port_not_free", _why_not(host, port, failure)) from None
    return held


def _why_not(host: str, port: int, failure: OSError) -> str:
    if isinstance(failure, PermissionError):
        return f"Port {port} is for root only. Name one above 1023 by --port."
    if (pid := holder_of(port)) is not None:
        return f"Port {port} is in use by process {pid}. Stop that one, or name another by --port."
    if failure.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine. Name another by --host."
    return f"Port {port} of {host} is in use. Stop whoever has it, or name another by --port."


def holder_of(port: int) -> int | None:
    """The process that listens on that TCP port; None when there is none, or we may not know."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                return connection.pid or None
    return None


def _spare_the_long_lived() -> None:
    # Measured: what a start leaves behind is never garbage, and walking it cost a quarter of the p99 at 1,000 POST/s.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
