"""Pausing, enabling and deleting an endpoint touch none of its deliveries: what they are follows from the endpoint."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from tests.db.explaining import Explaining
from tests.webhooks.bulk import Bulk
from tests.webhooks.conftest import Receiver, Room, Says, Told, a_fact

from offhook import ids
from offhook.events import ENGINE
from offhook.jobs.outcome import RetryAt
from offhook.sandbox.reset_store import forget
from offhook.webhooks import claim_store, held_store
from offhook.webhooks.claims import Claims
from offhook.webhooks.queues import Room as Free

MANY = 300


async def paused(room: Room, receiver: Receiver, count: int, **more: Any) -> Told:
    """A paused endpoint for which so much is held."""
    told = await room.endpoint(receiver.url, **more)
    await room.do(room.webhooks.endpoints.pause, told.id)
    await room.happens(count)
    return told


async def open_rows(room: Room) -> tuple[Any, ...]:
    """Where each open row stands and who wrote it last."""
    return await room.row("select array_agg((ctid, xmin)::text order by delivery_id) from due")


async def statuses(room: Room) -> Counter[tuple[str, str | None]]:
    return Counter((one["status"], one["reason"]) for one in await room.deliveries(type="lead.%"))


async def looping(room: Room, until: Callable[[], Awaitable[None]]) -> None:
    """The sender's loop, and nothing else of the process, runs until then."""
    loop = asyncio.create_task(room.webhooks.sender.run())
    await until()
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_pausing_enabling_and_deleting_write_no_delivery(room: Room, receiver: Receiver) -> None:
    told, endpoints = await paused(room, receiver, 20), room.webhooks.endpoints
    before = await open_rows(room)

    for verb, *how in (
        (endpoints.disable,),
        (endpoints.enable, "send"),
        (endpoints.pause,),
        (endpoints.enable, "discard"),
        (endpoints.delete,),
    ):
        await room.do(verb, told.id, *how)

        assert await open_rows(room) == before, verb


async def test_a_test_reaches_a_paused_endpoint_and_nothing_that_is_held_for_it_is_touched(
    room: Room, worker: Room, receiver: Receiver
) -> None:
    told = await paused(room, receiver, MANY)
    before = await open_rows(room)

    await worker.do(worker.webhooks.endpoints.test, told.id)
    seen = await worker.next_due()
    await worker.drain()

    assert seen is not None
    assert [orjson.loads(one.body)["type"] for one in receiver.received] == ["webhook.test"]
    assert await open_rows(room) == before


async def test_a_look_reads_a_row_or_two_and_finds_nothing_however_many_are_held(
    room: Room, receiver: Receiver
) -> None:
    await paused(room, receiver, MANY)
    looks: tuple[Any, ...] = (claim_store.WAITING, claim_store.WAITING_OF_TENANT, room.webhooks.sender.ahead)

    async with room.database.transaction(room.tenant) as tx:
        explaining = Explaining(tx)
        for look in looks:
            await explaining.rows(look, {**tx.keys, "wall": tx.wall})
        waiting = [await claim_store.waiting(tx, tenant) for tenant in (None, room.tenant)]

    read = [node for node in explaining.nodes if node.get("Relation Name") == "due"]
    assert waiting == [[], []]
    assert max((one["Actual Rows"] + one.get("Rows Removed by Filter", 0)) * one["Actual Loops"] for one in read) <= 2


async def test_a_process_that_has_not_heard_of_a_pause_sends_nothing_more(
    room: Room, worker: Room, receiver: Receiver
) -> None:
    told, directory = await room.endpoint(receiver.url), worker.webhooks.directory
    await worker.happens(3)
    stale = await directory.latest(room.tenant)

    await room.do(room.webhooks.endpoints.pause, told.id)
    directory._books[room.tenant] = stale
    await worker.webhooks.sender.work(room.tenant)
    await worker.webhooks.sender.finish(room.tenant, 5)

    assert receiver.received == []
    assert await room.row("select max(fence) from due") == (0,)
    assert await statuses(room) == {("held", None): 3}


