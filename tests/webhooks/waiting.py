"""Parcels that wait, in queues whose time goes on when the test says so."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from offhook import ids
from offhook.db import Tenant
from offhook.webhooks.lane import Load
from offhook.webhooks.parcel import Message, Parcel
from offhook.webhooks.queues import Queues

NOW = datetime(2026, 11, 21, tzinfo=UTC)
TENANT = Tenant(ids.new(), "live")
MESSAGE = Message(ids.new(), "evt_", "lead.accepted", "lead", "lead_", 1, NOW, None, None, None)


class Clock:
    """Seconds that go on when the test says so, and whatever was to be called by then."""

    def __init__(self) -> None:
        self.now = 0.0
        self._later: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        self._later.append((self.now + seconds, act))

    @property
    def timers(self) -> int:
        return len(self._later)

    def forward(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [one for one in self._later if one[0] <= until]:
            first = min(due, key=lambda one: one[0])
            self._later.remove(first)
            self.now = max(first[0], self.now)
            first[1]()
        self.now = until


def queues_of(capacity: int, in_flight: int = 1000, clock: Clock | None = None) -> Queues:
    clock = clock or Clock()
    return Queues(capacity, in_flight=in_flight, clock=clock, later=clock.later)


def parcels(endpoint: UUID, count: int, tries: int = 0, tenant: Tenant = TENANT, **more: Any) -> list[Parcel]:
    return [
        Parcel(tenant, ids.new(), endpoint, MESSAGE, timedelta(), 0.0, tries=tries, tries_of_round=tries, **more)
        for _ in range(count)
    ]


def take_loads(queues: Queues) -> list[Load]:
    taken: list[Load] = []
    while load := queues.take():
        taken.append(load)
    return taken


def take_all(queues: Queues) -> list[Parcel]:
    return [parcel for load in take_loads(queues) for parcel in load.parcels]
