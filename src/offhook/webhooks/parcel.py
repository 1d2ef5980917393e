"""What the sender carries: one event for one endpoint, and what became of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, groupby
from typing import Literal
from uuid import UUID

from offhook.db import Tenant
from offhook.privacy import PersonKey
from offhook.webhooks.rendering import Rendered
from offhook.webhooks.schedule import Delivered, Disabling

_SPENT = frozenset({"tries_used_up", "too_old"})
"""Why a delivery is dead without its receiver's having refused it."""


# What follows is never changed once it is made. What is made for every delivery is not frozen, since that costs 2 us each.


@dataclass(slots=True)
class Message:
    """An event in one rendering. Shared by its parcels. `rendered` is None when its person was erased."""

    id: UUID
    shown_id: str
    type: str
    subject_type: str
    subject_shown_id: str
    sequence: int
    occurred_at: datetime
    person: UUID | None
    key: PersonKey | None = field(repr=False)
    rendered: Rendered | None = field(repr=False)
    word: str | None = None
    """Which rendering it is; None: the envelope as the log keeps it."""

    def sealed(self) -> bytes:
        """A rendering as it is kept: it opens at this event and this word only."""
        assert self.rendered is not None
        packed = self.rendered.pack()
        return self.key.seal(packed, place(self.id, self.word)) if self.key else packed


def place(event: UUID, word: str | None) -> bytes:
    """Where the bytes of an event in a rendering are sealed."""
    return event.bytes if word is None else event.bytes + word.encode()


@dataclass(slots=True)
class Parcel:
    """One delivery in the hands of this process, until `ours_until` of `time.monotonic`: no clock of two machines is the same.

    `tries` were made before this one; `tries_of_round` of them since the first try or the latest replay, which is what
    the schedule counts. `offset` is how far the environment's clock was ahead of the real one.
    """

    tenant: Tenant
    delivery: UUID
    endpoint: UUID
    message: Message
    offset: timedelta
    ours_until: float
    fence: int = 0
    tries: int = 0
    tries_of_round: int = 0
    first_try_at: datetime | None = None
    replay: bool = False
    test: bool = False
    """Somebody wants to see whether it arrives: sent once, whatever state the endpoint is in."""
    ordered: UUID | None = None
    """The subject whose events this endpoint wants in order; None where it wants no order."""
    out_of_order: bool = False
    batch: UUID | None = None
    late: bool = False
    """It has waited for its claim already: what has just happened goes before it."""

    @property
    def joins(self) -> bool:
        """Whether it may be bound into a batch. What went alone once goes alone again, as the same bytes."""
        return self.batch is None and not self.test and not self.tries_of_round


@dataclass(slots=True)
class Try:
    """One request of a delivery. `at` is the environment's time, `written_at` the real one; both when it began."""

    parcel: Parcel
    at: datetime
    written_at: datetime
    status_code: int | None
    error_code: str | None
    error_text: str | None
    timing_ms: tuple[float | None, ...]
    tombstone: bool
    response: bytes | None = field(repr=False)
    """Headers and body in clear (`response.pack`); None when there is nothing worth keeping."""
    request: bytes | None = field(default=None, repr=False)
    """The headers as sent, secrets masked, where they are more than every try has (`request.pack`)."""

    busy: bool = False
    """The receiver asked us to slow down."""

    @property
    def succeeded(self) -> bool:
        return self.error_code is None


@dataclass(frozen=True, slots=True)
class Again:
    """Try once more at `at`, the environment's time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Dead:
    """No further try; it waits among the dead letters."""

    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """It ends without a dead letter to look at: `reason` says why."""

    reason: Literal["endpoint_deleted", "test_failed"]


@dataclass(frozen=True, slots=True)
class Left:
    """Not sent: our lease is over or nearly, its endpoint takes nothing now, or this process ends. Whoever claims it next sends it."""


Outcome = Delivered | Again | Dead | Closed | Left


@dataclass(slots=True)
class Result:
    """What became of a parcel; `tried` is None when nothing was sent. `disables`: why its endpoint is disabled by it."""

    parcel: Parcel
    outcome: Outcome
    tried: Try | None = None
    disables: Disabling | None = None

    @property
    def refused(self) -> bool:
        """The receiver refused this message for good, and wants others: it is not down, and it has not taken it."""
        return isinstance(self.outcome, Dead) and self.outcome.reason not in _SPENT and self.disables is None

    @property
    def works(self) -> bool:
        """Whether what came back is that of a receiver that works."""
        return self.refused or (self.tried is not None and self.tried.succeeded)


def by_request(results: Sequence[Result]) -> list[list[Result]]:
    """Results side by side that came of one request: what went in one is written in one, or a crash would tear it."""
    return [list(some) for _, some in groupby(results, lambda one: one.parcel.batch or one.parcel.delivery)]


def cut(results: Sequence[Result], most: int) -> int:
    """How many of them to write at once: `most`, and what went in one request with the last of these."""
    at = min(most, len(results))
    while at < len(results) and results[at].parcel.batch and results[at].parcel.batch == results[at - 1].parcel.batch:
        at += 1
    return at


def flat(requests: Iterable[Sequence[Result]]) -> list[Result]:
    """The results of these requests, in order."""
    return list(chain.from_iterable(requests))
