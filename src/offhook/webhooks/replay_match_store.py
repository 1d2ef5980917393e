"""The SQL of which deliveries a replay or a cancellation is about, page by page, and of cancelling them.

A page looks at a bounded number of rows, in the order of an index, and answers all of them with whether they fit: so it
takes no longer however many do not, and the next one begins behind the last that was looked at. Dead letters are looked
at in the order of their death, all else in the order in which it was written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from offhook.db import Tx
from offhook.webhooks import held_store
from offhook.webhooks.delivery_store import CAUSE, OPEN, STATUS, TOLD_AT
from offhook.webhooks.replay import Position, Replay
from offhook.webhooks.replay_filter import Filter


class Looked(NamedTuple):
    """A delivery that was looked at: `position` is its place in the order, `written_at` and `id` its own."""

    at: datetime
    id: UUID
    written_at: datetime
    endpoint: UUID
    fits: bool

    @property
    def position(self) -> Position:
        return self.at, self.id


@dataclass(frozen=True, slots=True)
class Counted:
    """How many fit at one endpoint, and when the events of the oldest and the newest were recorded."""

    endpoint: UUID
    count: int
    oldest_at: datetime | None
    newest_at: datetime | None
    looked: int


_FITS: LiteralString = (
    "(%(endpoint)s::uuid is null or d.endpoint_id = %(endpoint)s) and (%(type)s::text is null or d.type like %(type)s)"
    " and (%(subject)s::uuid is null or d.subject_id = %(subject)s)"
    f" and (%(told_from)s::timestamptz is null or {TOLD_AT} >= %(told_from)s)"
    f" and (%(told_to)s::timestamptz is null or {TOLD_AT} < %(told_to)s) and (%(cause)s::text is null or {CAUSE} = %(cause)s)"
)
_WRITTEN: LiteralString = (
    f"select d.written_at as at, d.id, d.written_at, d.endpoint_id, {STATUS} = any(%(statuses)b::text[]) and {_FITS} as fits,"
    f" {TOLD_AT} as told_at from (select * from delivery x where x.workspace_id = %(ws)s and x.environment = %(env)s"
    "  and x.written_at >= %(position_at)s and x.written_at <= %(until)s and (x.written_at, x.id) > (%(position_at)s, %(position_id)s)"
    "  and (%(endpoint)s::uuid is null or x.endpoint_id = %(endpoint)s) order by x.written_at, x.id limit %(look)s) d"
    f"{OPEN} order by 1, 2"
)
# Its delivery may be gone with its day; then it is passed by. One that dies again dies after `died_until`.
_DEAD, _DEAD_OF_ONE = (
    "select q.died_at as at, q.delivery_id as id, q.written_at, q.endpoint_id, coalesce(q.status = any(%(statuses)b::text[]) and"
    f" {_FITS}, false) as fits, {TOLD_AT} as told_at from (select * from dead_letter z where z.workspace_id = %(ws)s"
    "  and z.environment = %(env)s and z.died_at <= %(died_until)s and (z.died_at, z.delivery_id) > (%(position_at)s, %(position_id)s)"
    "  and (%(died_from)s::timestamptz is null or z.died_at >= %(died_from)s)"
    f"  and (%(died_to)s::timestamptz is null or z.died_at < %(died_to)s){of_one}"
    "  order by z.died_at, z.delivery_id limit %(look)s) q"
    " left join lateral (select * from delivery x where x.workspace_id = q.workspace_id and x.environment = q.environment"
    "  and x.written_at = q.written_at and x.id = q.delivery_id offset 0) d on true order by 1, 2"
    for of_one in ("", " and z.endpoint_id = %(endpoint)s and z.status = 'dead'")
)


def _source(wanted: Filter) -> LiteralString:
    if not wanted.of_the_dead:
        return _WRITTEN
    return _DEAD_OF_ONE if wanted.endpoint and wanted.statuses == ("dead",) else _DEAD


async def plan_anew(tx: Tx) -> None:
    """Have the statements of this transaction planned for what they ask: a filter may leave anything out."""
    await tx.run("set local plan_cache_mode = force_custom_plan")


async def look(tx: Tx, replay: Replay, most: int) -> list[Looked]:
    """The next rows behind the replay's position, so many at most; fewer when they are the last."""
    rows = await tx.rows(
        f"select at, id, written_at, endpoint_id, fits from ({_source(replay.filter)}) x",
        _parameters(tx, replay, most),
    )
    return [Looked._make(row) for row in rows]


