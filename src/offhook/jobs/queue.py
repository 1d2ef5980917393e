"""The rows of jobs: enqueue, claim, settle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import orjson

from offhook import ids
from offhook.db import EngineTx, Tenant, Tx
from offhook.jobs.outcome import RetryAt

LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Job:
    """One due piece of work, leased. `args` are plain ids and numbers, never a personal value."""

    tenant: Tenant
    id: UUID
    kind: str
    key: str
    args: dict[str, Any]
    run_at: datetime
    fence: int
    failures: int


AHEAD: LiteralString = (
    "select (select run_at from job where workspace_id = %(ws)s and environment = %(env)s"
    "  and (leased_until is null or leased_until < %(wall)s) order by run_at limit 1),"
    " exists (select 1 from job where workspace_id = %(ws)s and environment = %(env)s and run_at <= %(now)s and leased_until >= %(wall)s)"
)
"""When the tenant's next waiting job is due, and whether some process is at work on a due one."""


async def enqueue(
    tx: Tx,
    kind: str,
    args: dict[str, Any],
    *,
    key: str | None = None,
    run_at: datetime | None = None,
    first_args: bool = False,
) -> UUID:
    """Have `kind` run at `run_at` (default: now). The job's id.

    With a `key`, at most one job of that kind and key waits: enqueuing again moves it to the earlier of the two times
    (and keeps the newer args, or the `first_args`); while it runs, it will run once more.
    """
    return (await enqueue_all(tx, kind, [(key, args, run_at or tx.now)], first_args=first_args))[0]


async def enqueue_all(
    tx: Tx, kind: str, items: Sequence[tuple[str | None, dict[str, Any], datetime]], *, first_args: bool = False
) -> list[UUID]:
    """`enqueue` for many (key, args, run_at) at once, in one statement. Keys must differ."""
    rows = [(ids.new(), key, orjson.dumps(args), run_at) for key, args, run_at in items]
    found = await tx.rows(
        "insert into job as j (workspace_id, environment, id, kind, key, args, run_at)"
        " select %(ws)s, %(env)s, id, %(kind)s, key, args, run_at"
        " from unnest(%(id)b::uuid[], %(key)b::text[], %(args)b::bytea[], %(at)b::timestamptz[]) t(id, key, args, run_at)"
        " on conflict (workspace_id, environment, kind, key) do update set"
        "  args = case when %(first_args)s then j.args else excluded.args end,"
        "  run_at = case when j.leased_until is null then least(j.run_at, excluded.run_at) else j.run_at end,"
        "  again_at = case when j.leased_until is null then null else least(j.again_at, excluded.run_at) end"
        " returning id",
        {
            **tx.keys,
            "kind": kind,
            "first_args": first_args,
            "id": [row[0] for row in rows],
            "key": [row[1] or row[0].hex for row in rows],
            "args": [row[2] for row in rows],
            "at": [row[3] for row in rows],
        },
    )
    return [row[0] for row in found]


async def cancel(tx: Tx, kind: str, keys: Sequence[str]) -> None:
    """Forget the waiting jobs of that kind and these keys, where there are any."""
    await tx.run(
        "delete from job where workspace_id = %(ws)s and environment = %(env)s and kind = %(kind)s and key = any(%(keys)b::text[])",
        {**tx.keys, "kind": kind, "keys": list(keys)},
    )


async def take(tx: Tx, kinds: Sequence[str], most: int) -> list[Job]:
    """Lock up to `most` due jobs of these kinds within this transaction, oldest first; others pass them by."""
    rows = await tx.rows(
        "select id, kind, key, args, run_at, fence, failures from job where workspace_id = %(ws)s and environment = %(env)s"
        " and run_at <= %(now)s and (leased_until is null or leased_until < %(wall)s) and kind = any(%(kinds)b::text[])"
        " order by run_at limit %(most)s for update skip locked",
        {**tx.keys, "now": tx.now, "wall": tx.wall, "kinds": list(kinds), "most": most},
    )
    return [_job(tx.tenant, row) for row in rows]


async def lease(tx: Tx, taken: Sequence[Job]) -> list[Job]:
    """Keep these locked jobs for LEASE beyond the transaction; a lease that ran out is taken over with a higher fence."""
    await tx.run(
        "update job set leased_until = %(until)s, fence = fence + 1, again_at = null where workspace_id = %(ws)s and environment = %(env)s"
        " and id = any(%(ids)b::uuid[])",
        {**tx.keys, "until": tx.wall + LEASE, "ids": [job.id for job in taken]},
    )
    return [replace(job, fence=job.fence + 1) for job in taken]


async def extend(tx: Tx, job: Job) -> None:
    """Hold the lease for another LEASE, if it is still ours."""
    await tx.run(
        "update job set leased_until = %(until)s where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s and fence = %(fence)s",
        {**tx.keys, "until": tx.wall + LEASE, "id": job.id, "fence": job.fence},
    )


async def finish(tx: Tx, jobs: Sequence[Job]) -> None:
    """They are over: gone, or waiting again when they were enqueued anew while they ran. A stale fence changes nothing."""
    params = {**tx.keys, "ids": [job.id for job in jobs], "fences": [job.fence for job in jobs]}
    ended = await tx.count(
        "delete from job j where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[]) and again_at is null"
        " and fence = (%(fences)b::int[])[array_position(%(ids)b::uuid[], j.id)]",
        params,
    )
    if ended < len(jobs):
        await tx.run(
            "update job j set run_at = again_at, again_at = null, leased_until = null, failures = 0"
            " where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[]) and again_at is not null"
            " and fence = (%(fences)b::int[])[array_position(%(ids)b::uuid[], j.id)]",
            params,
        )


async def put_back(tx: Tx, job: Job, outcome: RetryAt, *, failures: int) -> None:
    """Let it wait until `outcome.when`, with so many failures in a row counted against it."""
    await tx.run(
        "update job set run_at = least(%(when)s, again_at), again_at = null, leased_until = null, last_error = %(why)s,"
        " failures = %(failures)s"
        " where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s and fence = %(fence)s",
        {**tx.keys, "when": outcome.when, "why": outcome.why, "failures": failures, "id": job.id, "fence": job.fence},
    )


async def next_of_each(tx: EngineTx) -> list[tuple[Tenant, float]]:
    """Per tenant with waiting jobs: in how many seconds the first of them falls due; not above 0 when it is due."""
    rows = await tx.rows(
        "select e.workspace_id, e.environment, extract(epoch from j.run_at - e.clock_offset - now())::float8"
        " from environment e cross join lateral (select run_at from job where workspace_id = e.workspace_id and environment = e.environment"
        "  and (leased_until is null or leased_until < now()) order by run_at limit 1) j"
    )
    return [(Tenant(workspace, environment), wait) for workspace, environment, wait in rows]


def _job(tenant: Tenant, row: tuple[Any, ...]) -> Job:
    id_, kind, key, args, run_at, fence, failures = row
    return Job(tenant, id_, kind, key, orjson.loads(args), run_at, fence, failures)
