"""The SQL of how far behind the sending is, over all tenants."""

from datetime import timedelta
from typing import NamedTuple

from offhook.db import EngineTx


class Behind(NamedTuple):
    """How many endpoints have something due, and for how long the oldest of it is."""

    endpoints: int
    oldest: timedelta


# From each endpoint's head to the next endpoint's by the index, so that no backlog is walked through.
BEHIND = (
    "with recursive head as ("
    "  (select endpoint_id, workspace_id, environment, due_at from due order by endpoint_id, due_at limit 1)"
    "  union all select n.* from head cross join lateral (select endpoint_id, workspace_id, environment, due_at from due"
    "   where endpoint_id > head.endpoint_id order by endpoint_id, due_at limit 1) n)"
    " select count(*)::int, coalesce(max(now() + v.clock_offset - h.due_at), '0') from head h cross join lateral"
    " (select clock_offset from environment e where e.workspace_id = h.workspace_id and e.environment = h.environment offset 0) v"
    " where h.due_at <= now() + v.clock_offset"
)


async def behind(tx: EngineTx) -> Behind:
    row = await tx.row(BEHIND)
    assert row is not None
    return Behind(*row)
