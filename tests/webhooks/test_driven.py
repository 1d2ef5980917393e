"""Whoever steps a sandbox's clock waits for nobody's share of the endpoints, and asks for none that it does not need."""

from typing import Any

import pytest
from tests.webhooks.conftest import Receiver, Room

from offhook.db import Tenant


@pytest.mark.parametrize(("settings", "times"), [({}, 0), ({"max_in_flight": 1}, 1)])
async def test_owning_is_asked_for_only_where_an_endpoint_needs_an_owner(
    room: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], times: int
) -> None:
    asked, take = list[Tenant](), room.webhooks.sender._owners.take

    async def taken(tenant: Tenant) -> None:
        asked.append(tenant)
        await take(tenant)

    monkeypatch.setattr(room.webhooks.sender._owners, "take", taken)
    await room.endpoint(receiver.url, **settings)
    await room.happens()
    await room.webhooks.sender.work(room.tenant)
    await room.webhooks.sender.finish(room.tenant, 5)

    assert asked == [room.tenant] * times
    assert len(receiver.received) == 1
