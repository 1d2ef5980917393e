"""An alert tells somebody who hears it, or says why it could not."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.conftest import Client
from tests.webhooks.conftest import Receiver, Room, Says, Told
from tests.webhooks.on_call import OnCall, fails, on_duty
from tests.webhooks.owner import PATH, api_of, told

from offhook.db import Wakeups
from offhook.jobs.outcome import RetryAt
from offhook.webhooks import store


@pytest.fixture
async def on_call(room: Room) -> AsyncIterator[OnCall]:
    async with on_duty(room) as on_call:
        yield on_call


@pytest.fixture
async def api(room: Room, wakeups: Wakeups) -> Client:
    return await api_of(room, wakeups)


def to(endpoint: Told) -> dict[str, Any]:
    return {"type": "webhook_endpoint", "webhook_endpoint_id": endpoint.shown["id"]}


async def test_an_endpoint_that_alerts_tell_is_not_deleted_and_the_answer_names_them(
    on_call: OnCall, api: Client, receiver: Receiver
) -> None:
    endpoint = await on_call.room.endpoint(receiver.url)
    alerts = [await on_call.alert(to(endpoint)) for _ in range(2)]
    path = f"{PATH}/{endpoint.shown['id']}"

    refused = await api.delete(path)

    assert (refused.status, refused.json["code"]) == (409, "in_use")
    assert refused.json["references"] == [alert["id"] for alert in alerts]
    for alert in alerts:
        await api.delete(f"/v1/alerts/{alert['id']}")
    assert (await api.delete(path)).status == 204


@pytest.mark.parametrize("verb", ["pause", "disable"])
async def test_an_alert_whose_endpoint_does_not_hear_says_so_and_is_told_when_it_does(
    on_call: OnCall, receiver: Receiver, neighbour: Receiver, clock: Any, verb: str
) -> None:
    endpoint = await on_call.room.endpoint(neighbour.url, ["campaign.*"])
    alert = await on_call.alert(to(endpoint))
    await fails(on_call.room, receiver)
    await on_call.room.do(getattr(on_call.room.webhooks.endpoints, verb), endpoint.id)

    later = await on_call.run()

    assert isinstance(later, RetryAt)
    shown = await on_call.shown(alert)
    assert (shown["last_told_at"], f"{verb}d" in shown["last_error"]) == (None, True)
    await on_call.room.do(on_call.room.webhooks.endpoints.enable, endpoint.id, "send")
    await clock.to(later.when)
    await on_call.run()
    await on_call.room.drain()
    assert [event["type"] for event in told(neighbour)] == ["alert.raised"]


async def test_an_alert_whose_endpoint_is_gone_says_so(on_call: OnCall, receiver: Receiver) -> None:
    receiver.says = [Says(200)]
    endpoint = await on_call.room.endpoint(receiver.url)
    alert = await on_call.alert(to(endpoint))
    async with on_call.room.database.transaction(on_call.room.tenant) as tx:
        await store.delete(tx, endpoint.id)
    await fails(on_call.room, receiver)

    await on_call.run()

    assert "not there any more" in (await on_call.shown(alert))["last_error"]


async def test_an_alert_that_could_only_tell_an_endpoint_of_itself_is_refused_by_whatever_name(
    on_call: OnCall, api: Client, receiver: Receiver, neighbour: Receiver
) -> None:
    endpoint = await on_call.room.endpoint(receiver.url, external_id="crm")
    other = await on_call.room.endpoint(neighbour.url)
    itself = [endpoint.shown["id"], "ext:crm"]
    fine = (await api.post("/v1/alerts", {"name": "a", "to": to(endpoint), "endpoints": [other.shown["id"]]})).json
    about_it = (await api.post("/v1/alerts", {"name": "a", "to": to(other), "endpoints": itself})).json

    for refused in (
        await api.post("/v1/alerts", {"name": "a", "to": to(endpoint), "endpoints": ["ext:crm"]}),
        await api.patch(f"/v1/alerts/{fine['id']}", {"endpoints": itself}),
        await api.patch(f"/v1/alerts/{about_it['id']}", {"to": to(endpoint)}),
    ):
        assert (refused.status, refused.json["param"], refused.json["code"]) == (422, "to", "alerts_itself")
    widened = await api.patch(f"/v1/alerts/{fine['id']}", {"endpoints": [*itself, other.shown["id"]]})
    assert widened.status == 200
