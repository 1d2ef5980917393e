"""The hot SQL: deliveries that are due, who sends them, and what became of them.

Written so that no plan, however old, scans or hash-joins a whole table: `= any(array)` for deletes and updates, lateral
sub-selects for joins. A held row is due at infinity, so that a backlog of them never stands before a row to be sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from offhook.db import EngineTx, Tenant, Tx
from offhook.webhooks.parcel import Again, Parcel, Try

LEASE = timedelta(seconds=30)


class Addressed(NamedTuple):
    """A parcel as fan-out writes it: held for an endpoint that takes nothing now, leased when this process sends it."""

    parcel: Parcel
    subject: UUID
    held: bool
    leased: bool


INSERT = (
    "with g as materialized (select coalesce((select generation from endpoint_generation"
    "   where workspace_id = %(ws)s and environment = %(env)s), 0) as generation),"
    " t as materialized (select * from unnest(%(delivery)b::uuid[], %(event)b::uuid[], %(endpoint)b::uuid[], %(type)b::text[],"
    "   %(subject)b::uuid[], %(sequence)b::int[], %(held)b::bool[], %(leased)b::bool[])"
    "   t(delivery, event, endpoint, type, subject, sequence, held, leased)"
    "   where (select generation from g) = %(generation)s),"
    " d as (insert into delivery (workspace_id, environment, written_at, id, event_id, event_at, endpoint_id, type, subject_id, sequence)"
    "   select %(ws)s, %(env)s, %(wall)s, delivery, event, %(wall)s, endpoint, type, subject, sequence from t),"
    " o as (insert into due (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, due_at, held, leased_until)"
    "   select %(ws)s, %(env)s, delivery, %(wall)s, event, %(wall)s, endpoint, case when held then 'infinity' else %(now)s end, held,"
    "   case when leased then %(until)s end from t)"
    " select generation from g"
)


async def insert(tx: Tx, generation: int, rows: Sequence[Addressed]) -> int:
    """Write the rows if the endpoints are still of this generation; the present one."""
    parcels = [row.parcel for row in rows]
    messages = [parcel.message for parcel in parcels]
    found = await tx.row(
        INSERT,
        {
            **tx.keys,
            "generation": generation,
            "now": tx.now,
            "wall": tx.wall,
            "until": tx.wall + LEASE,
            "delivery": [parcel.delivery for parcel in parcels],
            "event": [message.id for message in messages],
            "endpoint": [parcel.endpoint for parcel in parcels],
            "type": [message.type for message in messages],
            "subject": [row.subject for row in rows],
            "sequence": [message.sequence for message in messages],
            "held": [row.held for row in rows],
            "leased": [row.leased for row in rows],
        },
    )
    assert found is not None
    return int(found[0])


async def holding(tx: Tx) -> None:
    """Before anything is held: whoever releases what is held waits until this transaction is over, or was before it."""
    await tx.run_now(
        "select pg_advisory_xact_lock_shared(hashtextextended(%(tenant)s::text, 6))", {"tenant": tx.tenant.word}
    )


async def releasing(tx: Tx) -> None:
    """Before what is held is released: everything held until now is seen, and whoever holds next sees who is released."""
    await tx.run_now("select pg_advisory_xact_lock(hashtextextended(%(tenant)s::text, 6))", {"tenant": tx.tenant.word})


@dataclass(frozen=True, slots=True)
class Waiting:
    """An endpoint that has something due. `ahead` is how far its environment's clock is ahead of the real one."""

    tenant: Tenant
    endpoint: UUID
    ahead: timedelta


WAITING = (
    "with recursive head as ("
    "  (select endpoint_id, workspace_id, environment, due_at from due order by endpoint_id, due_at limit 1)"
    "  union all select n.* from head cross join lateral (select endpoint_id, workspace_id, environment, due_at from due"
    "   where endpoint_id > head.endpoint_id order by endpoint_id, due_at limit 1) n)"
    " select h.workspace_id, h.environment, h.endpoint_id, v.clock_offset from head h cross join lateral"
    " (select clock_offset from environment e where e.workspace_id = h.workspace_id and e.environment = h.environment offset 0) v"
    " where h.due_at <= now() + v.clock_offset"
)
WAITING_OF_TENANT = (
    "select e.workspace_id, e.environment, e.id, v.clock_offset from environment v cross join lateral"
    " (select workspace_id, environment, id from endpoint p where p.workspace_id = v.workspace_id and p.environment = v.environment offset 0) e"
    " cross join lateral (select due_at from due d where d.endpoint_id = e.id order by due_at limit 1) h"
    " where v.workspace_id = %(ws)s and v.environment = %(env)s and h.due_at <= now() + v.clock_offset"
)


