"""What stands between us and a receiver, told to whoever asks for it, and not too often."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.test_http import api, app, live_api

from offhook import ids
from offhook.errors import NotFound, TooMany
from offhook.events import ENGINE
from offhook.outbound.diagnose import Certificate, Diagnosis, Tls
from offhook.webhooks import store
from offhook.webhooks.diagnosing import PER_MINUTE, Turns, shown

__all__ = ["api", "app", "live_api"]
NOW = datetime(2026, 11, 21, tzinfo=UTC)


async def test_a_receiver_in_order_is_told_with_every_step_and_no_finding(
    api: Any, room: Room, receiver: Receiver
) -> None:
    told = await room.endpoint(receiver.url)

    found = await api.post(f"/v1/webhook-endpoints/{told.shown['id']}/diagnose")

    assert (found.status, found.json["well"], found.json["findings"]) == (200, True, [])
    steps = found.json["steps"]
    assert steps["dns"]["addresses"] == ["127.0.0.1"]
    assert (steps["tcp"]["address"], steps["tcp"]["ms"] > 0, steps["tls"]) == ("127.0.0.1", True, None)
    assert (steps["http"]["status"], steps["http"]["ms"] > 0) == (200, True)


async def test_it_asks_by_a_signed_test_that_is_no_delivery_and_of_which_nothing_is_kept(
    api: Any, room: Room, receiver: Receiver
) -> None:
    told = await room.endpoint(receiver.url)
    before = await room.row("select count(*) from event")

    await api.post(f"/v1/webhook-endpoints/{told.shown['id']}/diagnose")

    (request,) = receiver.received
    said = orjson.loads(request.body)
    assert (said["type"], said["test"], said["actor"]["type"]) == ("webhook.test", True, "api_key")
    async with room.database.transaction(room.tenant) as tx:
        assert await room.webhooks.signed_by_us(tx, request.headers, request.body)
    assert await room.row("select count(*) from event") == before
    assert await room.deliveries() == []


@pytest.mark.parametrize(("says", "code"), [(Says(500), "not_2xx"), (Says(302), "redirect")])
async def test_what_is_wrong_is_told_with_its_cure(
    api: Any, room: Room, receiver: Receiver, says: Says, code: str
) -> None:
    receiver.says = [says]
    told = await room.endpoint(receiver.url)

    found = (await api.post(f"/v1/webhook-endpoints/{told.shown['id']}/diagnose")).json

    (finding,) = found["findings"]
    assert (found["well"], finding["code"], found["steps"]["http"]["status"]) == (False, code, says.status)
    assert finding["cure"]


def test_a_chain_is_told_with_the_days_that_it_has_left() -> None:
    ends = NOW + timedelta(days=9, hours=5)
    chain = (Certificate("CN=receiver", "CN=ca", NOW, ends, ("receiver.example",)),)
    found = Diagnosis(NOW, tls=Tls(True, 1.23456, "TLSv1.3", "AES", chain))

    told = shown(ids.new(), found)["steps"]["tls"]

    assert (told["verified"], told["ms"], told["version"]) == (True, 1.235, "TLSv1.3")
    (certificate,) = told["chain"]
    assert (certificate["days_left"], certificate["names"]) == (9, ["receiver.example"])


async def test_a_clock_that_is_wrong_is_found(api: Any, room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(200, {"date": "Sat, 01 Jan 2000 00:00:00 GMT"})]
    told = await room.endpoint(receiver.url)

    found = (await api.post(f"/v1/webhook-endpoints/{told.shown['id']}/diagnose")).json

    assert found["clock_skew"]["ahead_s"] < -700_000_000
    assert [one["code"] for one in found["findings"]] == ["clock_skew"]


async def test_an_endpoint_without_its_token_is_told_so(room: Room, receiver: Receiver, neighbour: Receiver) -> None:
    neighbour.says = [Says(401)]
    proof = {"type": "oauth2", "token_url": neighbour.url, "client_id": "us", "client_secret": "x"}
    told = await room.endpoint(receiver.url, authentication=proof)

    found = await room.webhooks.diagnosing.diagnose(room.tenant, told.id, ENGINE)

    assert [one.code for one in found.findings] == ["token_refused"]
    assert receiver.received == []


async def test_nobody_diagnoses_the_endpoint_of_another(live_api: Any, room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)

    refused = await live_api.post(f"/v1/webhook-endpoints/{told.shown['id']}/diagnose")

    assert (refused.status, receiver.received) == (404, [])
    with pytest.raises(NotFound):
        await room.webhooks.diagnosing.diagnose(room.tenant, ids.new(), ENGINE)


async def test_a_second_diagnosis_of_the_same_endpoint_must_wait_for_the_first(
    api: Any, room: Room, receiver: Receiver
) -> None:
    receiver.says = [Says(hangs=True)]
    told = await room.endpoint(receiver.url, timeout_s=1)
    path = f"/v1/webhook-endpoints/{told.shown['id']}/diagnose"
    first = asyncio.create_task(api.post(path))
    await receiver.has(1)

    second = await api.post(path)

    assert (second.status, second.json["code"]) == (429, "diagnosis_under_way")
    assert int(second.headers["retry-after"]) > 0
    assert [one["code"] for one in (await first).json["findings"]] == ["timeout"]


@given(st.lists(st.floats(min_value=0, max_value=30), min_size=1, max_size=60))
def test_an_endpoint_is_never_diagnosed_oftener_than_it_may_be(gaps: list[float]) -> None:
    now, begun = 0.0, []
    turns, endpoint = Turns(lambda: now), ids.new()
    for gap in gaps:
        now += gap
        try:
            with turns.taken(endpoint):
                begun.append(now)
        except TooMany as refused:
            now += refused.retry_after_s
            with turns.taken(endpoint):  # it was told the truth
                begun.append(now)

    assert all(sum(1 for at in begun if start <= at < start + 60) <= PER_MINUTE for start in begun)


def test_the_turns_of_one_endpoint_are_not_anothers() -> None:
    turns = Turns(lambda: 0.0)
    for _ in range(PER_MINUTE):
        with turns.taken(first := ids.new()), turns.taken(ids.new()):
            with pytest.raises(TooMany), turns.taken(first):
                pass


@pytest.mark.parametrize("url", ["nats://127.0.0.1:4222/offhook", "file:///srv/warehouse", "s3://my-bucket/offhook"])
async def test_what_is_not_told_by_http_is_not_judged_as_if_it_were(
    api: Any, room: Room, receiver: Receiver, url: str
) -> None:
    told = await room.endpoint(receiver.url)
    async with room.database.transaction(room.tenant) as tx:
        row = await store.find(tx, told.id)
        assert row is not None
        await store.update(tx, replace(row, url=url))
        await room.webhooks.directory.changed(tx)

    refused = await api.post(f"/v1/webhook-endpoints/{told.shown['id']}/diagnose")

    assert (refused.status, refused.json["code"]) == (409, "not_http")
    assert "/test" in refused.json["detail"]
