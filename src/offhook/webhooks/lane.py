"""What waits for one endpoint in this process, and whether any of it may be sent now."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from offhook.webhooks.breaker import CLOSED
from offhook.webhooks.endpoint_settings import Batching, EndpointSettings
from offhook.webhooks.parcel import Parcel

MOST_IN_FLIGHT = 16
FIRST_IN_FLIGHT = 4
_RESTS_TURN = 4
_WORTH_S = 10
"""A lane holds no more than it may send in that time: what waits much longer outlives its lease."""
_A_TOKEN = 1 - 1e-9
"""What rounding leaves of one is one: the rest of it would take less time than a clock can tell."""
_USUAL = EndpointSettings()


class Load(NamedTuple):
    """What goes in one request: a parcel, or the parcels of a batch. `since` is when the oldest came."""

    parcels: Sequence[Parcel]
    since: float


class Pace:
    """A rate that no second exceeds: tokens that come back, of which few can be saved."""

    __slots__ = ("_per_second", "_refilled_at", "_saved", "_tokens")

    def __init__(self, per_second: int, now: float) -> None:
        self._saved = max(per_second // 10, 1)
        self._per_second = per_second - (self._saved - 1)
        self._tokens = float(self._saved)
        self._refilled_at = now

    def wait(self, now: float) -> float:
        """Seconds until one more may go."""
        self._tokens = min(self._tokens + (now - self._refilled_at) * self._per_second, self._saved)
        self._refilled_at = now
        return (1 - self._tokens) / self._per_second if self._tokens < _A_TOKEN else 0.0

    def spend(self) -> None:
        self._tokens -= 1

    def refund(self) -> None:
        """What was spent was not used."""
        self._tokens += 1


class Lane:
    """The queue of one endpoint. What has just happened goes first, except that every fourth turn belongs to the rest: the
    retries, and what has waited for its claim already. While it is probed, the rest goes first, and what has just happened
    alone, so that a retry that fails spares it.

    How many requests may be under way adapts: one more with each quick answer, half of them when it is slow or down.
    The endpoint's own settings bound it further, and so does its breaker. Times are of one clock, in seconds.
    """

    __slots__ = (
        "_first",
        "_most",
        "_pace",
        "_rest",
        "_settings",
        "_turn",
        "allowed",
        "breaker",
        "heard_at",
        "in_flight",
        "lines",
        "listed",
        "slow",
        "timed",
    )

    def __init__(self, lines: "Sequence[deque[Lane]]") -> None:
        """`lines`: where it takes its turns while it is quick, and while it is slow."""
        self.lines = lines
        self._first: deque[Load] = deque()
        self._rest: deque[Load] = deque()
        self._settings = _USUAL
        self._most = MOST_IN_FLIGHT
        self._pace: Pace | None = None
        self._turn = 0
        self.allowed = FIRST_IN_FLIGHT
        self.breaker = CLOSED
        self.in_flight = 0
        self.heard_at = 0.0
        """When it last answered, or was first asked since nothing was under way."""
        self.listed = False
        self.timed = math.inf
        """When somebody looks at it again by himself."""
        self.slow = False
        """Whether it keeps us waiting: such lanes share a budget of their own."""

    def __len__(self) -> int:
        return len(self._first) + len(self._rest)

    @property
    def fresh(self) -> int:
        """How many of those that wait have just happened."""
        return len(self._first)

    @property
    def worth(self) -> float:
        """How many may wait without outliving their leases, as far as its rate tells."""
        rate = self._settings.rate_limit_per_s
        return rate * _WORTH_S if rate else math.inf

    def quiet_in_s(self, now: float) -> float:
        """Seconds until another process may send to it and what bounds it still holds; infinite while we send."""
        if self.in_flight:
            return math.inf
        return max(self.heard_at + 1.0 - now, 0.0) if self._pace else 0.0

    def follow(self, settings: EndpointSettings, now: float) -> bool:
        """Send as the endpoint wants it from now on; whether that is something new."""
        if settings is self._settings:
            return False
        rate = settings.rate_limit_per_s
        if rate != self._settings.rate_limit_per_s:
            self._pace = Pace(rate, now) if rate else None
        self._settings = settings
        self._most = settings.max_in_flight or MOST_IN_FLIGHT
        return True

    def put(self, load: Load) -> None:
        """Let it wait."""
        head = load.parcels[0]
        (self._rest if head.tries or head.late else self._first).append(load)

    def wait(self, now: float) -> float:
        """Seconds until something may be sent; infinite as long as nothing else happens."""
        if not (self._first or self._rest):
            return math.inf
        if self.in_flight >= self.allowed or self.in_flight >= self._most:
            return math.inf
        permitted = self.breaker.permits(now)
        if permitted is not None and self.in_flight >= (permitted if self._rest else 1):
            return math.inf
        paced = self._pace.wait(now) if self._pace else 0.0
        return (
            paced if self._rest or not self._settings.batch else max(paced, self._gathering(now, self._settings.batch))
        )

    def _gathering(self, now: float, batching: Batching) -> float:
        """Seconds that what has just happened still waits for company."""
        if len(self._first) >= batching.max_events:
            return 0.0
        oldest = self._first[0]
        return max(0.0, oldest.since + batching.max_wait_ms / 1000 - now) if oldest.parcels[0].joins else 0.0

    def take(self, now: float) -> Load:
        """The next load; `answered` must follow. To be called when `wait` is over."""
        self._turn += 1
        if not self.in_flight:
            self.heard_at = now
        self.in_flight += 1
        if self._pace:
            self._pace.spend()
        queue = self._rest if self._rest and self._is_rests_turn(now) else self._first
        load = queue.popleft()
        batching = self._settings.batch
        if batching is None or not load.parcels[0].joins:
            return load
        together = [*load.parcels]
        while queue and len(together) < batching.max_events and _fits(queue[0].parcels[0], together[0]):
            together += queue.popleft().parcels
        return Load(together, load.since)

    def _is_rests_turn(self, now: float) -> bool:
        if not self._first or self._turn % _RESTS_TURN == 0 or self.breaker.open_until is not None:
            return True
        return self._settings.batch is not None and self._gathering(now, self._settings.batch) > 0

    def passed(self) -> None:
        """What was taken was not sent after all."""
        self.in_flight -= 1
        if self._pace:
            self._pace.refund()

    def answered(self, now: float, *, quickly: bool) -> None:
        """A request is over; `quickly` unless the endpoint kept us waiting or did not answer at all."""
        self.in_flight -= 1
        self.heard_at = now
        self.slow = not quickly
        if not quickly:
            self.allowed = max(self.allowed // 2, 1)
        elif self.allowed < self._most:
            self.allowed += 1

    def judged(self, *, works: bool, now: float, asked_s: float) -> bool:
        """A try said something about the endpoint; whether that opened its breaker, or found it open and failed too."""
        before = self.breaker
        self.breaker = before.after(works=works, now=now, asked_s=asked_s)
        if before.open_until is not None and self.breaker is CLOSED:
            self.allowed = 1
        return not works and self.breaker.permits(now) == 0

    def empty(self) -> list[Parcel]:
        """Everything that waits, taken out."""
        parcels = [parcel for load in (*self._first, *self._rest) for parcel in load.parcels]
        self._first.clear()
        self._rest.clear()
        return parcels


def loads_of(parcels: Iterable[Parcel], since: float) -> Iterator[Load]:
    """A load for each, but those of one batch are one."""
    batches: dict[UUID, list[Parcel]] = {}
    for parcel in parcels:
        if parcel.batch is None:
            yield Load((parcel,), since)
        else:
            batches.setdefault(parcel.batch, []).append(parcel)
    for members in batches.values():
        # However they were claimed, they are told in the order in which they were bound.
        yield Load(sorted(members, key=lambda parcel: parcel.message.id), since)


def _fits(parcel: Parcel, head: Parcel) -> bool:
    return parcel.joins and parcel.replay == head.replay