async def waiting(tx: EngineTx, tenant: Tenant | None) -> list[Waiting]:
    """The endpoints that have something due; of one tenant when one is named."""
    if tenant is None:
        rows = await tx.rows(WAITING)
    else:
        rows = await tx.rows(WAITING_OF_TENANT, {"ws": tenant.workspace, "env": tenant.environment})
    return [
        Waiting(Tenant(workspace, environment), endpoint, ahead) for workspace, environment, endpoint, ahead in rows
    ]


class Claimed(NamedTuple):
    """A due row that is ours until `leased_until`, with its event as stored and its person's wrapped key."""

    delivery: UUID
    endpoint: UUID
    event: UUID
    leased_until: datetime
    fence: int
    tries: int
    tries_of_round: int
    first_try_at: datetime | None
    replay: bool
    type: str
    subject_type: str
    subject: UUID
    sequence: int
    occurred_at: datetime
    person: UUID | None
    body: bytes
    epoch: str | None
    wrapped: bytes | None


# The event is asked for by order and bound, not by equality alone: a plan made while the day's partition was empty would
# else take any index that knows the tenant, and walk through all of its events once the partition is full.
CLAIM = (
    "with c as materialized (select x.delivery_id from unnest(%(endpoint)b::uuid[], %(room)b::int[], %(ahead)b::interval[]) e(id, room, ahead)"
    "  cross join lateral (select delivery_id from due where endpoint_id = e.id and due_at <= now() + e.ahead"
    "   and (leased_until is null or leased_until < now()) order by due_at limit e.room for update skip locked) x),"
    " u as (update due set leased_until = now() + %(lease)s, fence = fence + 1 where delivery_id = any(array(select delivery_id from c)) returning *)"
    " select u.delivery_id, u.endpoint_id, u.event_id, u.leased_until, u.fence, u.tries,"
    "  case when u.first_try_at is null then 0 when not u.replay then u.tries else"
    "   (select count(*) from try t where t.delivery_id = u.delivery_id and t.at >= u.first_try_at)::int end,"
    "  u.first_try_at, u.replay, v.type, v.subject_type, v.subject_id, v.sequence, v.occurred_at, v.person_id, v.body, k.epoch, k.wrapped"
    " from u cross join lateral (select * from event e where e.workspace_id = u.workspace_id and e.environment = u.environment"
    "   and e.written_at = u.event_at and e.id >= u.event_id order by e.id limit 1) v"
    " left join lateral (select epoch, wrapped from person_key p where p.workspace_id = u.workspace_id and p.environment = u.environment"
    "   and p.person_id = v.person_id and p.class = 'operational' offset 0) k on true"
    " where v.id = u.event_id"
)


async def claim(tx: EngineTx, wanted: Sequence[tuple[Waiting, int]]) -> list[Claimed]:
    """Lease up to so many due rows of each endpoint, oldest first; what others hold is passed over."""
    rows = await tx.rows(
        CLAIM,
        {
            "endpoint": [endpoint.endpoint for endpoint, _ in wanted],
            "room": [room for _, room in wanted],
            "ahead": [endpoint.ahead for endpoint, _ in wanted],
            "lease": LEASE,
        },
    )
    return [Claimed._make(row) for row in rows]


