"""What is sent and what may come back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Lost = Literal[
    "dns", "connect_refused", "connect_timeout", "tls", "timeout", "reset", "refused_address", "refused_url", "protocol"
]

_PATH = re.compile(r"/([!$&'()*+,;=:@/A-Za-z0-9._~-]|%[0-9A-F]{2})*")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `timeout_s` covers all of it, from the look-up of the name to the last byte of the answer."""

    method: str
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float
    path: str | None = field(default=None, repr=False)
    """In place of the URL's, percent-encoded already and sent as it stands, for whoever signs it so."""

    def __post_init__(self) -> None:
        if self.path is not None and not _PATH.fullmatch(self.path):
            raise ValueError("a path begins with a slash and is encoded already, without query and fragment")


class Timing(NamedTuple):
    """Milliseconds. `first_byte` and `total` count from the start; `dns`, `connect` and `tls` are durations.

    A phase that was not needed (a kept connection, a cached name, plain HTTP) took 0.0. `first_byte` is when the
    answer's head was complete; None: it never was.
    """

    dns: float
    connect: float
    tls: float
    first_byte: float | None
    total: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver answered. Header names in lower case, the first of each; body as sent, at most 16 KB of it."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    truncated: bool
    timing_ms: Timing
    version: str = "1.1"
    """Of HTTP, as the receiver wrote it."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing to go by came back. `text` says why in plain words, without address, URL or anybody's exception text."""

    code: Lost
    text: str
    timing_ms: Timing

    @property
    def never_sent(self) -> bool:
        """True when the receiver surely got nothing. False is not the opposite: it may or may not have."""
        return self.code not in ("timeout", "reset", "protocol")
