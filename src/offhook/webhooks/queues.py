"""Whose turn it is: one lane per endpoint, so that no receiver waits for another.

Endpoints take turns. Within one, first tries go before retries, except that every fourth turn is a retry's, so that
neither starves. An endpoint has at most MOST_IN_FLIGHT requests under way; one that is slow or down loses half of that
each time and gains one with each quick answer, so the process's own limit is never filled with waiting for the dead.
"""

from collections import deque
from collections.abc import Iterable
from uuid import UUID

from offhook.webhooks.parcel import Parcel

MOST_IN_FLIGHT = 16
FIRST_IN_FLIGHT = 4
ALWAYS_PER_ENDPOINT = 64
"""Room that every endpoint has, however full the memory is of others' parcels."""
_RETRY_TURN = 4
_NEARLY_DRY, _WORTH_A_CLAIM = 32, 250

Waiting = tuple[Parcel, float]
"""A parcel and when it came, by `time.perf_counter`."""


class Lane:
    """What waits for one endpoint, and how much may be under way to it."""

    __slots__ = ("allowed", "first", "in_flight", "listed", "retries", "turn")

    def __init__(self) -> None:
        self.first: deque[Waiting] = deque()
        self.retries: deque[Waiting] = deque()
        self.in_flight = 0
        self.allowed = FIRST_IN_FLIGHT
        self.turn = 0
        self.listed = False

    def __len__(self) -> int:
        return len(self.first) + len(self.retries)

    @property
    def ready(self) -> bool:
        return self.in_flight < self.allowed and bool(self.first or self.retries)

    def take(self) -> Waiting:
        self.turn += 1
        self.in_flight += 1
        retrys_turn = self.turn % _RETRY_TURN == 0 or not self.first
        return self.retries.popleft() if self.retries and retrys_turn else self.first.popleft()


class Queues:
    """The lanes of a process, and how many parcels it may hold in memory."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lanes: dict[UUID, Lane] = {}
        self._turns: deque[Lane] = deque()
        self.held = 0
        """Parcels in memory: waiting, under way, or with a result that is not yet written."""

    def room(self, endpoint: UUID) -> int:
        """How many more parcels may wait for this endpoint."""
        lane = self._lanes.get(endpoint)
        waiting = len(lane) if lane else 0
        return max(ALWAYS_PER_ENDPOINT - waiting, self._capacity - self.held, 0)

    def thirsty(self, endpoint: UUID) -> bool:
        """Whether claiming more for this endpoint is worth a look: it runs dry, or many fit."""
        lane = self._lanes.get(endpoint)
        return lane is None or len(lane) <= _NEARLY_DRY or self.room(endpoint) >= _WORTH_A_CLAIM

    def put(self, parcels: Iterable[Parcel], since: float) -> None:
        """Let them wait for their turn."""
        for parcel in parcels:
            lane = self._lanes.get(parcel.endpoint)
            if lane is None:
                lane = self._lanes[parcel.endpoint] = Lane()
            (lane.retries if parcel.tries else lane.first).append((parcel, since))
            self.held += 1
            self._list(lane)

    def take(self) -> Waiting | None:
        """Whose turn it is; None when nothing may be sent now. `answered` must follow."""
        while self._turns:
            lane = self._turns.popleft()
            lane.listed = False
            if lane.ready:
                waiting = lane.take()
                self._list(lane)
                return waiting
        return None

    def answered(self, parcel: Parcel, *, quickly: bool) -> None:
        """Its request is over; `quickly` unless the endpoint kept us waiting or did not answer at all."""
        lane = self._lanes[parcel.endpoint]
        lane.in_flight -= 1
        lane.allowed = min(lane.allowed + 1, MOST_IN_FLIGHT) if quickly else max(lane.allowed // 2, 1)
        self._list(lane)

    def recorded(self, count: int) -> None:
        """The results of that many parcels are written: they are no longer in memory."""
        self.held -= count

    def empty(self) -> list[Parcel]:
        """Everything that waits, taken out."""
        parcels = [parcel for lane in self._lanes.values() for parcel, _ in (*lane.first, *lane.retries)]
        for lane in self._lanes.values():
            lane.first.clear()
            lane.retries.clear()
        return parcels

    def _list(self, lane: Lane) -> None:
        if lane.ready and not lane.listed:
            lane.listed = True
            self._turns.append(lane)