_INSERT_TRIES = (
    "insert into try (workspace_id, environment, written_at, delivery_id, n, at, status_code, error_code, error_text, timing_ms, replay,"
    " tombstone, response) select w, e, written_at, d, n, at, status, code, text, array[dns, connect, tls, first_byte, total]::real[], replay,"
    " tombstone, response from unnest(%(w)b::uuid[], %(e)b::text[], %(written_at)b::timestamptz[], %(d)b::uuid[], %(n)b::int[],"
    " %(at)b::timestamptz[], %(status)b::int[], %(code)b::text[], %(text)b::text[], %(dns)b::float8[], %(connect)b::float8[],"
    " %(tls)b::float8[], %(first_byte)b::float8[], %(total)b::float8[], %(replay)b::bool[], %(tombstone)b::bool[], %(response)b::bytea[])"
    " t(w, e, written_at, d, n, at, status, code, text, dns, connect, tls, first_byte, total, replay, tombstone, response)"
    # A batch whose commit was lost on the way is written again.
    " on conflict do nothing"
)
SETTLE = (
    f"with i as ({_INSERT_TRIES}),"  # one constant inside another
    " later as (update due set tries = (%(made)b::int[])[array_position(%(again)b::uuid[], delivery_id)],"
    "   due_at = (%(again_at)b::timestamptz[])[array_position(%(again)b::uuid[], delivery_id)],"
    "   first_try_at = coalesce(first_try_at, (%(first)b::timestamptz[])[array_position(%(again)b::uuid[], delivery_id)]),"
    "   leased_until = null where delivery_id = any(%(again)b::uuid[]) and fence = %(fence)s)"
    " delete from due where delivery_id = any(%(over)b::uuid[]) and fence = %(fence)s"
)


async def settle(tx: EngineTx, fence: int, tried: Sequence[tuple[Try, bytes | None, Again | None]]) -> None:
    """Write tries of this fence, each with its sealed response; those with an Again wait for it, the others are over.

    A row that somebody else has claimed since (a higher fence) stays theirs; the try is written all the same, for it
    was made. Writing the same results again changes nothing.
    """
    again = [(attempt, later) for attempt, _, later in tried if later]
    await tx.run(
        SETTLE,
        {
            **_tries([(attempt, response) for attempt, response, _ in tried]),
            "fence": fence,
            "over": [attempt.parcel.delivery for attempt, _, later in tried if not later],
            "again": [attempt.parcel.delivery for attempt, _ in again],
            "again_at": [later.at for _, later in again],
            "made": [attempt.parcel.tries + 1 for attempt, _ in again],
            "first": [attempt.at for attempt, _ in again],
        },
    )


async def give_back(tx: EngineTx, fence: int, deliveries: Sequence[UUID]) -> None:
    """End our lease of this fence on these, so that anybody may claim them now."""
    await tx.run(
        "update due set leased_until = null where delivery_id = any(%(d)b::uuid[]) and fence = %(fence)s",
        {"d": list(deliveries), "fence": fence},
    )


async def insert_tries(tx: EngineTx, tried: Sequence[tuple[Try, bytes | None]]) -> None:
    await tx.run(_INSERT_TRIES, _tries(tried))


def _tries(tried: Sequence[tuple[Try, bytes | None]]) -> dict[str, Any]:
    tries = [attempt for attempt, _ in tried]
    dns, connect, tls, first_byte, total = zip(*(attempt.timing_ms for attempt in tries), strict=True)
    return {
        "w": [attempt.parcel.tenant.workspace for attempt in tries],
        "e": [attempt.parcel.tenant.environment for attempt in tries],
        "written_at": [attempt.written_at for attempt in tries],
        "d": [attempt.parcel.delivery for attempt in tries],
        "n": [attempt.parcel.tries for attempt in tries],
        "at": [attempt.at for attempt in tries],
        "status": [attempt.status_code for attempt in tries],
        "code": [attempt.error_code for attempt in tries],
        "text": [attempt.error_text for attempt in tries],
        "dns": list(dns),
        "connect": list(connect),
        "tls": list(tls),
        "first_byte": list(first_byte),
        "total": list(total),
        "replay": [attempt.parcel.replay for attempt in tries],
        "tombstone": [attempt.tombstone for attempt in tries],
        "response": [response for _, response in tried],
    }


