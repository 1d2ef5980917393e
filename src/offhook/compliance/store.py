"""The SQL of suppression."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from offhook.db import Tx


async def lock_tags(tx: Tx, tags: Sequence[bytes]) -> None:
    """Take the turn of each tag until the end of the transaction, in one order for everybody."""
    await tx.run_now(
        "select pg_advisory_xact_lock(hashtextextended(encode(tag, 'hex'), 1)) from unnest(%(tags)b::bytea[]) tag order by tag",
        {"tags": sorted(set(tags))},
    )


async def suppressed(tx: Tx, tags: Sequence[bytes]) -> dict[bytes, str]:
    """The scope under which each suppressed tag is suppressed."""
    rows = await tx.rows(
        "select tag, scope from suppression where workspace_id = %(ws)s and environment = %(env)s and tag = any(%(tags)b::bytea[])",
        {**tx.keys, "tags": list(tags)},
    )
    return dict(rows)


async def insert(tx: Tx, rows: Sequence[dict[str, Any]]) -> set[UUID]:
    """Add suppressions; the ids of those that are new."""
    found = await tx.rows(
        "insert into suppression (workspace_id, environment, id, scope, tag, tag_version, kind, source, effective_at, created_at, updated_at)"
        " select %(ws)s, %(env)s, id, scope, tag, version, kind, source, %(now)s, %(now)s, %(now)s"
        " from unnest(%(id)b::uuid[], %(scope)b::text[], %(tag)b::bytea[], %(version)b::int[], %(kind)b::text[], %(source)b::text[])"
        " t(id, scope, tag, version, kind, source) on conflict do nothing returning id",
        {
            **tx.keys,
            "now": tx.now,
            **{name: [row[name] for row in rows] for name in ("id", "scope", "tag", "version", "kind", "source")},
        },
    )
    return {row[0] for row in found}


async def ids_of(tx: Tx, tags: Sequence[bytes], scope: str) -> list[UUID]:
    rows = await tx.rows(
        "select id from suppression where workspace_id = %(ws)s and environment = %(env)s and tag = any(%(tags)b::bytea[])"
        " and scope = %(scope)s order by id",
        {**tx.keys, "tags": list(tags), "scope": scope},
    )
    return [row[0] for row in rows]


_SHOWN = "id, scope, kind, source, tag_version, effective_at, created_at, updated_at, version"


async def listed(tx: Tx, after: UUID | None, limit: int) -> list[dict[str, Any]]:
    rows = await tx.rows(
        f"select {_SHOWN} from suppression where workspace_id = %(ws)s and environment = %(env)s"
        " and (%(after)s::uuid is null or id > %(after)s) order by id limit %(limit)s",
        {**tx.keys, "after": after, "limit": limit},
    )
    return [dict(zip(_SHOWN.split(", "), row, strict=True)) for row in rows]
