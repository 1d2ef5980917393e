"""The SQL of delivery issues."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, LiteralString, NamedTuple
from uuid import UUID

from offhook import ids
from offhook.db import EngineTx, Tenant, Tx

Status = Literal["open", "resolved", "ignored"]
_LOOKED_AT = 100


class Failures(NamedTuple):
    """What is added to one issue: failures of one cause at one endpoint. Times are the environment's."""

    tenant: Tenant
    endpoint: UUID
    cause: str
    times: int
    first_tries: int
    dead: int
    sample: UUID
    first_at: datetime
    last_at: datetime


ADD = (
    "insert into delivery_issue as i (workspace_id, environment, id, endpoint_id, cause, count, first_tries, dead, sample, first_seen_at,"
    " last_seen_at) select * from unnest(%(w)b::uuid[], %(e)b::text[], %(id)b::uuid[], %(endpoint)b::uuid[], %(cause)b::text[],"
    "  %(count)b::bigint[], %(first_tries)b::bigint[], %(dead)b::bigint[], %(sample)b::uuid[], %(first)b::timestamptz[],"
    "  %(last)b::timestamptz[])"
    " on conflict (workspace_id, environment, endpoint_id, cause) do update set count = i.count + excluded.count,"
    "  first_tries = i.first_tries + excluded.first_tries, dead = i.dead + excluded.dead, sample = excluded.sample,"
    "  first_seen_at = least(i.first_seen_at, excluded.first_seen_at),"
    "  last_seen_at = greatest(i.last_seen_at, excluded.last_seen_at),"
    # What failed before it was resolved, and is told only now, is no failure anew.
    "  status = case when i.status = 'resolved' and excluded.last_seen_at > i.resolved_at then 'open' else i.status end,"
    "  resolved_at = case when excluded.last_seen_at > i.resolved_at then null else i.resolved_at end,"
    "  version = i.version + case when i.status = 'resolved' and excluded.last_seen_at > i.resolved_at then 1 else 0 end"
)


async def add(tx: EngineTx, failures: Sequence[Failures]) -> None:
    """Add these, sorted by their keys so that two processes never embrace, to their issues, which begin with them."""
    await tx.run(
        ADD,
        {
            "w": [one.tenant.workspace for one in failures],
            "e": [one.tenant.environment for one in failures],
            "id": [ids.new() for _ in failures],
            "endpoint": [one.endpoint for one in failures],
            "cause": [one.cause for one in failures],
            "count": [one.times for one in failures],
            "first_tries": [one.first_tries for one in failures],
            "dead": [one.dead for one in failures],
            "sample": [one.sample for one in failures],
            "first": [one.first_at for one in failures],
            "last": [one.last_at for one in failures],
        },
    )


@dataclass(frozen=True, slots=True)
class IssueRow:
    """An issue as it stands now. `overcome`: nobody resolved it, the endpoint succeeded again."""

    id: UUID
    endpoint: UUID
    cause: str
    status: Status
    overcome: bool
    count: int
    first_tries: int
    dead: int
    sample: UUID
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    version: int


# Only where a success came later is it asked what still waits for its next try, and that of a few rows at the index's head.
_OVERCOME = (
    "case when i.status <> 'open' or coalesce(p.last_success_at <= i.last_seen_at, true) then false else not exists ("
    "select from (select tries from due where endpoint_id = i.endpoint_id and p.takes order by due_at"
    f" limit {_LOOKED_AT}) q where q.tries > 0) end"
)
_ISSUES: LiteralString = (
    "select i.id, i.endpoint_id, i.cause, case when o.overcome then 'resolved' else i.status end, o.overcome, i.count, i.first_tries, i.dead,"
    " i.sample, i.first_seen_at, i.last_seen_at, case when o.overcome then p.last_success_at else i.resolved_at end, i.version"
    " from delivery_issue i left join lateral (select last_success_at, status in ('active', 'failing') as takes"
    "  from endpoint e where e.workspace_id = i.workspace_id and e.environment = i.environment and e.id = i.endpoint_id offset 0) p on true"
    f" cross join lateral (select {_OVERCOME} as overcome offset 0) o where i.workspace_id = %(ws)s and i.environment = %(env)s"
)


async def page(tx: Tx, endpoint: UUID | None, status: Status | None, after: UUID | None, most: int) -> list[IssueRow]:
    """The latest that began first, after the one with that id."""
    rows = await tx.rows(
        f"{_ISSUES} and (%(endpoint)s::uuid is null or i.endpoint_id = %(endpoint)s) and (%(after)s::uuid is null or i.id < %(after)s)"
        " and (%(status)s::text is null or case when o.overcome then 'resolved' else i.status end = %(status)s)"
        " order by i.id desc limit %(most)s",
        {**tx.keys, "endpoint": endpoint, "status": status, "after": after, "most": most},
    )
    return [IssueRow(*row) for row in rows]


async def find(tx: Tx, issue: UUID) -> IssueRow | None:
    row = await tx.row(f"{_ISSUES} and i.id = %(id)s", {**tx.keys, "id": issue})
    return IssueRow(*row) if row else None


async def turn(tx: Tx, issue: UUID, status: Status) -> bool:
    """Whether there is such an issue; it has this status from now on."""
    return bool(
        await tx.count(
            "update delivery_issue set status = %(status)s, version = version + 1, resolved_at = case when %(status)s = 'resolved'"
            " then %(now)s end where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
            {**tx.keys, "id": issue, "status": status, "now": tx.now},
        )
    )
