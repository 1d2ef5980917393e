"""A page of a replay reads about as many rows as it looks at, however full the tables are and however little fits."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from tests.db.explaining import Explaining
from tests.webhooks.test_replay_states import a_replay

from offhook import ids
from offhook.db import Database, Tenant, Tx
from offhook.events.hearing import Hearing
from offhook.webhooks import replay_match_store, replay_missing_store
from offhook.webhooks.replay import Replay
from offhook.webhooks.replay_filter import Filter
from offhook.webhooks.replay_missing_store import Recorded

MANY, LOOK = 5000, 20
ENDPOINT = ids.new()
BEGINNING = (datetime(2000, 1, 1, tzinfo=UTC), ENDPOINT)
Read = Callable[[Tx, Replay], Awaitable[object]]

FULL = """
set role offhook_app;
select set_config('offhook.workspace', %(ws)s::text, false), set_config('offhook.environment', 'sandbox', false);
insert into delivery (workspace_id, environment, written_at, id, event_id, event_at, endpoint_id, type, subject_id, sequence)
  select %(ws)s, 'sandbox', now() - n * interval '1 ms', gen_random_uuid(), gen_random_uuid(),
    now() - n * interval '1 ms', case when n %% 2 = 0 then %(endpoint)s::uuid else gen_random_uuid() end, 'lead.accepted', gen_random_uuid(), 1
  from generate_series(1, %(many)s) n;
insert into dead_letter (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, tries, reason, died_at)
  select workspace_id, environment, id, written_at, event_id, event_at, endpoint_id, 8, 'too_old', now() from delivery;
insert into due (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, due_at)
  select workspace_id, environment, id, written_at, event_id, event_at, endpoint_id, 'infinity' from delivery;
insert into event (workspace_id, environment, written_at, id, type, subject_type, subject_id, sequence, occurred_at, epoch, body)
  select workspace_id, environment, written_at, event_id, 'lead.accepted', 'lead', subject_id, 1, written_at, 1, 'x' from delivery;
"""


@pytest.fixture(params=["not analysed", "analysed"])
def full(request: Any, database_url: str, tenant: Tenant, stranger: Tenant) -> None:
    with psycopg.connect(database_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as owner:
        for whose in (tenant, stranger):
            owner.execute(FULL, {"ws": whose.workspace, "endpoint": ENDPOINT, "many": MANY})
        owner.execute("reset role")
        if request.param == "analysed":
            owner.execute("analyze delivery, dead_letter, event, due, try")


RECORDED = Recorded(
    datetime.now(UTC), ENDPOINT, "lead.accepted", "lead", ENDPOINT, 1, None, datetime.now(UTC), None, True
)
READS: dict[str, tuple[Filter, Read]] = {
    "dead": (Filter(status="dead", type="call.*"), lambda tx, one: replay_match_store.look(tx, one, LOOK)),
    "dead of one that has none": (
        Filter(endpoint=ids.new(), status="dead"),
        lambda tx, one: replay_match_store.count(tx, one, MANY),
    ),
    "of one endpoint": (
        Filter(endpoint=ENDPOINT, status="delivered"),
        lambda tx, one: replay_match_store.look(tx, one, LOOK),
    ),
    "of all": (
        Filter(status="any_ended", told_from=BEGINNING[0]),
        lambda tx, one: replay_match_store.look(tx, one, LOOK),
    ),
    "the oldest open": (Filter(), lambda tx, one: replay_match_store.none_open_before(tx, ENDPOINT, LOOK)),
    "bytes": (Filter(), lambda tx, one: replay_missing_store.bodies(tx, [RECORDED] * LOOK)),
    "what there is": (Filter(), lambda tx, one: replay_missing_store.delivered_ever(tx, [one.position] * LOOK)),
    "missing": (
        Filter(),
        lambda tx, one: replay_missing_store.look(tx, Hearing(ENDPOINT), one.position, one.until, LOOK),
    ),
}


@pytest.mark.parametrize(("wanted", "read"), READS.values(), ids=READS)
async def test_a_page_reads_no_more_than_it_looks_at(
    database: Database, tenant: Tenant, full: None, wanted: Filter, read: Read
) -> None:
    async with database.transaction(tenant, reading=True) as tx:
        replay = replace(a_replay(), filter=wanted, position=BEGINNING, until=tx.wall, created_at=tx.now)
        found = await read(tx, replay)
        explaining = Explaining(tx)
        await read(explaining, replay)
    tables: Counter[str] = Counter()
    for node in explaining.nodes:
        if table := node.get("Relation Name"):
            passed_over = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            tables[table] += round((node["Actual Rows"] + passed_over) * node["Actual Loops"])

    assert found is not None
    assert tables
    assert max(tables.values()) <= 10 * LOOK, tables
