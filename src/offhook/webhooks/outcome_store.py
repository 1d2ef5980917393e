"""The SQL of what became of deliveries: tries written, rows closed or given back.

Written so that no plan, however old, scans or hash-joins a whole table: `= any(array)` for deletes and updates.
"""

from collections.abc import Sequence
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from offhook.db import EngineTx, Tx
from offhook.webhooks.lane_store import ORDER_WAIT
from offhook.webhooks.parcel import Again, Parcel, Try


class Written(NamedTuple):
    """A try, and the sealed halves of it: what was asked where that is not the usual, what was answered."""

    tried: Try
    request: bytes | None
    response: bytes | None


_INSERT_TRIES = (
    "insert into try (workspace_id, environment, written_at, delivery_id, n, at, status_code, error_code, error_text, timing_ms, replay,"
    " tombstone, batch_id, request, response)"
    " select w, e, written_at, d, n, at, status, code, text, array[dns, connect, tls, first_byte, total]::real[], replay,"
    " tombstone, batch, request, response from unnest(%(w)b::uuid[], %(e)b::text[], %(written_at)b::timestamptz[], %(d)b::uuid[], %(n)b::int[],"
    " %(at)b::timestamptz[], %(status)b::int[], %(code)b::text[], %(text)b::text[], %(dns)b::float8[], %(connect)b::float8[],"
    " %(tls)b::float8[], %(first_byte)b::float8[], %(total)b::float8[], %(replay)b::bool[], %(tombstone)b::bool[], %(batch)b::uuid[],"
    " %(request)b::bytea[], %(response)b::bytea[])"
    " t(w, e, written_at, d, n, at, status, code, text, dns, connect, tls, first_byte, total, replay, tombstone, batch, request, response)"
    # A batch whose commit was lost on the way is written again.
    " on conflict do nothing"
)
SETTLE = (
    f"with i as ({_INSERT_TRIES}),"  # one constant inside another
    " later as (update due set tries = (%(made)b::int[])[array_position(%(again)b::uuid[], delivery_id)],"
    "   due_at = (%(again_at)b::timestamptz[])[array_position(%(again)b::uuid[], delivery_id)],"
    "   first_try_at = coalesce(first_try_at, (%(first)b::timestamptz[])[array_position(%(again)b::uuid[], delivery_id)]),"
    "   leased_until = null where delivery_id = any(%(again)b::uuid[]) and fence = %(fence)s),"
    " gone as (delete from due where delivery_id = any(%(over)b::uuid[]) and fence = %(fence)s)"
    " select id from endpoint where id = any(%(endpoint)b::uuid[])"
    "  and (failures_in_row > 0 or status in ('failing', 'pending_test'))"
)


async def settle(tx: EngineTx, fence: int, tried: Sequence[tuple[Written, Again | None]]) -> set[UUID]:
    """Write tries of this fence, each as it was sealed; those with an Again wait for it, the others are over.

    The answer: those of their endpoints whose health a success would change (`Health.troubled`).

    A row that somebody else has claimed since (a higher fence) stays theirs; the try is written all the same, for it
    was made. Writing the same results again changes nothing.
    """
    again = [(written.tried, later) for written, later in tried if later]
    rows = await tx.rows(
        SETTLE,
        {
            **_tries([written for written, _ in tried]),
            "fence": fence,
            "over": [written.tried.parcel.delivery for written, later in tried if not later],
            "again": [attempt.parcel.delivery for attempt, _ in again],
            "again_at": [later.at for _, later in again],
            "made": [attempt.parcel.tries + 1 for attempt, _ in again],
            "first": [attempt.at for attempt, _ in again],
            "endpoint": list({written.tried.parcel.endpoint for written, _ in tried}),
        },
    )
    return {row[0] for row in rows}


LET_FOLLOW = (
    "update due set due_at = ordered_until - %(wait)s where due_at = ordered_until and delivery_id = any(array("
    " select n.delivery_id from unnest(%(endpoint)b::uuid[], %(subject)b::uuid[]) x(endpoint, subject) cross join lateral"
    " (select delivery_id from due where endpoint_id = x.endpoint and subject_id = x.subject order by sequence limit 1) n))"
)


async def let_follow(tx: EngineTx, ended: Sequence[tuple[UUID, UUID]]) -> None:
    """The next event of each of these (endpoint, subject) waits no longer for an earlier one. Idempotent."""
    await tx.run(
        LET_FOLLOW,
        {
            "wait": ORDER_WAIT,
            "endpoint": [endpoint for endpoint, _ in ended],
            "subject": [subject for _, subject in ended],
        },
    )


async def give_back(tx: EngineTx, fence: int, deliveries: Sequence[UUID]) -> None:
    """End our lease of this fence on these, so that anybody may claim them now."""
    await tx.run(
        "update due set leased_until = null where delivery_id = any(%(d)b::uuid[]) and fence = %(fence)s",
        {"d": list(deliveries), "fence": fence},
    )


async def insert_tries(tx: EngineTx, written: Sequence[Written]) -> None:
    await tx.run(_INSERT_TRIES, _tries(written))


def _tries(written: Sequence[Written]) -> dict[str, Any]:
    tries = [one.tried for one in written]
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
        "batch": [attempt.parcel.batch for attempt in tries],
        "request": [one.request for one in written],
        "response": [one.response for one in written],
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


def _by_fence(parcels: Sequence[Parcel]) -> dict[int, list[UUID]]:
    fences: dict[int, list[UUID]] = {}
    for parcel in parcels:
        fences.setdefault(parcel.fence, []).append(parcel.delivery)
    return fences


_UNLEASED: LiteralString = "(leased_until is null or leased_until < %(wall)s) order by due_at limit 1"
AHEAD: LiteralString = (
    "select min(d.due_at), coalesce(bool_or(b.busy), false) from (select id, status in ('active', 'failing') as takes from endpoint"
    "  where workspace_id = %(ws)s and environment = %(env)s offset 0) e left join lateral ("
    f"  (select due_at from due where endpoint_id = e.id and e.takes and {_UNLEASED})"
    f"  union all (select due_at from due where endpoint_id = e.id and test and not e.takes and {_UNLEASED})) d on true"
    " cross join lateral (select exists (select from due where endpoint_id = e.id and e.takes and leased_until >= %(wall)s)"
    "  or exists (select from due where endpoint_id = e.id and test and leased_until >= %(wall)s) as busy) b"
)
"""When the tenant's next delivery that no process holds is due, held ones not counted; and whether one holds any."""
