"""The paths of the room, as a customer's engineer uses them."""

import asyncio
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from tests.journeys.stage import until_waiting
from tests.webhooks.conftest import Receiver, Room, Says

from offhook import access, ids
from offhook.app import build_app
from offhook.db import Database, Tenant, Wakeups
from offhook.http import Door
from offhook.http.resources import take_turn
from offhook.jobs import Runner
from offhook.settings import Settings


@pytest.fixture
def app(database: Database, wakeups: Wakeups, room: Room) -> FastAPI:
    async def ready() -> dict[str, str]:
        return {}

    routers = [room.webhooks.router(Door(database, room.vault))]
    return build_app(Settings.model_validate({}), access.Authenticator(database, wakeups), database, routers, ready)


async def client(app: FastAPI, database: Database, tenant: Tenant, client_of: Any, *scopes: str) -> Any:
    async with database.transaction(tenant) as tx:
        return client_of(app, (await access.issue_key(tx, "A key", scopes)).shown)


@pytest.fixture
async def api(app: FastAPI, database: Database, tenant: Tenant, client_of: Any) -> Any:
    return await client(app, database, tenant, client_of, "webhooks:read", "webhooks:write")


@pytest.fixture
async def live_api(app: FastAPI, database: Database, live_tenant: Tenant, client_of: Any) -> Any:
    return await client(app, database, live_tenant, client_of, "webhooks:*")


async def test_an_endpoint_is_made_with_a_secret_and_the_verdict_on_its_address(api: Any, receiver: Receiver) -> None:
    made = await api.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["lead.*"], "external_id": "crm"})

    assert made.status == 201
    assert made.json["object"] == "webhook_endpoint"
    assert made.json["status"] == "active"
    assert made.json["secret"].startswith("whsec_")
    assert made.json["ssrf"] == {"verdict": "allowed", "address": "127.0.0.1"}
    again = await api.get("/v1/webhook-endpoints/ext:crm")
    assert "secret" not in again.json
    assert "secret" not in (await api.get("/v1/webhook-endpoints")).json["data"][0]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/hook",
        "https://10.0.0.1/hook",
        "https://169.254.169.254/latest",
        "https://[::1]/hook",
        "ftp://example.com/",
        "https://user:secret@example.com/",
    ],
)
async def test_a_live_endpoint_must_be_public_and_use_https(live_api: Any, url: str) -> None:
    refused = await live_api.post("/v1/webhook-endpoints", {"url": url, "events": ["*"]})

    assert refused.status == 422
    assert refused.json["code"] == "url_refused"
    assert refused.json["param"] == "url"


async def test_a_sandbox_endpoint_may_not_reach_beyond_loopback_either(api: Any) -> None:
    refused = await api.post("/v1/webhook-endpoints", {"url": "https://169.254.169.254/", "events": ["*"]})

    assert (refused.status, refused.json["code"]) == (422, "url_refused")


async def test_a_verb_waits_for_the_change_that_is_under_way(api: Any, room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)

    async with room.database.transaction(room.tenant) as tx:
        await take_turn(tx, room.webhooks.endpoints, told.id)
        pause = asyncio.create_task(api.post(f"/v1/webhook-endpoints/{told.shown['id']}/pause"))
        await until_waiting(room.database)
        during = await room.status_of(told.id)

    assert (during, (await pause).json["status"]) == ("active", "paused")


async def test_wrong_globs_and_unknown_fields_are_told_by_name(api: Any, receiver: Receiver) -> None:
    glob = await api.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["leed.accepted"]})
    field = await api.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["*"], "ulr": "x"})

    assert (glob.status, glob.json["code"]) == (422, "unknown_event_type")
    assert "lead.accepted" in glob.json["detail"]
    assert (field.status, field.json["code"]) == (422, "unknown_field")


async def test_a_test_is_answered_when_its_result_is_in(api: Any, receiver: Receiver) -> None:
    made = await api.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["*"], "activate": False})
    path = f"/v1/webhook-endpoints/{made.json['id']}"
    assert made.json["status"] == "pending_test"

    tested = await api.post(f"{path}/test")

    assert tested.status == 202
    assert (await api.get(path)).json["status"] == "active"
    delivery = await api.get(f"/v1/deliveries/{tested.json['id']}")
    assert delivery.json["status"] == "delivered"
    assert delivery.json["type"] == "webhook.test"


async def test_pause_enable_disable_and_rotate(api: Any, receiver: Receiver) -> None:
    made = await api.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["*"]})
    path = f"/v1/webhook-endpoints/{made.json['id']}"

    states = [(await api.post(f"{path}/{verb}")).json["status"] for verb in ("pause", "enable", "disable")]
    discarding = await api.post(f"{path}/enable", {"held": "discard"})
    rotated = await api.post(f"{path}/rotate-secret")

    assert states == ["paused", "active", "disabled"]
    assert discarding.json["status"] == "active"
    assert rotated.json["secret"] != made.json["secret"]
    assert (await api.get(f"{path}/stats")).json["open"] == {"pending": 0, "retrying": 0, "held": 0}


