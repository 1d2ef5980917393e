"""The SQL of pretend calls and of the virtual clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import orjson

from offhook.db import Tx


@dataclass(frozen=True, slots=True)
class PretendCall:
    """A call that pretends. `steps` lie ahead, `step` counts those behind: a job for another step is stale.

    `status` is the kind last reported of the consumer's leg; `handover` is played once a transfer is ordered.
    """

    call_id: UUID
    platform_ref: str
    account_id: UUID
    steps: list[dict[str, Any]]
    handover: list[dict[str, Any]]
    transfer: str | None
    step: int
    status: str


@dataclass(frozen=True, slots=True)
class Ahead:
    """What lies before one tenant in one room: when its next work falls due, past or future (None: none waits for time),
    and whether some process is at work right now."""

    due_at: datetime | None
    busy: bool


async def ahead(tx: Tx, selects: Sequence[LiteralString]) -> list[Ahead]:
    """What each of these selects finds for the tenant, in order, in one look: a virtual day has a hundred thousand."""
    if not selects:
        return []
    query: LiteralString = ", ".join(f"({select}) t{'_' * n} (due_at, busy)" for n, select in enumerate(selects))
    row = await tx.row(f"select * from {query}", {**tx.keys, "now": tx.now, "wall": tx.wall})
    assert row is not None
    return [Ahead(*pair) for pair in zip(row[::2], row[1::2], strict=True)]


async def insert(tx: Tx, calls: Sequence[PretendCall]) -> set[UUID]:
    """Store new ones; the ids of those that were not there before."""
    rows = await tx.rows(
        "insert into pretend_call (workspace_id, environment, call_id, platform_ref, account_id, script, status)"
        " select %(ws)s, %(env)s, call, ref, account, script::jsonb, status"
        " from unnest(%(call)b::uuid[], %(ref)b::text[], %(account)b::uuid[], %(script)b::text[], %(status)b::text[])"
        " t(call, ref, account, script, status)"
        " on conflict (workspace_id, environment, call_id) do nothing returning call_id",
        {
            **tx.keys,
            "call": [call.call_id for call in calls],
            "ref": [call.platform_ref for call in calls],
            "account": [call.account_id for call in calls],
            "script": [_script(call) for call in calls],
            "status": [call.status for call in calls],
        },
    )
    return {row[0] for row in rows}


async def lock(tx: Tx, calls: Sequence[UUID]) -> dict[UUID, PretendCall]:
    """These calls, held until the end of the transaction; taken in id order."""
    rows = await tx.rows(
        "select call_id, platform_ref, account_id, script::text, step, status from pretend_call"
        " where workspace_id = %(ws)s and environment = %(env)s and call_id = any(%(ids)b::uuid[]) order by call_id for update",
        {**tx.keys, "ids": list(calls)},
    )
    return {row[0]: _call(*row) for row in rows}


async def save(tx: Tx, calls: Sequence[PretendCall]) -> None:
    """Write what lies ahead of these locked calls now."""
    await tx.run(
        "update pretend_call p set script = x.script::jsonb, step = x.step, status = x.status"
        " from unnest(%(call)b::uuid[], %(script)b::text[], %(step)b::int[], %(status)b::text[]) x(call, script, step, status)"
        " where p.workspace_id = %(ws)s and p.environment = %(env)s and p.call_id = x.call",
        {
            **tx.keys,
            "call": [call.call_id for call in calls],
            "script": [_script(call) for call in calls],
            "step": [call.step for call in calls],
            "status": [call.status for call in calls],
        },
    )


def _script(call: PretendCall) -> str:
    script = {"steps": call.steps, "handover": call.handover, "transfer": call.transfer}
    return orjson.dumps(script).decode()


def _call(call_id: UUID, ref: str, account: UUID, text: str, step: int, status: str) -> PretendCall:
    script = orjson.loads(text)
    return PretendCall(call_id, ref, account, script["steps"], script["handover"], script["transfer"], step, status)
