"""One process alone sends to an endpoint that bounds or orders what it gets, and which one that is changes quietly."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.webhooks.conftest import Receiver, Room, Says, build
from tests.webhooks.test_ordering import change

from offhook.db import Wakeups
from offhook.events import Fact, Log
from offhook.events.reactions import Within
from offhook.outbound import Outbound
from offhook.privacy import Vault
from offhook.sandbox.clock import VirtualClock
from offhook.webhooks.owners import Owners

Processes = Callable[[int], list[Room]]


@pytest.fixture
def processes(room: Room, vault: Vault, wakeups: Wakeups, outbound: Outbound) -> Processes:
    """So many processes over one database, each of which sends."""

    def make(count: int) -> list[Room]:
        made = [room]
        for _ in range(count - 1):
            log = Log(vault)
            webhooks = build(room.database, vault, log, wakeups, outbound)
            log.react([Within(Fact, webhooks.fan_out)])
            made.append(Room(webhooks, room.database, vault, log, room.tenant))
        return made

    return make


def owners_of(room: Room) -> Owners:
    return room.webhooks.sender._owners


async def look(room: Room) -> None:
    owners_of(room).look_soon()
    await room.webhooks.sender._share()


async def look_all(*rooms: Room) -> None:
    """Until everybody has seen what the others let go."""
    for _ in range(3):
        for one in rooms:
            await look(one)


def owned(room: Room) -> set[UUID]:
    return {one for one in owners_of(room).owned if owners_of(room).owns(one)}


async def bounded(room: Room, receiver: Receiver, count: int, **settings: Any) -> set[UUID]:
    return {(await room.endpoint(receiver.url, **(settings or {"max_in_flight": 1}))).id for _ in range(count)}


@asynccontextmanager
async def running(*rooms: Room) -> AsyncIterator[None]:
    loops = [asyncio.create_task(one.webhooks.sender.run()) for one in rooms]
    yield
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_endpoints_are_shared_evenly_and_each_has_one_owner(
    processes: Processes, receiver: Receiver, count: int
) -> None:
    rooms = processes(count)
    endpoints = await bounded(rooms[0], receiver, 7)

    await look_all(*rooms)

    shares = [owned(one) for one in rooms]
    assert set().union(*shares) == endpoints
    assert sum(map(len, shares)) == 7
    assert max(map(len, shares)) <= -(-7 // count)


async def test_a_process_that_comes_gets_its_share(processes: Processes, receiver: Receiver) -> None:
    first, second, third = processes(3)
    await bounded(first, receiver, 6)
    await look_all(first)
    assert len(owned(first)) == 6

    await look_all(first, second)
    assert [len(owned(one)) for one in (first, second)] == [3, 3]
    await look_all(first, second, third)

    assert [len(owned(one)) for one in (first, second, third)] == [2, 2, 2]
    assert len(owned(first) | owned(second) | owned(third)) == 6


async def test_a_process_that_stops_gives_everything_away_at_once(processes: Processes, receiver: Receiver) -> None:
    first, second = processes(2)
    endpoints = await bounded(first, receiver, 4)
    await look_all(first, second)

    await first.webhooks.sender._finish()
    await look(second)

    assert owned(first) == set()
    assert owned(second) == endpoints


async def test_what_a_dead_process_owned_is_taken_when_its_lease_is_over_and_not_before(
    processes: Processes, receiver: Receiver
) -> None:
    dead, living = processes(2)
    endpoints = await bounded(dead, receiver, 3)
    await look(dead)

    await look_all(living)
    assert owned(living) == set()
    async with dead.database.engine() as tx:
        await tx.run("update endpoint_owner set leased_until = now() - interval '1 s'")
        await tx.run("update sender set seen_until = now() - interval '1 s' where id = %s", [owners_of(dead)._id])
    await look_all(living)

    assert owned(living) == endpoints


async def test_an_endpoint_is_let_go_only_when_nothing_is_under_way_to_it(
    processes: Processes, receiver: Receiver
) -> None:
    first, second = processes(2)
    await bounded(first, receiver, 2)
    await look(first)
    receiver.says = [Says(after_s=0.4)]
    await first.happens()
    await first.webhooks.sender.work(first.tenant)
    await receiver.has(2)

    await look_all(first, second)
    assert len(owned(first)) == 1
    assert owned(second) == set()
    await first.drain()
    await look_all(first, second)

    assert len(owned(second)) == 1


async def test_what_is_born_elsewhere_is_sent_by_the_owner_soon(processes: Processes, receiver: Receiver) -> None:
    owner, other = processes(2)
    await bounded(owner, receiver, 1)
    await look(owner)

    async with running(owner):
        await other.happens(3)
        await receiver.has(3)

    assert other.webhooks.sender._queues.held == 0
    assert len(set(receiver.ids())) == len(receiver.received) == 3


async def test_a_bound_that_is_set_later_needs_an_owner_from_then_on(processes: Processes, receiver: Receiver) -> None:
    first, second = processes(2)
    endpoint = await first.endpoint(receiver.url)
    await look_all(first, second)
    assert not owned(first) | owned(second)

    await change(first, endpoint.id, rate_limit_per_s=50)
    await look_all(first, second)
    assert len(owned(first)) + len(owned(second)) == 1
    await change(first, endpoint.id, rate_limit_per_s=None)
    await look_all(first, second)

    assert not owned(first) | owned(second)
    assert await first.row("select count(*) from endpoint_owner") == (0,)


async def test_what_waits_in_memory_goes_back_when_another_becomes_the_owner(
    processes: Processes, receiver: Receiver
) -> None:
    before, after = processes(2)
    endpoint = await before.endpoint(receiver.url)
    before.webhooks.sender._queues._most = 0
    await before.happens(3)
    await change(before, endpoint.id, max_in_flight=1)
    await look(after)

    before.webhooks.sender._queues._most = 16
    before.webhooks.sender._start_carriers()
    await before.webhooks.sender.finish(before.tenant, 5)
    assert receiver.received == []
    await after.drain()

    assert len(receiver.received) == 3


async def test_whoever_steps_a_clock_owns_what_no_living_process_owns(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500), Says(200)]
    await bounded(room, receiver, 1, rate_limit_per_s=100, ordering="per_subject", batch={"max_wait_ms": 10})
    await room.happens()
    (start,) = await room.row("select now()")

    reached = await VirtualClock(room.database, [room.webhooks.sender]).advance(room.tenant, start + timedelta(hours=1))

    assert reached.settled
    assert len(receiver.received) == 2


async def test_no_more_are_under_way_than_wanted_over_all_processes(processes: Processes, receiver: Receiver) -> None:
    rooms = processes(3)
    receiver.says = [Says(after_s=0.01)]
    await bounded(rooms[0], receiver, 1, max_in_flight=2)

    async with running(*rooms):
        for _ in range(4):
            await asyncio.gather(*(one.happens(4) for one in rooms))
        await receiver.has(48)

    assert receiver.most_under_way == 2
    assert len(set(receiver.ids())) == 48


async def test_no_second_has_more_than_the_rate_while_the_endpoint_changes_hands(
    processes: Processes, receiver: Receiver, outbound: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = processes(2)
    await bounded(first, receiver, 1, rate_limit_per_s=20)
    sent_at, post = list[float](), outbound.post

    async def timed(*args: Any, **more: Any) -> Any:
        sent_at.append(time.perf_counter())
        return await post(*args, **more)

    monkeypatch.setattr(outbound, "post", timed)
    async with running(first):
        await second.happens(40)
        await receiver.has(15)
    async with running(second):
        await receiver.has(40)

    for before, after in zip(sent_at, sent_at[20:], strict=False):
        assert after - before >= 0.99