async def test_an_endpoint_is_patched_guarded_by_its_version_and_deleted(api: Any, receiver: Receiver) -> None:
    made = await api.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["*"], "description": "CRM"})
    path = f"/v1/webhook-endpoints/{made.json['id']}"

    patched = await api.patch(path, {"events": ["lead.*"], "description": None}, If_Match='"1"')
    stale = await api.patch(path, {"events": ["*"]}, If_Match='"1"')
    deleted = await api.delete(path)

    assert (patched.status, patched.json["events"], patched.json["description"]) == (200, ["lead.*"], "")
    assert stale.status == 412
    assert (deleted.status, (await api.get(path)).status) == (204, 404)


async def test_every_change_by_the_api_names_the_key_that_made_it(
    app: FastAPI, room: Room, receiver: Receiver, neighbour: Receiver, client_of: Any
) -> None:
    async with room.database.transaction(room.tenant) as tx:
        key = await access.issue_key(tx, "Owner", ["webhooks:*"])
    api = client_of(app, key.shown)
    await room.endpoint(neighbour.url, ["webhook_endpoint.*"])
    body = {"url": receiver.url, "events": ["lead.*"], "external_id": "crm"}

    await api.post("/v1/webhook-endpoints/batch", {"operations": [{"op": "create", "body": body}]})
    path = "/v1/webhook-endpoints/ext:crm"
    await api.post(f"{path}/test")
    await api.patch(path, {"events": ["*"]})
    for verb in ("pause", "enable", "disable", "rotate-secret"):
        await api.post(f"{path}/{verb}")
    await api.delete(path)
    await room.drain()

    told = [orjson.loads(one.body) for one in (*receiver.received, *neighbour.received)]
    assert len(told) == 8
    assert {(one["actor"]["type"], one["actor"]["id"]) for one in told} == {("api_key", ids.show("key", key.id))}


async def test_what_becomes_of_an_endpoint_by_itself_names_the_engine(
    api: Any, room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    receiver.says = [Says(410)]
    await room.endpoint(neighbour.url, ["webhook_endpoint.disabled"])
    await api.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["lead.*"]})

    await room.happens()
    while await room.drain():
        pass

    (told,) = [orjson.loads(one.body) for one in neighbour.received]
    assert (told["actor"]["type"], told["data"]["reason"]) == ("engine", "gone")


async def test_deliveries_are_listed_in_pages_and_found_by_what_they_are(
    api: Any, room: Room, receiver: Receiver
) -> None:
    told = await room.endpoint(receiver.url)
    await room.happens(3)
    await room.drain()

    first = await api.get("/v1/deliveries?limit=2")
    rest = await api.get(f"/v1/deliveries?limit=2&after={first.json['next_cursor']}")
    by_endpoint = await api.get(f"/v1/deliveries?endpoint={told.shown['id']}&status=delivered&type=lead.*")

    found = [one["id"] for one in first.json["data"] + rest.json["data"]]
    assert (len(found), len(set(found)), rest.json["has_more"]) == (3, 3, False)
    assert len(by_endpoint.json["data"]) == 3
    subject = first.json["data"][0]["subject"]["id"]
    assert len((await api.get(f"/v1/deliveries?subject={subject}")).json["data"]) == 1


async def test_dead_letters_are_replayed_one_by_one_and_all_at_once(
    api: Any, room: Room, receiver: Receiver, neighbour: Receiver, wakeups: Wakeups
) -> None:
    receiver.says = [Says(410)]
    told = await room.endpoint(receiver.url)
    for _ in range(3):
        await room.happens()
        await room.drain()
        await room.do(room.webhooks.endpoints.enable, told.id, "send")
    receiver.says = [Says(200)]
    await room.endpoint(neighbour.url, ["webhook.replayed"])
    dead = (await api.get("/v1/dead-letters")).json["data"]

    one = await api.post(f"/v1/deliveries/{dead[0]['id']}/replay")
    put_aside = await api.post(f"/v1/dead-letters/{dead[1]['id']}/discard")
    all_others = await api.post("/v1/replays", {"filter": {"endpoint": told.shown["id"], "status": "dead"}})
    await Runner(room.database, wakeups, room.webhooks.handlers).drain(room.tenant)
    await room.drain()

    assert (one.status, put_aside.json["status"], all_others.status) == (202, "discarded", 202)
    assert all_others.json["total"] == 1
    assert (await api.get("/v1/dead-letters")).json["data"] == []
    assert len((await api.get("/v1/deliveries?status=delivered&type=lead.*")).json["data"]) == 2
    assert [orjson.loads(one.body)["actor"]["type"] for one in neighbour.received] == ["api_key"] * 2


async def test_a_key_without_the_scope_is_told_which_one_is_missing(
    app: FastAPI, database: Database, tenant: Tenant, client_of: Any
) -> None:
    reader = await client(app, database, tenant, client_of, "webhooks:read")

    refused = await reader.post("/v1/webhook-endpoints", {"url": "https://example.com", "events": ["*"]})

    assert (refused.status, refused.json["code"]) == (403, "missing_scope")


async def test_another_tenant_finds_neither_endpoint_nor_delivery(
    live_api: Any, room: Room, receiver: Receiver
) -> None:
    told = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()
    (delivery,) = await room.deliveries()

    assert (await live_api.get(f"/v1/webhook-endpoints/{told.shown['id']}")).status == 404
    assert (await live_api.get(f"/v1/deliveries/{delivery['id']}")).status == 404
    assert (await live_api.get("/v1/deliveries")).json["data"] == []
