"""The SQL of targets, slots and decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from offhook.db import Tx


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target as `choose` sees it."""

    id: UUID
    kind: Literal["did", "sip", "queue"]
    address: str
    timeout_s: int
    priority: int
    status: str
    free: int

    def blockers(self) -> list[str]:
        """Why it cannot take a call now; empty when it can."""
        return (["paused"] if self.status != "active" else []) + (["no_free_slot"] if self.free == 0 else [])


async def candidates(tx: Tx) -> list[Candidate]:
    rows = await tx.rows(
        "select t.id, t.kind, t.address, t.timeout_s, t.priority, t.status,"
        " (select count(*) from slot s where s.workspace_id = t.workspace_id and s.environment = t.environment and s.target_id = t.id"
        "   and s.n < t.slots and (s.held_until is null or s.held_until <= %(now)s))::int"
        " from target t where t.workspace_id = %(ws)s and t.environment = %(env)s order by t.priority, t.id",
        {**tx.keys, "now": tx.now},
    )
    return [Candidate(*row) for row in rows]


async def take_turn(tx: Tx, campaign_id: UUID) -> None:
    """Take the campaign's turn to lease until the end of the transaction: whoever leases for it counts what we leased.

    A turn of its own, taken after those of dispatch and of numbers and after a call's row: a transfer that waited for the
    dispatch with its call's row in hand could embrace it.
    """
    await tx.run_now("select pg_advisory_xact_lock(hashtextextended(%(id)s::text, 5))", {"id": campaign_id})


async def room(tx: Tx, campaign_id: UUID) -> int:
    """How many more slots this campaign's cap lets it hold. Exact under its turn to lease."""
    row = await tx.row(
        "select coalesce(c.max_live_transfers, c.max_concurrent_calls) - (select count(*) from slot s"
        "  where s.workspace_id = c.workspace_id and s.environment = c.environment and s.campaign_id = c.id and s.held_until > %(now)s)::int"
        " from campaign c where c.workspace_id = %(ws)s and c.environment = %(env)s and c.id = %(campaign)s",
        {**tx.keys, "campaign": campaign_id, "now": tx.now},
    )
    return max(0, row[0]) if row else 0


async def lease(tx: Tx, campaign_id: UUID, calls: Sequence[UUID], until: datetime, most: int) -> dict[UUID, UUID]:
    """The target leased for each call, of those that hold none for so many at most.

    Whoever leases at the same time passes over our rows and we over theirs.
    """
    held = await tx.rows(
        "select held_by, target_id from slot where workspace_id = %(ws)s and environment = %(env)s and held_by = any(%(calls)b::uuid[])"
        " and held_until > %(now)s",
        {**tx.keys, "calls": list(calls), "now": tx.now},
    )
    kept: dict[UUID, UUID] = dict(held)
    wanting = [call for call in calls if call not in kept][:most]
    free = await tx.rows(
        "select s.target_id, s.n from target t join slot s using (workspace_id, environment) where t.workspace_id = %(ws)s"
        " and t.environment = %(env)s and s.target_id = t.id and t.status = 'active' and s.n < t.slots"
        " and (s.held_until is null or s.held_until <= %(now)s) order by t.priority, t.id, s.n limit %(most)s for update of s skip locked",
        {**tx.keys, "now": tx.now, "most": len(wanting)},
    )
    pairs = list(zip(wanting, free, strict=False))
    await tx.run(
        "update slot s set held_by = x.call, campaign_id = %(campaign)s, held_until = %(until)s, fence = fence + 1"
        " from unnest(%(calls)b::uuid[], %(targets)b::uuid[], %(ns)b::int[]) x(call, target, n)"
        " where s.workspace_id = %(ws)s and s.environment = %(env)s and s.target_id = x.target and s.n = x.n",
        {
            **tx.keys,
            "campaign": campaign_id,
            "until": until,
            "calls": [call for call, _ in pairs],
            "targets": [target for _, (target, _) in pairs],
            "ns": [n for _, (_, n) in pairs],
        },
    )
    return {**kept, **{call: target for call, (target, _) in pairs}}


async def held_slot(tx: Tx, call_id: UUID, until: datetime) -> UUID | None:
    """Extend the call's slot and name its target, if it is still held and its target still takes calls; else None."""
    row = await tx.row(
        "update slot s set held_until = greatest(s.held_until, %(until)s) from target t where s.workspace_id = %(ws)s"
        " and s.environment = %(env)s and s.held_by = %(call)s and s.held_until > %(now)s and t.workspace_id = s.workspace_id"
        " and t.environment = s.environment and t.id = s.target_id and t.status = 'active' and s.n < t.slots returning t.id",
        {**tx.keys, "call": call_id, "until": until, "now": tx.now},
    )
    return row[0] if row else None


async def free_and_held(tx: Tx, campaign_id: UUID) -> tuple[int, int]:
    row = await tx.row(
        "select count(*) filter (where s.held_until is null or s.held_until <= %(now)s)::int,"
        " (select count(*) from slot where workspace_id = %(ws)s and environment = %(env)s and campaign_id = %(campaign)s"
        "   and held_until > %(now)s)::int"
        " from target t join slot s on s.workspace_id = t.workspace_id and s.environment = t.environment and s.target_id = t.id"
        " where t.workspace_id = %(ws)s and t.environment = %(env)s and t.status = 'active' and s.n < t.slots",
        {**tx.keys, "campaign": campaign_id, "now": tx.now},
    )
    return (row[0], row[1]) if row else (0, 0)


