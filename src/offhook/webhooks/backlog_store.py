"""The SQL of how far behind the sending is, over all tenants."""

from datetime import timedelta
from typing import NamedTuple

from offhook.db import EngineTx
from offhook.webhooks.claim_store import HEADS, TAKING


class Behind(NamedTuple):
    """How many endpoints have something due, and for how long the oldest of it is."""

    endpoints: int
    oldest: timedelta


# What is held is not behind, and what was held is no longer so than it may go.
BEHIND = (
    f"{HEADS} select count(*)::int, coalesce(max(now() + v.clock_offset - greatest(h.due_at, p.enabled_at)), '0') from head h"
    " cross join lateral (select clock_offset from environment e where e.workspace_id = h.workspace_id and e.environment = h.environment"
    f"  offset 0) v{TAKING} where h.due_at <= now() + v.clock_offset"
)


async def behind(tx: EngineTx) -> Behind:
    row = await tx.row(BEHIND)
    assert row is not None
    return Behind(*row)
