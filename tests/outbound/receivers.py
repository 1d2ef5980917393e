"""Receivers on loopback that do what a test says, and the ways to them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from offhook.outbound import Outbound
from offhook.outbound.connections import Resolve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Seen: yes\r\n\r\nok"

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


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
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


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
        shaking = tls.wrap_bio(incoming, outgoing, server_side=True)
        while data := await reader.read(65_536):
            incoming.write(data)
            with suppress(ssl.SSLError):  # wants more, or failed: then what is outgoing is the alert
                shaking.do_handshake()
            writer.write(outgoing.read())
        writer.close()

    receiver = Receiver(answering(OK))
    server = await asyncio.start_server(shake, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver
