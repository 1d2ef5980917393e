import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook import ids
from offhook.db import Database, Tenant, Tx
from offhook.http import store
from offhook.http.idempotency import person_of, purge_idempotency

A_THING = {"name": "once"}


async def test_the_same_key_and_body_get_the_same_answer_and_the_work_is_done_once(api: Any) -> None:
    first = await api.post("/v1/things", A_THING, idempotency_key="k")
    again = await api.post("/v1/things", A_THING, idempotency_key="k")

    assert (first.status, again.status) == (201, 201)
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["idempotent-replay"] == "true"
    assert "idempotent-replay" not in first.headers
    assert len((await api.get("/v1/things")).json["data"]) == 1


async def test_the_same_key_with_another_body_is_refused(api: Any) -> None:
    await api.post("/v1/things", A_THING, idempotency_key="k")
    reply = await api.post("/v1/things", {"name": "other"}, idempotency_key="k")

    assert (reply.status, reply.json["code"]) == (422, "idempotency_mismatch")


async def test_a_key_belongs_to_its_workspace(api: Any, stranger_api: Any) -> None:
    mine = await api.post("/v1/things", A_THING, idempotency_key="k")
    theirs = await stranger_api.post("/v1/things", A_THING, idempotency_key="k")

    assert mine.json["id"] != theirs.json["id"]


async def test_a_failure_is_not_remembered(api: Any) -> None:
    failed = await api.post("/v1/things", {"name": "unforeseen"}, idempotency_key="k")
    other = await api.post("/v1/things", A_THING, idempotency_key="k")

    assert (failed.status, other.status) == (500, 201)
    assert [thing["name"] for thing in (await api.get("/v1/things")).json["data"]] == ["once"]


async def test_a_crash_before_the_commit_keeps_neither_work_nor_answer(
    api: Any, things: Any, database_url: str
) -> None:
    create = things.create

    async def killed(tx: Tx, body: Any) -> Any:
        made = await create(tx, body)
        with psycopg.connect(database_url, autocommit=True) as owner:
            owner.execute("select pg_terminate_backend(%s)", [tx.connection.info.backend_pid])
        await tx.row("select 1")
        return made

    things.create = killed
    crashed = await api.post("/v1/things", A_THING, idempotency_key="k")
    things.create = create
    again = await api.post("/v1/things", A_THING, idempotency_key="k")

    assert (crashed.status, crashed.json["code"]) == (503, "database_away")
    assert (again.status, "idempotent-replay" in again.headers) == (201, False)
    assert len((await api.get("/v1/things")).json["data"]) == 1


async def test_a_second_request_while_the_first_runs_is_told_so(api: Any, things: Any) -> None:
    running, may_end = asyncio.Event(), asyncio.Event()
    create = things.create

    async def slow(tx: Tx, body: Any) -> Any:
        running.set()
        await may_end.wait()
        return await create(tx, body)

    things.create = slow
    first = asyncio.create_task(api.post("/v1/things", A_THING, idempotency_key="k"))
    await running.wait()
    second = await api.post("/v1/things", A_THING, idempotency_key="k")
    may_end.set()

    assert (second.status, second.json["code"]) == (409, "idempotency_in_progress")
    assert (await first).status == 201


async def test_of_many_at_once_exactly_one_does_the_work(api: Any) -> None:
    replies = await asyncio.gather(*(api.post("/v1/things", A_THING, idempotency_key="k") for _ in range(20)))

    assert {reply.status for reply in replies} <= {201, 409}
    assert len({reply.json["id"] for reply in replies if reply.status == 201}) == 1
    assert len((await api.get("/v1/things")).json["data"]) == 1


async def test_an_answer_does_not_stand_in_the_database_in_clear(api: Any, database_url: str) -> None:
    await api.post("/v1/things", {"name": "s3cret"}, idempotency_key="k")

    with psycopg.connect(database_url, options="-c role=offhook_engine") as engine:
        rows = engine.execute("select answer from idempotency").fetchall()
    assert len(rows) == 1
    assert b"s3cret" not in rows[0][0]


async def test_a_key_may_be_used_anew_after_24_hours_and_is_forgotten_then(
    api: Any, database: Database, tenant: Tenant
) -> None:
    await api.post("/v1/things", A_THING, idempotency_key="k")
    async with database.transaction(tenant) as tx:
        await tx.run("update idempotency set created_at = created_at - %(by)s", {"by": timedelta(hours=24)})

    renewed = await api.post("/v1/things", {"name": "other"}, idempotency_key="k")
    async with database.transaction(tenant) as tx:
        await tx.run("update idempotency set created_at = created_at - %(by)s", {"by": timedelta(hours=24)})
    async with database.engine() as engine:
        purged = await purge_idempotency(engine)

    assert renewed.status == 201
    assert purged == 1


async def test_a_day_of_many_keys_is_forgotten_in_small_steps(
    api: Any, database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PURGED_AT_ONCE", 2)
    for n in range(4):
        await api.post("/v1/things", A_THING, idempotency_key=f"{n}")
    async with database.transaction(tenant) as tx:
        old = timedelta(hours=24)
        await tx.run("update idempotency set created_at = created_at - %(by)s", {"by": old})
    await api.post("/v1/things", A_THING, idempotency_key="young")

    async with database.engine() as engine:
        purged = [await purge_idempotency(engine) for _ in range(3)]
        left = await engine.row("select count(*) from idempotency")

    assert (purged, left) == ([2, 2, 0], (1,))


async def test_a_key_that_is_too_long_or_empty_is_refused(api: Any) -> None:
    for key in ("", "x" * 256):
        reply = await api.post("/v1/things", A_THING, idempotency_key=key)
        assert (reply.status, reply.json["code"]) == (422, "bad_idempotency_key")


A, B = ids.new(), ids.new()
LEAD = {"object": "lead", "id": ids.show("lead", A)}


@pytest.mark.parametrize(
    ("body", "person"),
    [
        (LEAD, A),
        ({"object": "scene", "lead": LEAD}, A),
        ({"object": "call", "id": ids.show("call", B), "lead_id": ids.show("lead", A)}, A),
        ({"object": "call", "id": ids.show("call", B), "lead_id": None}, B),
    ],
)
def test_an_answer_that_shows_a_lead_or_a_call_is_about_its_person(body: Any, person: Any) -> None:
    assert person_of(body) == person


@given(
    st.recursive(
        st.sampled_from([None, "erasure", "postback", ids.show("lead", A)]),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "object", "lead", "lead_id"]), inner),
    )
)
def test_any_other_answer_is_about_nobody(body: Any) -> None:
    assert person_of(body) is None
