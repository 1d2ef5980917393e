"""The SQL of endpoints: their settings, their health, and the generation that tells every process to read them again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from offhook.db import EngineTx, Tenant, Tx
from offhook.webhooks.health import Health

_COLUMNS = (
    "id, external_id, url, events, description, settings, needs_owner, secret, status, status_reason, failures_in_row, failing_since,"
    " last_success_at, enabled_at, metadata, created_at, updated_at, version"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow:
    """An endpoint as it is stored; `secret` is sealed."""

    id: UUID
    external_id: str | None
    url: str = field(repr=False)
    events: list[str]
    description: str
    settings: dict[str, Any]
    needs_owner: bool
    secret: bytes = field(repr=False)
    status: str
    status_reason: str | None = None
    failures_in_row: int = 0
    failing_since: datetime | None = None
    last_success_at: datetime | None = None
    enabled_at: datetime | None = None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    version: int = 1


async def insert(tx: Tx, row: EndpointRow) -> bool:
    """Whether it was written; False when its external id is taken."""
    return bool(
        await tx.count(
            f"insert into endpoint (workspace_id, environment, {_COLUMNS}) values (%(ws)s, %(env)s, %(id)s, %(external_id)s, %(url)s,"
            " %(events)b, %(description)s, %(settings)s, %(needs_owner)s, %(secret)b, %(status)s, null, 0, null, null, null, %(metadata)s,"
            " %(at)s, %(at)s, 1)"
            " on conflict (workspace_id, environment, external_id) do nothing",
            {
                **tx.keys,
                "id": row.id,
                "external_id": row.external_id,
                "url": row.url,
                "events": row.events,
                "description": row.description,
                "settings": Jsonb(row.settings),
                "needs_owner": row.needs_owner,
                "secret": row.secret,
                "status": row.status,
                "metadata": Jsonb(row.metadata),
                "at": row.created_at,
            },
        )
    )


async def find(tx: Tx, endpoint: UUID, *, lock: bool = False) -> EndpointRow | None:
    row = await tx.row(
        f"select {_COLUMNS} from endpoint where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s"
        + (" for update" if lock else ""),
        {**tx.keys, "id": endpoint},
    )
    return _row(row) if row else None


async def find_by_external_id(tx: Tx, external_id: str, *, lock: bool = False) -> EndpointRow | None:
    row = await tx.row(
        f"select {_COLUMNS} from endpoint where workspace_id = %(ws)s and environment = %(env)s and external_id = %(x)s"
        + (" for update" if lock else ""),
        {**tx.keys, "x": external_id},
    )
    return _row(row) if row else None


async def page(tx: Tx, after: UUID | None, most: int) -> list[EndpointRow]:
    rows = await tx.rows(
        f"select {_COLUMNS} from endpoint where workspace_id = %(ws)s and environment = %(env)s"
        " and (%(after)s::uuid is null or id > %(after)s) order by id limit %(most)s",
        {**tx.keys, "after": after, "most": most},
    )
    return [_row(row) for row in rows]


def _row(row: tuple[Any, ...]) -> EndpointRow:
    return EndpointRow(**dict(zip(_COLUMNS.split(", "), row, strict=True)))


async def update(tx: Tx, row: EndpointRow) -> bool:
    """Write every settable field and raise the version; False when its external id is taken by another."""
    return bool(
        await tx.count(
            "update endpoint set external_id = %(external_id)s, url = %(url)s, events = %(events)b, description = %(description)s,"
            " settings = %(settings)s, needs_owner = %(needs_owner)s, secret = %(secret)b,"
            " status = %(status)s, status_reason = %(reason)s, failures_in_row = %(failures)s,"
            " failing_since = %(since)s, enabled_at = %(enabled)s, metadata = %(metadata)s, updated_at = %(now)s, version = version + 1"
            " where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s and not exists (select from endpoint o"
            "  where o.workspace_id = %(ws)s and o.environment = %(env)s and o.external_id = %(external_id)s and o.id <> %(id)s)",
            {
                **tx.keys,
                "id": row.id,
                "external_id": row.external_id,
                "url": row.url,
                "events": row.events,
                "description": row.description,
                "settings": Jsonb(row.settings),
                "needs_owner": row.needs_owner,
                "secret": row.secret,
                "status": row.status,
                "reason": row.status_reason,
                "failures": row.failures_in_row,
                "since": row.failing_since,
                "enabled": row.enabled_at,
                "metadata": Jsonb(row.metadata),
                "now": tx.now,
            },
        )
    )


async def delete(tx: Tx, endpoint: UUID) -> None:
    await tx.run(
        "delete from endpoint where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": endpoint},
    )


async def lock_health(tx: Tx, endpoints: Sequence[UUID]) -> dict[UUID, tuple[Health, dict[str, Any]]]:
    """How these endpoints are and are set, locked in id order until the commit, so that two processes never embrace."""
    rows = await tx.rows(
        "select id, settings, status, status_reason, failures_in_row, failing_since, last_success_at from endpoint"
        " where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[]) order by id for update",
        {**tx.keys, "ids": list(endpoints)},
    )
    return {id: (Health(*health), settings) for id, settings, *health in rows}


async def save_health(tx: Tx, endpoint: UUID, health: Health) -> None:
    await tx.run(
        "update endpoint set status = %(status)s, status_reason = %(reason)s, failures_in_row = %(failures)s, failing_since = %(since)s,"
        " last_success_at = %(success)s where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {
            **tx.keys,
            "id": endpoint,
            "status": health.status,
            "reason": health.reason,
            "failures": health.failures_in_row,
            "since": health.failing_since,
            "success": health.last_success_at,
        },
    )


async def raise_generation(tx: Tx) -> int:
    """From this commit on every process reads the tenant's endpoints anew; the new generation."""
    row = await tx.row(
        "insert into endpoint_generation as g (workspace_id, environment, generation) values (%(ws)s, %(env)s, 1)"
        " on conflict (workspace_id, environment) do update set generation = g.generation + 1 returning generation",
        tx.keys,
    )
    assert row is not None
    return int(row[0])


@dataclass(frozen=True, slots=True)
class Listed:
    """What the lane needs to know of an endpoint; `secret` is sealed."""

    id: UUID
    url: str = field(repr=False)
    events: list[str]
    status: str
    settings: dict[str, Any]
    secret: bytes = field(repr=False)


async def read_all(tx: EngineTx, tenant: Tenant) -> tuple[int, list[Listed]]:
    """The tenant's generation and endpoints, as of one instant."""
    rows = await tx.rows(
        "select g.generation, e.id, e.url, e.events, e.status, e.settings, e.secret from (select coalesce((select generation"
        " from endpoint_generation where workspace_id = %(ws)s and environment = %(env)s), 0) as generation) g"
        " left join endpoint e on e.workspace_id = %(ws)s and e.environment = %(env)s",
        {"ws": tenant.workspace, "env": tenant.environment},
    )
    return rows[0][0], [Listed(*row[1:]) for row in rows if row[1] is not None]
