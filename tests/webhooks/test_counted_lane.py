"""What the lane itself counts for Prometheus."""

from typing import Any

import pytest
from prometheus_client import REGISTRY
from tests.webhooks.conftest import Receiver, Room, Says

from offhook.webhooks import post


def counted(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


async def test_an_endpoint_that_fails_opens_its_breaker_once(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url)
    before = counted("offhook_webhook_breakers_opened_total")

    await room.happens(6)
    await room.webhooks.sender.finish(room.tenant, 5)

    assert counted("offhook_webhook_breakers_opened_total") - before == 1


async def test_nothing_is_in_memory_once_all_is_recorded_and_what_was_claimed_is_counted(
    room: Room, worker: Room, receiver: Receiver, clock: Any
) -> None:
    await room.endpoint(receiver.url)
    before = counted("offhook_webhook_claimed_total")

    await worker.happens(3)
    await worker.drain()

    assert counted("offhook_webhook_claimed_total") - before == 3
    assert (counted("offhook_webhook_in_flight"), counted("offhook_webhook_in_memory")) == (0.0, 0.0)


async def test_the_way_to_the_wire_is_measured_of_requests_only(
    room: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[float] = []
    room.webhooks.sender.on_sent = measured.append
    endpoint = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()
    assert len(measured) == 1

    monkeypatch.setattr(post, "_WRITING_S", 3600.0)  # no lease lasts as long
    await room.happens(3)
    await room.webhooks.sender.finish(room.tenant, 5)

    assert (len(receiver.received), len(measured)) == (1, 1)
    assert await room.status_of(endpoint.id) == "active"