async def test_what_was_held_keeps_its_order_from_its_enabling_on(room: Room, receiver: Receiver, clock: Any) -> None:
    receiver.says = [Says(500), Says(200)]
    told = await room.endpoint(receiver.url, ordering="per_subject", retry={"gaps_s": [0, 3600]})
    first = a_fact()
    await room.do(room.log.append, [first])
    await room.drain()
    await room.do(room.webhooks.endpoints.pause, told.id)
    await room.do(room.log.append, [replace(first, id=ids.new())])
    await clock.forward(timedelta(minutes=5))

    await room.do(room.webhooks.endpoints.enable, told.id, "send")
    (enabled_at,) = await room.row("select enabled_at from endpoint")
    await room.drain()
    during, due = len(receiver.received), await room.next_due()
    await clock.forward(timedelta(minutes=2))
    await room.drain()

    assert (during, due) == (1, enabled_at + timedelta(seconds=60))
    assert receiver.received[-1].headers["offhook-out-of-order"] == "1"


async def test_in_a_sandbox_whose_clock_goes_back_no_endpoint_was_enabled_in_the_future(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    told = await paused(room, receiver, 1)
    await clock.forward(timedelta(days=30))
    await room.do(room.webhooks.endpoints.enable, told.id, "discard")

    await room.do(forget)

    assert await room.row("select enabled_at, (select count(*) from given_up) from endpoint") == (None, 0)


async def test_what_is_fresh_goes_out_while_what_was_held_is_discarded_chunk_by_chunk(
    room: Room, worker: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_store, "CHUNK", 8)
    told = await paused(room, receiver, 20)
    await room.do(room.webhooks.endpoints.enable, told.id, "discard")
    async with room.database.engine() as tx:
        (one,) = await held_store.given_up(tx, None)
        more = [await held_store.move(tx, one)]

    await worker.happens(3)
    await looping(worker, lambda: receiver.has(3))
    during = await room.row("select count(*), count(leased_until) from due")
    async with room.database.engine() as tx:
        more += [await held_store.move(tx, one) for _ in range(2)]

    assert (during, more) == ((12, 0), [True, True, False])
    assert await statuses(room) == {("discarded", "discarded_on_enable"): 20, ("delivered", None): 3}
    assert await room.row("select (select count(*) from due), (select count(*) from given_up)") == (0, 0)


async def test_what_falls_due_after_it_was_given_up_is_not_tried_again(
    room: Room, worker: Room, receiver: Receiver
) -> None:
    receiver.says = [Says(500), Says(200)]
    told, endpoints = await room.endpoint(receiver.url), room.webhooks.endpoints
    await room.happens()
    await room.drain()
    await room.do(endpoints.pause, told.id)
    await room.do(endpoints.enable, told.id, "discard")
    async with room.database.engine() as tx:
        await tx.run("update due set due_at = now()")

    await worker.happens()
    await looping(worker, lambda: receiver.has(2))
    await worker.drain()

    assert await statuses(room) == {("discarded", "discarded_on_enable"): 1, ("delivered", None): 1}
    assert receiver.ids("offhook-try") == ["0", "0"]


async def test_where_order_is_wanted_what_is_fresh_waits_until_nothing_given_up_stands_before_it(
    room: Room, receiver: Receiver
) -> None:
    told = await room.endpoint(receiver.url, ordering="per_subject")
    await room.do(room.webhooks.endpoints.pause, told.id)
    fact = a_fact()
    await room.do(room.log.append, [fact])
    await room.do(room.webhooks.endpoints.enable, told.id, "discard")
    await room.do(room.log.append, [replace(fact, id=ids.new())])

    early = await Claims(room.database, room.vault).claim(room.tenant, lambda _: Free(0, 9))
    await room.drain()

    (request,) = receiver.received
    assert early.parcels == []
    assert orjson.loads(request.body)["sequence"] == 2
    assert "offhook-out-of-order" not in request.headers


async def test_what_waits_for_a_failing_endpoint_is_not_held_so_enabling_it_discards_nothing(
    room: Room, receiver: Receiver
) -> None:
    receiver.says = [Says(500)]
    told = await room.endpoint(receiver.url)
    await room.happens(10)
    await room.drain()
    assert await room.status_of(told.id) == "failing"

    await room.do(room.webhooks.endpoints.enable, told.id, "discard")
    await room.drain()

    assert await statuses(room) == {("retrying", None): 10}


async def test_what_was_open_for_a_deleted_endpoint_is_discarded_at_once_and_gone_soon(
    room: Room, receiver: Receiver
) -> None:
    told = await paused(room, receiver, 12)
    await room.do(room.webhooks.endpoints.delete, told.id)
    at_once = await statuses(room)
    listed = await room.deliveries(status="discarded")
    waiting = [await room.deliveries(status=status) for status in ("held", "pending", "retrying")]

    await room.webhooks.discards.clear(None)

    assert at_once == await statuses(room) == {("discarded", "endpoint_deleted"): 12}
    assert listed == await room.deliveries(status="discarded")
    assert waiting == [[], [], []]
    assert await room.row("select (select count(*) from due), (select count(*) from given_up)") == (0, 0)


async def test_what_is_being_sent_is_not_discarded_under_the_hands_of_who_sends_it(
    room: Room, receiver: Receiver
) -> None:
    receiver.says = [Says(after_s=0.3)]
    told = await room.endpoint(receiver.url)
    await room.happens()
    await receiver.has(1)

    await room.do(room.webhooks.endpoints.delete, told.id)
    await room.webhooks.discards.clear(None)
    during = await room.row("select (select count(*) from due), (select count(*) from given_up)")
    await room.drain()
    await room.webhooks.discards.clear(None)

    assert during == (1, 1)
    assert await statuses(room) == {("delivered", None): 1}
    assert await room.row("select (select count(*) from due), (select count(*) from given_up)") == (0, 0)


async def test_who_enables_or_deletes_is_told_how_many_up_to_a_limit(
    room: Room, receiver: Receiver, neighbour: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_store, "COUNTED_TO", 5)
    await room.endpoint(neighbour.url, ["webhook_endpoint.enabled", "webhook_endpoint.deleted"])
    few, many = await paused(room, receiver, 4), await paused(room, receiver, 4)

    await room.do(room.webhooks.endpoints.enable, few.id, "discard")
    await room.happens(4)
    await room.do(room.webhooks.endpoints.delete, many.id)
    await room.drain()

    told = [orjson.loads(one.body)["data"] for one in neighbour.received]
    assert told == [{"held": "discard", "deliveries": 5}, {"deliveries_discarded": 5}]


async def test_what_is_discarded_while_more_than_is_counted_is_being_discarded_is_not_overlooked(
    room: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_store, "COUNTED_TO", 5)
    told, endpoints = await paused(room, receiver, 9), room.webhooks.endpoints
    await room.do(endpoints.enable, told.id, "discard")
    await room.do(endpoints.pause, told.id)
    await room.happens(3)
    counted = await room.do(held_store.count, told.id)

    await room.do(endpoints.enable, told.id, "discard")
    await room.drain()

    assert counted == 3
    assert await statuses(room) == {("discarded", "discarded_on_enable"): 12}


async def test_what_was_given_up_can_be_replayed_at_once(room: Room, receiver: Receiver) -> None:
    told = await paused(room, receiver, 2)
    await room.do(room.webhooks.endpoints.enable, told.id, "discard")
    one, _ = await room.deliveries()

    shown = await room.do(room.webhooks.deliveries.replay, ids.read("dlv", one["id"]), ENGINE)
    await room.drain()

    assert (shown["status"], shown["replay"]) == ("pending", True)
    assert receiver.ids() == [one["event_id"]]
    assert await statuses(room) == {("delivered", None): 1, ("discarded", "discarded_on_enable"): 1}


async def test_a_replay_of_what_was_discarded_waits_until_all_of_it_is(room: Room, receiver: Receiver) -> None:
    bulk, told = Bulk(room), await paused(room, receiver, 3)
    await room.do(room.webhooks.endpoints.enable, told.id, "discard")
    begun = await bulk.start(endpoint=told.id, status="discarded")

    early = await bulk.page(begun)
    await room.webhooks.discards.clear(room.tenant)
    ended = await bulk.through(begun)

    assert isinstance(early, RetryAt)
    assert ended["opened"] == 3
