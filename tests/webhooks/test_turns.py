"""However many tenants and endpoints there are, quick or slow: nobody is overtaken twice while he waits his turn."""

from collections import Counter, defaultdict
from collections.abc import Hashable
from random import Random
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.webhooks.waiting import parcels, queues_of

from offhook import ids
from offhook.db import Tenant
from offhook.webhooks.lane import Load

Endpoints = list[tuple[bool, int]]
"""Of one tenant: whether each is slow, and how much waits for it."""
customers = st.lists(
    st.lists(st.tuples(st.booleans(), st.integers(1, 6)), min_size=1, max_size=4), min_size=1, max_size=5
)


class Overtaken:
    """How often each of those who wait has seen each other go first."""

    def __init__(self) -> None:
        self._by: dict[Hashable, Counter[Hashable]] = defaultdict(Counter)

    def goes(self, first: Hashable, ready: set[Hashable]) -> None:
        assert first in ready
        for other in self._by.keys() - ready | {first}:
            self._by.pop(other, None)  # its waiting is over
        for other in ready - {first}:
            self._by[other][first] += 1
            assert self._by[other][first] <= 1, "overtaken twice"


class Town:
    """A process's queues, in which it is known of every endpoint whether it is slow, and much waits."""

    def __init__(self, tenants: list[Endpoints], most: int) -> None:
        self.queues = queues_of(10_000, in_flight=most)
        self.most = most
        named = [(Tenant(ids.new(), "live"), endpoints) for endpoints in tenants]
        self.of = {ids.new(): (tenant, slow, count) for tenant, some in named for slow, count in some}
        self.waiting: Counter[UUID] = Counter()
        self.under_way: list[UUID] = []
        self.overtaken: dict[Hashable, Overtaken] = defaultdict(Overtaken)
        for endpoint, (_, slow, _) in self.of.items():
            self.comes(endpoint, 1)
            assert self.queues.take()
            self.queues.answered(endpoint, quickly=not slow)
        self.waiting.clear()
        for endpoint, (_, _, count) in self.of.items():
            self.comes(endpoint, count)

    def comes(self, endpoint: UUID, count: int) -> None:
        self.queues.put(parcels(endpoint, count, tenant=self.of[endpoint][0]), 0.0)
        self.waiting[endpoint] += count

    def send(self) -> None:
        while self.take():
            pass

    def take(self) -> Load | None:
        ready = {one for one, count in self.waiting.items() if count and self.queues._lanes[one].wait(0.0) == 0}
        load = self.queues.take()
        if load:
            self.is_fair(load.parcels[0].endpoint, ready)
        else:
            assert not {slow for slow in (False, True) if self.free(slow)} & {self.of[one][1] for one in ready}
        return load

    def is_fair(self, endpoint: UUID, ready: set[UUID]) -> None:
        tenant, slow, _ = self.of[endpoint]
        assert self.free(slow) > 0
        self.waiting[endpoint] -= 1
        self.under_way.append(endpoint)
        alike = {one for one in ready if self.of[one][1] == slow}
        self.overtaken[slow].goes(tenant, {self.of[one][0] for one in alike})
        self.overtaken[slow, tenant].goes(endpoint, {one for one in alike if self.of[one][0] == tenant})

    def free(self, slow: bool) -> int:
        return self.most - sum(self.of[one][1] == slow for one in self.under_way)

    def one_answers(self, dice: Random) -> None:
        if not self.under_way:
            return
        endpoint = self.under_way.pop(dice.randrange(len(self.under_way)))
        self.queues.answered(endpoint, quickly=not self.of[endpoint][1])


@settings(max_examples=100, deadline=None)
@given(customers, st.integers(1, 6), st.randoms(use_true_random=False))
def test_nobody_is_overtaken_twice_no_bound_is_passed_and_everything_is_sent(
    tenants: list[Endpoints], most: int, dice: Random
) -> None:
    town = Town(tenants, most)

    for _ in range(40):
        town.comes(dice.choice([*town.of]), dice.randint(0, 2))
        town.send()
        town.one_answers(dice)
    town.send()
    while town.under_way:
        town.one_answers(dice)
        town.send()

    assert not +town.waiting
    assert town.queues.in_flight == 0
