"""The paths of replays, cancellations and dead letters."""

from typing import Any

import orjson
import pytest
from tests.webhooks.bulk import dead_of
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.test_http import api, app

from offhook.db import Wakeups
from offhook.jobs import Runner

__all__ = ["api", "app"]
LONG_AGO = "2001-01-01T00:00:00Z"


@pytest.fixture
def runner(room: Room, wakeups: Wakeups) -> Runner:
    return Runner(room.database, wakeups, room.webhooks.handlers)


async def test_a_dry_run_counts_and_does_nothing(api: Any, room: Room, receiver: Receiver, runner: Runner) -> None:
    told = await dead_of(room, receiver, 2, [Says(500)])
    body = {"filter": {"endpoint": told.shown["id"]}}

    preview = await api.post("/v1/replays?dry_run=true", body)
    await runner.drain(room.tenant)

    assert (preview.status, preview.headers["offhook-dry-run"]) == (200, "true")
    assert (preview.json["object"], preview.json["count"]) == ("replay_preview", 2)
    assert preview.json["endpoints"] == [{"webhook_endpoint_id": told.shown["id"], "count": 2, "count_at_least": 2}]
    assert (await api.get("/v1/replays")).json["data"] == []
    assert len((await api.get("/v1/dead-letters")).json["data"]) == 2


async def test_a_replay_is_begun_seen_paused_and_resumed(
    api: Any, room: Room, receiver: Receiver, runner: Runner
) -> None:
    told = await dead_of(room, receiver, 2, [Says(500)])
    begun = await api.post("/v1/replays", {"filter": {"endpoint": told.shown["id"]}, "rate_per_s": 100})
    path = begun.headers["location"]

    paused = await api.post(f"{path}/pause")
    await runner.drain(room.tenant)
    during = await api.get(path)
    resumed = await api.post(f"{path}/resume")
    await runner.drain(room.tenant)
    ended = await api.get(path)

    assert (begun.status, begun.json["status"], begun.json["total"]) == (202, "queued", 2)
    assert path == f"/v1/replays/{begun.json['id']}"
    assert [one.json["status"] for one in (paused, during, resumed, ended)] == ["paused", "paused", "queued", "done"]
    assert (during.json["opened"], ended.json["opened"], ended.json["actor"]["type"]) == (0, 2, "api_key")
    assert (await api.get("/v1/replays")).json["data"] == [ended.json]


async def test_one_event_tells_each_endpoint_of_the_whole_replay(
    api: Any, room: Room, receiver: Receiver, neighbour: Receiver, runner: Runner
) -> None:
    told = await dead_of(room, receiver, 3, [Says(500)])
    await room.endpoint(neighbour.url, ["webhook.replayed"])

    await api.post("/v1/replays", {"filter": {"endpoint": told.shown["id"]}, "rate_per_s": 10_000})
    await runner.drain(room.tenant)
    await room.drain()

    (event,) = [orjson.loads(one.body) for one in neighbour.received]
    assert (event["actor"]["type"], event["data"]) == ("api_key", {"deliveries": 3, "delivery_id": None})


async def test_what_an_endpoint_missed_is_told_to_it(api: Any, room: Room, receiver: Receiver, runner: Runner) -> None:
    await room.happens(2)
    await room.endpoint(receiver.url, external_id="crm")
    body = {"filter": {"endpoint": "ext:crm", "from": LONG_AGO}, "missing": True}

    begun = await api.post("/v1/replays", body)
    await runner.drain(room.tenant)
    await room.drain()

    assert (begun.status, begun.json["total"], begun.json["missing"]) == (202, 2, True)
    assert receiver.ids("offhook-replay") == ["1", "1"]


async def test_open_deliveries_are_cancelled_and_the_cancellation_is_no_replay(
    api: Any, room: Room, receiver: Receiver, runner: Runner
) -> None:
    told = await room.endpoint(receiver.url)
    await room.do(room.webhooks.endpoints.pause, told.id)
    await room.happens(2)

    begun = await api.post("/v1/cancellations", {"filter": {"endpoint": told.shown["id"], "status": "held"}})
    await runner.drain(room.tenant)

    assert begun.headers["location"] == f"/v1/cancellations/{begun.json['id']}"
    assert (await api.get(begun.headers["location"])).json["discarded"] == 2
    assert (await api.get(f"/v1/replays/{begun.json['id']}")).status == 404
    discarded = (await api.get("/v1/deliveries?status=discarded")).json["data"]
    assert [one["reason"] for one in discarded] == ["cancelled"] * 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"filter": {"status": "delivered"}}, "filter.endpoint"),
        ({"filter": {"status": "pending"}}, "filter.status"),
        ({"filter": {"status": "dead", "type": "leed.accepted"}}, "filter.type"),
        ({"filter": {"status": "dead", "type": "leed.*"}}, "filter.type"),
        ({"filter": {}, "rate_per_s": 0}, "rate_per_s"),
        ({"filter": {"endpoint": "ext:crm", "from": LONG_AGO, "status": "dead"}, "missing": True}, "filter.status"),
    ],
)
async def test_a_wrong_filter_is_told_by_name(api: Any, body: dict[str, Any], param: str) -> None:
    refused = await api.post("/v1/replays", body)

    assert (refused.status, refused.json["param"]) == (422, param)


@pytest.mark.parametrize("path", ["/v1/deliveries", "/v1/dead-letters"])
async def test_a_glob_that_no_type_answers_to_is_refused_with_what_was_meant(api: Any, path: str) -> None:
    refused = await api.get(f"{path}?type=leads.*")

    assert (refused.status, refused.json["code"], refused.json["param"]) == (422, "unknown_event_type", "type")
    assert "Did you mean lead." in refused.json["detail"]


async def test_dead_letters_say_why_and_are_found_by_it(api: Any, room: Room, receiver: Receiver) -> None:
    await dead_of(room, receiver, 2, [Says(503), Says(500)])

    async def found(query: str) -> list[str]:
        answer = await api.get(f"/v1/dead-letters?{query}")
        assert answer.status == 200, answer.json
        return sorted(one["last_error"] for one in answer.json["data"])

    assert await found("reason=tries_used_up") == ["http_500", "http_503"]
    assert await found("cause=http_503") == ["http_503"]
    assert await found("reason=too_old") == []
    assert await found(f"from={LONG_AGO}&died_from={LONG_AGO}") == ["http_500", "http_503"]
    assert await found(f"to={LONG_AGO}") == await found(f"died_to={LONG_AGO}") == []
