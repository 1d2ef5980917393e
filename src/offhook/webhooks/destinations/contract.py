"""What a destination is given and what it answers. A kind of destination is one file that fulfils `Destination`.

    async def send(consignment) -> Told        Delivered: it is durable there, whatever happens now
                                               TryAgain:  it is not, or nobody knows; the same comes again
                                               Refused:   it will never be taken; a dead letter

What the network or the other side does is told, not raised. The same consignment may come twice (an answer was lost, a
process died), with the same ids and, unless a person was erased in between, the same bytes.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from offhook.db import Tenant
from offhook.errors import Fault
from offhook.outbound import Outbound, Reach
from offhook.outbound.identity import Identity
from offhook.settings import Settings
from offhook.webhooks.credentials import ApiKey, Credentials, NoCredentials
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.letter import Letter
from offhook.webhooks.rendering import Rendered
from offhook.webhooks.schedule import Delivered, Disabling, Refused, TryAgain

Timing = tuple[float | None, ...]
"""Milliseconds: name, connection, TLS, first byte, total; None where nobody measured."""

# What follows is never changed once it is made. It is not frozen, since one is made for every request: 10 µs, or 1.5.


class Capability(StrEnum):
    """What a kind of destination can do; what it does not claim is not expected of it."""

    BATCHES = "batches"
    """Takes several events at once as well as one."""
    LARGE_BATCHES = "large_batches"
    """The larger the batch, the better for who reads it."""
    ONCE = "once"
    """Who reads it finds a repeated consignment once, without doing anything for it."""


@dataclass(slots=True)
class Item:
    """One event of a consignment, for destinations that store events singly."""

    event: UUID
    event_id: str
    """As the world sees it: `evt_…`."""
    delivery: UUID
    """Of this event to this endpoint: the same on every try and replay, and another for every other endpoint."""
    type: str
    rendered: Rendered = field(repr=False)

    @property
    def recorded_at(self) -> datetime:
        """When the event was recorded, by the real clock: its id tells, so a tombstone has the same."""
        return datetime.fromtimestamp((self.event.int >> 80) / 1000, UTC)


@dataclass(slots=True)
class Consignment:
    """What is to be sent now, one event or a batch. `n` tries were made before; all of it within `timeout_s`."""

    tenant: Tenant
    endpoint: UUID
    url: str = field(repr=False)
    webhook_id: str
    """`evt_…`, or `bat_…` where it is a batch: the same on every try."""
    letter: Letter
    """Body and headers as an HTTP request has them, signed."""
    items: Sequence[Item]
    timeout_s: float
    reach: Reach
    """Where connections may go."""
    n: int = 0
    credentials: Credentials = field(default=NoCredentials(), repr=False)
    identity: Identity | None = None
    final: Collection[int] = ()
    """The 4xx that this endpoint means for good."""

    @property
    def is_batch(self) -> bool:
        return self.webhook_id.startswith("bat_")

    @property
    def headers_to_keep(self) -> dict[str, str]:
        """The headers of the letter without those that prove us: for whoever stores them beside the body."""
        proving = {"authorization", "cookie"}
        if isinstance(self.credentials, ApiKey):
            proving.add(self.credentials.header.lower())
        return {name: value for name, value in self.letter.headers.items() if name.lower() not in proving}


@dataclass(slots=True)
class Told:
    """What came of a consignment. Code and text are None when it was delivered, and neither is somebody else's wording."""

    outcome: Delivered | TryAgain | Refused
    timing_ms: Timing
    error_code: str | None = None
    error_text: str | None = None
    status_code: int | None = None
    """Of HTTP."""
    response: bytes | None = field(default=None, repr=False)
    """What was answered, packed by `response.pack`; None when there is nothing worth keeping."""
    disables: Disabling | None = None
    busy: bool = False
    """It asks us to slow down."""


def delivered(timing_ms: Timing, status_code: int | None = None) -> Told:
    """It is there."""
    return Told(Delivered(), timing_ms, status_code=status_code)


def try_again(
    code: str,
    text: str,
    timing_ms: Timing,
    *,
    status_code: int | None = None,
    retry_after: timedelta = timedelta(),
    busy: bool = False,
) -> Told:
    """It is not there, or nobody knows. `text` is for the endpoint's owner: what happened, and what they can do."""
    return Told(TryAgain(code, retry_after), timing_ms, code, text, status_code, busy=busy)


def refused(code: str, text: str, timing_ms: Timing, *, status_code: int | None = None) -> Told:
    """It will never be there."""
    return Told(Refused(code), timing_ms, code, text, status_code)


class Clock:
    """Runs from its making on."""

    __slots__ = ("_start",)

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def timing_ms(self) -> Timing:
        """The total alone."""
        return (None, None, None, None, (time.perf_counter() - self._start) * 1000)


class Destination(Protocol):
    """One kind of destination: one of it per process, used for all endpoints of its kinds at once."""

    @property
    def kinds(self) -> frozenset[str]:
        """The URL schemes that are its own, in lower case."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    def check(self, url: str, settings: EndpointSettings, credentials: Credentials) -> Fault | None:
        """Why no endpoint may be made so, and how to mend it; None where it may. Asks nobody and opens nothing."""
        ...

    async def send(self, consignment: Consignment) -> Told:
        """Bring it there, within its `timeout_s`; whoever cancels it leaves nothing behind that harms the next."""
        ...

    async def close(self) -> None:
        """Let go of what it holds. Idempotent."""
        ...


class Parts(NamedTuple):
    """What a destination may be made of."""

    outbound: Outbound
    settings: Settings
