"""A rate limit is a promise about every second, and it is not a pretext to be slow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.webhooks.waiting import TENANT, Clock, parcels, queues_of, take_loads

from offhook import ids
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.lane import Pace

ROUNDING = 1e-6


def sent_at(rate: int, idle: list[float], count: int) -> list[float]:
    """When each went, where the sender goes as soon as it may, but for these pauses in between."""
    pace, now, instants = Pace(rate, 0.0), 0.0, []
    for n in range(count):
        now += idle[n] if n < len(idle) else 0.0
        while (wait := pace.wait(now)) > 0:
            now += wait
        pace.spend()
        instants.append(now)
    return instants


@given(st.integers(1, 300), st.lists(st.floats(0, 2), max_size=60))
def test_no_second_whenever_it_begins_has_more_than_the_rate(rate: int, idle: list[float]) -> None:
    instants = sent_at(rate, idle, 4 * rate)

    # One more than the rate always takes a second or longer.
    for first, last in zip(instants, instants[rate:], strict=False):
        assert last - first >= 1 - ROUNDING


@pytest.mark.parametrize("rate", [1, 2, 3, 7, 10, 19, 20, 21, 50, 99, 1000, 10_000])
def test_in_the_long_run_it_is_nine_tenths_of_the_rate_at_least(rate: int) -> None:
    instants = sent_at(rate, [], 10 * rate)

    assert len(instants) / (instants[-1] - instants[0]) >= 0.9 * rate


def test_what_was_taken_and_not_sent_does_not_count() -> None:
    pace = Pace(1, 0.0)
    pace.spend()
    assert pace.wait(0.0) == 1

    pace.refund()

    assert pace.wait(0.0) == 0


@given(st.integers(1, 40), st.lists(st.integers(1, 30), min_size=1, max_size=10))
def test_a_lane_keeps_its_rate_however_much_waits(rate: int, bursts: list[int]) -> None:
    clock, endpoint, sent = Clock(), ids.new(), list[float]()
    queues = queues_of(10_000, clock=clock)
    queues.follow(TENANT, endpoint, EndpointSettings(rate_limit_per_s=rate))

    def send() -> None:
        for _ in take_loads(queues):
            sent.append(clock.now)
            queues.answered(endpoint, quickly=True)
            send()

    queues.on_due = send
    for burst in bursts:
        queues.put(parcels(endpoint, burst), clock.now)
        send()
        clock.forward(0.3)
    clock.forward(sum(bursts) / rate + 3)

    assert len(sent) == sum(bursts)
    for first, last in zip(sent, sent[rate:], strict=False):
        assert last - first >= 1 - ROUNDING


def test_parcels_whose_lease_is_over_cost_the_others_nothing() -> None:
    clock, endpoint = Clock(), ids.new()
    queues = queues_of(1000, clock=clock)
    queues.follow(TENANT, endpoint, EndpointSettings(rate_limit_per_s=1))
    queues.put(parcels(endpoint, 50), clock.now)

    for _ in range(49):
        assert queues.take()
        queues.passed(endpoint)

    assert queues.take()
    queues.answered(endpoint, quickly=True)
    queues.put(parcels(endpoint, 1), clock.now)
    assert queues.take() is None


def test_a_lane_takes_no_more_than_its_rate_sends_within_the_lease() -> None:
    endpoint, queues = ids.new(), queues_of(2000)
    queues.follow(TENANT, endpoint, EndpointSettings(rate_limit_per_s=2))

    assert queues.room(endpoint) == 20
    queues.put(parcels(endpoint, 20), 0.0)

    assert queues.room(endpoint) == 0
    assert sum(queues.to_claim(endpoint)) == 0
