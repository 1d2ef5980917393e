"""The smallest HTTP server that can be told webhooks: one exchange at a time per connection, kept alive.

It reads `POST` with a Content-Length and nothing else of HTTP, because what measures a sender must cost less than it.
"""

import asyncio
import os
import time
from collections.abc import Callable
from typing import cast

_WATCH_S = 1.0


class Exchange:
    """One request, answered by whoever holds it, now or later."""

    __slots__ = ("_connection", "body", "head")

    def __init__(self, head: bytes, body: bytes, connection: "_Connection") -> None:
        self.head = head
        self.body = body
        self._connection = connection

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode("latin-1")

    def headers(self) -> dict[str, str]:
        """All headers, their names in lower case; read anew at every call."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines)
        return {name.lower(): value.strip() for name, _, value in pairs}

    def answer(self, status: int = 204, body: bytes = b"") -> None:
        """Send the answer; a client that has left is not told."""
        self._connection.answer(status, body)

    def send(self, raw: bytes) -> None:
        """Send these bytes as they are, a piece of an answer."""
        self._connection.send(raw)


class Listener:
    """Hands every exchange on one port to `take`. May be closed and opened again: refused connections in between."""

    def __init__(self, port: int, take: Callable[[Exchange], None]) -> None:
        self._port = port
        self._take = take
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    async def open(self) -> None:
        """Let connections in on 127.0.0.1. Idempotent."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: _Connection(self._take, self._open), "127.0.0.1", self._port, backlog=1024
            )

    async def stay(self) -> None:
        """Open, and return when the process that started this one is gone: nobody is left behind by a kill."""
        await self.open()
        await asyncio.to_thread(_wait_for_the_parents_end)

    async def close(self) -> None:
        """Refuse new connections and cut those that are open, like a server that went down. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._open):
            connection.cut()


class _Connection(asyncio.Protocol):
    def __init__(self, take: Callable[[Exchange], None], open_ones: "set[_Connection]") -> None:
        self._take = take
        self._open = open_ones
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            whole = end + 4 + _content_length(self._buffer[:end])
            if len(self._buffer) < whole:
                return
            exchange = Exchange(self._buffer[:end], self._buffer[end + 4 : whole], self)
            self._buffer = self._buffer[whole:]
            self._take(exchange)

    def answer(self, status: int, body: bytes) -> None:
        self.send(b"HTTP/1.1 %d .\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body)

    def send(self, raw: bytes) -> None:
        if self._transport is not None:
            self._transport.write(raw)

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _wait_for_the_parents_end() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(_WATCH_S)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0
