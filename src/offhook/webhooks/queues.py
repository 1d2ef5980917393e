"""Whose turn it is: one lane per endpoint, so that no receiver waits for another, and no tenant for another's many.

Tenants take turns, and within a tenant its endpoints. A request that keeps us waiting for a second no longer counts
against the process's requests but against those that all slow endpoints share, so however many are dead or slow, the
quick ones wait for none of them.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple
from uuid import UUID

from offhook.db import Tenant
from offhook.webhooks import counts
from offhook.webhooks.breaker import CLOSED
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.lane import Lane, Load, loads_of
from offhook.webhooks.parcel import Parcel
from offhook.webhooks.turns import Turns

ALWAYS_PER_ENDPOINT = 64
"""Room that every endpoint has, however full the memory is of others' parcels."""
SLOW_S = 1.0
_NEARLY_DRY, _WORTH_A_CLAIM = 32, 250
_TIDY_S, _FORGOTTEN_S = 60.0, 3600.0

_NEWEST = 32
"""Room for what has just happened elsewhere, however much of an endpoint's backlog is in memory."""

Later = Callable[[float, Callable[[], None]], object]
"""Calls back after so many seconds."""


class Room(NamedTuple):
    """How many due deliveries of an endpoint may be claimed: of the newest, and of the oldest. `probing`: retries first."""

    newest: int
    oldest: int
    probing: bool = False


