"""A page of a long log costs a page."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from tests.db.explaining import Explaining
from tests.events.test_api import api, app, append, beginning, next_event, paused, started, streams

from offhook import ids
from offhook.db import Database, Tenant
from offhook.events import Log, Story, store
from offhook.events.catalogue.leads import LeadCadencePaused
from offhook.http.pages import cursor

__all__ = ["api", "app", "streams"]


@pytest.fixture
def few_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_WANTED_OF_LOG", "_WANTED_OF_SUBJECT"):
        monkeypatch.setattr(store, name, getattr(store, name).replace(f"limit {store.LOOKED_AT}", "limit 10"))
    monkeypatch.setattr(store, "LOOKED_AT", 10)


async def test_the_log_is_read_in_the_order_of_its_index(database: Database, log: Log, tenant: Tenant) -> None:
    lead = ids.new()
    async with database.transaction(tenant) as tx:
        await log.append(tx, [LeadCadencePaused(subject_id=lead, story=Story(), reason="api_key") for _ in range(500)])
    async with database.transaction(tenant, reading=True) as tx:
        whole, story = Explaining(tx), Explaining(tx)
        await store.after_position(whole, store.Wanted(), store.BEGINNING, 10)
        await store.after_sequence(story, lead, store.Wanted(), 0, 10)

    for explained in (whole, story):
        assert "Index Scan" in {node["Node Type"] for node in explained.nodes}
    assert not {"Sort", "Incremental Sort"} & {node["Node Type"] for node in whole.nodes}
    assert max(node["Actual Rows"] for node in whole.nodes) <= 20


async def test_a_rare_type_is_sought_among_a_bounded_number_of_rows(
    database: Database, log: Log, tenant: Tenant
) -> None:
    lead = ids.new()
    await append(database, log, tenant, *[paused(lead) for _ in range(store.LOOKED_AT + 500)])

    async with database.transaction(tenant, reading=True) as tx:
        whole, story = Explaining(tx), Explaining(tx)
        await store.after_position(whole, store.Wanted(["lead.erased"]), store.BEGINNING, 50)
        await store.after_sequence(story, lead, store.Wanted(["lead.erased"]), 0, 50)

    for explained in (whole, story):
        assert max(node["Actual Rows"] for node in explained.nodes) == store.LOOKED_AT


@pytest.mark.usefixtures("few_looked_at")
@pytest.mark.parametrize("by_subject", [False, True])
async def test_page_by_page_every_event_of_a_rare_type_is_found_once(
    api: Any, database: Database, log: Log, tenant: Tenant, by_subject: bool
) -> None:
    lead = ids.new()
    await append(database, log, tenant, *[started(lead) if n in (13, 30) else paused(lead) for n in range(35)])
    path = "/v1/events?type=lead.cadence_started&limit=5" + by_subject * f"&subject={ids.show('lead', lead)}"

    pages = [(await api.get(path)).json]
    while pages[-1]["has_more"]:
        pages.append((await api.get(f"{path}&after={pages[-1]['next_cursor']}")).json)

    assert [[event["sequence"] for event in page["data"]] for page in pages] == [[], [14], [], [31]]


@pytest.mark.usefixtures("few_looked_at")
async def test_a_stream_of_a_rare_type_never_reads_again_what_it_passed_over(
    api: Any, database: Database, log: Log, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_where = watched(monkeypatch)
    async with api.stream("/v1/events/stream?type=lead.cadence_started") as chunks:
        begun = await beginning(chunks)
        await append(database, log, tenant, *[paused(ids.new()) for _ in range(25)])
        places = [await beginning(chunks) for _ in range(3)]
        await append(database, log, tenant, started(ids.new()))
        seen, _ = await next_event(chunks)

    assert len({begun, *places, seen}) == 5
    assert from_where == sorted(from_where)
    assert len(set(from_where)) >= 4


async def test_who_comes_back_to_a_stream_goes_on_behind_what_was_passed_over(
    api: Any, database: Database, log: Log, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api.stream("/v1/events/stream?type=lead.cadence_started") as chunks:
        await beginning(chunks)
        await append(database, log, tenant, paused(ids.new()))
        passed_over = await beginning(chunks)
    from_where = watched(monkeypatch)

    async with api.stream("/v1/events/stream", last_event_id=passed_over) as chunks, asyncio.timeout(5):
        await beginning(chunks)
        await append(database, log, tenant, started(ids.new()))
        _, told = await next_event(chunks)

    assert told["type"] == "lead.cadence_started"
    assert cursor(from_where[0]) == passed_over


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, UUID]]:
    """The position that each look at the log begins from."""
    began: list[tuple[int, int, UUID]] = []
    look = store.after_position

    async def after_position(tx: Any, wanted: Any, after: Any, most: int) -> store.Looked:
        began.append(after)
        return await look(tx, wanted, after, most)

    monkeypatch.setattr(store, "after_position", after_position)
    return began
