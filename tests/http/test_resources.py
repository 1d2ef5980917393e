import asyncio
from typing import Any

import pytest
from psycopg.errors import DeadlockDetected
from tests.journeys.stage import until_waiting

from offhook.db import Database, Tenant, Tx
from offhook.http import Answer
from offhook.http.batch import Batch, Batches, Operation


async def test_an_object_is_found_by_our_id_and_by_the_customers(api: Any) -> None:
    made = await api.post("/v1/things", {"name": "x", "external_id": "ACME-7"})

    ours = await api.get(f"/v1/things/{made.json['id']}")
    theirs = await api.get("/v1/things/ext:ACME-7")

    assert made.status == 201
    assert made.headers["location"] == f"/v1/things/{made.json['id']}"
    assert ours.json == theirs.json == made.json
    assert ours.headers["etag"] == '"1"'


async def test_what_a_patch_leaves_out_stays_and_what_is_null_is_cleared(api: Any) -> None:
    await api.post("/v1/things", {"name": "x", "external_id": "A"})

    renamed = await api.patch("/v1/things/ext:A", {"name": "y"})
    cleared = await api.patch("/v1/things/ext:A", {"external_id": None})

    assert (renamed.json["name"], renamed.json["external_id"]) == ("y", "A")
    assert (cleared.json["name"], cleared.json["external_id"]) == ("y", None)


async def test_null_for_a_field_that_has_no_null_is_refused(api: Any) -> None:
    await api.post("/v1/things", {"name": "x", "external_id": "A"})
    reply = await api.patch("/v1/things/ext:A", {"name": None})

    assert (reply.status, reply.json["code"], reply.json["param"]) == (422, "not_null", "name")


async def test_a_change_of_what_is_no_longer_as_it_was_read_is_refused(api: Any) -> None:
    made = await api.post("/v1/things", {"name": "x", "external_id": "A"})
    changed = await api.patch("/v1/things/ext:A", {"name": "y"}, if_match=made.headers["etag"])

    stale = await api.patch("/v1/things/ext:A", {"name": "z"}, if_match=made.headers["etag"])
    foreign = await api.patch("/v1/things/ext:A", {"name": "z"}, if_match='"abc"')
    stale_delete = await api.delete("/v1/things/ext:A", if_match='"1"')
    delete = await api.delete("/v1/things/ext:A", if_match=changed.headers["etag"])

    assert [reply.status for reply in (stale, foreign, stale_delete, delete)] == [412, 412, 412, 204]
    assert stale.json["code"] == "stale"


@pytest.mark.parametrize("method", ["patch", "delete"])
async def test_what_is_changed_meanwhile_is_not_what_was_read(
    api: Any, things: Any, database: Database, method: str
) -> None:
    made = await api.post("/v1/things", {"name": "x", "external_id": "A"})
    sent = {"delete": None, "patch": {"name": "z"}}[method]
    things.may_end.clear()
    change = asyncio.create_task(api.patch("/v1/things/ext:A", {"name": "y"}, if_match=made.headers["etag"]))
    await things.changed.wait()

    stale = asyncio.create_task(api.request(method.upper(), "/v1/things/ext:A", sent, if_match=made.headers["etag"]))
    await until_waiting(database)
    things.may_end.set()

    assert [(await change).status, (await stale).status] == [200, 412]
    assert (await api.get("/v1/things/ext:A")).json["name"] == "y"


@pytest.mark.parametrize("method", ["post", "patch"])
async def test_a_dry_run_answers_what_would_be_and_keeps_nothing(api: Any, method: str) -> None:
    await api.post("/v1/things", {"name": "x", "external_id": "A"})
    path = {"post": "/v1/things", "patch": "/v1/things/ext:A"}[method]

    preview = await getattr(api, method)(f"{path}?dry_run=true", {"name": "y"})
    things = (await api.get("/v1/things")).json["data"]

    assert (preview.status, preview.json["name"]) == (200, "y")
    assert preview.headers["offhook-dry-run"] == "true"
    assert [thing["name"] for thing in things] == ["x"]


