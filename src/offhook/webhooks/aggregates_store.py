"""The SQL of figures: added up as tries are recorded, read without a look at the tries themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, LiteralString, NamedTuple
from uuid import UUID

from offhook.db import EngineTx, Tenant, Tx
from offhook.webhooks import held_store
from offhook.webhooks.histogram import Counts

Grain = Literal["minute", "hour"]
KEPT: dict[Grain, timedelta] = {"minute": timedelta(hours=3), "hour": timedelta(days=9)}
_PURGED_AT_ONCE = 2000


class Row(NamedTuple):
    """What a process adds to one endpoint's figures of one minute or hour."""

    tenant: Tenant
    endpoint: UUID
    grain: Grain
    at: datetime
    tries: int
    delivered: int
    failed: int
    dead: int
    total: Counts
    propagation: Counts


def _both(column: LiteralString) -> LiteralString:
    """Two histograms added up; the shorter one has nothing in the buckets that it lacks."""
    return (
        "coalesce((select array_agg(coalesce(a, 0) + coalesce(b, 0) order by n)"
        f" from unnest(f.{column}, excluded.{column}) with ordinality u(a, b, n)), '{{}}')"
    )


ADD = (
    "insert into endpoint_figures as f (workspace_id, environment, endpoint_id, grain, at, sender_id, tries, delivered, failed, dead, total,"
    " propagation) select w, e, endpoint, grain, at, %(me)s, tries, delivered, failed, dead, total::int[], propagation::int[]"
    " from unnest(%(w)b::uuid[], %(e)b::text[], %(endpoint)b::uuid[], %(grain)b::text[], %(at)b::timestamptz[], %(tries)b::int[],"
    "  %(delivered)b::int[], %(failed)b::int[], %(dead)b::int[], %(total)b::text[], %(propagation)b::text[])"
    " t(w, e, endpoint, grain, at, tries, delivered, failed, dead, total, propagation)"
    " on conflict (workspace_id, environment, endpoint_id, grain, at, sender_id) do update set tries = f.tries + excluded.tries,"
    " delivered = f.delivered + excluded.delivered, failed = f.failed + excluded.failed, dead = f.dead + excluded.dead,"
    f" total = {_both('total')}, propagation = {_both('propagation')}"
)


async def add(tx: EngineTx, me: UUID, rows: Sequence[Row]) -> None:
    """Add these, sorted by their keys, to the rows of this process: nobody else writes those, so nobody waits."""
    await tx.run(
        ADD,
        {
            "me": me,
            "w": [row.tenant.workspace for row in rows],
            "e": [row.tenant.environment for row in rows],
            "endpoint": [row.endpoint for row in rows],
            "grain": [row.grain for row in rows],
            "at": [row.at for row in rows],
            "tries": [row.tries for row in rows],
            "delivered": [row.delivered for row in rows],
            "failed": [row.failed for row in rows],
            "dead": [row.dead for row in rows],
            # An array of arrays of several lengths is none; as text each is one value.
            "total": [_text(row.total) for row in rows],
            "propagation": [_text(row.propagation) for row in rows],
        },
    )


def _text(counts: Counts) -> str:
    return "{" + ",".join(map(str, counts)) + "}"


async def purge(tx: EngineTx) -> int:
    """Forget some of the figures that are older than anybody may ask for, and issues of endpoints that are gone."""
    rows = await tx.rows(
        "with old as materialized (select f.workspace_id, f.environment, f.endpoint_id, f.grain, f.at, f.sender_id from unnest("
        "   %(grain)b::text[], %(before)b::timestamptz[]) g(grain, before) cross join lateral (select * from endpoint_figures x"
        "   where x.grain = g.grain and x.at < g.before order by x.at limit %(most)s) f),"
        " gone as (delete from endpoint_figures f using old where (f.workspace_id, f.environment, f.endpoint_id, f.grain, f.at, f.sender_id)"
        "   = (old.workspace_id, old.environment, old.endpoint_id, old.grain, old.at, old.sender_id) returning 1),"
        " orphans as (delete from delivery_issue where id = any(array(select i.id from delivery_issue i where not exists (select from endpoint e"
        "   where e.workspace_id = i.workspace_id and e.environment = i.environment and e.id = i.endpoint_id) limit %(most)s)) returning 1)"
        " select (select count(*) from gone) + (select count(*) from orphans)",
        {"grain": list(KEPT), "before": [tx.wall - kept for kept in KEPT.values()], "most": _PURGED_AT_ONCE},
    )
    return int(rows[0][0])


@dataclass(frozen=True, slots=True)
class Figures:
    """What the tries of one minute or hour came to, over all processes or in one of them."""

    at: datetime
    tries: int
    delivered: int
    failed: int
    dead: int
    total: Counts
    propagation: Counts


async def read(tx: Tx, endpoint: UUID, grain: Grain, since: datetime) -> list[Figures]:
    """Everything from that minute or hour on, a row for each process, in order."""
    rows = await tx.rows(
        "select at, tries, delivered, failed, dead, total, propagation from endpoint_figures where workspace_id = %(ws)s"
        " and environment = %(env)s and endpoint_id = %(id)s and grain = %(grain)s and at >= %(since)s order by at",
        {**tx.keys, "id": endpoint, "grain": grain, "since": since},
    )
    return [Figures(*row) for row in rows]


class Backlog(NamedTuple):
    """What is open for an endpoint, counted up to a limit, and since when the oldest of what was counted is."""

    pending: int
    retrying: int
    held: int
    oldest_open_at: datetime | None


BACKLOG = (
    f"with o as materialized (select {held_store.STATUS} as status, u.written_at from (select * from due where workspace_id = %(ws)s"
    "    and environment = %(env)s and endpoint_id = %(id)s and due_at >= coalesce((select at from given_up where workspace_id = %(ws)s"
    f"    and environment = %(env)s and endpoint_id = %(id)s), '-infinity') order by due_at limit %(most)s) u{held_store.OF_ENDPOINT})"
    " select (count(*) filter (where status = 'pending'))::int, (count(*) filter (where status = 'retrying'))::int,"
    "  (count(*) filter (where status = 'held'))::int, min(written_at) filter (where status <> 'discarded') from o"
)


async def backlog(tx: Tx, endpoint: UUID, most: int) -> Backlog:
    """Counted over that many rows at most."""
    row = await tx.row(BACKLOG, {**tx.keys, "id": endpoint, "most": most})
    assert row is not None
    return Backlog(*row)