async def extend(tx: Tx, call_id: UUID, until: datetime) -> None:
    await tx.run(
        "update slot set held_until = greatest(held_until, %(until)s) where workspace_id = %(ws)s and environment = %(env)s"
        " and held_by = %(call)s and held_until is not null",
        {**tx.keys, "call": call_id, "until": until},
    )


async def release(tx: Tx, calls: Sequence[UUID]) -> int:
    return await tx.count(
        "update slot set held_by = null, campaign_id = null, held_until = null where workspace_id = %(ws)s and environment = %(env)s"
        " and held_by = any(%(calls)b::uuid[])",
        {**tx.keys, "calls": list(calls)},
    )


async def record(tx: Tx, rows: Sequence[tuple[UUID, UUID, str, UUID | None, dict[str, Any]]]) -> None:
    """Decision records: (id, call, purpose, target or None, what was considered)."""
    await tx.run(
        "insert into decision (workspace_id, environment, id, call_id, purpose, target_id, record, decided_at)"
        " select %(ws)s, %(env)s, id, call, purpose, target, record, %(now)s"
        " from unnest(%(id)b::uuid[], %(call)b::uuid[], %(purpose)b::text[], %(target)b::uuid[], %(record)b::jsonb[])"
        " t(id, call, purpose, target, record)",
        {
            **tx.keys,
            "now": tx.now,
            "id": [row[0] for row in rows],
            "call": [row[1] for row in rows],
            "purpose": [row[2] for row in rows],
            "target": [row[3] for row in rows],
            "record": [Jsonb(row[4]) for row in rows],
        },
    )


async def decisions(tx: Tx, call_id: UUID) -> list[tuple[Any, ...]]:
    return await tx.rows(
        "select id, purpose, target_id, record, decided_at from decision where workspace_id = %(ws)s and environment = %(env)s"
        " and call_id = %(call)s order by decided_at, id",
        {**tx.keys, "call": call_id},
    )


_TARGET = "id, external_id, name, kind, address, priority, slots, status, timeout_s, metadata, created_at, updated_at, version"


async def insert_target(tx: Tx, target: dict[str, Any]) -> None:
    await tx.run(
        "insert into target (workspace_id, environment, id, external_id, name, kind, address, priority, slots, status, timeout_s, metadata,"
        " created_at, updated_at) values (%(ws)s, %(env)s, %(id)s, %(external_id)s, %(name)s, %(kind)s, %(address)s, %(priority)s,"
        " %(slots)s, %(status)s, %(timeout_s)s, %(metadata)s, %(now)s, %(now)s)",
        {**tx.keys, **target, "metadata": Jsonb(target["metadata"]), "now": tx.now},
    )
    await add_slots(tx, target["id"], target["slots"])


async def add_slots(tx: Tx, target_id: UUID, slots: int) -> None:
    """Rows up to this many; a lowered target keeps its surplus rows, which are simply not leased."""
    await tx.run(
        "insert into slot (workspace_id, environment, target_id, n) select %(ws)s, %(env)s, %(id)s, n"
        " from generate_series(0, %(slots)s - 1) n on conflict do nothing",
        {**tx.keys, "id": target_id, "slots": slots},
    )


async def update_target(tx: Tx, target: dict[str, Any]) -> None:
    await tx.run(
        "update target set external_id = %(external_id)s, name = %(name)s, kind = %(kind)s, address = %(address)s, priority = %(priority)s,"
        " slots = %(slots)s, status = %(status)s, timeout_s = %(timeout_s)s, metadata = %(metadata)s, updated_at = %(now)s,"
        " version = version + 1 where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, **target, "metadata": Jsonb(target["metadata"]), "now": tx.now},
    )
    await add_slots(tx, target["id"], target["slots"])


async def find_target(tx: Tx, *, id: UUID | None = None, external_id: str | None = None) -> dict[str, Any] | None:
    row = await tx.row(
        f"select {_TARGET} from target where workspace_id = %(ws)s and environment = %(env)s"
        " and (id = %(id)s or external_id = %(external_id)s) for update",
        {**tx.keys, "id": id, "external_id": external_id},
    )
    return dict(zip(_TARGET.split(", "), row, strict=True)) if row else None


async def list_targets(tx: Tx, after: UUID | None, limit: int) -> list[dict[str, Any]]:
    rows = await tx.rows(
        f"select {_TARGET} from target where workspace_id = %(ws)s and environment = %(env)s"
        " and (%(after)s::uuid is null or id > %(after)s) order by id limit %(limit)s",
        {**tx.keys, "after": after, "limit": limit},
    )
    return [dict(zip(_TARGET.split(", "), row, strict=True)) for row in rows]


async def delete_target(tx: Tx, target_id: UUID) -> list[UUID]:
    """Delete it, unless calls hold its slots: then their ids, and nothing is deleted."""
    held = await tx.rows(
        "select held_by from slot where workspace_id = %(ws)s and environment = %(env)s and target_id = %(id)s and held_until > %(now)s",
        {**tx.keys, "id": target_id, "now": tx.now},
    )
    if not held:
        await tx.run(
            "delete from target where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
            {**tx.keys, "id": target_id},
        )
    return [row[0] for row in held]