async def close(tx: Tx, parcels: Sequence[Parcel], status: str, reason: str) -> set[UUID]:
    """Move these rows, where they are still ours, among the dead letters as `dead` or `discarded`; which were moved."""
    moved = set()
    for fence, deliveries in _by_fence(parcels).items():
        rows = await tx.rows(
            "with gone as (delete from due where workspace_id = %(ws)s and environment = %(env)s and delivery_id = any(%(d)b::uuid[])"
            "  and fence = %(fence)s returning *)"
            " insert into dead_letter (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, tries, reason,"
            "  status, died_at)"
            " select workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id,"
            "  (select count(*) from try t where t.delivery_id = gone.delivery_id), %(reason)s, %(status)s, %(now)s from gone"
            " returning delivery_id",
            {**tx.keys, "d": deliveries, "fence": fence, "reason": reason, "status": status, "now": tx.now},
        )
        moved |= {row[0] for row in rows}
    return moved


async def hold(tx: Tx, parcels: Sequence[Parcel]) -> None:
    """Let these rows, where they are still ours, wait until their endpoint takes something again.

    One whose endpoint takes something by now is given back. To be called after `holding`.
    """
    for fence, deliveries in _by_fence(parcels).items():
        await tx.run(
            "update due set held = true, due_at = 'infinity' where workspace_id = %(ws)s and environment = %(env)s"
            " and delivery_id = any(%(d)b::uuid[]) and fence = %(fence)s and not exists (select from endpoint e"
            "  where e.workspace_id = due.workspace_id and e.environment = due.environment and e.id = due.endpoint_id"
            "  and e.status in ('active', 'failing'))",
            {**tx.keys, "d": deliveries, "fence": fence},
        )
        await give_back(tx, fence, deliveries)


def _by_fence(parcels: Sequence[Parcel]) -> dict[int, list[UUID]]:
    fences: dict[int, list[UUID]] = {}
    for parcel in parcels:
        fences.setdefault(parcel.fence, []).append(parcel.delivery)
    return fences


_OPEN_OF_ENDPOINT = (
    "update due set held = true, due_at = 'infinity' where workspace_id = %(ws)s and environment = %(env)s and endpoint_id = %(e)s"
    " and due_at < 'infinity' and (leased_until is null or leased_until < %(wall)s)"
)


async def hold_all(tx: Tx, endpoint: UUID) -> None:
    """Hold whatever is open for this endpoint, but for what some process is sending: that one holds it itself."""
    await tx.run(_OPEN_OF_ENDPOINT, {**tx.keys, "e": endpoint, "wall": tx.wall})


async def release_all(tx: Tx, endpoint: UUID) -> int:
    """Send what was held for this endpoint; how many. To be called after `releasing`."""
    return await tx.count(
        "update due set held = false, due_at = %(now)s where workspace_id = %(ws)s and environment = %(env)s and endpoint_id = %(e)s"
        " and due_at = 'infinity'",
        {**tx.keys, "e": endpoint, "now": tx.now},
    )


async def discard_all(tx: Tx, endpoint: UUID, reason: str, *, only_held: bool) -> int:
    """Move what is open for this endpoint (or only what is held) among the dead letters as discarded; how many."""
    return await tx.count(
        "with gone as (delete from due where workspace_id = %(ws)s and environment = %(env)s and endpoint_id = %(e)s"
        "  and (held or not %(only_held)s) returning *)"
        " insert into dead_letter (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, tries, reason, status,"
        "  died_at) select workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, tries, %(reason)s, 'discarded',"
        "  %(now)s from gone",
        {**tx.keys, "e": endpoint, "only_held": only_held, "reason": reason, "now": tx.now},
    )


AHEAD: LiteralString = (
    "select min(d.due_at), coalesce(bool_or(b.busy), false) from endpoint e left join lateral (select due_at from due"
    "  where endpoint_id = e.id and due_at < 'infinity' and (leased_until is null or leased_until < %(wall)s) order by due_at limit 1) d on true"
    " cross join lateral (select exists (select from due where endpoint_id = e.id and due_at < 'infinity'"
    "  and leased_until >= %(wall)s) as busy) b where e.workspace_id = %(ws)s and e.environment = %(env)s"
)
"""When the tenant's next delivery that no process holds is due, held ones not counted; and whether one holds any."""
