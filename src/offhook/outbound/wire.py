"""One connection of HTTP/1.1: a request at a time, and its answer, parsed by llhttp as it comes in.

    connected ──ask──▶ under way ──whole answer──▶ idle ──ask──▶ …
                            └── cut off, no HTTP, too long ──▶ over

The connection is over once nothing more may be asked on it. What comes while nobody asks ends it.
"""

import asyncio
import ssl
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple, cast

import httptools

from offhook.outbound.answer import Lost

BODY_CAP = 16_384
_HEADER_COUNT_CAP, _HEADER_CHARS_CAP = 64, 8_192
_RAW_CAP = 262_144
"""No answer worth reading takes more than that for its head and its first 16 KB, however it is cut into chunks."""
_CUT_OFF = "the receiver closed the connection before its answer was complete"
_INTERIM = range(100, 200)
_SWITCHES = 101
_REFUSALS = (
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA",
    "ALERT_ACCESS_DENIED",
    "ALERT_HANDSHAKE_FAILURE",
)


class Broken(Exception):
    """No whole answer came back: the stable `code`, and `text` in plain words."""

    def __init__(self, code: Lost, text: str) -> None:
        super().__init__(code)
        self.code: Lost = code
        self.text = text


class Reply(NamedTuple):
    """What came back. Header names in lower case, the first of each; at most 16 KB of the body."""

    status: int
    version: str
    headers: dict[str, str]
    body: bytes
    truncated: bool
    head_at: float
    """When its head was complete, by `perf_counter`."""


class Wire(asyncio.Protocol):
    """A connection; made by `loop.create_connection`, which says when it stands."""

    def __init__(self, on_end: "Callable[[Wire], None]") -> None:
        """`on_end` is told when it is over."""
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._asked: asyncio.Future[Reply] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.is_over = False
        self.idle_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = b""
        self._chars = _HEADER_CHARS_CAP
        self._length = False
        self._head_at = 0.0

    async def ask(self, message: bytes, within_s: float, *, bodiless: bool = False) -> Reply:
        """Send a whole request, and return its answer. `bodiless`: the answer has none, whatever its head says (HEAD).

        Raises Broken, also when it takes longer than `within_s`; the connection is over then.
        """
        if self._transport is None:
            raise Broken("reset", _CUT_OFF)
        assert self._asked is None, "one request at a time"
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[Reply] = loop.create_future()
        self._asked = asked
        self._is_bodiless = bodiless
        self._raw = _RAW_CAP
        self._transport.write(message)
        timer = loop.call_later(within_s, self._expire)
        try:
            return await asked
        finally:
            timer.cancel()
            if self._asked is not None:  # nobody waits any more
                self.end()

    def end(self) -> None:
        """Close it now. Idempotent."""
        if not self.is_over:
            self.is_over = True
            self._on_end(self)
        if self._transport is not None:
            self._transport.abort()
        self._fail("reset", "the connection was closed from here")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._asked is None:
            self.end()  # an answer to nothing
            return
        self._raw -= len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._complete(reusable=False)
        except httptools.HttpParserError:
            self._fail("protocol", "the receiver answered something that is not HTTP")
            self.end()
        else:
            if self._raw < 0 and self._asked is not None:
                self._fail("protocol", "the receiver's answer has more around its body than any is worth")
                self.end()

    def eof_received(self) -> None:
        if self._asked is not None and self._head_at and not self._length:
            self._complete(reusable=False)  # it ends with the connection

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if exc is None:
            self.eof_received()
        if isinstance(exc, ssl.SSLError) and is_refusal_of_client(exc):
            self._fail("tls", "the receiver wants a client certificate, or did not accept ours")
        self._fail("reset", _CUT_OFF)
        self.end()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._asked is None:
            self.end()  # a second answer behind the first would pass for that to the next request

    def on_header(self, name: bytes, value: bytes) -> None:
        lowered = name.lower()
        self._length = self._length or lowered in (b"content-length", b"transfer-encoding")
        self._chars -= len(name) + len(value)
        if self._chars >= 0 and len(self._headers) < _HEADER_COUNT_CAP:
            self._headers.setdefault(
                lowered.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
            )

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() not in _INTERIM:
            self._head_at = perf_counter()
            if self._is_bodiless:
                self._complete(reusable=False)

    def on_body(self, body: bytes) -> None:
        if self._asked is None:
            return
        self._body += body
        if len(self._body) > BODY_CAP:
            self._complete(reusable=False)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status in _INTERIM and status != _SWITCHES:
            self._begin()  # a word in between; the answer is still to come
        elif self._asked is not None:
            self._complete(reusable=self._parser.should_keep_alive())

    def _complete(self, *, reusable: bool) -> None:
        asked, self._asked = self._asked, None
        body, parser = self._body, self._parser
        reply = Reply(
            parser.get_status_code(),
            parser.get_http_version(),
            self._headers,
            body[:BODY_CAP],
            len(body) > BODY_CAP,
            self._head_at or perf_counter(),
        )
        self._begin()
        if asked is not None and not asked.done():
            asked.set_result(reply)
        if not reusable:
            self.end()

    def _fail(self, code: Lost, text: str) -> None:
        asked, self._asked = self._asked, None
        if asked is not None and not asked.done():
            asked.set_exception(Broken(code, text))

    def _expire(self) -> None:
        self._fail("timeout", "the answer was not complete in time")
        self.end()


def is_refusal_of_client(error: ssl.SSLError) -> bool:
    """Whether the receiver ended the handshake over our certificate. In TLS 1.3 that comes after we began to send."""
    return reason_of(error).endswith(_REFUSALS)


def reason_of(error: ssl.SSLError) -> str:
    return getattr(error, "reason", None) or ""  # one that OpenSSL did not raise has none
