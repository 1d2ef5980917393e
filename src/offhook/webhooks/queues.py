"""Whose turn it is: one lane per endpoint, so that no receiver waits for another, and no tenant for another's many.

Tenants take turns, and within a tenant its endpoints. A request that keeps us waiting for a second no longer counts
against the process's requests but against those that all slow endpoints share, so however many are dead or slow, the
quick ones wait for none of them.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from uuid import UUID

from offhook.db import Tenant
from offhook.webhooks.breaker import CLOSED
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.lane import Lane, Load
from offhook.webhooks.parcel import Parcel

ALWAYS_PER_ENDPOINT = 64
"""Room that every endpoint has, however full the memory is of others' parcels."""
SLOW_S = 1.0
_NEARLY_DRY, _WORTH_A_CLAIM = 32, 250

Later = Callable[[float, Callable[[], None]], object]
"""Calls back after so many seconds."""


class Queues:
    """The lanes of a process, and how many parcels it may hold in memory."""

    def __init__(self, capacity: int, *, in_flight: int, clock: Callable[[], float], later: Later) -> None:
        """`in_flight` bounds the requests under way to quick endpoints, and as many more those to slow ones."""
        self._capacity = capacity
        self._most = in_flight
        self._clock = clock
        self._later = later
        self._lanes: dict[UUID, Lane] = {}
        self._turns: dict[Tenant, deque[Lane]] = {}
        self._tenants: deque[Tenant] = deque()
        self._slow: deque[Lane] = deque()
        self._in_flight = {False: 0, True: 0}  # by whether their lane is slow
        self._busy: set[Lane] = set()
        self._watching = False
        self.held = 0
        """Parcels in memory: waiting, under way, or with a result that is not yet written."""
        self.on_due: Callable[[], None] = lambda: None
        """Told when time alone may have made something ready."""

    def room(self, endpoint: UUID) -> int:
        """How many more parcels may wait for this endpoint: none while its breaker is open, few while it is probed."""
        lane = self._lanes.get(endpoint)
        if lane is None:
            return max(ALWAYS_PER_ENDPOINT, self._capacity - self.held)
        room = max(ALWAYS_PER_ENDPOINT - len(lane), self._capacity - self.held, 0)
        permitted = lane.breaker.permits(self._clock())
        return room if permitted is None else max(min(room, permitted - lane.in_flight - len(lane)), 0)

    def thirsty(self, endpoint: UUID) -> bool:
        """Whether claiming more for this endpoint is worth a look: it runs dry, or many fit."""
        lane = self._lanes.get(endpoint)
        return lane is None or len(lane) <= _NEARLY_DRY or self.room(endpoint) >= _WORTH_A_CLAIM

    def follow(self, tenant: Tenant, endpoint: UUID, settings: EndpointSettings) -> None:
        """Send to this endpoint as it wants it from now on."""
        self._lane(tenant, endpoint).follow(settings, self._clock())

    def forgive(self, endpoint: UUID) -> None:
        """Ask it again now, whatever its breaker says."""
        if (lane := self._lanes.get(endpoint)) is not None:  # an empty one is falsy
            lane.breaker = CLOSED
            self._list(lane)

    def put(self, parcels: Iterable[Parcel], since: float) -> None:
        """Let them wait for their turn."""
        by_lane: dict[UUID, list[Parcel]] = {}
        for parcel in parcels:
            by_lane.setdefault(parcel.endpoint, []).append(parcel)
        for endpoint, theirs in by_lane.items():
            lane = self._lane(theirs[0].tenant, endpoint)
            lane.put(theirs, since)
            self.held += len(theirs)
            self._list(lane)

    def take(self) -> Load | None:
        """Whose turn it is; None when nothing may be sent now. `answered` must follow."""
        now = self._clock()
        while (lane := self._next()) is not None:
            if lane.wait(now) > 0:
                self._list(lane)
                continue
            self._in_flight[lane.slow] += 1
            self._busy.add(lane)
            load = lane.take(now)
            self._list(lane)
            self._watch()
            return load
        return None

    def answered(self, endpoint: UUID, *, quickly: bool) -> None:
        """A request to it is over; `quickly` unless the endpoint kept us waiting or did not answer at all."""
        lane = self._lanes[endpoint]
        self._in_flight[lane.slow] -= lane.in_flight
        lane.answered(self._clock(), quickly=quickly)
        self._in_flight[lane.slow] += lane.in_flight
        if not lane.in_flight:
            self._busy.discard(lane)
        self._list(lane)

    def judged(self, endpoint: UUID, *, delivered: bool, asked_s: float = 0.0) -> list[Parcel]:
        """A try said this of the endpoint; what waited for it, taken out, when that opened its breaker."""
        lane = self._lanes[endpoint]
        opened = lane.judged(delivered=delivered, now=self._clock(), asked_s=asked_s)
        return lane.empty() if opened else []

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

    def _lane(self, tenant: Tenant, endpoint: UUID) -> Lane:
        lane = self._lanes.get(endpoint)
        if lane is None:
            lane = self._lanes[endpoint] = Lane(tenant)
        return lane

    def _next(self) -> Lane | None:
        """The next lane of the next tenant; else the next slow one."""
        if self._tenants and self._in_flight[False] < self._most:
            tenant = self._tenants.popleft()
            turns = self._turns[tenant]
            lane = turns.popleft()
            if turns:
                self._tenants.append(tenant)
        elif self._slow and self._in_flight[True] < self._most:
            lane = self._slow.popleft()
        else:
            return None
        lane.listed = False
        return lane

    def _list(self, lane: Lane) -> None:
        if lane.listed:
            return
        wait = lane.wait(self._clock())
        if wait == 0:
            lane.listed = True
            if lane.slow:
                self._slow.append(lane)
                return
            turns = self._turns.setdefault(lane.tenant, deque())
            if not turns:
                self._tenants.append(lane.tenant)
            turns.append(lane)
        elif wait < math.inf and not lane.timed:
            lane.timed = True
            self._later(wait, lambda: self._due(lane))

    def _due(self, lane: Lane) -> None:
        lane.timed = False
        self._list(lane)
        self.on_due()

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._later(SLOW_S / 4, self._find_slow)

    def _find_slow(self) -> None:
        """Whatever has kept us waiting too long makes room for others."""
        self._watching = False
        now = self._clock()
        for lane in self._busy:
            if not lane.slow and now - lane.heard_at >= SLOW_S:
                lane.slow = True
                self._in_flight[False] -= lane.in_flight
                self._in_flight[True] += lane.in_flight
        if self._busy:
            self._watch()
            self.on_due()
