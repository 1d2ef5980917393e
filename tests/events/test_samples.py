"""Samples: an event of any type that one can try a receiver with."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook import ids
from offhook.db import Database, Tenant, Tx
from offhook.errors import NotFound
from offhook.events import Event, Fact, Log, sample_of
from offhook.events.catalogue.calls import CallEnded
from offhook.events.reactions import After, Entails, Within
from offhook.events.types import every_type, schema

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TYPES = st.sampled_from(sorted(every_type()))
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # given one


def ended(*, test: bool) -> Fact:
    return CallEnded(subject_id=ids.new(), test=test, **CallEnded.example)


def noting(heard: list[Event]) -> Callable[[Tx, Sequence[Event]], Awaitable[None]]:
    async def act(tx: Tx, events: Sequence[Event]) -> None:
        heard.extend(events)

    return act


async def never(tx: Tx, facts: Sequence[Any]) -> Sequence[Fact]:
    raise AssertionError("a test has set something off")


@pytest.mark.parametrize("type", every_type())
async def test_a_sample_of_any_type_is_told_in_an_envelope_that_its_schema_describes(
    database: Database, tenant: Tenant, log: Log, type: str
) -> None:
    async with database.transaction(tenant) as tx:
        (event,) = await log.append(tx, [sample_of(type, NOON)])

    told = orjson.loads(event.body)
    jsonschema_rs.validator_for(schema(every_type()[type]), validate_formats=True).validate(told)
    assert (told["test"], told["sequence"], told["occurred_at"]) == (True, 1, "2026-11-23T12:00:00.000Z")


@given(TYPES, INSTANTS)
def test_a_sample_names_nobody_and_holds_no_id_that_cannot_be_read(type: str, at: datetime) -> None:
    sample = sample_of(type, at)

    assert sample.story.person is None
    assert "…" not in repr(sample)


@given(TYPES.filter(lambda type: every_type()[type].subject_type == "call"), INSTANTS)
def test_the_call_of_a_sample_is_its_subject_and_has_come_as_far_as_its_event(type: str, at: datetime) -> None:
    sample = sample_of(type, at)

    call = orjson.loads(sample.story.call or b"")
    told = [call[name] for name in ("started_at", "answered_at", "ended_at") if call[name]]
    assert call["call_id"] == ids.show("call", sample.subject_id)
    assert call["lead_id"] == orjson.loads(sample.story.lead or b"")["lead_id"] == sample.story.correlation
    assert (call["status"] == "ended") == (call["ended_at"] is not None)
    assert sorted(told) == told
    assert datetime.fromisoformat(told[-1]) <= at


@given(TYPES)
def test_every_sample_is_about_somebody_else(type: str) -> None:
    assert len({sample_of(type, NOON).subject_id for _ in range(3)}) == 3


@given(TYPES)
def test_a_sample_may_be_for_one_endpoint_only(type: str) -> None:
    endpoint = ids.new()

    assert sample_of(type, NOON, only_for=endpoint).only_for == endpoint
    assert sample_of(type, NOON).only_for is None


def test_a_misspelt_type_is_told_the_right_one() -> None:
    with pytest.raises(NotFound, match=r"Did you mean call\.ended\?"):
        sample_of("call.endd")


async def test_a_test_is_told_and_sets_nothing_off(database: Database, tenant: Tenant, log: Log) -> None:
    heard: list[Event] = []
    acted: list[Event] = []
    tells, acts = Within(Fact, noting(heard), tells=True), Within(CallEnded, noting(acted))
    log.react([tells, acts, Entails(CallEnded, never), After(CallEnded, "a.job")])

    async with database.transaction(tenant) as tx:
        events = await log.append(tx, [ended(test=True)])

    assert heard == events
    assert acted == []
    async with database.transaction(tenant) as tx:
        assert await tx.rows("select 1 from job") == []


async def test_a_test_beside_what_happened_hides_nothing_of_it(database: Database, tenant: Tenant, log: Log) -> None:
    heard: list[Event] = []
    log.react([Within(CallEnded, noting(heard)), After(CallEnded, "a.job")])

    async with database.transaction(tenant) as tx:
        _, event = await log.append(tx, [ended(test=True), ended(test=False)])

    assert heard == [event]
    async with database.transaction(tenant) as tx:
        assert await tx.rows("select key from job") == [(event.id.hex,)]
