"""The SQL of the inbox."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from offhook.db import Tx


@dataclass(frozen=True, slots=True)
class Message:
    """A webhook in the inbox, its content sealed."""

    id: UUID
    received_at: datetime
    webhook_id: str
    verified: bool
    person_id: UUID | None
    message: bytes


async def insert_message(tx: Tx, id: UUID, webhook_id: str, verified: bool, person: UUID | None, sealed: bytes) -> None:
    await tx.run(
        "insert into inbox (workspace_id, environment, id, received_at, webhook_id, verified, person_id, message)"
        " values (%(ws)s, %(env)s, %(id)s, %(now)s, %(webhook)s, %(verified)s, %(person)s, %(message)b)",
        {
            **tx.keys,
            "id": id,
            "now": tx.now,
            "webhook": webhook_id,
            "verified": verified,
            "person": person,
            "message": sealed,
        },
    )


async def trim_inbox(tx: Tx, kept: int) -> None:
    """Forget all but the newest."""
    await tx.run(
        "delete from inbox where workspace_id = %(ws)s and environment = %(env)s and id < (select id from inbox"
        " where workspace_id = %(ws)s and environment = %(env)s order by id desc offset %(kept)s limit 1)",
        {**tx.keys, "kept": kept},
    )


async def messages(tx: Tx, before: UUID | None, limit: int) -> list[Message]:
    rows = await tx.rows(
        "select id, received_at, webhook_id, verified, person_id, message from inbox where workspace_id = %(ws)s and environment = %(env)s"
        " and (%(before)s::uuid is null or id < %(before)s) order by id desc limit %(limit)s",
        {**tx.keys, "before": before, "limit": limit},
    )
    return [Message(*row) for row in rows]
