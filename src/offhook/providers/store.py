"""The SQL of provider accounts."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from offhook.db import EngineTx, Tenant, Tx

_COLUMNS = "id, provider, name, settings, secret, is_default, created_at, updated_at, version"


@dataclass(frozen=True, slots=True)
class Row:
    id: UUID
    platform: str
    name: str
    settings: dict[str, Any] = field(repr=False)
    secret: bytes | None = field(repr=False)
    is_default: bool
    created_at: datetime
    updated_at: datetime
    version: int


async def insert(
    tx: Tx, id: UUID, platform: str, name: str, settings: dict[str, Any], secret: bytes | None, *, is_default: bool
) -> bool:
    """Whether it was stored; False when the platform has an account of that name already."""
    if is_default:
        await _no_default(tx)
    stored = await tx.count(
        "insert into provider_account (workspace_id, environment, id, provider, name, settings, secret, is_default, created_at, updated_at)"
        " values (%(ws)s, %(env)s, %(id)s, %(provider)s, %(name)s, %(settings)s, %(secret)s, %(default)s, %(now)s, %(now)s)"
        " on conflict (workspace_id, environment, provider, name) do nothing",
        {
            **tx.keys,
            "id": id,
            "provider": platform,
            "name": name,
            "settings": Jsonb(settings),
            "secret": secret,
            "default": is_default,
            "now": tx.now,
        },
    )
    return stored == 1


async def update(tx: Tx, row: Row) -> None:
    if row.is_default:
        await _no_default(tx)
    await tx.run(
        "update provider_account set name = %(name)s, settings = %(settings)s, secret = %(secret)s, is_default = %(default)s,"
        " updated_at = %(now)s, version = version + 1 where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {
            **tx.keys,
            "id": row.id,
            "name": row.name,
            "settings": Jsonb(row.settings),
            "secret": row.secret,
            "default": row.is_default,
            "now": tx.now,
        },
    )


async def find(tx: Tx, id: UUID) -> Row | None:
    row = await tx.row(
        f"select {_COLUMNS} from provider_account where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id},
    )
    return Row(*row) if row else None


async def every(tx: Tx, after: UUID | None = None, limit: int | None = None) -> list[Row]:
    rows = await tx.rows(
        f"select {_COLUMNS} from provider_account where workspace_id = %(ws)s and environment = %(env)s"
        " and (%(after)s::uuid is null or id > %(after)s) order by id limit %(limit)s",
        {**tx.keys, "after": after, "limit": limit},
    )
    return [Row(*row) for row in rows]


async def preferred(tx: Tx, platform: str | None) -> UUID | None:
    """The default account, else the oldest; of this platform where one is named."""
    row = await tx.row(
        "select id from provider_account where workspace_id = %(ws)s and environment = %(env)s"
        " and (%(provider)s::text is null or provider = %(provider)s) order by is_default desc, id limit 1",
        {**tx.keys, "provider": platform},
    )
    return row[0] if row else None


async def delete(tx: Tx, id: UUID) -> list[str]:
    """Delete it, unless campaigns or open calls use it: then their ids, and nothing is deleted."""
    used = await tx.rows(
        "select 'campaign', id from campaign where workspace_id = %(ws)s and environment = %(env)s and provider_account_id = %(id)s"
        " union all select 'call', id from call where workspace_id = %(ws)s and environment = %(env)s and provider_account_id = %(id)s"
        " and ended_at is null limit 20",
        {**tx.keys, "id": id},
    )
    if not used:
        await tx.run(
            "delete from provider_account where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
            {**tx.keys, "id": id},
        )
    return [f"{table}:{found}" for table, found in used]


async def tenant_of(tx: EngineTx, id: UUID, platform: str) -> Tenant | None:
    """Whose account that is: the one question asked before a callback's tenant is known."""
    row = await tx.row(
        "select workspace_id, environment from provider_account where id = %(id)s and provider = %(provider)s",
        {"id": id, "provider": platform},
    )
    return Tenant(*row) if row else None


async def _no_default(tx: Tx) -> None:
    await tx.run(
        "update provider_account set is_default = false, updated_at = %(now)s, version = version + 1"
        " where workspace_id = %(ws)s and environment = %(env)s and is_default",
        {**tx.keys, "now": tx.now},
    )
