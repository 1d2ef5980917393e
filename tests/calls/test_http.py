"""The doors of calls: who may see what, which verbs do what, and one door that believes platforms."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from tests.calls.conftest import FakeFloor, FakePlatform, House

from offhook import access, ids
from offhook.app import build_app
from offhook.calls import http as calls_http
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.http import Answer, Door
from offhook.privacy import Vault
from offhook.providers import CallReport, OneOff, Providers
from offhook.providers import http as providers_http
from offhook.providers.contract import BadSignature, Capability, HangUp, Inbound, Kind, WrapUp
from offhook.settings import Settings

SIX = "/api/integrations/providers"
Api = Callable[..., Awaitable[Any]]


@pytest.fixture
def asked() -> list[OneOff]:
    """The one-off dials that reached the gate."""
    return []


@pytest.fixture
def app(
    database: Database, vault: Vault, wakeups: Wakeups, house: House, providers: Providers, asked: list[OneOff]
) -> FastAPI:
    async def dial_one(tx: Tx, one: OneOff) -> Answer:
        asked.append(one)
        return Answer(202, {"object": "call"})

    async def none(tx: Tx, call_id: UUID) -> list[Any]:
        return []

    async def ready() -> dict[str, str]:
        return {}

    door = Door(database, vault)
    routers = [
        calls_http.router(door, house.calls, dial_one, events=none, decisions=none),
        providers_http.router(door, database, providers, house.calls, dial_one),
    ]
    return build_app(Settings.model_validate({}), access.Authenticator(database, wakeups), database, routers, ready)


@pytest.fixture
async def api_with(app: FastAPI, database: Database, tenant: Tenant, client_of: Any) -> Api:
    async def api_with(*scopes: str) -> Any:
        async with database.transaction(tenant) as tx:
            return client_of(app, (await access.issue_key(tx, "A key", scopes)).shown)

    return api_with


def shown(call: UUID) -> str:
    return ids.show("call", call)


async def a_key(house: House) -> access.IssuedKey:
    async with house.database.transaction(house.tenant) as tx:
        return await access.issue_key(tx, "A key", ["*"])


def actor_of(key: access.IssuedKey) -> dict[str, str]:
    return {"type": "api_key", "id": ids.show("key", key.id)}


async def test_numbers_are_masked_unless_the_key_may_read_persons(house: House, api_with: Api) -> None:
    call = await house.answered()

    masked = await (await api_with("calls:read")).get(f"/v1/calls/{shown(call)}")
    clear = await (await api_with("calls:read", "leads:read-personal")).get(f"/v1/calls/{shown(call)}")

    assert masked.json["dialed_number"] == "***0199"
    assert (clear.json["dialed_number"], clear.json["merge_fields"]) == ("+13125550199", {"product": "solar"})


async def test_the_events_of_a_call_need_the_scope_of_the_log(house: House, api_with: Api) -> None:
    path = f"/v1/calls/{shown(await house.answered())}/events"

    refused = await (await api_with("calls:read", "leads:read-personal")).get(path)
    told = await (await api_with("events:read")).get(path)

    assert (refused.status, refused.json["code"], refused.json["param"]) == (403, "missing_scope", "events:read")
    assert told.status == 200


async def test_a_call_of_another_workspace_is_not_found(
    house: House, app: FastAPI, database: Database, stranger: Tenant, client_of: Any
) -> None:
    call = await house.answered()
    async with database.transaction(stranger) as tx:
        key = await access.issue_key(tx, "A key", ["*"])

    reply = await client_of(app, key.shown).get(f"/v1/calls/{shown(call)}")

    assert (reply.status, reply.json["code"]) == (404, "no_such_call")


async def test_calls_are_listed_the_latest_first_in_pages(house: House, api_with: Api) -> None:
    calls = [shown(await house.dial(number_tag=bytes([n]))) for n in range(3)]
    api = await api_with("calls:read")

    first = await api.get("/v1/calls?limit=2")
    second = await api.get(f"/v1/calls?limit=2&after={first.json['next_cursor']}")

    listed = [call["id"] for reply in (first, second) for call in reply.json["data"]]
    assert listed == calls[::-1]
    assert (first.json["has_more"], second.json["has_more"]) == (True, False)


async def test_a_hang_up_goes_to_the_platform(house: House, api_with: Api, platform: FakePlatform) -> None:
    call = await house.answered()

    reply = await (await api_with("calls:write")).post(f"/v1/calls/{shown(call)}/hangup")
    await house.drain()

    assert (reply.status, platform.done) == (202, [(call, HangUp())])


@pytest.mark.parametrize("door", ["/v1/calls/{call}/hangup", f"{SIX}/fake/wrap-up"])
async def test_the_end_of_a_call_is_told_with_the_key_that_had_it_hung_up(
    house: House, app: FastAPI, client_of: Any, door: str
) -> None:
    call = await house.answered()
    key = await a_key(house)
    body = {"call_id": shown(call), "disposition": "NQ"} if door.startswith(SIX) else None

    await client_of(app, key.shown).post(door.format(call=shown(call)), body)
    await house.hear(call, Kind.ENDED)

    ended = await house.envelope(call, "call.ended")
    assert (ended["actor"], ended["data"]["end_reason"]) == (actor_of(key), "cancelled")


async def test_a_transfer_without_a_free_human_is_a_lack_of_capacity(
    house: House, api_with: Api, floor: FakeFloor
) -> None:
    floor.free = 0
    call = await house.answered()

    reply = await (await api_with("calls:write")).post(f"/v1/calls/{shown(call)}/transfer")

    assert (reply.status, reply.json["code"]) == (409, "capacity_exceeded")


@pytest.mark.parametrize("door", ["/v1/calls/{call}/transfer", f"{SIX}/fake/transfer"])
async def test_a_transfer_is_told_with_the_key_that_asked_for_it(
    house: House, app: FastAPI, client_of: Any, door: str
) -> None:
    call = await house.answered()
    key = await a_key(house)

    body = {"call_id": shown(call)} if door.startswith(SIX) else {}
    reply = await client_of(app, key.shown).post(door.format(call=shown(call)), body)

    told = [await house.envelope(call, f"transfer.{word}") for word in ("initiated", "routed", "reserved")]
    assert (reply.status, [event["actor"] for event in told]) == (202, [actor_of(key)] * 3)


async def test_a_transfer_that_the_platform_cannot_do_is_unsupported(
    house: House, api_with: Api, platform: FakePlatform
) -> None:
    platform.capabilities = frozenset({Capability.PLACE})
    call = await house.answered()

    reply = await (await api_with("calls:write")).post(f"/v1/calls/{shown(call)}/transfer")

    assert (reply.status, reply.json["code"]) == (409, "unsupported")


async def test_a_disposition_is_told_and_passed_on(house: House, api_with: Api, platform: FakePlatform) -> None:
    call = await house.answered()

    reply = await (await api_with("calls:write")).post(f"/v1/calls/{shown(call)}/disposition", {"code": "SALE"})
    await house.drain()

    assert reply.json["disposition"] == "SALE"
    assert (await house.envelope(call, "call.disposition_set"))["actor"]["type"] == "api_key"
    assert platform.done == [(call, WrapUp("SALE"))]


async def test_a_number_without_a_lead_needs_an_idempotency_key(api_with: Api, asked: list[OneOff]) -> None:
    api = await api_with("calls:write")

    refused = await api.post("/v1/calls", {"to": "+13125550199"})
    taken = await api.post("/v1/calls", {"to": "+13125550199"}, idempotency_key="once")

    assert (refused.status, refused.json["code"]) == (422, "idempotency_key_required")
    assert (taken.status, [one.reference for one in asked]) == (202, ["once"])


async def test_every_platform_says_what_it_can_do(api_with: Api) -> None:
    reply = await (await api_with("providers:read")).get(SIX)

    (fake,) = reply.json["data"]
    assert (fake["key"], fake["enabled"], fake["evidence"]) == ("fake", True, "pretend")
    assert "transfer" in fake["capabilities"]
    assert [account["name"] for account in fake["accounts"]] == ["main"]


async def test_the_health_of_a_platform_is_asked(api_with: Api) -> None:
    reply = await (await api_with("providers:read")).get(f"{SIX}/fake/health")

    assert (reply.status, reply.json["ok"]) == (200, True)


async def test_a_dial_at_a_platform_passes_the_same_gate(api_with: Api, house: House, asked: list[OneOff]) -> None:
    reply = await (await api_with("calls:write")).post(f"{SIX}/fake/calls", {"client_ref_id": "LD-1"})

    assert reply.status == 202
    assert [(one.client_ref_id, one.account_id) for one in asked] == [("LD-1", house.account)]


async def test_a_dial_at_a_platform_that_cannot_dial_is_unsupported(
    api_with: Api, platform: FakePlatform, asked: list[OneOff]
) -> None:
    platform.capabilities = frozenset()

    reply = await (await api_with("calls:write")).post(f"{SIX}/fake/calls", {"client_ref_id": "LD-1"})

    assert (reply.status, reply.json["code"], asked) == (409, "unsupported", [])


async def test_a_wrap_up_sets_the_disposition_and_ends_the_call(
    house: House, api_with: Api, platform: FakePlatform
) -> None:
    call = await house.answered()

    body = {"call_id": shown(call), "disposition": "NQ"}
    reply = await (await api_with("calls:write")).post(f"{SIX}/fake/wrap-up", body)
    await house.drain()

    assert (reply.status, reply.json["disposition"]) == (202, "NQ")
    assert (call, HangUp()) in platform.done


async def test_the_status_of_a_call_is_told_under_its_platform_only(house: House, api_with: Api) -> None:
    call = await house.answered()
    api = await api_with("calls:read")

    assert (await api.get(f"{SIX}/fake/calls/{shown(call)}")).json["status"] == "answered"
    assert (await api.get(f"{SIX}/other/calls/{shown(call)}")).json["code"] == "no_such_provider"


async def test_a_callback_is_believed_when_the_adapter_believes_it(
    house: House, app: FastAPI, client_of: Any, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await house.dial()
    monkeypatch.setattr(
        platform, "read", lambda inbound: [CallReport(key=inbound.body.decode(), kind=Kind.RINGING, call_id=call)]
    )

    path = f"/in/fake/{ids.show('pac', house.account)}"
    replies = [await client_of(app).request("POST", path, content=b"cb-1") for _ in range(2)]

    assert [reply.json for reply in replies] == [{"reports": 1, "new": 1}, {"reports": 1, "new": 0}]
    assert (await house.call(call)).status == "ringing"


async def test_a_forged_callback_is_refused(
    house: House, app: FastAPI, client_of: Any, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(inbound: Inbound) -> list[CallReport]:
        raise BadSignature

    monkeypatch.setattr(platform, "read", refuse)

    reply = await client_of(app).request("POST", f"/in/fake/{ids.show('pac', house.account)}", content=b"x")

    assert (reply.status, reply.json["code"]) == (401, "bad_signature")


async def test_a_callback_for_nobodys_account_is_not_found(house: House, app: FastAPI, client_of: Any) -> None:
    paths = [f"/in/fake/{ids.show('pac', ids.new())}", f"/in/other/{ids.show('pac', house.account)}", "/in/fake/x"]

    assert [(await client_of(app).request("POST", path)).status for path in paths] == [404, 404, 404]
