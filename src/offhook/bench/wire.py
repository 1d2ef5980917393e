"""The cheapest HTTP client that can measure a server in its own language: one request at a time on a kept connection."""

import asyncio
from collections.abc import Callable
from typing import cast


class Wire(asyncio.Protocol):
    """One connection. It reads answers with a Content-Length, which is what the server sends."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[int] | None = None
        self._buffer = b""
        self.body = b""

    @classmethod
    async def to(cls, port: int) -> "Wire":
        """Connected to 127.0.0.1. Raises ConnectionError."""
        _, wire = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return wire

    def request(self, message: bytes) -> "asyncio.Future[int]":
        """Send a whole request; the status of its answer, whose body is then in `body`."""
        self._waiting = asyncio.get_running_loop().create_future()
        if self._transport is None:
            self._waiting.set_exception(ConnectionResetError("the server closed the connection"))
        else:
            self._transport.write(message)
        return self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        self.body = self._buffer[end + 4 : end + 4 + length]
        self._buffer = self._buffer[end + 4 + length :]
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(int(head[9:12]))


def post(port: int, path: str, key: str, content_type: str = "application/json") -> Callable[[bytes], bytes]:
    """Makes whole POST requests to that path out of bodies."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: {content_type}\r\ncontent-length: "
    ).encode()
    return lambda body: head + str(len(body)).encode() + b"\r\n\r\n" + body
