import asyncio
from typing import Any
from uuid import UUID

import orjson
import pytest
from fastapi import FastAPI

from offhook import access, ids
from offhook.app import build_app
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.errors import NotFound
from offhook.events import Log, Story, http, store
from offhook.events.catalogue.leads import LeadCadencePaused, LeadCadenceStarted
from offhook.events.fact import Fact
from offhook.events.hearing import Hearing
from offhook.events.reactions import Within
from offhook.events.stream import Streams, announce
from offhook.http import Door
from offhook.http.resources import External, Ref
from offhook.privacy import Vault
from offhook.settings import load

ENDPOINT = ids.new()


async def hearing_of(tx: Tx, ref: Ref) -> Hearing:
    if ref not in (ENDPOINT, External("crm")):
        raise NotFound("no_such_endpoint", "There is no endpoint with this id.")
    return Hearing(ENDPOINT, ["lead.cadence_started", "call.*"])


@pytest.fixture
def streams(database: Database, vault: Vault, wakeups: Wakeups) -> Streams:
    return Streams(database, vault, wakeups)


@pytest.fixture
def app(database: Database, vault: Vault, wakeups: Wakeups, streams: Streams) -> FastAPI:
    async def ready() -> dict[str, str]:
        return {}

    router = http.router(Door(database, vault), vault, streams, hearing_of)
    return build_app(load(environ={}), access.Authenticator(database, wakeups), database, [router], ready)


@pytest.fixture
async def api(app: FastAPI, database: Database, tenant: Tenant, client_of: Any) -> Any:
    return client_of(app, (await a_key(database, tenant)).shown)


async def a_key(database: Database, tenant: Tenant) -> access.IssuedKey:
    async with database.transaction(tenant) as tx:
        return await access.issue_key(tx, "Reader", ["events:read", "access:*"])


def paused(lead: UUID, *, person: UUID | None = None, reason: str = "api_key") -> Fact:
    return LeadCadencePaused(subject_id=lead, story=Story(person), reason=reason)


def started(lead: UUID) -> Fact:
    return LeadCadenceStarted(subject_id=lead, cadence_id="cad_1", version=1)


async def append(database: Database, log: Log, tenant: Tenant, *facts: Fact) -> None:
    async with database.transaction(tenant) as tx:
        await log.append(tx, facts)


def sequences(reply: Any) -> list[int]:
    return [event["sequence"] for event in reply.json["data"]]


async def test_the_events_of_a_subject_come_by_their_sequence(
    api: Any, database: Database, log: Log, tenant: Tenant
) -> None:
    lead, other = ids.new(), ids.new()
    for _ in range(5):
        await append(database, log, tenant, paused(lead), paused(other))
    path = f"/v1/events?subject={ids.show('lead', lead)}"

    first = await api.get(f"{path}&after_sequence=1&limit=2")
    rest = await api.get(f"{path}&after_sequence=1&after={first.json['next_cursor']}")

    assert (sequences(first), sequences(rest)) == ([2, 3], [4, 5])
    assert {event["subject"]["id"] for event in first.json["data"]} == {ids.show("lead", lead)}


async def test_the_whole_log_comes_in_pages_each_event_once(
    api: Any, database: Database, log: Log, tenant: Tenant
) -> None:
    for _ in range(7):
        await append(database, log, tenant, paused(ids.new()), started(ids.new()))
    seen, path = [], "/v1/events?limit=4"

    while True:
        page = (await api.get(path)).json
        seen += [event["event_id"] for event in page["data"]]
        if not page["has_more"]:
            break
        path = f"/v1/events?limit=4&after={page['next_cursor']}"

    assert len(seen) == len(set(seen)) == 14


async def test_a_page_never_passes_a_transaction_that_commits_late(
    api: Any, database: Database, log: Log, tenant: Tenant
) -> None:
    early, late = ids.new(), ids.new()
    async with database.transaction(tenant) as slow:
        await log.append(slow, [paused(early)])
        await append(database, log, tenant, paused(late))
        while_open = await api.get("/v1/events")
    after = await api.get("/v1/events")

    assert while_open.json["data"] == []
    assert [event["subject"]["id"] for event in after.json["data"]] == [
        ids.show("lead", early),
        ids.show("lead", late),
    ]


async def test_readers_who_page_while_writers_write_miss_nothing(
    api: Any, database: Database, log: Log, tenant: Tenant
) -> None:
    over = False

    async def write(n: int) -> None:
        for _ in range(10):
            async with database.transaction(tenant) as tx:
                await log.append(tx, [paused(ids.new())])
                await asyncio.sleep(0.001 * n)

    async def read() -> list[str]:
        seen: list[str] = []
        cursor = store.BEGINNING
        while True:
            last_look = over
            async with database.transaction(tenant) as tx:
                rows = (await store.after_position(tx, store.Wanted(), cursor, 5)).rows
            seen += [str(row.id) for row in rows]
            cursor = rows[-1].position if rows else cursor
            if last_look and not rows:
                return seen

    reader = asyncio.create_task(read())
    await asyncio.gather(*(write(n) for n in range(4)))
    over = True
    seen = await reader

    assert len(seen) == len(set(seen)) == 40


