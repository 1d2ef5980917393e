"""One request on its way: written, sent on a connection of its lane, answered or lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

from yarl import URL

from offhook.outbound.answer import Answer, NoAnswer, Request
from offhook.outbound.lanes import Lane
from offhook.outbound.stopwatch import Stopwatch
from offhook.outbound.wire import Broken

_BODIED = frozenset({"POST", "PUT", "PATCH"})
_DEFAULTS = {"user-agent": "Offhook", "accept": "*/*", "accept-encoding": "identity"}


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
        path = self.url.raw_path_qs if request.path is None else request.path
        lines = [f"{request.method} {path} HTTP/1.1", f"Host: {self.named}"]
        lines += [f"{name}: {value}" for name, value in _completed(request).items()]
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
            raise ValueError("a header must not hold a line break")
        return head.encode() + b"\r\n\r\n" + request.body


def _completed(request: Request) -> Mapping[str, str]:
    """The headers, with those that every request bears."""
    named = {name.lower() for name in request.headers}
    headers = {name: value for name, value in _DEFAULTS.items() if name not in named}
    headers.update(request.headers)
    if request.body and "content-type" not in named:
        headers["content-type"] = "application/octet-stream"
    if (request.body or request.method in _BODIED) and "content-length" not in named:
        headers["content-length"] = str(len(request.body))
    return headers


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
