"""Who counts as down; and whoever was is asked again by what has failed already, with nothing fresh risked beside it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.webhooks.conftest import Receiver, Room, Says, a_fact

from offhook.webhooks import breaker, sender
from offhook.webhooks.breaker import CLOSED, FAILURES, PROBES
from offhook.webhooks.lane import FIRST_IN_FLIGHT


async def goes_down(room: Room, receiver: Receiver) -> None:
    """The room's endpoint fails until its breaker opens."""
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url)
    await room.happens(FAILURES)
    await room.webhooks.sender.finish(room.tenant, 5)


async def falls_due(room: Room, count: int) -> None:
    """So many retries are due now."""
    async with room.database.engine() as tx:
        await tx.run(
            "update due set due_at = now() where delivery_id in (select delivery_id from due where tries > 0 limit %s)",
            [count],
        )


def half_opens(room: Room) -> None:
    room.webhooks.sender._queues._clock = lambda: time.perf_counter() + 5


@asynccontextmanager
async def running(room: Room) -> AsyncIterator[None]:
    loop = asyncio.create_task(room.webhooks.sender.run())
    yield
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


@pytest.mark.parametrize("retries", [1, PROBES])
async def test_what_happens_as_a_breaker_half_opens_burns_no_try_before_the_retries_that_are_due(
    room: Room, receiver: Receiver, retries: int
) -> None:
    await goes_down(room, receiver)
    await falls_due(room, retries)
    half_opens(room)

    await room.happens()
    await room.webhooks.sender._claim(None)
    await room.webhooks.sender.finish(room.tenant, 5)

    assert receiver.ids("offhook-try")[FAILURES:] == ["1"] * retries
    assert await room.row("select count(*) from due where tries = 0 and leased_until is null") == (1,)


async def test_what_has_just_happened_goes_as_soon_as_a_retry_was_taken(room: Room, receiver: Receiver) -> None:
    await goes_down(room, receiver)
    await falls_due(room, 1)
    half_opens(room)
    receiver.says = [Says(200)]

    await room.happens()
    await room.webhooks.sender._claim(None)
    await room.webhooks.sender.finish(room.tenant, 5)

    assert receiver.ids("offhook-try")[FAILURES:] == ["1", "0"]


async def test_where_no_retry_is_due_what_has_just_happened_is_the_probe_as_soon_as_the_breaker_lets_it(
    room: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_S", 0.05)
    monkeypatch.setattr(sender, "LOOK_S", 3600)
    await goes_down(room, receiver)
    receiver.says = [Says(200)]

    async with running(room):
        await room.happens(2 * PROBES)
        await receiver.has(FAILURES + 2 * PROBES)

    assert receiver.ids("offhook-try")[FAILURES:] == ["0"] * 2 * PROBES


async def test_what_was_born_while_the_breaker_opened_is_not_kept_for_its_half_opening(
    room: Room, receiver: Receiver
) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url)

    async with room.database.transaction(room.tenant) as tx:
        await room.log.append(tx, [a_fact()])
        await room.happens(FAILURES)
        await room.webhooks.sender.finish(room.tenant, 5)
    await room.webhooks.sender.finish(room.tenant, 5)

    assert room.webhooks.sender.held == 0
    assert await room.row("select count(*) from due where tries = 0 and leased_until is null") == (1,)


@pytest.mark.parametrize("says", [Says(422), Says(500, {"webhook-delivery": "abort-message"})])
async def test_a_receiver_that_refuses_single_messages_is_not_down(room: Room, receiver: Receiver, says: Says) -> None:
    receiver.says = [says]
    told = await room.endpoint(receiver.url, retry={"final_statuses": [422]})

    await room.happens(2 * FAILURES)
    await room.webhooks.sender.finish(room.tenant, 5)

    assert len(receiver.received) == 2 * FAILURES
    assert room.webhooks.sender._queues._lanes[told.id].breaker == CLOSED


@pytest.mark.parametrize(("says", "settings"), [(Says(410), {}), (Says(500), {"retry": {"tries": 1}})])
async def test_a_receiver_that_wants_nothing_more_or_fails_to_the_last_try_is_left_alone(
    room: Room, receiver: Receiver, says: Says, settings: dict[str, Any]
) -> None:
    receiver.says = [says]
    told = await room.endpoint(receiver.url, **settings)

    await room.happens(2 * FAILURES)
    await room.webhooks.sender.finish(room.tenant, 5)

    assert room.webhooks.sender._queues._lanes[told.id].breaker != CLOSED


async def test_a_refusal_is_a_probe_that_succeeded(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)] * FAILURES + [Says(422)]
    told = await room.endpoint(receiver.url, retry={"final_statuses": [422]})
    await room.happens(FAILURES)
    await room.webhooks.sender.finish(room.tenant, 5)
    await falls_due(room, PROBES)
    half_opens(room)

    await room.webhooks.sender._claim(None)
    await room.webhooks.sender.finish(room.tenant, 5)

    assert room.webhooks.sender._queues._lanes[told.id].breaker == CLOSED


@pytest.mark.parametrize("status", [429, 503])
async def test_who_asks_us_to_slow_down_gets_half_as_many_at_once_however_quickly_it_says_so(
    room: Room, receiver: Receiver, status: int
) -> None:
    receiver.says = [Says()] * 4 + [Says(status)]
    told = await room.endpoint(receiver.url)
    await room.happens(4)
    await room.webhooks.sender.finish(room.tenant, 5)
    lane = room.webhooks.sender._queues._lanes[told.id]
    assert lane.allowed == FIRST_IN_FLIGHT + 4

    await room.happens()
    await room.webhooks.sender.finish(room.tenant, 5)

    assert lane.allowed == (FIRST_IN_FLIGHT + 4) // 2
