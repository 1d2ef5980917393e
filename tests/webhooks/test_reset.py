"""What a reset of the sandbox leaves of the endpoints' health and of the alerts: nothing that is still to come."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.on_call import MAIL, OnCall, fails, on_duty

from offhook.sandbox.reset_store import forget


@pytest.fixture
async def on_call(room: Room) -> AsyncIterator[OnCall]:
    async with on_duty(room) as on_call:
        yield on_call


async def reset(on_call: OnCall, clock: Any) -> None:
    """A year back."""
    await on_call.room.do(forget)
    await clock.forward(timedelta(days=-365))


async def test_an_endpoint_begins_anew(on_call: OnCall, receiver: Receiver, clock: Any) -> None:
    failing = await fails(on_call.room, receiver)
    before = await on_call.room.do(on_call.room.webhooks.endpoints.find, failing)

    await reset(on_call, clock)
    shown = await on_call.room.do(on_call.room.webhooks.endpoints.find, failing)

    assert (before["status"], shown["status"]) == ("failing", "active")
    assert shown["failing_since"] is shown["status_reason"] is None
    assert await on_call.room.row("select failures_in_row, last_success_at from endpoint") == (0, None)


async def test_an_endpoint_that_somebody_stopped_stays_so(on_call: OnCall, receiver: Receiver, clock: Any) -> None:
    told = await on_call.room.endpoint(receiver.url)
    await on_call.room.do(on_call.room.webhooks.endpoints.disable, told.id)

    await reset(on_call, clock)
    shown = await on_call.room.do(on_call.room.webhooks.endpoints.find, told.id)

    assert (shown["status"], shown["status_reason"]) == ("disabled", "by_request")


async def test_whoever_was_alerted_is_alerted_again(on_call: OnCall, receiver: Receiver, clock: Any) -> None:
    await on_call.alert(MAIL)
    await fails(on_call.room, receiver)
    await on_call.run()

    await reset(on_call, clock)
    receiver.says = [Says(500)]
    await on_call.room.happens(10)
    await on_call.room.drain()
    await on_call.run()

    assert len(on_call.inbox.letters) == 2
