"""Receivers on loopback that do what a test says, and the ways to them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from offhook.outbound import Outbound
from offhook.outbound.connections import Resolve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Seen: yes\r\n\r\nok"

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@dataclass
class Receiver:
    """A server on loopback that reads a request and then does what `play` says, until the other side goes away."""

    play: Play
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                self.requests.append(head + await reader.readexactly(length))
                await self.play(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def answering(data: bytes) -> Play:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return play


def names(**known: str) -> Resolve:
    """A name server that knows `<name>.example`."""

    async def resolve(host: str) -> list[str]:
        return known.get(host.removesuffix(".example"), "").split()

    return resolve


@asynccontextmanager
async def receiving(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver(play)
    async with listening(receiver.serve, tls) as receiver.port:
        yield receiver


@asynccontextmanager
async def listening(serve: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A port of loopback; what is still open at the end is cut, so that nothing outlives the loop of the test."""
    serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving[asyncio.create_task(serve(reader, writer))] = writer

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for task, writer in serving.items():
        task.cancel()
        writer.transport.abort()
    await asyncio.gather(*serving, return_exceptions=True)


@asynccontextmanager
async def going_out(resolve: Resolve | None = None, **kept: int) -> AsyncIterator[Outbound]:
    outbound = Outbound(resolve, **kept)
    try:
        yield outbound
    finally:
        await outbound.close()


@asynccontextmanager
async def refusing(tls: ssl.SSLContext) -> AsyncIterator[Receiver]:
    """A receiver whose handshake fails as those of real servers do: it sends the alert, and waits until we are gone."""

    async def shake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        hand = tls.wrap_bio(incoming, outgoing, server_side=True)
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                incoming.write(data)
                with suppress(ssl.SSLError):  # wants more, or failed: then what is outgoing is the alert
                    hand.do_handshake()
                writer.write(outgoing.read())
        writer.close()

    receiver = Receiver(answering(OK))
    async with listening(shake) as receiver.port:
        yield receiver
