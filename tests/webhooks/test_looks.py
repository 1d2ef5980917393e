"""A look at deliveries reads a bounded number of rows, whatever it asks for, and finds everything page by page."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import TupleRow
from tests.db.explaining import Explaining
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.test_http import api, app

from offhook import ids
from offhook.clock import show as shown
from offhook.db import Database, Tenant, Tx
from offhook.webhooks.delivery_store import LOOKED_AT, DeliveryRow, Status, Wanted, dead_letters, look

__all__ = ["api", "app"]

MANY, FEW, DELIVERED = 5000, 20, 7
BROKEN, FINE, PAUSED, CHATTY = ids.new(), ids.new(), ids.new(), ids.new()
SECOND = timedelta(seconds=1)
NOON = datetime.now(UTC).replace(microsecond=0)
LAST_HALF = NOON - timedelta(seconds=MANY // 2)
STATUSES: list[Status | None] = [None, "pending", "held", "retrying", "delivered", "dead", "discarded"]

A_DELIVERY_A_SECOND = """
insert into endpoint (workspace_id, environment, id, url, events, secret, status, created_at, updated_at)
  values (%(ws)s, 'sandbox', %(endpoint)s, 'x', '{*}', '', %(status)s, now(), now());
insert into delivery (workspace_id, environment, written_at, id, event_id, event_at, endpoint_id, type, subject_id, sequence)
  select %(ws)s, 'sandbox', %(noon)s - n * interval '1 s', gen_random_uuid(), gen_random_uuid(), %(noon)s - n * interval '1 s', %(endpoint)s,
    case n %% 500 when 0 then 'call.ended' else 'lead.accepted' end, case n %% 2 when 0 then %(subject)s else gen_random_uuid() end, n
  from generate_series(1, %(count)s) n;
insert into event (workspace_id, environment, written_at, id, type, subject_type, subject_id, sequence, occurred_at, epoch, body)
  select workspace_id, environment, event_at, event_id, type, 'lead', subject_id, 1 + %(count)s - sequence, event_at, 0, ''
  from delivery where endpoint_id = %(endpoint)s;
