"""One request on its way: written, sent on a connection of its lane, answered or lost."""

from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter

from yarl import URL

from offhook.outbound.answer import Answer, NoAnswer, Request
from offhook.outbound.lanes import Lane
from offhook.outbound.stopwatch import Stopwatch
from offhook.outbound.wire import Broken

_BODIED = frozenset({"POST", "PUT", "PATCH"})
_DEFAULTS = (("user-agent", "Offhook"), ("accept", "*/*"), ("accept-encoding", "identity"))
_LENGTH = "\0"
"""Stands for the length of the body; no header holds one."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a judged URL leads: the lane, the origin, and what the head of a request says of them."""

    lane: Lane
    url: URL = field(repr=False)
    host: str
    port: int
    named: str
    """As the `Host` header names it."""

    @classmethod
    def to(cls, url: URL, lane: Lane) -> "Way":
        host, port = url.raw_host or "", url.port or 443
        shown = f"[{host}]" if ":" in host else host
        return cls(lane, url, host, port, shown if url.is_default_port() else f"{shown}:{port}")

    def message(self, request: Request) -> bytes:
        """The request as it is sent. Raises ValueError for a header that holds a line break."""
        headers, body = request.headers, request.body
        path = self.url.raw_path_qs if request.path is None else request.path
        usual = _usual(tuple(headers), request.method in _BODIED, bool(body))
        given = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if given.count("\n") != len(headers) or given.count("\r") != len(headers) or "\0" in given:
            raise ValueError("a header must not hold a line break")
        head = f"{request.method} {path} HTTP/1.1\r\nHost: {self.named}\r\n{usual}{given}"
        return (head.replace(_LENGTH, str(len(body)), 1) + "\r\n").encode() + body


@lru_cache(1024)
def _usual(given: tuple[str, ...], is_bodied: bool, has_body: bool) -> str:
    """The headers that every request bears, but for those that are given."""
    named = {name.lower() for name in given}
    headers = [*_DEFAULTS]
    if has_body:
        headers.append(("content-type", "application/octet-stream"))
    if has_body or is_bodied:
        headers.append(("content-length", _LENGTH))
    return "".join(f"{name}: {value}\r\n" for name, value in headers if name not in named)


async def exchange(way: Way, request: Request, watch: Stopwatch) -> Answer | NoAnswer:
    """Send it at most once. No failure of the network is an exception; raises ValueError as `Way.message` does."""
    message = way.message(request)
    try:
        wire = way.lane.idle(way.host, way.port)
        if wire is None:
            wire = await way.lane.opened(way.host, way.port, _left(request, watch), watch)
        reply = await wire.ask(message, _left(request, watch), bodiless=request.method == "HEAD")
    except Broken as broken:
        return NoAnswer(broken.code, broken.text, watch.reading())
    way.lane.keep(way.host, way.port, wire)
    watch.head = reply.head_at
    return Answer(reply.status, reply.headers, reply.body, reply.truncated, watch.reading(), reply.version)


def _left(request: Request, watch: Stopwatch) -> float:
    """Seconds of its time that are left; loading an identity and connecting take of it."""
    return request.timeout_s - (perf_counter() - watch.start)
