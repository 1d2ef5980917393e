"""The SQL of endpoints in trouble."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from offhook.db import EngineTx, Tenant, Tx
from offhook.webhooks.claim_store import HEADS, TAKING

About = Literal["failing", "disabled", "lagging", "dead_letters"]


@dataclass(frozen=True, slots=True)
class Seen:
    """Something went wrong with an endpoint, so often; `detail` is a code."""

    endpoint: UUID
    about: About
    count: int
    detail: str


@dataclass(frozen=True, slots=True)
class Incident:
    """What is or was wrong with an endpoint; times are the environment's."""

    endpoint: UUID
    about: About
    since: datetime
    latest_at: datetime
    count: int
    detail: str
    over_at: datetime | None


_COLUMNS = "endpoint_id, about, since, latest_at, count, detail, over_at"


async def saw(tx: Tx, seen: Sequence[Seen], *, quiet: timedelta) -> list[Incident]:
    """Count these in; those that begin by it, for none was open or it was quiet for so long."""
    rows = await tx.rows(
        "with n as materialized (select * from unnest(%(endpoint)b::uuid[], %(about)b::text[], %(count)b::int[], %(detail)b::text[])"
        "   n(endpoint_id, about, count, detail) order by 1, 2),"
        " known as materialized (select endpoint_id, about from incident i where workspace_id = %(ws)s and environment = %(env)s"
        "   and over_at is null and latest_at > %(now)s - %(quiet)s and (endpoint_id, about) in (select endpoint_id, about from n)),"
        " w as (insert into incident as i (workspace_id, environment, endpoint_id, about, since, latest_at, count, detail)"
        "   select %(ws)s, %(env)s, endpoint_id, about, %(now)s, %(now)s, count, detail from n"
        "   on conflict (workspace_id, environment, endpoint_id, about) do update set latest_at = %(now)s, detail = excluded.detail, over_at = null,"
        "    since = case when i.over_at is null and i.latest_at > %(now)s - %(quiet)s then i.since else %(now)s end,"
        "    count = excluded.count + case when i.over_at is null and i.latest_at > %(now)s - %(quiet)s then i.count else 0 end"
        f"   returning {_COLUMNS})"
        f" select {_COLUMNS} from w where not exists (select from known k where k.endpoint_id = w.endpoint_id and k.about = w.about)",
        {
            **tx.keys,
            "now": tx.now,
            "quiet": quiet,
            "endpoint": [one.endpoint for one in seen],
            "about": [one.about for one in seen],
            "count": [one.count for one in seen],
            "detail": [one.detail for one in seen],
        },
    )
    return [Incident(*row) for row in rows]


async def end(tx: Tx, endpoints: Sequence[UUID], abouts: Sequence[About]) -> bool:
    """Whether any of these was open; they are over now."""
    return bool(
        await tx.count(
            "update incident set over_at = %(now)s, latest_at = %(now)s where workspace_id = %(ws)s and environment = %(env)s"
            " and endpoint_id = any(%(endpoints)b::uuid[]) and about = any(%(abouts)b::text[]) and over_at is null",
            {**tx.keys, "now": tx.now, "endpoints": list(endpoints), "abouts": list(abouts)},
        )
    )


async def since(tx: Tx, after: datetime) -> list[Incident]:
    """What began, went on or ended after that instant."""
    rows = await tx.rows(
        f"select {_COLUMNS} from incident where workspace_id = %(ws)s and environment = %(env)s and latest_at > %(after)s"
        " order by endpoint_id, about",
        {**tx.keys, "after": after},
    )
    return [Incident(*row) for row in rows]


async def open_ones(tx: Tx, endpoints: Sequence[UUID] | None = None, *, quiet: timedelta) -> list[Incident]:
    """What is wrong now: all of it with these endpoints, or a thousand troubles of whichever.

    Dead letters are for so long after the latest.
    """
    which, most = ("", " limit 1000") if endpoints is None else (" and endpoint_id = any(%(endpoints)b::uuid[])", "")
    rows = await tx.rows(
        f"select {_COLUMNS} from incident where workspace_id = %(ws)s and environment = %(env)s and over_at is null{which}"
        f" and (about <> 'dead_letters' or latest_at > %(now)s - %(quiet)s) order by endpoint_id, about{most}",
        {**tx.keys, "endpoints": list(endpoints or ()), "now": tx.now, "quiet": quiet},
    )
    return [Incident(*row) for row in rows]


async def drop(tx: Tx, endpoints: Sequence[UUID]) -> None:
    """Nothing was ever wrong with these."""
    await tx.run(
        "delete from incident where workspace_id = %(ws)s and environment = %(env)s and endpoint_id = any(%(endpoints)b::uuid[])",
        {**tx.keys, "endpoints": list(endpoints)},
    )


async def purge(tx: EngineTx, *, quiet: timedelta, kept: timedelta) -> int:
    """Delete what is over for `kept`, by the clock of each environment, and what is left of endpoints that are gone; how many."""
    return await tx.count(
        # All at once, for an endpoint has four at most; and each is looked at again if somebody changes it meanwhile.
        "delete from incident i using environment v where v.workspace_id = i.workspace_id and v.environment = i.environment and ("
        " coalesce(i.over_at, case when i.about = 'dead_letters' then i.latest_at + %(quiet)s end) <= %(wall)s + v.clock_offset - %(kept)s"
        " or not exists (select from endpoint e where e.workspace_id = i.workspace_id and e.environment = i.environment and e.id = i.endpoint_id))",
        {"wall": tx.wall, "quiet": quiet, "kept": kept},
    )


@dataclass(frozen=True, slots=True)
class Late:
    """An endpoint whose oldest due delivery should have been sent so long ago; zero: none is late any more."""

    tenant: Tenant
    endpoint: UUID
    by: timedelta


# One look per endpoint that has anything open, by the index of what is due; whatever a process is sending just now is
# not late. Endpoints whose lateness is over are those with an open incident that the first half does not find.
LATE = (
    f"{HEADS}, late as materialized (select h.workspace_id, h.environment, h.endpoint_id, now() + v.clock_offset - f.due_at as by from head h"
    f" {TAKING} cross join lateral (select clock_offset from environment e where e.workspace_id = h.workspace_id"
    "   and e.environment = h.environment offset 0) v cross join lateral (select greatest(d.due_at, p.enabled_at) as due_at from due d"
    "   where d.endpoint_id = h.endpoint_id and (d.leased_until is null or d.leased_until < now()) order by d.due_at limit 1) f"
    "  where f.due_at <= now() + v.clock_offset - %(after)s)"
    " select workspace_id, environment, endpoint_id, by from late"
    " union all select workspace_id, environment, endpoint_id, interval '0' from incident i where about = 'lagging' and over_at is null"
    "  and not exists (select from late l where l.endpoint_id = i.endpoint_id)"
)


async def late(tx: EngineTx, after: timedelta) -> list[Late] | None:
    """The endpoints that are late by more than `after`, and those that were; None when another process looks just now."""
    row = await tx.row("select pg_try_advisory_xact_lock(hashtextextended('offhook.late', 8))")
    if row is None or not row[0]:
        return None
    return [
        Late(Tenant(workspace, environment), endpoint, by)
        for workspace, environment, endpoint, by in await tx.rows(LATE, {"after": after})
    ]
