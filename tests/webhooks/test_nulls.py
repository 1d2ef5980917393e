"""What is null in a change goes back to its default, and is refused where there is none."""

from typing import Any

import pytest
from tests.conftest import Client
from tests.webhooks.conftest import Receiver, Room
from tests.webhooks.owner import PATH, api_of

from offhook.db import Wakeups

ALERTS = "/v1/alerts"
ALERT: dict[str, Any] = {
    "name": "On call",
    "to": {"type": "slack", "url": "https://example.com/a"},
    "external_id": "on-call",
    "about": ["disabled"],
    "every_minutes": 5,
    "metadata": {"team": "a"},
}


@pytest.fixture
async def api(room: Room, wakeups: Wakeups) -> Client:
    return await api_of(room, wakeups)


async def test_null_takes_each_field_of_an_alert_to_its_default(api: Client, room: Room, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url)
    full = (await api.post(ALERTS, {**ALERT, "endpoints": [endpoint.shown["id"]]})).json
    bare = (await api.post(ALERTS, {name: ALERT[name] for name in ("name", "to")})).json

    for name in ("external_id", "about", "endpoints", "every_minutes", "metadata"):
        changed = await api.patch(f"{ALERTS}/{full['id']}", {name: None})
        assert (changed.status, changed.json[name]) == (200, bare[name]), name


async def test_null_takes_each_plain_field_of_an_endpoint_to_its_default(api: Client, receiver: Receiver) -> None:
    told = {"url": receiver.url, "events": ["*"]}
    full = (await api.post(PATH, {**told, "description": "a", "external_id": "a", "metadata": {"a": 1}})).json
    bare = (await api.post(PATH, told)).json

    for name in ("description", "external_id", "metadata"):
        changed = await api.patch(f"{PATH}/{full['id']}", {name: None})
        assert (changed.status, changed.json[name]) == (200, bare[name]), name


async def test_null_is_refused_where_there_is_no_default(api: Client, receiver: Receiver) -> None:
    endpoint = (await api.post(PATH, {"url": receiver.url, "events": ["*"]})).json
    alert = (await api.post(ALERTS, ALERT)).json

    for path, id, names in ((PATH, endpoint["id"], ("events", "url")), (ALERTS, alert["id"], ("name", "to"))):
        refused = await api.patch(f"{path}/{id}", dict.fromkeys(names))
        errors = [(error["param"], error["code"]) for error in refused.json["errors"]]
        assert (refused.status, errors) == (422, [(name, "not_null") for name in names])
