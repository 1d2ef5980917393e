"""The rows of persons' keys and of receipts."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from offhook.db import Tx
from offhook.privacy.receipt import Receipt


async def insert_keys(tx: Tx, epoch: str, rows: Sequence[tuple[UUID, str, bytes]]) -> set[tuple[UUID, Any]]:
    """Store (person, class, wrapped key) for those who have none of that class; which (person, class) are new."""
    found = await tx.rows(
        "insert into person_key (workspace_id, environment, person_id, class, epoch, wrapped)"
        " select %(ws)s, %(env)s, p, c, %(epoch)s, w from unnest(%(p)b::uuid[], %(c)b::text[], %(w)b::bytea[]) t(p, c, w)"
        " on conflict do nothing returning person_id, class",
        {**tx.keys, "epoch": epoch, "p": [r[0] for r in rows], "c": [r[1] for r in rows], "w": [r[2] for r in rows]},
    )
    return {(person, kind) for person, kind in found}


async def keys(tx: Tx, persons: Sequence[UUID], kind: str) -> list[tuple[UUID, str, bytes]]:
    """(person, epoch, wrapped key) of those who have a key of that class."""
    rows = await tx.rows(
        "select person_id, epoch, wrapped from person_key where workspace_id = %(ws)s and environment = %(env)s"
        " and person_id = any(%(p)b::uuid[]) and class = %(c)s",
        {**tx.keys, "p": list(persons), "c": kind},
    )
    return [(person, epoch, wrapped) for person, epoch, wrapped in rows]


async def delete_operational(tx: Tx, person: UUID) -> str | None:
    """Delete the person's operational key; the epoch that wrapped it, None when there was no key."""
    row = await tx.row(
        "delete from person_key where workspace_id = %(ws)s and environment = %(env)s and person_id = %(p)s and class = 'operational'"
        " returning epoch",
        {**tx.keys, "p": person},
    )
    return row[0] if row else None


async def insert_receipt(tx: Tx, person: UUID, receipt: Receipt) -> None:
    await tx.run(
        "insert into receipt (workspace_id, environment, id, person_id, document, signature, created_at)"
        " values (%(ws)s, %(env)s, %(id)s, %(p)s, %(doc)b, %(sig)b, %(now)s)",
        {**tx.keys, "id": receipt.id, "p": person, "doc": receipt.document, "sig": receipt.signature, "now": tx.now},
    )


async def receipt_of(tx: Tx, person: UUID) -> Receipt | None:
    row = await tx.row(
        "select id, document, signature from receipt where workspace_id = %(ws)s and environment = %(env)s and person_id = %(p)s",
        {**tx.keys, "p": person},
    )
    return Receipt(*row) if row else None


async def receipt(tx: Tx, id: UUID) -> Receipt | None:
    row = await tx.row(
        "select id, document, signature from receipt where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id},
    )
    return Receipt(*row) if row else None
