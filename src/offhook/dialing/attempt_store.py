"""The SQL of attempts: planned, due, dialed, resolved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString, NamedTuple
from uuid import UUID

from offhook import ids
from offhook.db import EngineTx, Tenant, Tx


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A planned or past dial. `n` counts all of the lead's; `base` were made before its cadence last began anew.

    `cadence_id` and `cadence_version` are the plan that the lead began with, whatever its campaign has by now.
    `campaign_id` is for whom it is dialed: the lead's own campaign, or the one that a dial out of turn named.
    """

    id: UUID
    lead_id: UUID
    campaign_id: UUID
    n: int
    base: int
    cadence_id: UUID
    cadence_version: int
    state: str
    due_at: datetime
    call_id: UUID | None
    dialed_at: datetime | None
    outcome: str | None
    blocker: str | None


_ATTEMPT = "id, lead_id, campaign_id, n, base, cadence_id, cadence_version, state, due_at, call_id, dialed_at, outcome, blocker"


class Planned(NamedTuple):
    """An attempt to plan."""

    lead_id: UUID
    campaign_id: UUID
    n: int
    base: int
    cadence_id: UUID
    cadence_version: int
    due_at: datetime
    state: str = "planned"


async def insert_attempts(tx: Tx, plans: Sequence[Planned]) -> None:
    """Plan these attempts; one that is planned already, or whose lead has an open one, stays as it is."""
    if not plans:
        return
    await tx.run(
        "insert into attempt (workspace_id, environment, id, lead_id, campaign_id, n, base, cadence_id, cadence_version, due_at,"
        " state)"
        " select %(ws)s, %(env)s, * from unnest(%(id)b::uuid[], %(lead_id)b::uuid[], %(campaign_id)b::uuid[], %(n)b::int[], %(base)b::int[],"
        " %(cadence_id)b::uuid[], %(cadence_version)b::int[], %(due_at)b::timestamptz[], %(state)b::text[]) on conflict do nothing",
        {
            **tx.keys,
            "id": [ids.new() for _ in plans],
            **dict(zip(Planned._fields, map(list, zip(*plans, strict=True)), strict=True)),
        },
    )


async def due_attempts(tx: Tx, campaign_id: UUID, most: int) -> list[tuple[UUID, UUID]]:
    """(attempt, lead) of what is due in this campaign, the most urgent first. Nothing is locked yet."""
    rows = await tx.rows(
        "select id, lead_id from attempt where workspace_id = %(ws)s and environment = %(env)s and campaign_id = %(campaign)s"
        " and state = 'planned' and due_at <= %(now)s order by due_at, id limit %(most)s",
        {**tx.keys, "campaign": campaign_id, "now": tx.now, "most": most},
    )
    return [(row[0], row[1]) for row in rows]


async def lock_planned(tx: Tx, attempts: Sequence[UUID]) -> list[AttemptRow]:
    """Those of these attempts that are still planned, held until the end of the transaction, in the order asked."""
    rows = await tx.rows(
        f"select {_ATTEMPT} from attempt where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[])"
        " and state = 'planned' order by id for no key update",
        {**tx.keys, "ids": list(attempts)},
    )
    found = {row[0]: AttemptRow(*row) for row in rows}
    return [found[attempt] for attempt in attempts if attempt in found]


async def start_dialing(tx: Tx, pairs: Sequence[tuple[UUID, UUID]]) -> None:
    """Mark (attempt, call) as being dialed now."""
    await tx.run(
        "update attempt a set state = 'dialing', call_id = p.call, dialed_at = %(now)s, blocker = null"
        " from unnest(%(attempts)b::uuid[], %(calls)b::uuid[]) p(attempt, call)"
        " where a.workspace_id = %(ws)s and a.environment = %(env)s and a.id = p.attempt",
        {**tx.keys, "attempts": [a for a, _ in pairs], "calls": [c for _, c in pairs], "now": tx.now},
    )


