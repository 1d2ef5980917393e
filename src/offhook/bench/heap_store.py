"""The SQL of backlogs: deliveries by the million, as if an endpoint had been down for a day."""

import statistics
import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import psycopg

from offhook import ids
from offhook.webhooks import claim_store

_BODY = b'{"type":"lead.accepted","data":{"filler":"%s"}}' % (b"x" * 1400)
_CHUNK = 100_000
NOT_YET = timedelta(days=3000)
"""What is due so late is no sender's before the measurement is over."""


async def heap_up(
    connection: psycopg.AsyncConnection, endpoint: UUID, count: int, *, due_in: timedelta = timedelta()
) -> None:
    """So many deliveries of one event for this endpoint, due then."""
    event = ids.new()
    row = await (
        await connection.execute(
            "select workspace_id, environment, (select clock_offset from environment v where v.workspace_id = e.workspace_id"
            " and v.environment = e.environment) from endpoint e where id = %s",
            [endpoint],
        )
    ).fetchone()
    assert row is not None
    workspace, environment, offset = row
    await connection.execute(
        "insert into event (workspace_id, environment, written_at, epoch, id, type, subject_type, subject_id, sequence, occurred_at, body)"
        " values (%s, %s, now(), 0, %s, 'lead.accepted', 'lead', %s, 1, now() + %s, %b)",
        [workspace, environment, event, ids.new(), offset, _BODY],
    )
    for done in range(0, count, _CHUNK):
        await connection.execute(
            "with e as (select written_at, id, subject_id from event where id = %(event)s),"
            " n as materialized (select gen_random_uuid() as id from generate_series(1, %(n)s)),"
            " d as (insert into delivery (workspace_id, environment, written_at, id, event_id, event_at, endpoint_id, type, subject_id, sequence)"
            "  select %(ws)s, %(env)s, e.written_at, n.id, e.id, e.written_at, %(endpoint)s, 'lead.accepted', e.subject_id, 1 from n, e)"
            " insert into due (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, due_at)"
            "  select %(ws)s, %(env)s, n.id, e.written_at, e.id, e.written_at, %(endpoint)s, now() + %(offset)s from n, e",
            {
                "ws": workspace,
                "env": environment,
                "event": event,
                "endpoint": endpoint,
                "offset": offset + due_in,
                "n": min(_CHUNK, count - done),
            },
        )


async def make_due(connection: psycopg.AsyncConnection, endpoint: UUID) -> None:
    """All of it is due now."""
    await connection.execute("update due set due_at = due_at - %s where endpoint_id = %s", [NOT_YET, endpoint])
    await connection.execute("vacuum analyze due")


async def claim_ms(connection: psycopg.AsyncConnection, endpoints: Sequence[UUID], room: int, times: int = 11) -> float:
    """The median of what one claim takes, in milliseconds; nothing stays claimed."""
    parameters = {
        "endpoint": list(endpoints),
        "newest": [room // 2] * len(endpoints),
        "oldest": [room - room // 2] * len(endpoints),
        "ahead": [NOT_YET + timedelta(days=1)] * len(endpoints),
        "lease": [timedelta(seconds=30)] * len(endpoints),
    }
    took = []
    for _ in range(times):
        async with connection.transaction(force_rollback=True):
            await connection.execute("set local role offhook_engine")
            begun = time.perf_counter()
            await connection.execute(claim_store.CLAIM, parameters, prepare=True)
            took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


async def open_of(connection: psycopg.AsyncConnection, endpoint: UUID) -> int:
    """How many deliveries of this endpoint are open."""
    row = await (await connection.execute("select count(*) from due where endpoint_id = %s", [endpoint])).fetchone()
    assert row is not None
    return int(row[0])
