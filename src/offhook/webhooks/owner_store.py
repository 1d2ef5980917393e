"""The SQL of who sends to an endpoint that only one process may send to."""

from collections.abc import Sequence
from datetime import timedelta
from typing import LiteralString, NamedTuple
from uuid import UUID

from offhook.db import EngineTx, Tenant

# Whoever takes or gives does so alone: each locks rows that the other may want, in no common order.
_IN_TURN: LiteralString = "select pg_advisory_xact_lock(hashtextextended('endpoint_owner', 7))"


class Standing(NamedTuple):
    """What we own, the oldest first, and how many of these are our share."""

    mine: list[UUID]
    share: int


async def renew(tx: EngineTx, sender: UUID, lease_s: float) -> Standing:
    """Say that we live, renew our leases, and take what nobody owns until we have our share; what we own.

    What needs no owner any more is forgotten, and so is who was not seen for an hour.
    """
    lease = timedelta(seconds=lease_s)
    await tx.run(_IN_TURN)
    await tx.run("delete from sender where seen_until < now() - interval '1 hour'")
    await tx.run(
        "insert into sender (id, seen_until) values (%(me)s, now() + %(lease)s)"
        " on conflict (id) do update set seen_until = excluded.seen_until",
        {"me": sender, "lease": lease},
    )
    await tx.run(
        "delete from endpoint_owner where (sender_id = %(me)s or leased_until < now() - interval '1 hour') and not exists"
        " (select from endpoint e where e.id = endpoint_owner.endpoint_id and e.needs_owner)",
        {"me": sender},
    )
    await tx.run(
        "update endpoint_owner set leased_until = now() + %(lease)s where sender_id = %(me)s",
        {"me": sender, "lease": lease},
    )
    row = await tx.row(
        "select (select count(*) from endpoint where needs_owner), (select count(*) from sender where seen_until > now())"
    )
    assert row is not None
    share = -(-row[0] // row[1])
    await tx.run(
        "insert into endpoint_owner (workspace_id, environment, endpoint_id, sender_id, leased_until)"
        " select e.workspace_id, e.environment, e.id, %(me)s, now() + %(lease)s from endpoint e where e.needs_owner"
        "  and not exists (select from endpoint_owner o where o.endpoint_id = e.id and o.leased_until > now()) order by e.id"
        "  limit greatest(%(share)s - (select count(*) from endpoint_owner where sender_id = %(me)s), 0)"
        " on conflict (endpoint_id) do update set sender_id = excluded.sender_id, leased_until = excluded.leased_until",
        {"me": sender, "share": share, "lease": lease},
    )
    rows = await tx.rows(
        "select endpoint_id from endpoint_owner where sender_id = %(me)s order by endpoint_id", {"me": sender}
    )
    return Standing([row[0] for row in rows], share)


async def let_go(tx: EngineTx, sender: UUID, endpoints: Sequence[UUID]) -> None:
    """Own these no longer."""
    await tx.run(_IN_TURN)
    await tx.run(
        "delete from endpoint_owner where endpoint_id = any(%(endpoints)b::uuid[]) and sender_id = %(me)s",
        {"me": sender, "endpoints": list(endpoints)},
    )


async def take(tx: EngineTx, sender: UUID, tenant: Tenant, lease_s: float) -> list[UUID]:
    """Own what no living process owns of this tenant; what we own of it."""
    await tx.run(_IN_TURN)
    rows = await tx.rows(
        "insert into endpoint_owner (workspace_id, environment, endpoint_id, sender_id, leased_until)"
        " select e.workspace_id, e.environment, e.id, %(me)s, now() + %(lease)s from endpoint e"
        "  where e.workspace_id = %(ws)s and e.environment = %(env)s and e.needs_owner order by e.id"
        " on conflict (endpoint_id) do update set sender_id = excluded.sender_id, leased_until = excluded.leased_until"
        "  where endpoint_owner.leased_until <= now() or endpoint_owner.sender_id = excluded.sender_id returning endpoint_id",
        {"me": sender, "ws": tenant.workspace, "env": tenant.environment, "lease": timedelta(seconds=lease_s)},
    )
    return [row[0] for row in rows]


async def leave(tx: EngineTx, sender: UUID) -> None:
    """Own nothing any more, and be counted no longer."""
    await tx.run(_IN_TURN)
    await tx.run("delete from endpoint_owner where sender_id = %(me)s", {"me": sender})
    await tx.run("delete from sender where id = %(me)s", {"me": sender})