async def postpone(tx: Tx, rows: Sequence[tuple[UUID, datetime, str]]) -> None:
    """Move (attempt, due, blocker): it waits for the law, which is no try."""
    await tx.run(
        "update attempt a set due_at = p.due, blocker = p.blocker from unnest(%(ids)b::uuid[], %(dues)b::timestamptz[], %(why)b::text[])"
        " p(id, due, blocker) where a.workspace_id = %(ws)s and a.environment = %(env)s and a.id = p.id",
        {**tx.keys, "ids": [row[0] for row in rows], "dues": [row[1] for row in rows], "why": [row[2] for row in rows]},
    )


async def resolve(tx: Tx, outcomes: Sequence[tuple[UUID, str, str]]) -> list[AttemptRow]:
    """Close the attempts of these (call, outcome, reason); those that were open until now."""
    rows = await tx.rows(
        "update attempt a set state = 'resolved', outcome = o.outcome, reason = o.reason"
        " from unnest(%(calls)b::uuid[], %(outcomes)b::text[], %(reasons)b::text[]) o(call, outcome, reason)"
        " where a.workspace_id = %(ws)s and a.environment = %(env)s and a.call_id = o.call and a.state = 'dialing'"
        " returning a.id, a.lead_id, a.campaign_id, a.n, a.base, a.cadence_id, a.cadence_version, a.state, a.due_at, a.call_id, a.dialed_at,"
        " a.outcome, a.blocker",
        {
            **tx.keys,
            "calls": [row[0] for row in outcomes],
            "outcomes": [row[1] for row in outcomes],
            "reasons": [row[2] for row in outcomes],
        },
    )
    return [AttemptRow(*row) for row in rows]


async def cancel_planned(tx: Tx, leads: Sequence[UUID], reason: str) -> list[UUID]:
    """Cancel what is planned for these leads; the leads that had something planned."""
    rows = await tx.rows(
        "update attempt set state = 'cancelled', reason = %(reason)s where workspace_id = %(ws)s and environment = %(env)s"
        " and lead_id = any(%(leads)b::uuid[]) and state in ('planned', 'paused') returning lead_id",
        {**tx.keys, "leads": list(leads), "reason": reason},
    )
    return [row[0] for row in rows]


async def pause_planned(tx: Tx, lead: UUID) -> None:
    """Keep what is planned for this lead from being dialed."""
    await tx.run(
        "update attempt set state = 'paused' where workspace_id = %(ws)s and environment = %(env)s and lead_id = %(lead)s and state = 'planned'",
        {**tx.keys, "lead": lead},
    )


async def move_planned(tx: Tx, lead: UUID, due_at: datetime) -> int | None:
    """Have the lead's planned or paused attempt fall due then; its number, or None when it has none."""
    row = await tx.row(
        "update attempt set state = 'planned', due_at = %(due)s, blocker = null where workspace_id = %(ws)s and environment = %(env)s"
        " and lead_id = %(lead)s and state in ('planned', 'paused') returning n",
        {**tx.keys, "lead": lead, "due": due_at},
    )
    return int(row[0]) if row else None


async def bring_forward(tx: Tx, lead: UUID, campaign_id: UUID) -> bool:
    """Have the lead's planned or paused attempt fall due now, for this campaign; whether it has one."""
    return bool(
        await tx.count(
            "update attempt set state = 'planned', due_at = %(now)s, campaign_id = %(campaign)s, blocker = null"
            " where workspace_id = %(ws)s and environment = %(env)s and lead_id = %(lead)s and state in ('planned', 'paused')",
            {**tx.keys, "lead": lead, "campaign": campaign_id, "now": tx.now},
        )
    )


async def attempts_of(tx: Tx, leads: Sequence[UUID]) -> dict[UUID, list[AttemptRow]]:
    """Every attempt of each lead, by number."""
    rows = await tx.rows(
        f"select {_ATTEMPT} from attempt where workspace_id = %(ws)s and environment = %(env)s and lead_id = any(%(leads)b::uuid[]) order by n",
        {**tx.keys, "leads": list(leads)},
    )
    found: dict[UUID, list[AttemptRow]] = {lead: [] for lead in leads}
    for row in rows:
        found[row[1]].append(AttemptRow(*row))
    return found


