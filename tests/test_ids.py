import pickle
from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook import ids

PREFIXES = st.sampled_from(get_args(ids.Prefix))


@given(PREFIXES, st.uuids())
def test_an_id_reads_back_as_what_was_shown(prefix: ids.Prefix, value: UUID) -> None:
    shown = ids.show(prefix, value)

    assert ids.read(prefix, shown) == value
    assert shown.startswith(f"{prefix}_")


@given(PREFIXES, PREFIXES, st.uuids())
def test_an_id_of_one_kind_is_not_taken_for_another(prefix: ids.Prefix, other: ids.Prefix, value: UUID) -> None:
    shown = ids.show(prefix, value)

    if prefix != other:
        with pytest.raises(ids.NotAnId):
            ids.read(other, shown)


@given(st.one_of(st.text(), st.from_regex(r"lead_[0-9a-zA-Z]{26}", fullmatch=True)))
def test_a_text_is_an_id_only_if_it_is_exactly_what_would_be_shown(text: str) -> None:
    try:
        found = ids.read("lead", text)
    except ids.NotAnId:
        return

    assert ids.show("lead", found) == text


@given(st.uuids(), st.uuids())
def test_ids_sort_as_the_world_sees_them_as_they_do_in_the_database(one: UUID, other: UUID) -> None:
    assert (ids.show("evt", one) < ids.show("evt", other)) == (one.bytes < other.bytes)


def test_a_later_id_sorts_behind_an_earlier_one() -> None:
    made = [ids.new() for _ in range(1000)]

    assert made == sorted(made)
    assert len(set(made)) == 1000


def test_an_id_made_here_is_a_uuid_like_any_other() -> None:
    for made in (ids.new(), ids.delivery_of(ids.new(), ids.new())):
        read = UUID(str(made))

        assert (made, hash(made), made.is_safe, made.version) == (read, hash(read), read.is_safe, 7)
        assert pickle.loads(pickle.dumps(made)) == made


@given(st.uuids(), st.uuids())
def test_an_attempt_can_become_one_call_only_and_shares_it_with_no_other(attempt: UUID, other: UUID) -> None:
    call = ids.call_of_attempt(attempt)

    assert ids.call_of_attempt(attempt) == call
    assert (ids.call_of_attempt(other) == call) == (other == attempt)


@given(st.uuids(), st.uuids(), st.text(), st.text())
def test_an_inbound_call_is_known_by_its_account_and_the_platforms_id(
    account: UUID, other: UUID, platform_id: str, other_id: str
) -> None:
    call = ids.call_of_platform(account, platform_id)

    same = (account, platform_id) == (other, other_id)
    assert (ids.call_of_platform(other, other_id) == call) == same


@given(st.integers(2, 20), st.integers(2, 20))
def test_a_delivery_is_known_by_its_event_and_its_endpoint(events: int, endpoints: int) -> None:
    pairs = [(event, endpoint) for event in news(events) for endpoint in news(endpoints)]

    deliveries = {ids.delivery_of(event, endpoint) for event, endpoint in pairs}

    assert len(deliveries) == len(pairs)
    assert deliveries == {ids.delivery_of(event, endpoint) for event, endpoint in pairs}


def test_deliveries_sort_by_the_time_of_their_events() -> None:
    endpoint, event = ids.new(), ids.new()

    delivery = ids.delivery_of(event, endpoint)

    assert (delivery.version, delivery.variant) == (7, event.variant)
    assert delivery.int >> 80 == event.int >> 80


def news(count: int) -> list[UUID]:
    return [ids.new() for _ in range(count)]