class Queues:
    """The lanes of a process, and how many parcels it may hold in memory."""

    def __init__(self, capacity: int, *, in_flight: int, clock: Callable[[], float], later: Later) -> None:
        """`in_flight` bounds the requests under way to quick endpoints, and as many more those to slow ones."""
        self._capacity = capacity
        self._most = in_flight
        self._clock = clock
        self._later = later
        self._lanes: dict[UUID, Lane] = {}
        # Of the quick lanes and of the slow ones: a lane's `slow` is the index.
        self._turns = (Turns[Lane](), Turns[Lane]())
        self._in_flight = [0, 0]
        self._busy: set[Lane] = set()
        self._watching = False
        self._tidied_at = clock()
        self.held = 0
        """Parcels in memory: waiting, under way, or with a result that is not yet written."""
        self.on_due: Callable[[], None] = lambda: None
        """Told when time alone may have made something ready."""
        self.on_half_open: Callable[[], None] = lambda: None
        """Told when an endpoint that was down may be asked again: what is due for it is worth a claim."""

    def room(self, endpoint: UUID) -> int:
        """How many more parcels that have just happened may wait for this endpoint.

        None until its breaker is closed: whatever probes it is claimed, the retries that are due first.
        """
        lane = self._lanes.get(endpoint)
        if lane is None:
            return max(ALWAYS_PER_ENDPOINT, self._capacity - self.held)
        return self._room(lane, self._capacity) if lane.breaker.open_until is None else 0

    def to_claim(self, endpoint: UUID) -> Room:
        """How many of its due deliveries may be claimed. Half of the memory is kept for what happens here."""
        lane = self._lanes.get(endpoint)
        if lane is None:
            return Room(_NEWEST, max(ALWAYS_PER_ENDPOINT, self._capacity // 2 - self.held))
        permitted = lane.breaker.permits(self._clock())
        if permitted is not None:
            return Room(0, _probes(lane, permitted), probing=True)
        oldest = self._room(lane, self._capacity // 2)
        return Room(max(int(min(_NEWEST - lane.fresh, lane.worth - len(lane))), 0), oldest)

    def _room(self, lane: Lane, capacity: int) -> int:
        spare = 0 if lane.slow else capacity - self.held
        return max(int(min(max(ALWAYS_PER_ENDPOINT - len(lane), spare), lane.worth - len(lane))), 0)

    def thirsty(self, endpoint: UUID) -> bool:
        """Whether claiming more for this endpoint is worth a look: it runs dry, or many fit, or a probe is wanted."""
        lane = self._lanes.get(endpoint)
        if lane is None:
            return True
        permitted = lane.breaker.permits(self._clock())
        if permitted is not None:
            return _probes(lane, permitted) > 0
        room = self._room(lane, self._capacity // 2)
        return room >= _WORTH_A_CLAIM or (room > 0 and len(lane) <= _NEARLY_DRY)

    def follow(self, tenant: Tenant, endpoint: UUID, settings: EndpointSettings) -> None:
        """Send to this endpoint as it wants it from now on."""
        lane = self._lane(tenant, endpoint)
        if lane.follow(settings, now := self._clock()):
            self._list(lane, now)

    def forgive(self, endpoint: UUID) -> None:
        """Ask it again now, whatever its breaker says."""
        if (lane := self._lanes.get(endpoint)) is not None:  # an empty one is falsy
            lane.breaker = CLOSED
            self._list(lane, self._clock())

    def put(self, parcels: Iterable[Parcel], since: float) -> list[Parcel]:
        """Let them wait for their turn; those whose endpoint has turned out to be down meanwhile come back.

        Those too are held until they are `recorded`.
        """
        now = self._clock()
        unwanted: list[Parcel] = []
        lanes: dict[Lane, None] = {}  # a set in the order in which they came
        for load in loads_of(parcels, since):
            head = load.parcels[0]
            lane = self._lane(head.tenant, head.endpoint)
            self.held += len(load.parcels)
            if lane.breaker.permits(now) == 0:
                unwanted += load.parcels  # if they waited here, they would go before the retry that is due
            else:
                lane.put(load)
                lanes[lane] = None
        for lane in lanes:
            self._list(lane, now)
        return unwanted

    def take(self) -> Load | None:
        """Whose turn it is; None when nothing may be sent now. `answered` must follow."""
        while (lane := self._next()) is not None:
            now = self._clock()
            if lane.wait(now) > 0:
                self._list(lane, now)
                continue
            self._in_flight[lane.slow] += 1
            self._busy.add(lane)
            load = lane.take(now)
            self._list(lane, now)
            if not self._watching:
                self._watch()
            return load
        return None

    def answered(self, endpoint: UUID, *, quickly: bool) -> None:
        """A request to it is over; `quickly` unless the endpoint kept us waiting or did not answer at all."""
        lane, now = self._lanes[endpoint], self._clock()
        self._in_flight[lane.slow] -= lane.in_flight
        lane.answered(now, quickly=quickly)
        self._in_flight[lane.slow] += lane.in_flight
        self._list(lane, now)

    def passed(self, endpoint: UUID) -> None:
        """What was taken for it was not sent after all, which says nothing about it."""
        lane = self._lanes[endpoint]
        self._in_flight[lane.slow] -= 1
        lane.passed()
        self._list(lane, self._clock())

    def judged(self, endpoint: UUID, *, works: bool, asked_s: float = 0.0) -> list[Parcel]:
        """A try said this of the endpoint; what waited for it, taken out, when that opened its breaker."""
        lane = self._lanes[endpoint]
        before = lane.breaker
        if works and before is CLOSED:
            return []
        now = self._clock()
        if lane.judged(works=works, now=now, asked_s=asked_s):
            if before.permits(now) != 0:
                counts.breakers_opened.inc()
                self._tell_when_half_open(lane)
            return lane.empty()
        if lane.breaker is not before:
            self._list(lane, now)  # more may go now than when it answered
        return []

    def _tell_when_half_open(self, lane: Lane) -> None:
        if (wait := lane.breaker.closed_for_s(self._clock())) > 0:  # so again where the timer comes a little early
            self._later(wait, lambda: self._tell_when_half_open(lane))
        else:
            self.on_half_open()

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return sum(self._in_flight)

    def recorded(self, count: int) -> None:
        """The results of that many parcels are written: they are no longer in memory."""
        self.held -= count

    def empty(self) -> list[Parcel]:
        """Everything that waits, taken out."""
        return [parcel for lane in self._lanes.values() for parcel in lane.empty()]

    def empty_of(self, endpoint: UUID) -> list[Parcel]:
        """Everything that waits for this endpoint, taken out."""
        lane = self._lanes.get(endpoint)
        return lane.empty() if lane is not None else []

    def quiet_in_s(self, endpoint: UUID) -> float:
        """Seconds until another process may send to it and what bounds it still holds; infinite while we send."""
        lane = self._lanes.get(endpoint)
        return 0.0 if lane is None else lane.quiet_in_s(self._clock())

    def tidy(self) -> None:
        """Forget what nobody has used for an hour, once a minute at most."""
        now = self._clock()
        if now - self._tidied_at < _TIDY_S:
            return
        self._tidied_at = now
        unused = [endpoint for endpoint, lane in self._lanes.items() if _is_unused(lane, now)]
        for endpoint in unused:
            del self._lanes[endpoint]

    def _lane(self, tenant: Tenant, endpoint: UUID) -> Lane:
        lane = self._lanes.get(endpoint)
        if lane is None:
            lane = self._lanes[endpoint] = Lane([turns.line_of(tenant) for turns in self._turns])
        return lane

    def _next(self) -> Lane | None:
        """The next lane of the next tenant, a quick one where there is one."""
        while True:
            for slow, turns in enumerate(self._turns):
                if turns.waiting and self._in_flight[slow] < self._most:
                    break
            else:
                return None
            lane = turns.next()
            lane.listed = False
            if lane.slow == slow:
                return lane
            self._list(lane, self._clock())  # it has changed since, and must not go past the bound of the others

    def _list(self, lane: Lane, now: float) -> None:
        if lane.listed:
            return
        wait = lane.wait(now)
        if wait == 0:
            lane.listed = True
            self._turns[lane.slow].add(lane, lane.lines[lane.slow])
        elif now + wait < lane.timed:
            at = lane.timed = now + wait
            self._later(wait, lambda: self._due(lane, at))

    def _due(self, lane: Lane, at: float) -> None:
        if lane.timed != at:
            return  # an earlier look has taken its place
        lane.timed = math.inf
        self._list(lane, self._clock())
        self.on_due()

    def _watch(self) -> None:
        self._watching = True
        self._later(SLOW_S / 4, self._find_slow)

    def _find_slow(self) -> None:
        """Whatever has kept us waiting too long makes room for others."""
        self._watching = False
        now = self._clock()
        self._busy = {lane for lane in self._busy if lane.in_flight}
        for lane in self._busy:
            if not lane.slow and now - lane.heard_at >= SLOW_S:
                lane.slow = True
                self._in_flight[False] -= lane.in_flight
                self._in_flight[True] += lane.in_flight
        if self._busy:
            self._watch()
            self.on_due()


def _probes(lane: Lane, permitted: int) -> int:
    return max(permitted - lane.in_flight - len(lane), 0)


def _is_unused(lane: Lane, now: float) -> bool:
    is_idle = not (lane.in_flight or lane.listed or len(lane)) and lane.timed == math.inf
    return is_idle and now - lane.heard_at >= _FORGOTTEN_S