async def count(tx: Tx, replay: Replay, most: int) -> list[Counted]:
    """What fits among the next so many rows, per endpoint."""
    rows = await tx.rows(
        "select endpoint_id, count(*) filter (where fits)::int, min(told_at) filter (where fits), max(told_at) filter (where fits),"
        f" count(*)::int from ({_source(replay.filter)}) x group by endpoint_id order by endpoint_id",
        _parameters(tx, replay, most),
    )
    return [Counted(*row) for row in rows]


def _parameters(tx: Tx, replay: Replay, most: int) -> dict[str, Any]:
    wanted: Filter = replay.filter
    return {
        **tx.keys,
        "endpoint": wanted.endpoint,
        "statuses": list(wanted.statuses),
        "type": wanted.pattern,
        "subject": wanted.about,
        "cause": wanted.cause,
        "told_from": wanted.told_from,
        "told_to": wanted.told_to,
        "died_from": wanted.died_from,
        "died_to": wanted.died_to,
        "died_until": replay.created_at,
        "until": replay.until,
        "position_at": replay.position[0],
        "position_id": replay.position[1],
        "live": tx.tenant.environment == "live",
        "look": most,
    }


async def none_open_before(tx: Tx, endpoint: UUID, most: int) -> datetime | None:
    """No delivery written before this instant is open for this endpoint; None: none is.

    The oldest one's own instant, where no more than `most` are open; else that of the oldest delivery it ever had.
    """
    row = await tx.row(
        "select case when count(*) <= %(most)s then min(o.written_at) else (select d.written_at from delivery d"
        "  where d.workspace_id = %(ws)s and d.environment = %(env)s and d.endpoint_id = %(e)s order by d.written_at limit 1) end"
        " from (select written_at from due where workspace_id = %(ws)s and environment = %(env)s and endpoint_id = %(e)s"
        "  limit %(most)s + 1) o",
        {**tx.keys, "e": endpoint, "most": most},
    )
    return row[0] if row else None


async def living(tx: Tx, endpoints: Sequence[UUID]) -> set[UUID]:
    """Those of these endpoints that are there."""
    rows = await tx.rows(
        "select id from endpoint where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[])",
        {**tx.keys, "ids": list(endpoints)},
    )
    return {row[0] for row in rows}


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What was open and is no more: per delivery its endpoint, and the (endpoint, subject) that want order."""

    endpoints: Mapping[UUID, UUID]
    ordered: Sequence[tuple[UUID, UUID]]


_STILL: LiteralString = (
    f"due u{held_store.OF_ENDPOINT} where u.delivery_id = any(%(ids)b::uuid[]) and u.workspace_id = %(ws)s and u.environment = %(env)s"
    f" and {held_store.STATUS} = any(%(statuses)b::text[])"
)


async def cancel(tx: Tx, deliveries: Sequence[UUID], statuses: Sequence[str]) -> Cancelled:
    """Let these end as discarded, where they are open and of these statuses still; what somebody has locked is passed by.

    Also what a sender has in hand: its try is written and nothing comes of it, for the row that it would change is gone.
    """
    rows = await tx.rows(
        # Waiting for nobody, so that no sender that settles the same rows in another order is ever embraced.
        f"with c as materialized (select delivery_id from {_STILL} for update of u skip locked),"
        " gone as (delete from due where delivery_id = any(array(select delivery_id from c)) returning *),"
        " l as (insert into dead_letter (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, tries, reason,"
        "   status, died_at) select workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id,"
        "   (select count(*) from try t where t.delivery_id = gone.delivery_id), 'cancelled', 'discarded', %(now)s from gone)"
        " select delivery_id, endpoint_id, subject_id from gone",
        {**tx.keys, "ids": list(deliveries), "statuses": list(statuses), "now": tx.now},
    )
    return Cancelled(
        {delivery: endpoint for delivery, endpoint, _ in rows},
        sorted({(endpoint, subject) for _, endpoint, subject in rows if subject}),
    )


async def still_open(tx: Tx, deliveries: Sequence[UUID], statuses: Sequence[str]) -> set[UUID]:
    """Those of these that are open and of these statuses."""
    rows = await tx.rows(
        f"select delivery_id from {_STILL}",
        {**tx.keys, "ids": list(deliveries), "statuses": list(statuses)},
    )
    return {row[0] for row in rows}


async def discard(tx: Tx, deliveries: Sequence[UUID]) -> dict[UUID, UUID]:
    """Put these dead letters aside for good; the endpoint of each that was one."""
    rows = await tx.rows(
        "update dead_letter set status = 'discarded' where workspace_id = %(ws)s and environment = %(env)s"
        " and delivery_id = any(%(ids)b::uuid[]) and status = 'dead' returning delivery_id, endpoint_id",
        {**tx.keys, "ids": list(deliveries)},
    )
    return dict(rows)
