"""One request on one session: from the first byte sent to an Answer or a NoAnswer. Reads no more than the caps."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from time import perf_counter

import aiohttp
from yarl import URL

from offhook.outbound.answer import Answer, Lost, NoAnswer, Request
from offhook.outbound.stopwatch import Stopwatch

BODY_CAP = 16_384
_HEADER_COUNT_CAP, _HEADER_CHARS_CAP = 64, 8_192
_CONNECT_S = 5.0
_USUAL = (aiohttp.HttpVersion11,)
_REFUSALS = re.compile(
    "ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(REVOKED|EXPIRED|UNKNOWN)"
    "|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)$"
)


class Forbidden(OSError):
    """Raised at connect, when an address is out of reach. Its `str` never tells which."""

    def __init__(self, why: str) -> None:
        super().__init__("address refused")
        self.why = why


async def exchange(session: aiohttp.ClientSession, url: URL, request: Request, watch: Stopwatch) -> Answer | NoAnswer:
    try:
        response = await session.request(
            request.method,
            url,
            data=request.body or None,
            headers=request.headers,
            timeout=_limits(request.timeout_s),
            allow_redirects=False,
        )
        watch.head = perf_counter()
        try:
            body, truncated = await _read(response.content)
        finally:
            if not response.closed:  # an answer read to its end has given its connection back by then
                response.close()
        answer = Answer(response.status, _kept(response.headers), body, truncated, watch.reading())
        return answer if response.version in _USUAL else replace(answer, version=_shown(response.version))
    except (aiohttp.ClientError, OSError) as error:
        return NoAnswer(*_tell(error), watch.reading())


@lru_cache(64)
def _limits(timeout_s: float) -> aiohttp.ClientTimeout:
    # Connecting gets at most half, so that "never sent" and "never answered" can be told apart.
    return aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s / 2, _CONNECT_S), ceil_threshold=3600)


async def _read(content: aiohttp.StreamReader) -> tuple[bytes, bool]:
    body = b""
    while len(body) <= BODY_CAP and not content.at_eof():
        body += await content.read(BODY_CAP + 1 - len(body))
    return body[:BODY_CAP], len(body) > BODY_CAP


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    room = _HEADER_CHARS_CAP
    for name, value in headers.items():
        room -= len(name) + len(value)
        if room < 0 or len(kept) == _HEADER_COUNT_CAP:
            break
        kept.setdefault(name.lower(), value)
    return kept


def _shown(version: aiohttp.HttpVersion | None) -> str:
    return f"{version.major}.{version.minor}" if version else "0.9"


def is_refusal_of_client(error: ssl.SSLError) -> bool:
    """Whether the receiver ended the handshake over our certificate. In TLS 1.3 that comes after we began to send."""
    return _REFUSALS.search(reason_of(error)) is not None


def reason_of(error: ssl.SSLError) -> str:
    return getattr(error, "reason", None) or ""  # one that OpenSSL did not raise has none


def _tell(error: aiohttp.ClientError | OSError) -> tuple[Lost, str]:
    match error:
        case aiohttp.ClientSSLError():
            return "tls", "no trusted TLS connection: the certificate or the protocol was not accepted"
        case aiohttp.ClientOSError(__cause__=ssl.SSLError() as alert) if is_refusal_of_client(alert):
            return "tls", "the receiver wants a client certificate, or did not accept ours"
        case aiohttp.ClientConnectorError(os_error=Forbidden(why=why)):  # of a look-up too
            return "refused_address", why
        case aiohttp.ClientConnectorDNSError():
            return "dns", "the name of the receiver did not resolve to an address"
        case aiohttp.ClientConnectorError():
            return "connect_refused", "the receiver did not accept the connection"
        case aiohttp.ConnectionTimeoutError():
            return "connect_timeout", "the connection did not stand in time"
        case TimeoutError():
            return "timeout", "the answer was not complete in time"
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | OSError():
            return "reset", "the receiver closed the connection before its answer was complete"
        case _:
            return "protocol", "the receiver answered something that is not HTTP"
