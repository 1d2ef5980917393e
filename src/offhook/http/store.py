"""The rows of idempotency: which request a key stood for, and what it was answered. And whose turn it is."""

from datetime import timedelta
from uuid import UUID

from offhook.db import EngineTx, Tx

KEPT = timedelta(hours=24)
PURGED_AT_ONCE = 5000


async def claim(tx: Tx, key_tag: bytes) -> bool:
    """Hold the key until this transaction ends; False when another transaction holds it now."""
    row = await tx.row(
        "select pg_try_advisory_xact_lock(%(lock)s)", {"lock": int.from_bytes(key_tag[:8], "big", signed=True)}
    )
    return bool(row and row[0])


async def find(tx: Tx, key_tag: bytes) -> tuple[bytes, UUID | None, bytes | None] | None:
    """(request's tag, whose key seals the answer, sealed answer) of a claimed key; None when it was not used in the last 24 hours."""
    row = await tx.row(
        "select request_tag, person_id, answer from idempotency"
        " where workspace_id = %(ws)s and environment = %(env)s and key_tag = %(key)b and created_at > %(since)s",
        {**tx.keys, "key": key_tag, "since": tx.wall - KEPT},
    )
    return (row[0], row[1], row[2]) if row else None


async def keep(
    tx: Tx, key_tag: bytes, request_tag: bytes, status: int, person: UUID | None, answer: bytes | None
) -> None:
    """Remember the answer of a claimed key, in place of one older than 24 hours."""
    await tx.run(
        "insert into idempotency (workspace_id, environment, key_tag, request_tag, status, person_id, answer, created_at)"
        " values (%(ws)s, %(env)s, %(key)b, %(request)b, %(status)s, %(person)s, %(answer)b, %(wall)s)"
        " on conflict (workspace_id, environment, key_tag) do update set"
        "  request_tag = excluded.request_tag, status = excluded.status, person_id = excluded.person_id, answer = excluded.answer,"
        "  created_at = excluded.created_at",
        {
            **tx.keys,
            "key": key_tag,
            "request": request_tag,
            "status": status,
            "person": person,
            "answer": answer,
            "wall": tx.wall,
        },
    )


async def purge(tx: EngineTx) -> int:
    """Forget answers that are older than 24 hours, `PURGED_AT_ONCE` at most; how many."""
    return await tx.count(
        # The age twice: a key that is renewed meanwhile is not what was found.
        "delete from idempotency where created_at <= %(since)s and ctid = any(array("
        "select ctid from idempotency where created_at <= %(since)s limit %(most)s))",
        {"since": tx.wall - KEPT, "most": PURGED_AT_ONCE},
    )


async def take_turn(tx: Tx, id: UUID) -> None:
    """Requests that change this object take turns until the commit."""
    await tx.run_now("select pg_advisory_xact_lock(hashtextextended(%(id)s::text, 4))", {"id": id})