async def test_a_delete_of_what_is_in_use_names_who_uses_it(api: Any) -> None:
    await api.post("/v1/things", {"name": "used", "external_id": "A"})
    reply = await api.delete("/v1/things/ext:A")

    assert (reply.status, reply.json["code"], reply.json["references"]) == (409, "in_use", ["cmp_1"])


async def test_a_stranger_sees_and_changes_nothing(api: Any, stranger_api: Any) -> None:
    made = (await api.post("/v1/things", {"name": "x", "external_id": "A"})).json

    assert (await stranger_api.get("/v1/things")).json["data"] == []
    for path in (f"/v1/things/{made['id']}", "/v1/things/ext:A"):
        assert (await stranger_api.get(path)).status == 404
        assert (await stranger_api.patch(path, {"name": "y"})).status == 404
        assert (await stranger_api.delete(path)).status == 404
    assert (await api.get("/v1/things/ext:A")).json["name"] == "x"


BATCH = [
    {"op": "create", "body": {"name": "a", "external_id": "A"}},
    {"op": "create", "body": {"nmae": "b"}},
    {"op": "update", "id": "ext:A", "body": {"name": "a2"}},
    {"op": "create", "body": {"name": "unforeseen"}},
    {"op": "upsert", "id": "ext:B", "body": {"name": "b"}},
    {"op": "upsert", "id": "ext:A", "body": {"name": "a3"}},
    {"op": "delete", "id": "ext:C"},
    {"op": "delete", "id": "ext:B"},
    {"op": "create", "body": {"name": "again", "external_id": "A"}},
]


async def test_each_operation_of_a_batch_stands_alone_and_is_answered_in_order(api: Any) -> None:
    reply = await api.post("/v1/things/batch", {"operations": BATCH})

    results = reply.json["results"]
    assert reply.status == 200
    assert [result["index"] for result in results] == list(range(9))
    assert [result["status"] for result in results] == [201, 422, 200, 500, 201, 200, 404, 204, 409]
    assert results[1]["problem"]["errors"][0]["param"] == "name"
    assert [thing["name"] for thing in (await api.get("/v1/things")).json["data"]] == ["a3"]


async def test_an_atomic_batch_with_a_failure_does_nothing_and_says_which_failed(api: Any) -> None:
    reply = await api.post("/v1/things/batch", {"operations": BATCH[:3], "atomic": True})

    assert reply.status == 200
    assert [result["status"] for result in reply.json["results"]] == [424, 422, 424]
    assert (await api.get("/v1/things")).json["data"] == []


async def test_an_atomic_batch_without_a_failure_is_kept(api: Any) -> None:
    reply = await api.post("/v1/things/batch", {"operations": [BATCH[0], BATCH[2]], "atomic": True})

    assert [result["status"] for result in reply.json["results"]] == [201, 200]
    assert [thing["name"] for thing in (await api.get("/v1/things")).json["data"]] == ["a2"]


async def test_a_batch_is_kept_once_under_its_idempotency_key(api: Any) -> None:
    operations = {"operations": [{"op": "create", "body": {"name": "a"}}]}
    first = await api.post("/v1/things/batch", operations, idempotency_key="k")
    again = await api.post("/v1/things/batch", operations, idempotency_key="k")

    assert again.json == first.json
    assert len((await api.get("/v1/things")).json["data"]) == 1


async def test_a_batch_that_embraced_another_transaction_is_left_to_run_again_whole(
    database: Database, tenant: Tenant
) -> None:
    async def embrace(tx: Tx, operation: Operation) -> Answer:
        raise DeadlockDetected

    batch = Batch.read({"operations": [{"op": "create", "body": {}}]})

    with pytest.raises(DeadlockDetected):
        async with database.transaction(tenant) as tx:
            await Batches(embrace).run(tx, batch)


@pytest.mark.parametrize("operations", [[], [{"op": "create"}] * 1001, [{"op": "destroy"}]])
async def test_a_batch_of_the_wrong_shape_is_refused_whole(api: Any, operations: Any) -> None:
    reply = await api.post("/v1/things/batch?", {"operations": operations})

    assert reply.status in (413, 422)
