"""What a user can see of a long job: `/v1/jobs/{id}`."""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from offhook import clock, ids
from offhook.db import Tx
from offhook.errors import NotFound


async def start(tx: Tx, job: UUID, kind: str, *, total: int | None) -> None:
    """Show the job as queued, with how much there is to do where that is known."""
    await tx.run(
        "insert into job_progress (workspace_id, environment, job_id, kind, status, total, created_at, updated_at)"
        " values (%(ws)s, %(env)s, %(job)s, %(kind)s, 'queued', %(total)s, %(now)s, %(now)s)",
        {**tx.keys, "job": job, "kind": kind, "total": total, "now": tx.now},
    )


async def report(tx: Tx, job: UUID, *, done: int, result: dict[str, Any], status: str = "running") -> None:
    """Say how far it is. `result` holds counts and codes, never a personal value; `status` ends it as done or failed."""
    await tx.run(
        "update job_progress set status = %(status)s, done = %(done)s, result = %(result)b, updated_at = %(now)s"
        " where workspace_id = %(ws)s and environment = %(env)s and job_id = %(job)s",
        {**tx.keys, "job": job, "done": done, "result": orjson.dumps(result), "status": status, "now": tx.now},
    )


async def show(tx: Tx, job: UUID) -> dict[str, Any]:
    """The job as the API tells it. Raises NotFound."""
    row = await tx.row(
        "select kind, status, done, total, result, created_at, updated_at from job_progress"
        " where workspace_id = %(ws)s and environment = %(env)s and job_id = %(job)s",
        {**tx.keys, "job": job},
    )
    if row is None:
        raise NotFound("no_such_job", "There is no job with this id.", param="id")
    kind, status, done, total, result, created_at, updated_at = row
    return {
        "id": ids.show("job", job),
        "object": "job",
        "kind": kind,
        "status": status,
        "done": done,
        "total": total,
        "result": orjson.loads(result) if result else {},
        **_times(created_at, updated_at),
    }


def _times(created_at: datetime, updated_at: datetime) -> dict[str, str]:
    return {"created_at": clock.show(created_at), "updated_at": clock.show(updated_at)}
