"""The rows of workspaces, environments, API keys and their rate buckets."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from offhook.db import EngineTx, Tenant, Tx
from offhook.db.connection import Environment


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key as it stands, without its hash."""

    id: UUID
    name: str
    hint: str
    scopes: list[str]
    rate_per_s: int
    burst: int
    created_at: datetime
    updated_at: datetime
    revoked_at: datetime | None
    version: int


async def insert_workspace(tx: Tx, name: str) -> None:
    await tx.run(
        "insert into workspace (id, name, created_at) values (%(ws)s, %(name)s, %(wall)s)",
        {**tx.keys, "name": name, "wall": tx.wall},
    )
    # Row-level security lets a transaction write its own environment only, so it becomes each in turn.
    for environment in ("live", "sandbox"):
        await tx.run("select set_config('offhook.environment', %(env)s, true)", {"env": environment})
        await tx.run(
            "insert into environment (workspace_id, environment) values (%(ws)s, %(env)s)",
            {**tx.keys, "env": environment},
        )
    await tx.run("select set_config('offhook.environment', %(env)s, true)", tx.keys)


async def any_workspace(tx: EngineTx) -> bool:
    row = await tx.row("select exists (select from workspace)")
    return bool(row and row[0])


async def set_clock_offset(tx: Tx, offset: timedelta) -> None:
    await tx.run(
        "update environment set clock_offset = %(offset)s where workspace_id = %(ws)s and environment = %(env)s",
        {**tx.keys, "offset": offset},
    )


async def insert_key(tx: Tx, row: KeyRow, hash: bytes) -> None:
    """The key, and its bucket, full."""
    values = {**tx.keys, **{field.name: getattr(row, field.name) for field in fields(KeyRow)}, "hash": hash}
    await tx.run(
        "insert into api_key (workspace_id, environment, id, name, hash, hint, scopes, rate_per_s, burst, created_at, updated_at)"
        " values (%(ws)s, %(env)s, %(id)s, %(name)s, %(hash)b, %(hint)s, %(scopes)b::text[], %(rate_per_s)s, %(burst)s, %(created_at)s,"
        " %(updated_at)s)",
        values,
    )
    await tx.run(
        "insert into rate_bucket (workspace_id, environment, api_key_id, tokens, refilled_at)"
        " values (%(ws)s, %(env)s, %(id)s, %(burst)s, %(wall)s)",
        {**values, "wall": tx.wall},
    )


async def find_key(tx: Tx, id: UUID) -> KeyRow | None:
    row = await tx.row(
        "select id, name, hint, scopes, rate_per_s, burst, created_at, updated_at, revoked_at, version from api_key"
        " where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id},
    )
    return KeyRow(*row) if row else None


async def list_keys(tx: Tx, after: UUID | None, most: int) -> list[KeyRow]:
    rows = await tx.rows(
        "select id, name, hint, scopes, rate_per_s, burst, created_at, updated_at, revoked_at, version from api_key"
        " where workspace_id = %(ws)s and environment = %(env)s and (%(after)s::uuid is null or id > %(after)s)"
        " order by id limit %(most)s",
        {**tx.keys, "after": after, "most": most},
    )
    return [KeyRow(*row) for row in rows]


async def update_key(tx: Tx, id: UUID, new: dict[str, Any]) -> None:
    """Set name, scopes, rate_per_s and burst, as far as they are in `new`."""
    values = {"name": None, "scopes": None, "rate_per_s": None, "burst": None, **new}
    await tx.run(
        "update api_key set name = coalesce(%(name)s, name), scopes = coalesce(%(scopes)b::text[], scopes),"
        " rate_per_s = coalesce(%(rate_per_s)s, rate_per_s), burst = coalesce(%(burst)s, burst), updated_at = %(now)s,"
        " version = version + 1 where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, **values, "id": id, "now": tx.now},
    )


async def revoke_key(tx: Tx, id: UUID) -> None:
    """From now on; a key that was revoked before keeps its time."""
    await tx.run(
        "update api_key set revoked_at = %(now)s, updated_at = %(now)s, version = version + 1"
        " where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s and revoked_at is null",
        {**tx.keys, "id": id, "now": tx.now},
    )


async def is_live(tx: Tx, id: UUID) -> bool:
    row = await tx.row(
        "select exists (select from api_key where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s"
        " and revoked_at is null)",
        {**tx.keys, "id": id},
    )
    return bool(row and row[0])


async def find_by_hash(tx: EngineTx, hash: bytes) -> tuple[Tenant, KeyRow] | None:
    row = await tx.row(
        "select workspace_id, environment, id, name, hint, scopes, rate_per_s, burst, created_at, updated_at, revoked_at, version"
        " from find_api_key(%(hash)b)",
        {"hash": hash},
    )
    if row is None:
        return None
    workspace, environment, *rest = row
    tenant: Environment = environment
    return Tenant(workspace, tenant), KeyRow(*rest)


async def lease_tokens(tx: Tx, key: UUID, rate_per_s: int, burst: int, most: int) -> tuple[int, float]:
    """Take up to `most` whole tokens from the bucket, refilled to this instant; how many, and what is left in it."""
    row = await tx.row(
        "update rate_bucket b set tokens = full_by_now.tokens - full_by_now.granted, refilled_at = full_by_now.at"
        " from (select tokens, at, least(floor(tokens), %(most)s) as granted from ("
        "  select least(%(burst)s, tokens + %(rate)s * greatest(0, extract(epoch from clock_timestamp() - refilled_at))) as tokens,"
        "   greatest(refilled_at, clock_timestamp()) as at"
        "  from (select tokens, refilled_at from rate_bucket"
        "   where workspace_id = %(ws)s and environment = %(env)s and api_key_id = %(key)s for update) locked) refilled) full_by_now"
        " where b.workspace_id = %(ws)s and b.environment = %(env)s and b.api_key_id = %(key)s"
        " returning full_by_now.granted::int, b.tokens",
        {**tx.keys, "key": key, "rate": float(rate_per_s), "burst": float(burst), "most": most},
    )
    return (row[0], row[1]) if row else (0, 0.0)