"""
THEN: dict[str, LiteralString] = {
    "died": "insert into dead_letter (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, tries, reason, died_at)"
    " select workspace_id, environment, id, written_at, event_id, event_at, endpoint_id, 8, 'x', now() from delivery"
    " where endpoint_id = %(endpoint)s and sequence <= %(count)s - %(delivered)s",
    "waits": "insert into due (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, due_at, tries)"
    " select workspace_id, environment, id, written_at, event_id, event_at, endpoint_id, now(), sequence %% 3 from delivery"
    " where endpoint_id = %(endpoint)s and sequence <= %(count)s - %(delivered)s",
}


@pytest.fixture
def full(database_url: str, tenant: Tenant, stranger: Tenant) -> None:
    """One endpoint whose deliveries died, two whose few wait, one of them paused, and a stranger's whose many wait; analysed."""
    with psycopg.connect(database_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as owner:
        for whose, endpoint, count, what, status in (
            (tenant, BROKEN, MANY, "died", "active"),
            (tenant, FINE, FEW, "waits", "active"),
            (tenant, PAUSED, FEW, "waits", "paused"),
            (stranger, ids.new(), MANY, "waits", "active"),
        ):
            values = {
                "ws": whose.workspace,
                "endpoint": endpoint,
                "count": count,
                "delivered": DELIVERED,
                "status": status,
            }
            owner.execute(
                "set role offhook_app; select set_config('offhook.workspace', %(ws)s::text, false),"
                f" set_config('offhook.environment', 'sandbox', false);{A_DELIVERY_A_SECOND}{THEN[what]}",
                {**values, "noon": NOON, "subject": CHATTY},
            )
        owner.execute("reset role; analyze due, delivery, endpoint, dead_letter, event")


class Watched(Explaining):
    """Answers, and tells by what plans."""

    async def rows(self, query: LiteralString, params: Any = None) -> list[TupleRow]:
        await super().rows(query, params)
        return await Tx.rows(self, query, params)

    async def row(self, query: LiteralString, params: Any = None) -> TupleRow | None:
        rows = await self.rows(query, params)
        return rows[0] if rows else None

    @property
    def read(self) -> dict[str, int]:
        """How many rows of each table were looked at by any one scan of it, those passed over too."""
        tables: Counter[str] = Counter()
        for node in self.nodes:
            passed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            table = str(node.get("Relation Name")).partition("_2")[0]
            tables[table] = max(tables[table], round((node["Actual Rows"] + passed) * node["Actual Loops"]))
        return {table: count for table, count in tables.items() if table != "None"}


async def all_of(tx: Tx, wanted: Wanted, most: int = 51) -> list[DeliveryRow]:
    """Every page, as a client goes through them."""
    found: list[DeliveryRow] = []
    after = None
    while True:
        looked = await look(tx, wanted, after, most)
        told = looked.rows[: most - 1]
        found += told
        if len(looked.rows) == most:
            after = (told[-1].written_at, told[-1].id)
        elif looked.end:
            after = looked.end
        else:
            return found


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("status", STATUSES, ids=str)
async def test_every_combination_of_filters_reads_a_bounded_number_of_rows(
    database: Database, tenant: Tenant, status: Status | None
) -> None:
    async with database.transaction(tenant, reading=True) as tx:
        for endpoint in (None, BROKEN, FINE, PAUSED):
            for more in (
                {},
                {"type": "call.%"},
                {"subject": CHATTY},
                {"told_from": LAST_HALF},
                {"told_to": LAST_HALF, "live": False},
            ):
                watched = Watched(tx)
                await look(watched, Wanted(endpoint, status, **more), None, 51)

                assert max(watched.read.values()) <= 2 * LOOKED_AT, (endpoint, more, watched.read)
                assert {node["Node Type"] for node in watched.nodes}.isdisjoint({"Seq Scan", "Hash Join", "Merge Join"})


@pytest.mark.usefixtures("full")
async def test_a_page_far_down_reads_as_little_as_the_first(database: Database, tenant: Tenant) -> None:
    async with database.transaction(tenant, reading=True) as tx:
        watched = Watched(tx)
        found = await look(watched, Wanted(BROKEN), (NOON - timedelta(seconds=1000), UUID(int=0)), 51)

    assert len(found.rows) == 51
    assert watched.read["delivery"] <= LOOKED_AT


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Wanted(), MANY + 2 * FEW),
        (Wanted(BROKEN, "delivered"), DELIVERED),
        (Wanted(status="delivered"), 3 * DELIVERED),
        (Wanted(BROKEN, "dead", "call.%"), MANY // 500 - 1),
        (Wanted(status="dead", told_from=NOON - timedelta(seconds=10)), 10),
        (Wanted(BROKEN, told_from=LAST_HALF, told_to=LAST_HALF + timedelta(seconds=99)), 99),
        (Wanted(BROKEN, told_from=LAST_HALF, told_to=LAST_HALF + timedelta(seconds=99), live=False), 99),
        (Wanted(FINE, "held"), 0),
        (Wanted(status="held"), FEW - DELIVERED),
        (Wanted(status="retrying", told_to=NOON - timedelta(seconds=1)), 8),
        (Wanted(status="pending"), 4),
        (Wanted(BROKEN, subject=CHATTY), MANY // 2),
        (Wanted(status="delivered", subject=CHATTY), 4 + 4 + 4),
    ],
)
async def test_page_by_page_every_delivery_is_found_once(
    database: Database, tenant: Tenant, wanted: Wanted, count: int
) -> None:
    async with database.transaction(tenant, reading=True) as tx:
        found = await all_of(tx, wanted, 801)

    keys = [(row.written_at, row.id) for row in found]
    assert len(keys) == count
    assert keys == sorted(set(keys), reverse=True)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("wanted", "most"),
    [
        (Wanted(FINE, "dead"), 0),
        (Wanted(BROKEN, "dead"), 51),
        (Wanted(status="dead", reason="another"), LOOKED_AT),
        (Wanted(BROKEN, "dead", cause="another"), LOOKED_AT),
    ],
)
async def test_dead_letters_are_sought_among_a_bounded_number(
    database: Database, tenant: Tenant, wanted: Wanted, most: int
) -> None:
    async with database.transaction(tenant, reading=True) as tx:
        watched = Watched(tx)
        await dead_letters(watched, wanted, None, 51)

    assert watched.read["dead_letter"] <= LOOKED_AT * (most > 0)
    assert watched.read.get("delivery", 0) <= most
    assert {node["Node Type"] for node in watched.nodes}.isdisjoint({"Seq Scan", "Hash Join", "Merge Join"})


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("query", "count"),
    [("type=call.*", MANY // 500 - 1), (f"endpoint={ids.show('whe', BROKEN)}", MANY - DELIVERED)],
    ids=["of a type", "of an endpoint"],
)
async def test_page_by_page_every_dead_letter_is_found_once(api: Any, query: str, count: int) -> None:
    pages = [(await api.get(f"/v1/dead-letters?{query}&limit=900")).json]
    while pages[-1]["has_more"]:
        pages.append((await api.get(f"/v1/dead-letters?{query}&limit=900&after={pages[-1]['next_cursor']}")).json)

    assert len({one["id"] for page in pages for one in page["data"]}) == count
    assert sum(len(page["data"]) for page in pages) == count
    assert len(pages) > 1


@pytest.mark.usefixtures("full")
async def test_a_page_with_nothing_in_it_says_where_to_go_on(api: Any) -> None:
    path = f"/v1/deliveries?status=delivered&endpoint={ids.show('whe', BROKEN)}"
    first = (await api.get(path)).json
    pages, found = 1, len(first["data"])

    while (page := (await api.get(f"{path}&after={first['next_cursor']}")).json)["has_more"]:
        first, pages, found = page, pages + 1, found + len(page["data"])

    assert first["has_more"]
    assert (pages, found + len(page["data"])) == (MANY // LOOKED_AT, DELIVERED)


async def test_deliveries_are_found_by_when_their_event_occurred(api: Any, room: Room, receiver: Receiver) -> None:
    await room.endpoint(receiver.url)
    for _ in range(3):
        await room.happens()
    await room.drain()
    latest, middle, first = [one["created_at"] for one in (await api.get("/v1/deliveries")).json["data"]]

    found = (await api.get(f"/v1/deliveries?from={middle}")).json["data"]
    before = (await api.get(f"/v1/deliveries?to={first}&from=2026-01-01T00:00:00Z")).json["data"]
    wrong = await api.get("/v1/deliveries?from=yesterday")

    assert {one["created_at"] for one in found} == {middle, latest}
    assert before == []
    assert (wrong.status, wrong.json["param"]) == (422, "from")


async def test_all_lists_bound_the_same_instants_also_where_the_clock_was_moved(
    api: Any, room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url, retry={"gaps_s": [0]})
    await clock.forward(timedelta(days=-100))
    await room.happens()
    await room.drain()
    (told,) = (await api.get("/v1/deliveries")).json["data"]
    occurred = datetime.fromisoformat(told["created_at"])

    assert datetime.now(UTC) - occurred > timedelta(days=99)
    for path in ("/v1/deliveries", "/v1/dead-letters"):
        for query, count in (
            (f"from={shown(occurred)}&to={shown(occurred + SECOND)}", 1),
            (f"to={shown(occurred)}", 0),
        ):
            assert len((await api.get(f"{path}?{query}")).json["data"]) == count, (path, query)
