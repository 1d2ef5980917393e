"""What waits in a process: nothing is lost or taken twice, every bound holds, and in the end all of it is sent."""

import math
from collections import deque
from collections.abc import Sequence
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.webhooks.waiting import TENANT, Clock, parcels, queues_of, take_all, take_loads

from offhook import ids
from offhook.db import Tenant
from offhook.webhooks.breaker import FAILURES, FIRST_S, PROBES
from offhook.webhooks.endpoint_settings import Batching, EndpointSettings
from offhook.webhooks.lane import MOST_IN_FLIGHT, Lane, Load, loads_of
from offhook.webhooks.parcel import Parcel
from offhook.webhooks.queues import ALWAYS_PER_ENDPOINT, SLOW_S, Queues, Room

USUAL = EndpointSettings()
BATCHING = EndpointSettings(batch=Batching(max_events=7, max_wait_ms=500))
WAYS = [
    USUAL,
    EndpointSettings(max_in_flight=2),
    EndpointSettings(max_in_flight=40),
    EndpointSettings(rate_limit_per_s=3),
    BATCHING,
    EndpointSettings(batch=Batching(max_events=3), max_in_flight=1, rate_limit_per_s=20),
]
MOST = 10


class AProcess(RuleBasedStateMachine):
    """Everything that can happen to the queues of one process, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queues = queues_of(100, in_flight=MOST, clock=self.clock)
        self.queues.on_due = self.send
        self.endpoints = [(Tenant(ids.new(), "live") if n % 2 else TENANT, ids.new()) for n in range(len(WAYS))]
        self.way = {endpoint: USUAL for _, endpoint in self.endpoints}
        self.bound: dict[UUID, set[UUID]] = {}
        self.waiting: set[UUID] = set()
        self.under_way: list[Load] = []
        self.since: dict[UUID, float] = {}

    @rule(which=st.integers(0, len(WAYS) - 1), count=st.integers(1, 30), tries=st.integers(0, 1), late=st.booleans())
    def come(self, which: int, count: int, tries: int, late: bool) -> None:
        tenant, endpoint = self.endpoints[which]
        self.wait(parcels(endpoint, count, tries, tenant, late=late))

    @rule(which=st.integers(0, len(WAYS) - 1), count=st.integers(1, 9))
    def a_batch_comes(self, which: int, count: int) -> None:
        tenant, endpoint = self.endpoints[which]
        batch = ids.new()
        members = parcels(endpoint, count, 1, tenant, batch=batch)
        self.bound[batch] = {one.delivery for one in members}
        self.wait(members)

    def wait(self, some: list[Parcel]) -> None:
        self.waiting |= {one.delivery for one in some}
        self.since |= {one.delivery: self.clock.now for one in some}
        self.queues.follow(some[0].tenant, some[0].endpoint, self.way[some[0].endpoint])
        self.over(self.queues.put(some, self.clock.now))

    @rule(which=st.integers(0, len(WAYS) - 1), way=st.sampled_from(WAYS))
    def the_owner_wants_it_otherwise(self, which: int, way: EndpointSettings) -> None:
        tenant, endpoint = self.endpoints[which]
        self.way[endpoint] = way
        self.queues.follow(tenant, endpoint, way)
        self.send()

    def send(self) -> None:
        for load in take_loads(self.queues):
            deliveries = {one.delivery for one in load.parcels}
            assert len(deliveries) == len(load.parcels)
            assert deliveries <= self.waiting, "taken twice, or never put"
            self.waiting -= deliveries
            self.under_way.append(load)
            self.is_as_its_owner_wants(load)

    def is_as_its_owner_wants(self, load: Load) -> None:
        head = load.parcels[0]
        way, batch = self.way[head.endpoint], head.batch
        if batch is not None:
            assert {one.delivery for one in load.parcels} == self.bound[batch]
        else:
            assert len(load.parcels) <= (way.batch.max_events if way.batch else 1)
            assert len(load.parcels) == 1 or all(one.joins for one in load.parcels)
        theirs = sum(one.parcels[0].endpoint == head.endpoint for one in self.under_way)
        assert theirs <= (way.max_in_flight or MOST_IN_FLIGHT)
        lane = self.queues._lanes[head.endpoint]
        assert lane.in_flight <= (lane.breaker.permits(self.clock.now) or math.inf)
        assert self.queues._in_flight[lane.slow] <= MOST

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), delivered=st.booleans(), quickly=st.booleans())
    def one_answers(self, data: st.DataObject, delivered: bool, quickly: bool) -> None:
        load = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        endpoint = load.parcels[0].endpoint
        self.queues.answered(endpoint, quickly=quickly and delivered)
        given_back = self.queues.judged(endpoint, works=delivered)
        self.over([*load.parcels, *given_back])

    @precondition(lambda self: self.under_way)
    @rule()
    def one_was_not_sent(self) -> None:
        load = self.under_way.pop()
        self.queues.passed(load.parcels[0].endpoint)
        self.over(load.parcels)

    @rule(which=st.integers(0, len(WAYS) - 1))
    def another_process_takes_over(self, which: int) -> None:
        self.over(self.queues.empty_of(self.endpoints[which][1]))

    @rule(which=st.integers(0, len(WAYS) - 1))
    def it_is_asked_at_once(self, which: int) -> None:
        self.queues.forgive(self.endpoints[which][1])
        self.send()

    def over(self, gone: Sequence[Parcel]) -> None:
        self.waiting -= {one.delivery for one in gone}
        self.queues.recorded(len(gone))
        self.send()

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.1, 70, 4000]))
    def time_goes_on(self, seconds: float) -> None:
        self.clock.forward(seconds)
        self.queues.tidy()

    @invariant()
    def memory_is_counted(self) -> None:
        under_way = sum(len(load.parcels) for load in self.under_way)
        assert self.queues.held == len(self.waiting) + under_way
        counted = self.queues._in_flight
        assert sum(counted) == len(self.under_way)
        assert min(counted) >= 0

    @invariant()
    def who_may_be_sent_to_is_listed_and_who_waits_for_time_is_timed(self) -> None:
        for lane in self.queues._lanes.values():
            wait = lane.wait(self.clock.now)
            assert wait > 0 or lane.listed
            assert wait in (0, math.inf) or lane.timed <= self.clock.now + wait + 1e-6

    @invariant()
    def timers_do_not_pile_up(self) -> None:
        assert self.clock.timers <= 4 * len(WAYS) + 1

    def teardown(self) -> None:
        """Let everybody answer from now on: everything is sent, each within its time."""
        for _ in range(2000):
            if not (self.waiting or self.under_way):
                break
            loads, self.under_way = self.under_way, []
            for load in loads:
                self.queues.answered(load.parcels[0].endpoint, quickly=True)
                self.over([*load.parcels, *self.queues.judged(load.parcels[0].endpoint, works=True)])
            self.clock.forward(1)
        assert not self.waiting
        assert self.queues.held == 0


TestAProcess = AProcess.TestCase
TestAProcess.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def a_lane(way: EndpointSettings = USUAL) -> Lane:
    lane = Lane((deque(), deque()))
    lane.follow(way, 0.0)
    return lane


def put(lane: Lane, some: list[Parcel], since: float = 0.0) -> None:
    for load in loads_of(some, since):
        lane.put(load)


def test_while_it_is_probed_a_retry_that_is_due_is_the_probe_and_what_is_fresh_waits_for_its_answer() -> None:
    clock, endpoint = Clock(), ids.new()
    queues = opened(clock, endpoint)
    clock.forward(1)

    queues.put([*parcels(endpoint, 1), *parcels(endpoint, 2, tries=1)], clock.now)

    assert queues.to_claim(endpoint).probing
    assert [parcel.tries for parcel in take_all(queues)] == [1, 1]
    for _ in range(2):
        queues.answered(endpoint, quickly=True)
        queues.judged(endpoint, works=True)
    assert [parcel.tries for parcel in take_all(queues)] == [0]


def test_an_open_breaker_lets_nothing_wait_here_and_a_half_open_one_only_what_is_claimed_for_it() -> None:
    clock, endpoint = Clock(), ids.new()
    queues = queues_of(1000, clock=clock)
    queues.put(parcels(endpoint, 50), 0.0)
    take_loads(queues)

    given_back = [one for _ in range(FAILURES) for one in queues.judged(endpoint, works=False)]

    assert len(given_back) == 50 - 4
    assert queues.room(endpoint) == 0
    for _ in range(4):
        queues.answered(endpoint, quickly=False)
    clock.forward(1)
    assert queues.room(endpoint) == 0
    assert queues.to_claim(endpoint) == Room(0, PROBES, probing=True)


def test_what_has_just_happened_goes_before_a_backlog_that_still_gets_every_fourth_turn() -> None:
    endpoint, queues = ids.new(), queues_of(1000)
    queues.put(parcels(endpoint, 50, late=True), 0.0)
    queues.put(parcels(endpoint, 6), 0.0)

    order = []
    while load := queues.take():
        order.append(load.parcels[0].late)
        queues.answered(endpoint, quickly=True)

    assert order[:9] == [False, False, False, True, False, False, False, True, True]


def test_claims_leave_half_of_the_memory_to_what_happens_here() -> None:
    one, other = ids.new(), ids.new()
    queues = queues_of(1000)
    queues.put(parcels(one, 500, late=True), 0.0)

    assert queues.to_claim(one).oldest == 0
    assert queues.to_claim(one).newest > 0
    assert queues.to_claim(other).oldest == ALWAYS_PER_ENDPOINT
    assert queues.room(one) == queues.room(other) == 500


def test_an_endpoint_that_keeps_us_waiting_does_not_fill_the_memory() -> None:
    clock, hanging = Clock(), ids.new()
    queues = queues_of(1000, clock=clock)
    queues.put(parcels(hanging, 10), 0.0)
    take_loads(queues)

    clock.forward(SLOW_S + 0.5)

    assert queues.room(hanging) == ALWAYS_PER_ENDPOINT - 6


def test_a_batch_goes_when_it_is_full_or_its_time_is_up() -> None:
    lane = a_lane(BATCHING)
    put(lane, parcels(ids.new(), 6), 0.0)
    assert lane.wait(0.1) == 0.4
    put(lane, parcels(ids.new(), 1), 0.3)

    assert lane.wait(0.3) == 0
    assert len(lane.take(0.3).parcels) == 7


def test_a_retry_does_not_tear_a_batch_that_still_waits_for_company() -> None:
    lane, endpoint = a_lane(BATCHING), ids.new()
    put(lane, parcels(endpoint, 2), 0.0)
    put(lane, parcels(endpoint, 1, tries=1), 0.0)

    assert lane.wait(0.0) == 0
    assert [one.tries for one in lane.take(0.0).parcels] == [1]
    assert lane.wait(0.0) == 0.5


def test_a_test_and_what_went_alone_before_go_alone_and_at_once() -> None:
    lane, endpoint = a_lane(BATCHING), ids.new()
    put(lane, parcels(endpoint, 1, test=True), 0.0)
    put(lane, parcels(endpoint, 2, tries=1), 0.0)

    assert [len(lane.take(0.0).parcels) for _ in range(3)] == [1, 1, 1]


def test_replays_are_batched_among_themselves_and_not_with_what_is_new() -> None:
    lane, endpoint = a_lane(BATCHING), ids.new()
    put(lane, parcels(endpoint, 2) + parcels(endpoint, 3, replay=True), 0.0)

    assert [len(lane.take(1.0).parcels) for _ in range(2)] == [2, 3]


def test_lanes_that_nobody_has_used_for_an_hour_are_forgotten() -> None:
    clock, busy, idle = Clock(), ids.new(), ids.new()
    queues = queues_of(100, clock=clock)
    queues.put([*parcels(busy, 1), *parcels(idle, 1)], 0.0)
    take_all(queues)
    queues.answered(idle, quickly=True)

    clock.forward(3700)
    queues.tidy()

    assert set(queues._lanes) == {busy}


def test_a_lane_is_looked_at_as_soon_as_a_probe_has_closed_its_breaker() -> None:
    clock, endpoint = Clock(), ids.new()
    queues = opened(clock, endpoint)
    clock.forward(1)
    queues.put(parcels(endpoint, PROBES + 2, tries=1), 0.0)
    assert len(take_all(queues)) == PROBES
    queues.answered(endpoint, quickly=True)

    for _ in range(PROBES):
        queues.judged(endpoint, works=True)

    assert len(take_all(queues)) == 0


def test_who_has_recovered_is_asked_by_one_at_a_time_first_then_by_twice_as_many_with_each_round_of_answers() -> None:
    clock, endpoint, rounds = Clock(), ids.new(), list[int]()
    queues = opened(clock, endpoint)
    clock.forward(1)
    queues.put(parcels(endpoint, PROBES, tries=1), clock.now)
    answer(queues, take_loads(queues))
    queues.put(parcels(endpoint, 100), clock.now)

    for _ in range(6):
        under_way = take_loads(queues)
        rounds.append(len(under_way))
        answer(queues, under_way)

    assert rounds == [1, 2, 4, 8, MOST_IN_FLIGHT, MOST_IN_FLIGHT]


def answer(queues: Queues, loads: Sequence[Load]) -> None:
    """All of them quickly, and well."""
    for load in loads:
        queues.answered(load.parcels[0].endpoint, quickly=True)
        queues.judged(load.parcels[0].endpoint, works=True)


def opened(clock: Clock, endpoint: UUID) -> Queues:
    """Queues in which this endpoint's breaker has just opened."""
    queues = queues_of(1000, clock=clock)
    queues.put(parcels(endpoint, FAILURES), clock.now)
    while queues.take():
        queues.answered(endpoint, quickly=True)
        queues.judged(endpoint, works=False)
    return queues


def test_who_claims_is_told_at_the_instant_that_a_breaker_half_opens() -> None:
    clock, told = Clock(), list[float]()
    queues = opened(clock, ids.new())
    queues.on_half_open = lambda: told.append(clock.now)

    clock.forward(5)

    assert told == [FIRST_S]


def test_what_comes_for_an_endpoint_that_is_down_by_now_is_given_back() -> None:
    clock, endpoint = Clock(), ids.new()
    queues = opened(clock, endpoint)

    assert len(queues.put(parcels(endpoint, 3), clock.now)) == 3
    clock.forward(1)

    assert queues.put(parcels(endpoint, 1, tries=1), clock.now) == []
    assert len(take_all(queues)) == 1


def test_nobody_thirsts_for_an_endpoint_that_is_down() -> None:
    clock, endpoint = Clock(), ids.new()
    queues = opened(clock, endpoint)

    assert not queues.thirsty(endpoint)
    clock.forward(1)
    assert queues.thirsty(endpoint)
