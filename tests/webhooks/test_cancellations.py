"""Cancellations of many: what is open ends, once, and whoever has it in hand tries it no more."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.webhooks.bulk import LONG_AGO, Bulk, dead_of, small_pages
from tests.webhooks.conftest import Receiver, Room, Says, Told
from tests.webhooks.test_replays import INTERRUPTIONS, befall

from offhook import ids
from offhook.errors import Conflict, Invalid
from offhook.jobs.outcome import RetryAt
from offhook.webhooks import replays


@pytest.fixture
def bulk(room: Room) -> Bulk:
    return Bulk(room)


async def held(bulk: Bulk, receiver: Receiver, count: int, **more: Any) -> Told:
    """A paused endpoint for which so much waits."""
    told = await bulk.room.endpoint(receiver.url, **more)
    await bulk.room.do(bulk.room.webhooks.endpoints.pause, told.id)
    await bulk.room.happens(count)
    return told


@given(count=st.integers(0, 7), happens=INTERRUPTIONS)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_interrupts_a_cancellation_each_open_delivery_ends_once(
    bulk: Bulk, receiver: Receiver, count: int, happens: list[str]
) -> None:
    told = await held(bulk, receiver, count)

    with small_pages():
        begun = await bulk.start("cancel", endpoint=told.id, status="open")
        for what in happens:
            await befall(bulk, begun, what)
        with suppress(Conflict):
            await bulk.do("resume", begun)
        ended = await bulk.through(begun)

    assert (ended["status"], ended["total"], ended["discarded"]) == ("done", count, count)
    assert await bulk.room.deliveries(endpoint=told.id, status="held") == []
    reasons = [one["reason"] for one in await bulk.room.deliveries(endpoint=told.id, status="discarded")]
    assert reasons == ["cancelled"] * count
    await bulk.gone(told)


async def test_more_than_are_counted_end_all_the_same(
    bulk: Bulk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "COUNTED", 3)
    told = await held(bulk, receiver, 5)

    ended = await bulk.all("cancel", endpoint=told.id, status="open")

    assert (ended["discarded"], ended["total"]) == (5, None)


async def test_only_what_the_filter_means_is_cancelled(bulk: Bulk, receiver: Receiver, neighbour: Receiver) -> None:
    neighbour.says = [Says(500)]
    retried = await bulk.room.endpoint(neighbour.url)
    waiting = await held(bulk, receiver, 3)
    await bulk.room.drain()

    filters: tuple[dict[str, Any], ...] = (
        {"status": "held", "told_from": LONG_AGO},
        {"status": "retrying", "endpoint": retried.id, "cause": "http_500"},
        {"status": "retrying", "endpoint": retried.id, "cause": "http_503"},
        {"status": "pending", "told_from": LONG_AGO},
        {"status": "open", "told_from": LONG_AGO, "type": "lead.*"},
    )
    counts = [(await bulk.preview("cancel", **wanted))["count"] for wanted in filters]
    ended = await bulk.all("cancel", endpoint=retried.id, status="retrying")

    assert counts == [3, 3, 0, 0, 6]
    assert ended["discarded"] == 3
    assert len(await bulk.room.deliveries(endpoint=waiting.id, status="held")) == 3


async def test_what_is_being_sent_ends_after_its_try_and_is_not_tried_again(
    bulk: Bulk, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500, after_s=0.2), Says(500)]
    told = await bulk.room.endpoint(receiver.url)
    await bulk.room.happens()
    sending = asyncio.create_task(bulk.room.drain())
    await receiver.has(1)

    ended = await bulk.all("cancel", endpoint=told.id, status="open")
    await sending
    await clock.forward(timedelta(days=1))
    await bulk.room.drain()

    assert ended["discarded"] == len(receiver.received) == 1
    (delivery,) = await bulk.room.deliveries(type="lead.%")
    assert (delivery["status"], delivery["reason"], delivery["tries_made"]) == ("discarded", "cancelled", 1)


async def test_a_replay_of_the_cancelled_is_not_ended_by_the_try_that_was_under_way(
    bulk: Bulk, receiver: Receiver
) -> None:
    receiver.says = [Says(200, after_s=0.3), Says(500)]
    told = await bulk.room.endpoint(receiver.url)
    await bulk.room.happens()
    sending = asyncio.create_task(bulk.room.drain())
    await receiver.has(1)

    await bulk.all("cancel", endpoint=told.id, status="open")
    await bulk.room.do(bulk.room.webhooks.endpoints.pause, told.id)
    await bulk.all(endpoint=told.id, status="discarded")
    await sending

    assert [one["status"] for one in await bulk.room.deliveries(type="lead.%")] == ["held"]


async def test_a_row_that_is_being_settled_is_looked_at_once_more(bulk: Bulk, receiver: Receiver) -> None:
    told = await held(bulk, receiver, 3)
    begun = await bulk.start("cancel", endpoint=told.id, status="open")

    async with bulk.room.database.engine() as tx:
        await tx.rows("select from due order by written_at, delivery_id limit 1 for update")
        busy = await bulk.page(begun)
        during = await bulk.now(begun)

    assert isinstance(busy, RetryAt)
    assert during["discarded"] == 2
    assert (await bulk.through(begun))["discarded"] == 3


async def test_what_waits_for_a_cancelled_event_of_its_subject_waits_no_longer(bulk: Bulk, receiver: Receiver) -> None:
    told = await bulk.room.endpoint(receiver.url, ordering="per_subject")
    receiver.says = [Says(500), Says(200)]
    subject = ids.new()
    await bulk.happens_to(subject, 2)
    await bulk.room.drain()

    await bulk.all("cancel", endpoint=told.id, status="retrying")
    await bulk.room.drain()

    found = {one["sequence"]: one["status"] for one in await bulk.room.deliveries(subject=subject)}
    assert found == {1: "discarded", 2: "delivered"}


async def test_dead_letters_are_put_aside_in_bulk_and_keep_their_reason(bulk: Bulk, receiver: Receiver) -> None:
    told = await dead_of(bulk.room, receiver, 5, [Says(500)])

    with small_pages():
        ended = await bulk.all("cancel", endpoint=told.id, status="dead", cause="http_500")

    assert (ended["total"], ended["discarded"]) == (5, 5)
    found = await bulk.room.deliveries(endpoint=told.id, status="discarded")
    assert [one["reason"] for one in found] == ["tries_used_up"] * 5


async def test_an_endpoint_or_a_time_bounds_what_is_cancelled(bulk: Bulk) -> None:
    with pytest.raises(Invalid, match="unbounded_filter"):
        await bulk.start("cancel", status="open")
