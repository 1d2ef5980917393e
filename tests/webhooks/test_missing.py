"""Replays of what an endpoint never got: each event of the log becomes one delivery, however often that is asked for."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.webhooks.bulk import LONG_AGO, Bulk, small_pages
from tests.webhooks.conftest import Receiver, Room, Told, a_fact
from tests.webhooks.test_replays import INTERRUPTIONS, befall

from offhook import ids
from offhook.db import Tenant
from offhook.errors import Conflict, Invalid
from offhook.events import Story
from offhook.events.catalogue.leads import LeadCadencePaused
from offhook.jobs.outcome import RetryAt
from offhook.webhooks.delivery_store import Wanted, page
from offhook.webhooks.replay_filter import Filter
from offhook.webhooks.replays import Asked


@pytest.fixture
def bulk(room: Room) -> Bulk:
    return Bulk(room)


async def late(bulk: Bulk, receiver: Receiver, happened: int = 3, **more: Any) -> Told:
    """An endpoint that came when so much had happened already."""
    await bulk.room.happens(happened)
    return await bulk.room.endpoint(receiver.url, **more)


async def missing(bulk: Bulk, told: Told, **wanted: Any) -> dict[str, Any]:
    return await bulk.all(missing=True, endpoint=told.id, **{"told_from": LONG_AGO, **wanted})


async def test_an_endpoint_gets_what_happened_before_it_existed(bulk: Bulk, receiver: Receiver) -> None:
    told = await late(bulk, receiver)

    ended = await missing(bulk, told)
    await bulk.room.drain()

    assert (ended["total"], ended["opened"]) == (3, 3)
    assert receiver.ids("offhook-replay") == ["1"] * 3
    assert receiver.ids("offhook-try") == ["0"] * 3
    assert {one["status"] for one in await bulk.room.deliveries()} == {"delivered"}
    async with bulk.room.database.transaction(bulk.room.tenant) as tx:
        rows = await tx.rows("select id from event where type like 'lead.%%'", {})
    assert sorted(receiver.ids()) == sorted(ids.show("evt", row[0]) for row in rows)


async def test_asking_a_second_time_makes_nothing_twice(bulk: Bulk, receiver: Receiver) -> None:
    told = await late(bulk, receiver)
    await missing(bulk, told)
    await bulk.room.drain()

    again = await missing(bulk, told)
    await bulk.room.drain()

    assert (again["total"], again["opened"]) == (0, 0)
    assert len(receiver.received) == 3


@given(count=st.integers(0, 7), got=st.integers(0, 3), happens=INTERRUPTIONS)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_interrupts_it_each_missing_event_is_told_exactly_once(
    bulk: Bulk, receiver: Receiver, count: int, got: int, happens: list[str]
) -> None:
    since = await bulk.instant()
    told = await late(bulk, receiver, count)
    await bulk.room.happens(got)
    await bulk.room.drain()

    begun = await bulk.start(missing=True, endpoint=told.id, told_from=since)
    with small_pages():
        for what in happens:
            await befall(bulk, begun, what)
        with suppress(Conflict):
            await bulk.do("resume", begun)
        ended = await bulk.through(begun)
    await bulk.room.drain()

    assert (ended["total"], ended["opened"]) == (count, count)
    assert len(receiver.received) == len(set(receiver.ids())) == count + got
    await bulk.gone(told)
    receiver.received.clear()


async def test_two_at_the_same_time_make_nothing_twice(bulk: Bulk, receiver: Receiver) -> None:
    told = await late(bulk, receiver, 6)

    both = await asyncio.gather(missing(bulk, told), missing(bulk, told))
    await bulk.room.drain()

    assert sum(one["opened"] for one in both) == 6
    assert len(receiver.received) == len(set(receiver.ids())) == 6


async def test_only_what_the_endpoint_listens_to_and_lets_through_is_told(bulk: Bulk, receiver: Receiver) -> None:
    wanted = LeadCadencePaused(subject_id=ids.new(), reason="dnc")
    async with bulk.room.database.transaction(bulk.room.tenant) as tx:
        await bulk.room.log.append(tx, [a_fact(), wanted])
    told = await late(bulk, receiver, 1, events=["lead.*"], filter="event.data.reason == 'dnc'")
    other = await bulk.room.endpoint(receiver.url, ["webhook_endpoint.*"])

    assert (await missing(bulk, told))["opened"] == 1
    about_others = await missing(bulk, other)
    await bulk.room.drain()

    assert about_others["opened"] == 1  # that the first was made, never that it was made itself
    assert ids.show("evt", wanted.id) in receiver.ids()


async def test_a_test_of_another_endpoint_was_never_missed(bulk: Bulk, receiver: Receiver, neighbour: Receiver) -> None:
    there = await bulk.room.endpoint(neighbour.url)
    for type in ("webhook.test", "lead.accepted"):
        await bulk.room.do(bulk.room.webhooks.endpoints.test, there.id, type)
    told = await bulk.room.endpoint(receiver.url, ["webhook.*", "lead.*"])

    assert (await missing(bulk, told))["opened"] == 0


async def test_what_is_for_one_endpoint_alone_was_missed_by_no_other(
    bulk: Bulk, receiver: Receiver, neighbour: Receiver
) -> None:
    there = await bulk.room.endpoint(neighbour.url, ["call.*"])
    alone = LeadCadencePaused(subject_id=ids.new(), reason="x", only_for=there.id)
    async with bulk.room.database.transaction(bulk.room.tenant) as tx:
        await bulk.room.log.append(tx, [alone])
        await tx.run("delete from due")
        await tx.run("delete from delivery")
    told = await bulk.room.endpoint(receiver.url, ["lead.*"])

    assert (await missing(bulk, told))["opened"] == 0
    assert (await missing(bulk, there))["opened"] == 1  # whatever it listens to


async def test_it_is_told_as_the_endpoint_is_set_now_and_opened_by_the_persons_key(
    bulk: Bulk, receiver: Receiver
) -> None:
    person = await bulk.room.person()
    hidden = {"lead.phone": "+12125550101"}
    story = Story(person=person, lead=b'{"phone":"+1212***0101"}', hidden=hidden)
    fact = LeadCadencePaused(subject_id=ids.new(), story=story, reason="x")
    async with bulk.room.database.transaction(bulk.room.tenant) as tx:
        await bulk.room.log.append(tx, [fact])
    masks = {"lead.phone": "full"}
    told = await bulk.room.endpoint(receiver.url, masks=masks, format="cloudevents_structured")

    await missing(bulk, told)
    await bulk.room.drain()

    (request,) = receiver.received
    assert request.headers["content-type"].startswith("application/cloudevents+json")
    assert b"+12125550101" in request.body
    (kept,) = await bulk.room.row("select body from rendering")
    assert b"+1212" not in bytes(kept)


async def test_of_an_erased_person_nothing_is_told_and_the_event_is_counted(bulk: Bulk, receiver: Receiver) -> None:
    person = await bulk.room.person()
    await bulk.room.happens(2, person=person)
    told = await late(bulk, receiver, 1)
    async with bulk.room.database.transaction(bulk.room.tenant) as tx:
        await bulk.room.vault.shred(tx, person, reason="request", kept=())

    ended = await missing(bulk, told)
    await bulk.room.drain()

    assert (ended["opened"], ended["passed_over"]) == (1, {"erased": 2})
    assert len(receiver.received) == 1


async def test_what_a_paused_endpoint_missed_is_held_for_it(bulk: Bulk, receiver: Receiver) -> None:
    told = await late(bulk, receiver)
    await bulk.room.do(bulk.room.webhooks.endpoints.pause, told.id)

    await missing(bulk, told)
    await bulk.room.drain()
    held = await bulk.room.deliveries(status="held")
    await bulk.room.do(bulk.room.webhooks.endpoints.enable, told.id, "send")
    await bulk.room.drain()

    assert len(held) == len(receiver.received) == 3


async def test_an_event_whose_transaction_is_still_open_is_waited_for(bulk: Bulk, receiver: Receiver) -> None:
    async with bulk.room.database.transaction(bulk.room.tenant) as tx:
        await bulk.room.log.append(tx, [a_fact()])
        await tx.flush()
        told = await bulk.room.endpoint(receiver.url)
        begun = await bulk.start(missing=True, endpoint=told.id, told_from=LONG_AGO)
        waiting = await bulk.page(begun)

    assert isinstance(waiting, RetryAt)
    assert (await bulk.through(begun))["opened"] == 1


async def test_a_deleted_endpoint_ends_its_replay_as_failed(bulk: Bulk, receiver: Receiver) -> None:
    told = await late(bulk, receiver)
    begun = await bulk.start(missing=True, endpoint=told.id, told_from=LONG_AGO)
    await bulk.gone(told)

    ended = await bulk.through(begun)

    assert (ended["status"], ended["error"], ended["opened"]) == ("failed", "endpoint_gone", 0)


async def test_an_erasure_waits_for_what_is_still_to_be_told_of_the_missing(bulk: Bulk, receiver: Receiver) -> None:
    subject = ids.new()
    async with bulk.room.database.transaction(bulk.room.tenant) as tx:
        await bulk.room.log.append(tx, [LeadCadencePaused(subject_id=subject, reason="x")])
    told = await bulk.room.endpoint(receiver.url)

    await missing(bulk, told)

    assert await bulk.room.do(bulk.room.webhooks.deliveries.any_open, [subject])


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        ({"told_from": LONG_AGO}, "filter.endpoint"),
        ({"endpoint": ids.new()}, "filter.from"),
        ({"endpoint": ids.new(), "told_from": LONG_AGO, "cause": "http_503"}, "filter.cause"),
    ],
)
async def test_what_is_missing_is_missing_at_one_endpoint_since_some_time(
    bulk: Bulk, wanted: dict[str, Any], param: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await bulk.start(missing=True, **wanted)

    assert refused.value.param == param


async def test_live_events_are_bounded_by_when_they_were_recorded(bulk: Bulk, live_tenant: Tenant) -> None:
    await bulk.room.happens(2, tenant=live_tenant)
    told = await bulk.room.endpoint("https://example.com/hook", tenant=live_tenant)
    hour = timedelta(hours=1)

    counts = [
        await counted_live(bulk, live_tenant, told.id, begin, begin + hour)
        for begin in (datetime.now(UTC) - hour / 2, datetime.now(UTC) - 2 * hour)
    ]

    assert counts == [2, 0]
    async with bulk.room.database.transaction(live_tenant) as tx:
        assert await page(tx, Wanted(), None, 10) == []


async def counted_live(bulk: Bulk, tenant: Tenant, endpoint: UUID, begin: datetime, end: datetime) -> int:
    wanted = Filter(endpoint=endpoint, told_from=begin, told_to=end)
    async with bulk.room.database.transaction(tenant) as tx:
        shown = await bulk.room.webhooks.replays.preview(tx, Asked(verb="replay", filter=wanted, missing=True))
    return int(shown["count"])