async def test_what_an_older_epoch_wrote_is_wholly_visible_and_comes_first(
    api: Any, database: Database, log: Log, tenant: Tenant
) -> None:
    async with database.engine() as engine:
        log.epoch = await store.read_epoch(engine)
        again = await store.read_epoch(engine)
    before, after = ids.new(), ids.new()
    await append(database, log, tenant, paused(before))

    async with database.engine() as engine:
        await engine.run("update installation set system_identifier = 'another'")
        restored = await store.read_epoch(engine)
    log.epoch = restored
    await append(database, log, tenant, paused(after))
    subjects = [event["subject"]["id"] for event in (await api.get("/v1/events")).json["data"]]

    assert (again, restored) == (1, 2)
    assert subjects == [ids.show("lead", before), ids.show("lead", after)]


async def test_types_are_chosen_by_name_or_glob(api: Any, database: Database, log: Log, tenant: Tenant) -> None:
    await append(database, log, tenant, paused(ids.new()), started(ids.new()))

    async def found(glob: str) -> set[str]:
        return {event["type"] for event in (await api.get(f"/v1/events?type={glob}")).json["data"]}

    assert await found("lead.cadence_paused") == {"lead.cadence_paused"}
    assert await found("lead.*") == {"lead.cadence_paused", "lead.cadence_started"}
    assert await found("call.*") == set()


