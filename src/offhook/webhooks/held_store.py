"""The SQL of what waits and does not go: held, or given up and not yet moved among the dead letters.

No row says so. A row is held while its endpoint takes nothing, and it is given up when it was opened before the instant in
`given_up`, or when its endpoint is gone; so pausing, enabling and deleting take no longer however much waits. What is given
up is moved bit by bit, and shown as discarded from the first moment on.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString, NamedTuple
from uuid import UUID

from offhook.db import EngineTx, Tenant, Tx

COUNTED_TO = 100_000
"""How many open deliveries of an endpoint are counted at most."""
CHUNK = 5000
"""How many are moved at once."""

OF_ENDPOINT: LiteralString = (
    " left join lateral (select status in ('active', 'failing') as takes from endpoint where endpoint.workspace_id = u.workspace_id"
    "  and endpoint.environment = u.environment and endpoint.id = u.endpoint_id offset 0) p on true"
    " left join lateral (select before, at, reason from given_up where given_up.workspace_id = u.workspace_id"
    "  and given_up.environment = u.environment and given_up.endpoint_id = u.endpoint_id offset 0) k on true"
)
"""What row `u` of `due` must know of its endpoint, as `p` and `k`."""
FREE: LiteralString = "(leased_until is null or leased_until < now())"
OPENED_AT: LiteralString = "coalesce(replayed_at, written_at)"
STATUS: LiteralString = (
    f"case when p.takes is null or {OPENED_AT} < k.before then 'discarded' when not (p.takes or u.test) then 'held'"
    " when u.tries > 0 then 'retrying' else 'pending' end"
)
"""The status of row `u`, after `OF_ENDPOINT`."""


async def count(tx: Tx, endpoint: UUID) -> int:
    """How many deliveries are open for this endpoint, what is given up not counted; COUNTED_TO at most."""
    row = await tx.row(
        "with k as materialized (select before, at from given_up where workspace_id = %(ws)s and environment = %(env)s and endpoint_id = %(e)s)"
        f" select count(*) from (select {OPENED_AT} as opened_at from due where workspace_id = %(ws)s and environment = %(env)s"
        "   and endpoint_id = %(e)s and due_at >= coalesce((select at from k), '-infinity') limit %(most)s) u"
        "  where opened_at >= coalesce((select before from k), '-infinity')",
        {**tx.keys, "e": endpoint, "most": COUNTED_TO},
    )
    assert row is not None
    return int(row[0])


async def give_up(tx: Tx, endpoint: UUID, reason: str) -> int:
    """From this commit on all that was opened for this endpoint until now is discarded; how many, as `count` counts."""
    discarded = await count(tx, endpoint)
    await tx.run(
        "insert into given_up as k (workspace_id, environment, endpoint_id, before, at, reason)"
        " select %(ws)s, %(env)s, %(e)s, %(wall)s, %(now)s, %(reason)s where exists (select from due where endpoint_id = %(e)s)"
        " on conflict (workspace_id, environment, endpoint_id) do update set before = excluded.before, at = excluded.at,"
        "  reason = excluded.reason",
        {**tx.keys, "e": endpoint, "wall": tx.wall, "now": tx.now, "reason": reason},
    )
    return discarded


class GivenUp(NamedTuple):
    """What was opened for an endpoint before an instant of the real clock. `at`, by the environment's: when it was said."""

    tenant: Tenant
    endpoint: UUID
    before: datetime
    at: datetime
    reason: str


async def given_up(tx: EngineTx, tenant: Tenant | None) -> list[GivenUp]:
    """Everything that is given up and not wholly moved; of one tenant when one is named."""
    rows = await tx.rows(
        "select workspace_id, environment, endpoint_id, before, at, reason from given_up where %(ws)s::uuid is null"
        " or (workspace_id = %(ws)s and environment = %(env)s)",
        {"ws": tenant and tenant.workspace, "env": tenant and tenant.environment},
    )
    return [GivenUp(Tenant(workspace, environment), *rest) for workspace, environment, *rest in rows]


_LEFT: LiteralString = f"from due where endpoint_id = %(e)s and {OPENED_AT} < %(before)s"
_MOVED: LiteralString = (
    " gone as (delete from due where delivery_id = any(array(select delivery_id from c)) returning *)"
    " insert into dead_letter (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, tries, reason, status,"
    "  died_at) select workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, tries, %(reason)s, 'discarded',"
    "  %(at)s from gone"
)
MOVE = f"with c as materialized (select delivery_id {_LEFT} and {FREE} order by due_at limit %(most)s for update skip locked),{_MOVED}"
MOVE_THESE = f"with c as materialized (select delivery_id {_LEFT} and {FREE} and delivery_id = any(%(d)b::uuid[]) for update skip locked),{_MOVED}"
FORGET = (
    "delete from given_up where workspace_id = %(ws)s and environment = %(env)s and endpoint_id = %(e)s and before = %(before)s"
    f" and not exists (select {_LEFT})"
)


async def move(tx: EngineTx, one: GivenUp) -> bool:
    """Move a chunk of it among the dead letters, but for what a process is sending; whether there may be more.

    When nothing is left of it, that it was given up is forgotten.
    """
    if await tx.count(MOVE, {**_parameters(one), "most": CHUNK}) == CHUNK:
        return True
    await tx.run(FORGET, _parameters(one))
    return False


async def move_these(tx: Tx, deliveries: Sequence[UUID]) -> None:
    """Move those of these that are given up."""
    for one in await given_up(tx, tx.tenant):
        await tx.run(MOVE_THESE, {**_parameters(one), "d": list(deliveries)})


def _parameters(one: GivenUp) -> dict[str, object]:
    return {
        "ws": one.tenant.workspace,
        "env": one.tenant.environment,
        "e": one.endpoint,
        "before": one.before,
        "at": one.at,
        "reason": one.reason,
    }