async def attempt_of_call(tx: Tx, calls: Sequence[UUID]) -> dict[UUID, AttemptRow]:
    rows = await tx.rows(
        f"select {_ATTEMPT} from attempt where workspace_id = %(ws)s and environment = %(env)s and call_id = any(%(calls)b::uuid[])",
        {**tx.keys, "calls": list(calls)},
    )
    return {attempt.call_id: attempt for row in rows if (attempt := AttemptRow(*row)).call_id}


async def dialing_now(tx: Tx, campaign_id: UUID) -> int:
    """How many calls of this campaign are out."""
    row = await tx.row(
        "select count(*)::int from attempt where workspace_id = %(ws)s and environment = %(env)s and campaign_id = %(id)s"
        " and state = 'dialing'",
        {**tx.keys, "id": campaign_id},
    )
    return int(row[0]) if row else 0


def _due_with_room(now: LiteralString) -> LiteralString:
    """Of a campaign `c`: whether it has something due and room to dial it, by that expression of its time."""
    return (
        "(c.status = 'running'"
        " and exists (select 1 from attempt a where a.workspace_id = c.workspace_id and a.environment = c.environment"
        f"  and a.campaign_id = c.id and a.state = 'planned' and a.due_at <= {now})"
        " and c.max_concurrent_calls > (select count(*) from attempt a where a.workspace_id = c.workspace_id"
        "  and a.environment = c.environment and a.campaign_id = c.id and a.state = 'dialing')"
        " and (c.mode = 'ai_only' or coalesce(c.max_live_transfers, c.max_concurrent_calls) > (select count(*) from slot s"
        "   where s.workspace_id = c.workspace_id and s.environment = c.environment and s.campaign_id = c.id"
        f"   and s.held_until > {now})"
        "  and exists (select 1 from target t join slot s on s.workspace_id = t.workspace_id and s.environment = t.environment"
        "   and s.target_id = t.id where t.workspace_id = c.workspace_id and t.environment = c.environment and t.status = 'active'"
        f"   and s.n < t.slots and (s.held_until is null or s.held_until <= {now}))))"
    )


_WITH_DUE_AND_ROOM: LiteralString = (
    "select c.workspace_id, c.environment, c.id from environment e join campaign c using (workspace_id, environment)"
    f" where {_due_with_room('now() + e.clock_offset')}"  # constants put together from constants
)


async def all_with_due_and_room(tx: EngineTx) -> list[tuple[Tenant, UUID]]:
    """The running campaigns of all tenants that have something due, by their clock, and room to dial it.

    Read without a lock: the dispatch counts again.
    """
    rows = await tx.rows(_WITH_DUE_AND_ROOM)
    return [(Tenant(workspace, environment), id) for workspace, environment, id in rows]


async def with_due_and_room(tx: EngineTx, tenant: Tenant) -> list[UUID]:
    """`all_with_due_and_room` of this one."""
    rows = await tx.rows(
        f"{_WITH_DUE_AND_ROOM} and e.workspace_id = %(ws)s and e.environment = %(env)s order by c.id",
        {"ws": tenant.workspace, "env": tenant.environment},
    )
    return [id for *_, id in rows]


NEXT_DUE: LiteralString = (
    f"select min(case when {_due_with_room('%(now)s')} then %(now)s else (select due_at from attempt a where a.workspace_id = c.workspace_id"
    "  and a.environment = c.environment and a.campaign_id = c.id and a.state = 'planned' and a.due_at > %(now)s"
    "  order by due_at limit 1) end) from campaign c"
    " where c.workspace_id = %(ws)s and c.environment = %(env)s and c.status = 'running'"
)
"""Now when something is due and has room, else when the next attempt that is not yet due falls due."""


async def calls_of(tx: Tx, lead: UUID) -> list[UUID]:
    """The calls that the lead's attempts became, in order."""
    rows = await tx.rows(
        "select call_id from attempt where workspace_id = %(ws)s and environment = %(env)s and lead_id = %(lead)s and call_id is not null"
        " order by n",
        {**tx.keys, "lead": lead},
    )
    return [row[0] for row in rows]
