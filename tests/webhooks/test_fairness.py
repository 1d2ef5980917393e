"""Whatever one receiver does, and however many one customer has, the others are told as if they were alone."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, LiteralString

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.waiting import TENANT, Clock, parcels, queues_of

from offhook import ids
from offhook.db import Tenant
from offhook.webhooks.breaker import FAILURES, PROBES
from offhook.webhooks.claims import Claims
from offhook.webhooks.lane import FIRST_IN_FLIGHT
from offhook.webhooks.queues import Room as Free


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 20))
def test_who_has_one_endpoint_waits_one_turn_at_most_for_who_has_a_thousand(
    in_flight: int, each: int, taken_before: int
) -> None:
    queues, single, other = queues_of(100_000, in_flight), ids.new(), Tenant(ids.new(), "live")
    queues.put([one for _ in range(1000) for one in parcels(ids.new(), each)], 0.0)
    under_way = [load for _ in range(taken_before) if (load := queues.take())]
    queues.put(parcels(single, 1, tenant=other), 0.0)
    if len(under_way) == in_flight:
        queues.answered(under_way[0].parcels[0].endpoint, quickly=True)

    turns = [load.parcels[0].tenant for _ in range(2) if (load := queues.take())]

    assert other in turns or (turns == [TENANT] and in_flight - taken_before <= 1)


def test_tenants_take_turns_however_many_endpoints_each_has() -> None:
    queues, many, few = queues_of(10_000), Tenant(ids.new(), "live"), Tenant(ids.new(), "live")
    queues.put([one for _ in range(1000) for one in parcels(ids.new(), 1, tenant=many)], 0.0)
    queues.put([one for _ in range(3) for one in parcels(ids.new(), 1, tenant=few)], 0.0)

    first = [load.parcels[0].tenant for _ in range(6) if (load := queues.take())]

    assert first == [many, few] * 3


def test_tenants_take_turns_among_the_slow_as_well() -> None:
    queues, many, few = queues_of(10_000), Tenant(ids.new(), "live"), Tenant(ids.new(), "live")
    slow = [(tenant, ids.new()) for tenant, count in [(many, 200), (few, 3)] for _ in range(count)]
    for tenant, endpoint in slow:
        queues.put(parcels(endpoint, 1, tenant=tenant), 0.0)
        assert queues.take()
        queues.answered(endpoint, quickly=False)
    queues.put([one for tenant, endpoint in slow for one in parcels(endpoint, 1, tenant=tenant)], 0.0)

    first = [load.parcels[0].tenant for _ in range(6) if (load := queues.take())]

    assert first == [many, few] * 3


def test_endpoints_that_keep_us_waiting_share_a_budget_of_their_own() -> None:
    clock, quick = Clock(), ids.new()
    queues = queues_of(10_000, in_flight=8, clock=clock)
    queues.put([one for _ in range(50) for one in parcels(ids.new(), 4)], 0.0)
    while queues.take():
        pass
    queues.put(parcels(quick, 100, tenant=Tenant(ids.new(), "live")), 0.0)
    assert queues.take() is None

    clock.forward(1.3)

    taken = [load.parcels[0].endpoint for _ in range(60) if (load := queues.take())]
    assert quick in taken


@pytest.fixture
async def dripping() -> AsyncIterator[str]:
    """A receiver that answers a byte a second, for ever."""
    tasks = set[asyncio.Task[Any] | None]()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1000:
                writer.write(bytes([byte]))
                await asyncio.sleep(1)
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()
    for task in tasks:
        if task:
            task.cancel()
    await asyncio.gather(*(task for task in tasks if task), return_exceptions=True)


async def test_beside_one_that_is_down_one_that_hangs_and_one_that_drips_the_quick_ones_are_told_everything(
    room: Room, receiver: Receiver, neighbour: Receiver, dripping: str
) -> None:
    neighbour.says = [Says(hangs=True)]
    for url in ("http://127.0.0.1:9/nobody", neighbour.url, dripping, receiver.url, receiver.url):
        await room.endpoint(url, timeout_s=30)
    room.webhooks.sender._queues._most = 8

    for _ in range(10):
        await room.happens(20)
    await receiver.has(400)

    assert len(set(receiver.ids("offhook-delivery-id"))) == 400
    assert 0 < neighbour.under_way == len(neighbour.received) <= 16


async def test_what_waits_behind_an_endpoint_that_is_down_keeps_its_tries(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url)
    await room.happens(100)
    await room.webhooks.sender.finish(room.tenant, 5)

    await room.webhooks.sender._claim(None)
    await room.webhooks.sender.finish(room.tenant, 5)

    # Those that were under way when it opened could not be called back.
    assert FAILURES <= len(receiver.received) < FAILURES + FIRST_IN_FLIGHT + FAILURES
    (unburnt, in_hand) = await room.row("select count(*) filter (where tries = 0), count(leased_until) from due")
    assert unburnt == 100 - len(receiver.received)
    assert in_hand == 0


async def test_a_retry_that_is_due_is_the_probe_of_an_endpoint_that_was_down_and_counts(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    sender, queues = room.webhooks.sender, room.webhooks.sender._queues
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url)
    await room.happens(50)
    await sender.finish(room.tenant, 5)
    failed = len(receiver.received)
    await clock.forward(timedelta(minutes=2))

    await sender._claim(None)
    assert len(receiver.received) == failed
    queues._clock = lambda: time.perf_counter() + 5
    await sender._claim(None)
    await sender.finish(room.tenant, 5)

    assert receiver.ids("offhook-try")[failed:] == ["1"] * PROBES
    assert await room.row("select count(*) from due where tries = 2") == (PROBES,)


async def test_claims_take_from_both_ends_of_a_backlog(room: Room, worker: Room, receiver: Receiver) -> None:
    await worker.endpoint(receiver.url)
    for _ in range(10):
        await worker.happens()
    async with room.database.engine() as tx:
        await tx.run(
            "update due set due_at = due_at - interval '1 min' where delivery_id in (select delivery_id from due order by due_at limit 5)"
        )
    in_order = [one[0] for one in await rows(room, "select delivery_id from due order by due_at")]

    claim = await Claims(room.database, room.vault).claim(room.tenant, lambda _: Free(2, 3))

    assert {one.delivery for one in claim.parcels} == {*in_order[:3], *in_order[-2:]}
    assert {one.delivery for one in claim.parcels if one.late} == {*in_order[:3]}
    assert len(claim.short) == 1


async def rows(room: Room, query: LiteralString) -> list[Any]:
    async with room.database.engine() as tx:
        return await tx.rows(query)


async def test_what_has_just_happened_does_not_wait_for_a_backlog(room: Room, worker: Room, receiver: Receiver) -> None:
    receiver.says = [Says(after_s=0.005)]
    await room.endpoint(receiver.url, max_in_flight=1)
    await room.drain()
    await worker.happens(300)
    await make_old(room)
    await room.webhooks.sender._claim(None)

    await room.happens()
    asked = len(receiver.received)
    (newest,) = await room.row("select id from event order by id desc limit 1")
    await receiver.has(asked + 10)

    assert ids.show("evt", newest) in [orjson.loads(one.body)["event_id"] for one in receiver.received[: asked + 10]]


async def make_old(room: Room) -> None:
    async with room.database.engine() as tx:
        await tx.run("update due set due_at = due_at - interval '1 min'")