async def test_one_asks_what_an_endpoint_should_have_got(
    api: Any, database: Database, log: Log, tenant: Tenant
) -> None:
    lead = ids.new()
    await append(database, log, tenant, started(lead), paused(lead), started(lead), started(ENDPOINT))

    by_id = await api.get(f"/v1/events?webhook_endpoint={ids.show('whe', ENDPOINT)}")
    by_subject = await api.get(f"/v1/events?webhook_endpoint=ext:crm&subject={ids.show('lead', lead)}&after_sequence=1")
    unknown = await api.get("/v1/events?webhook_endpoint=ext:nobody")

    assert sequences(by_id) == [1, 3]
    assert sequences(by_subject) == [3]
    assert unknown.status == 404


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ("type=lead.acepted", "type", "unknown_event_type"),
        ("type=lead.*&type=lead_*", "type", "unknown_event_type"),
        ("subject=hello", "subject", "bad_id"),
        ("after_sequence=3", "after_sequence", "needs_subject"),
        ("after=bm9uc2Vuc2U", "after", "bad_cursor"),
        ("limit=0&after_sequence=-1", "after_sequence", "out_of_range"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(api: Any, query: str, param: str, code: str) -> None:
    reply = await api.get(f"/v1/events?{query}")

    assert (reply.status, reply.json["param"], reply.json["errors"][0]["code"]) == (422, param, code)


async def test_the_event_of_an_erased_person_is_a_tombstone(
    api: Any, database: Database, vault: Vault, log: Log, tenant: Tenant
) -> None:
    lead, person = ids.new(), ids.new()
    async with database.transaction(tenant) as tx:
        await vault.create(tx, [person])
        await log.append(tx, [paused(lead, person=person, reason="Michael")])
    before = (await api.get("/v1/events")).json["data"][0]
    async with database.transaction(tenant) as tx:
        await vault.shred(tx, person, reason="request", kept=[])

    after = (await api.get("/v1/events")).json["data"][0]
    single = (await api.get(f"/v1/events/{before['event_id']}")).json

    assert before["data"] == {"reason": "Michael"}
    assert after["data"] == {"erased": True}
    assert after == single
    same = ("event_id", "type", "sequence", "subject", "occurred_at", "workspace_id", "environment", "schema_version")
    assert [after[name] for name in same] == [before[name] for name in same]


async def test_one_event_is_found_by_its_id_and_not_by_a_stranger(
    api: Any, app: FastAPI, database: Database, log: Log, tenant: Tenant, stranger: Tenant, client_of: Any
) -> None:
    await append(database, log, tenant, paused(ids.new()))
    event = (await api.get("/v1/events")).json["data"][0]
    outsider = client_of(app, (await a_key(database, stranger)).shown)

    assert (await api.get(f"/v1/events/{event['event_id']}")).json == event
    assert (await api.get(f"/v1/events/{ids.show('evt', ids.new())}")).status == 404
    assert (await api.get("/v1/events/nonsense")).status == 404
    assert (await outsider.get(f"/v1/events/{event['event_id']}")).status == 404
    assert (await outsider.get("/v1/events")).json["data"] == []


async def next_event(chunks: "asyncio.Queue[bytes]") -> tuple[str, dict[str, Any]]:
    async with asyncio.timeout(5):
        lines = (await chunks.get()).decode().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["id", "event", "data", ""]
    return lines[0].removeprefix("id: "), orjson.loads(lines[2].removeprefix("data: "))


async def beginning(chunks: "asyncio.Queue[bytes]") -> str:
    """The cursor where the stream begins: it stands from here on, and is told of whatever is committed now."""
    async with asyncio.timeout(5):
        line, *blank = (await chunks.get()).decode().split("\n")
    assert blank == ["", ""]
    return line.removeprefix("id: ")


async def test_a_stream_goes_on_behind_the_last_event_that_was_seen(
    api: Any, database: Database, wakeups: Wakeups, log: Log, tenant: Tenant
) -> None:
    log.react([Within(Fact, announce(wakeups))])
    lead = ids.new()
    async with api.stream("/v1/events/stream") as chunks:
        await beginning(chunks)
        await append(database, log, tenant, paused(lead))
        seen, first = await next_event(chunks)
    await append(database, log, tenant, paused(lead), paused(lead))

    async with api.stream("/v1/events/stream?type=lead.*", last_event_id=seen) as chunks:
        assert await beginning(chunks) == seen
        missed = [(await next_event(chunks))[1]["sequence"] for _ in range(2)]
        await append(database, log, tenant, paused(lead))
        live = (await next_event(chunks))[1]["sequence"]

    assert first["sequence"] == 1
    assert (missed, live) == ([2, 3], 4)


async def test_a_stream_that_is_cut_before_its_first_event_misses_none(
    api: Any, database: Database, log: Log, tenant: Tenant
) -> None:
    async with api.stream("/v1/events/stream") as chunks:
        begun = await beginning(chunks)
    await append(database, log, tenant, paused(ids.new(), reason="missed"))

    async with api.stream("/v1/events/stream", last_event_id=begun) as chunks:
        await beginning(chunks)
        missed = (await next_event(chunks))[1]

    assert missed["data"] == {"reason": "missed"}


async def test_several_types_may_be_asked_for_at_once(api: Any, database: Database, log: Log, tenant: Tenant) -> None:
    await append(database, log, tenant, paused(ids.new()), started(ids.new()))

    both = await api.get("/v1/events?type=lead.cadence_paused&type=call.*&type=lead.cadence_started")
    one = await api.get("/v1/events?type=call.*&type=lead.cadence_started")
    misspelt = await api.get("/v1/events?type=call.*&type=lead.acepted")

    assert [event["type"] for event in both.json["data"]] == ["lead.cadence_paused", "lead.cadence_started"]
    assert [event["type"] for event in one.json["data"]] == ["lead.cadence_started"]
    assert (misspelt.status, misspelt.json["errors"][0]["code"]) == (422, "unknown_event_type")


async def test_a_stream_tells_a_new_event_well_within_a_second(
    api: Any, database: Database, wakeups: Wakeups, log: Log, tenant: Tenant
) -> None:
    log.react([Within(Fact, announce(wakeups))])
    clock = asyncio.get_running_loop().time
    async with api.stream("/v1/events/stream") as chunks:
        await beginning(chunks)
        waits = []
        for _ in range(3):
            began = clock()
            await append(database, log, tenant, paused(ids.new()))
            await next_event(chunks)
            waits.append(clock() - began)

    assert min(waits) < 0.5


async def test_a_stream_ends_when_its_key_is_revoked(
    app: FastAPI, database: Database, wakeups: Wakeups, tenant: Tenant, client_of: Any
) -> None:
    key = await a_key(database, tenant)
    async with client_of(app, key.shown).stream("/v1/events/stream") as chunks:
        await beginning(chunks)
        wakeups.send(f"key:{key.id}")

        async with asyncio.timeout(5):
            assert await chunks.get() == b""


async def test_streams_end_when_the_process_stops_and_none_begins_then(api: Any, streams: Streams) -> None:
    async with api.stream("/v1/events/stream") as chunks, asyncio.timeout(5):
        await beginning(chunks)

        streams.end()

        assert await chunks.get() == b""
    async with api.stream("/v1/events/stream") as chunks, asyncio.timeout(5):
        assert await chunks.get() == b""


async def test_every_event_type_is_listed_with_its_schema_and_a_fitting_example(api: Any) -> None:
    types = (await api.get("/v1/event-types")).json["data"]

    assert len(types) > 40
    for one in types:
        assert one["description"].endswith((".", ")"))
        schema = (await api.get(f"/v1/event-types/{one['type']}/schema")).json
        data = schema["properties"]["data"]
        assert set(one["example"]) <= set(data.get("properties", {}))
        assert schema["properties"]["type"] == {"const": one["type"]}


async def test_an_unknown_event_type_is_answered_with_the_one_meant(api: Any) -> None:
    reply = await api.get("/v1/event-types/lead.acepted/schema")

    assert reply.status == 404
    assert "Did you mean lead.accepted?" in reply.json["detail"]
