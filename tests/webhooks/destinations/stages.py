"""The stages on which destinations are tried: who can be away or silent, and who reads what came."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from offhook.outbound import Outbound, Reach
from offhook.settings import Settings
from offhook.webhooks.credentials import Basic, Credentials, NoCredentials
from offhook.webhooks.destinations.conformance import Claim, Found
from offhook.webhooks.destinations.contract import Destination, Parts

LOOPBACK = Reach(True, ())
SECRET = Basic("someone", "s3cret-that-nobody-sees")


class Stage:
    """What most stages share; `found` is each one's own."""

    nonsense = ""
    credentials: Credentials = NoCredentials()
    reach = LOOPBACK

    def __init__(self, destination: Destination, url: str, away: str = "", silent: str = "") -> None:
        self.destination = destination
        self.url = url
        self._away = away
        self._silent = silent

    async def found(self) -> Sequence[Found]:
        raise NotImplementedError

    def away(self) -> AbstractAsyncContextManager[str]:
        return _at(self._away)

    def silent(self) -> AbstractAsyncContextManager[str]:
        return _at(self._silent)


@asynccontextmanager
async def _at(url: str) -> AsyncIterator[str]:
    yield url


@asynccontextmanager
async def a_silent_server() -> AsyncIterator[int]:
    """The port of a server that takes connections, reads, and never says a word."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await reader.read(-1)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def a_port_of_nobody() -> AsyncIterator[int]:
    """A port that is taken, so that nobody else gets it, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def parts(outbound: Outbound, **settings: object) -> Parts:
    """What a destination is made of, with these settings."""
    return Parts(outbound, Settings.model_validate(settings))


async def fault_found(claim: Claim, stage: Stage) -> str:
    """What this claim finds wrong; nothing where it is kept."""
    try:
        await claim(stage)
    except AssertionError as wrong:
        return str(wrong) or "the claim is not kept"
    return ""


def name_of(claim: Claim) -> str:
    return claim.__name__
