"""However many endpoints are in trouble and however many alerts there are, each alert shows and tells what is its own."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from tests.webhooks.conftest import Receiver, Room
from tests.webhooks.on_call import MAIL, OnCall, fails, on_duty

from offhook import ids
from offhook.errors import Conflict
from offhook.http import Page
from offhook.webhooks import alert_store, incident_store
from offhook.webhooks.alerts import MOST
from offhook.webhooks.incident_store import Seen


@pytest.fixture
async def on_call(room: Room) -> AsyncIterator[OnCall]:
    async with on_duty(room) as on_call:
        yield on_call


async def trouble(room: Room, endpoints: list[UUID]) -> None:
    seen = [Seen(endpoint, "failing", 1, "http_500") for endpoint in endpoints]
    async with room.database.transaction(room.tenant) as tx:
        await incident_store.saw(tx, seen, quiet=timedelta(hours=1))


async def test_an_alert_shows_the_trouble_of_its_own_endpoint_among_ever_so_many(
    on_call: OnCall, receiver: Receiver
) -> None:
    last = await on_call.room.endpoint(receiver.url)
    alert = await on_call.alert(MAIL, endpoints=[last.shown["id"]])
    await on_call.alert(MAIL)

    await trouble(on_call.room, [UUID(int=n) for n in range(1, 1_101)] + [last.id])

    listed = await on_call.room.do(on_call.alerts.list, Page(10))
    for shown in (await on_call.shown(alert), listed[0]):
        assert [one["webhook_endpoint_id"] for one in shown["open"]] == [last.shown["id"]]
    assert len(listed[1]["open"]) == 1_000


async def test_a_list_of_alerts_looks_for_trouble_once(on_call: OnCall, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await on_call.alert(MAIL)
    looks: list[Any] = []

    async def open_ones(tx: Any, endpoints: Any = None, **_: Any) -> list[Any]:
        looks.append(endpoints)
        return []

    monkeypatch.setattr(incident_store, "open_ones", open_ones)
    await on_call.room.do(on_call.alerts.list, Page(10))
    assert looks == [None]


async def test_every_alert_is_told_of_news_past_any_page(
    on_call: OnCall, receiver: Receiver, neighbour: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_store, "_PAGE", 2)
    for n in range(5):
        await on_call.alert({"type": "slack", "url": neighbour.url}, name=f"alert {n}")
    await fails(on_call.room, receiver)

    await on_call.run()

    assert ["fails since" in orjson.loads(one.body)["text"] for one in neighbour.received] == [True] * 5


async def test_an_environment_has_a_hundred_alerts_at_most(on_call: OnCall) -> None:
    alerts = [await on_call.alert(MAIL) for _ in range(MOST)]

    with pytest.raises(Conflict, match="delete one") as refused:
        await on_call.alert(MAIL)
    assert refused.value.code == "too_many_alerts"

    await on_call.room.do(on_call.alerts.delete, ids.read("alr", alerts[0]["id"]))
    assert (await on_call.alert(MAIL))["name"] == "On call"
