"""Failures of one cause at one endpoint are one thing to be done, however many they are."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from tests.db.explaining import Explaining
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.test_http import api, app, live_api

from offhook import ids
from offhook.db import Tenant
from offhook.webhooks import issue_store

__all__ = ["api", "app", "live_api"]
PATH = "/v1/delivery-issues"


async def fails(room: Room, count: int = 1) -> None:
    """So many events happen, are told, and what came of it is in the figures."""
    await room.happens(count)
    await goes_on(room)


async def goes_on(room: Room) -> None:
    await room.drain()
    await room.webhooks.aggregates.flush()


async def issues(api: Any, **wanted: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    listed = await api.get(f"{PATH}?{query}")
    assert listed.status == 200
    return list(listed.json["data"])


async def test_many_failures_of_one_cause_are_one_issue_with_a_count_and_a_sample(
    api: Any, room: Room, receiver: Receiver
) -> None:
    receiver.says = [Says(503), Says(503), Says(404), Says(503)]
    told = await room.endpoint(receiver.url)
    await fails(room, 2)
    await fails(room, 2)

    found = {one["cause"]: one for one in await issues(api)}

    assert {cause: one["count"] for cause, one in found.items()} == {"http_503": 3, "http_404": 1}
    one = (await api.get(f"{PATH}/{found['http_503']['id']}")).json
    assert one == found["http_503"]
    assert (one["status"], one["webhook_endpoint_id"], one["deliveries_at_least"]) == ("open", told.shown["id"], 3)
    assert one["first_seen_at"] <= one["last_seen_at"]
    sample = await api.get(f"/v1/deliveries/{one['sample_delivery_id']}")
    assert sample.json["tries"][-1]["error"]["code"] == "http_503"


async def test_issues_are_found_by_endpoint_and_status(
    api: Any, room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    receiver.says, neighbour.says = [Says(500)], [Says(502)]
    here = await room.endpoint(receiver.url, external_id="crm")
    await room.endpoint(neighbour.url)
    await fails(room)
    ours, theirs = await issues(api, endpoint="ext:crm"), await issues(api)

    await api.post(f"{PATH}/{ours[0]['id']}/ignore")

    assert ([one["cause"] for one in ours], len(theirs)) == (["http_500"], 2)
    assert [one["cause"] for one in await issues(api, status="open")] == ["http_502"]
    assert [one["cause"] for one in await issues(api, status="ignored", endpoint=here.shown["id"])] == ["http_500"]


async def test_issues_are_listed_in_pages(api: Any, room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500), Says(501), Says(502)]
    await room.endpoint(receiver.url)
    await fails(room, 3)

    first = (await api.get(f"{PATH}?limit=2")).json
    rest = (await api.get(f"{PATH}?limit=2&after={first['next_cursor']}")).json

    found = {one["cause"] for one in first["data"] + rest["data"]}
    assert (found, rest["has_more"]) == ({"http_500", "http_501", "http_502"}, False)


async def test_a_resolved_issue_opens_when_it_happens_again_and_an_ignored_one_stays(
    api: Any, room: Room, receiver: Receiver
) -> None:
    receiver.says = [Says(500), Says(502), Says(500), Says(502)]
    await room.endpoint(receiver.url)
    await fails(room, 2)
    by_cause = {one["cause"]: one["id"] for one in await issues(api)}

    resolved = await api.post(f"{PATH}/{by_cause['http_500']}/resolve")
    await api.post(f"{PATH}/{by_cause['http_502']}/ignore")
    await fails(room, 2)

    assert (resolved.json["status"], resolved.json["resolved_by"]) == ("resolved", "request")
    after = {one["cause"]: (one["status"], one["count"], one["resolved_at"]) for one in await issues(api)}
    assert after == {"http_500": ("open", 2, None), "http_502": ("ignored", 2, None)}


async def test_what_failed_before_an_issue_was_resolved_does_not_open_it_again(
    api: Any, room: Room, receiver: Receiver
) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url)
    await fails(room)
    await room.happens()
    await room.drain()
    (one,) = await issues(api)

    await api.post(f"{PATH}/{one['id']}/resolve")
    await room.webhooks.aggregates.flush()

    (after,) = await issues(api)
    assert (after["status"], after["count"]) == ("resolved", 2)


async def test_an_issue_is_overcome_when_its_endpoint_succeeds_and_nothing_waits_for_another_try(
    api: Any, room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500), Says(200)]
    await room.endpoint(receiver.url)
    await fails(room)
    await fails(room)
    (while_it_waits,) = await issues(api)

    await clock.forward(timedelta(minutes=2))
    await goes_on(room)

    assert while_it_waits["status"] == "open"
    (one,) = await issues(api, status="resolved")
    assert one["resolved_by"] == "success"
    refused = await api.post(f"{PATH}/{one['id']}/reopen")
    assert (refused.status, refused.json["code"]) == (409, "issue_overcome")


async def test_verbs_may_be_repeated_and_an_ignored_issue_reopened(api: Any, room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url)
    await fails(room)
    (one,) = await issues(api)

    states = [(await api.post(f"{PATH}/{one['id']}/{verb}")).json for verb in ("ignore", "ignore", "reopen", "resolve")]

    assert [state["status"] for state in states] == ["ignored", "ignored", "open", "resolved"]
    assert [state["version"] for state in states] == [2, 2, 3, 4]


async def test_a_test_that_fails_is_no_issue(api: Any, room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)]
    told = await room.endpoint(receiver.url)
    await room.do(room.webhooks.endpoints.test, told.id)
    await goes_on(room)

    assert await issues(api) == []


async def test_a_replay_of_an_issue_is_of_its_endpoint_and_cause(api: Any, room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(410)]
    told = await room.endpoint(receiver.url)
    await fails(room)
    (one,) = await issues(api)

    replayed = await api.post(f"{PATH}/{one['id']}/replay")

    assert (replayed.status, replayed.headers["location"]) == (202, f"/v1/replays/{replayed.json['id']}")
    wanted = replayed.json["filter"]
    assert (wanted["endpoint"], wanted["status"], wanted["cause"]) == (told.shown["id"], "dead", "http_410")
    assert (replayed.json["total"], one["dead"]) == (1, 1)


@pytest.mark.parametrize("verb", ["", "/resolve", "/ignore", "/reopen"])
async def test_another_tenant_finds_no_issue(
    api: Any, live_api: Any, room: Room, receiver: Receiver, verb: str
) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url)
    await fails(room)
    (one,) = await issues(api)

    asked = await (live_api.post if verb else live_api.get)(f"{PATH}/{one['id']}{verb}")

    assert (asked.status, asked.json["code"]) == (404, "no_such_issue")
    assert await issues(live_api) == []


async def test_issues_of_an_endpoint_that_is_gone_are_forgotten(room: Room, receiver: Receiver, tenant: Tenant) -> None:
    receiver.says = [Says(500)]
    gone = await room.endpoint(receiver.url)
    await room.endpoint(receiver.url)
    await fails(room)
    await room.do(room.webhooks.endpoints.delete, gone.id)

    async with room.database.engine() as tx:
        purged = await room.webhooks.purge_figures(tx)
    async with room.database.transaction(tenant) as tx:
        left = await issue_store.page(tx, None, None, None, 10)

    assert (purged, len(left)) == (1, 1)
    assert ids.show("whe", left[0].endpoint) != gone.shown["id"]


async def a_backlog(room: Room, database_url: str, count: int) -> None:
    """Every endpoint has succeeded, and so many first tries wait for it."""
    async with room.database.engine() as tx:
        await tx.run(
            "insert into due (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, due_at)"
            " select workspace_id, environment, gen_random_uuid(), now(), gen_random_uuid(), now(), id, now() from endpoint,"
            " generate_series(1, %(count)s)",
            {"count": count},
        )
        await tx.run("update endpoint set last_success_at = now() + interval '1 hour'")
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("analyze due")


async def test_whether_an_issue_is_overcome_is_found_out_without_reading_a_backlog(
    room: Room, receiver: Receiver, database_url: str
) -> None:
    receiver.says = [Says(410)]
    await room.endpoint(receiver.url)
    await fails(room)
    await a_backlog(room, database_url, 3000)

    async with room.database.transaction(room.tenant, reading=True) as tx:
        explaining = Explaining(tx)
        await issue_store.page(explaining, None, "resolved", None, 51)
        (row,) = await issue_store.page(tx, None, "resolved", None, 51)

    read = [node for node in explaining.nodes if node.get("Relation Name") == "due"]
    assert row.overcome
    assert max(node["Actual Rows"] * node["Actual Loops"] for node in read) <= 100
