"""Turns: every endpoint gets its own, no endpoint gets them all."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from tests.webhooks.waiting import parcels, queues_of, take_all

from offhook import ids
from offhook.webhooks.lane import FIRST_IN_FLIGHT, MOST_IN_FLIGHT
from offhook.webhooks.queues import ALWAYS_PER_ENDPOINT


def test_endpoints_take_turns() -> None:
    queues, one, other = queues_of(100), ids.new(), ids.new()
    queues.put([*parcels(one, 3), *parcels(other, 3)], 0.0)

    assert [parcel.endpoint for parcel in take_all(queues)] == [one, other] * 3


def test_an_endpoint_that_does_not_answer_holds_few_requests() -> None:
    queues, dead = queues_of(100), ids.new()
    queues.put(parcels(dead, 50), 0.0)

    under_way = take_all(queues)
    assert len(under_way) == FIRST_IN_FLIGHT
    for parcel in under_way:
        queues.answered(parcel.endpoint, quickly=False)

    assert len(take_all(queues)) == 1


def test_an_endpoint_that_answers_quickly_gets_more_up_to_its_bound() -> None:
    queues, quick = queues_of(1000), ids.new()
    queues.put(parcels(quick, 500), 0.0)

    for _ in range(10):
        for parcel in take_all(queues):
            queues.answered(parcel.endpoint, quickly=True)

    assert len(take_all(queues)) == MOST_IN_FLIGHT


def test_first_tries_go_before_retries_and_neither_starves() -> None:
    queues, endpoint = queues_of(1000), ids.new()
    queues.put([*parcels(endpoint, 100, tries=1), *parcels(endpoint, 100)], 0.0)

    order = []
    while load := queues.take():
        order.append(load.parcels[0].tries)
        queues.answered(endpoint, quickly=True)

    assert order[:8] == [0, 0, 0, 1, 0, 0, 0, 1]
    assert len(order) == 200


def test_a_full_memory_leaves_every_endpoint_some_room() -> None:
    queues, hog = queues_of(100), ids.new()
    queues.put(parcels(hog, 100), 0.0)

    assert queues.room(hog) == 0
    assert queues.room(ids.new()) == ALWAYS_PER_ENDPOINT


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 20), st.booleans()), max_size=20))
def test_nothing_is_lost_and_nothing_is_taken_twice(steps: list[tuple[int, int, bool]]) -> None:
    queues, endpoints = queues_of(10_000), [ids.new() for _ in range(5)]
    put: list[UUID] = []
    taken: list[UUID] = []
    for which, count, quickly in steps:
        some = parcels(endpoints[which], count)
        put += [parcel.delivery for parcel in some]
        queues.put(some, 0.0)
        for parcel in take_all(queues):
            taken.append(parcel.delivery)
            queues.answered(parcel.endpoint, quickly=quickly)
    while under_way := take_all(queues):
        for parcel in under_way:
            taken.append(parcel.delivery)
            queues.answered(parcel.endpoint, quickly=True)

    assert sorted(taken) == sorted(put)
