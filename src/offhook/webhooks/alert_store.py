"""The SQL of who is alerted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from offhook.db import Tx
from offhook.webhooks.incident_store import Incident

_COLUMNS = (
    "id, external_id, name, about, endpoints, target_type, target, every_s, told_until, told_at, failures, failed_at, last_error, metadata,"
    " created_at, updated_at, version"
)

_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """An alert as it is stored; `target` is sealed. Whoever it tells knows what went wrong up to `told_until`."""

    id: UUID
    external_id: str | None
    name: str
    about: list[str]
    endpoints: Sequence[UUID] | None
    target_type: str
    target: bytes = field(repr=False)
    every_s: int
    told_until: datetime
    told_at: datetime | None = None
    failures: int = 0
    failed_at: datetime | None = None
    last_error: str | None = None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def concerns(self, incident: Incident) -> bool:
        """Whether whoever it tells wants to know of this one."""
        return incident.about in self.about and (self.endpoints is None or incident.endpoint in self.endpoints)

    def yet_to_tell(self, incident: Incident) -> bool:
        """Whether that is news to whoever it tells."""
        return incident.latest_at > self.told_until and self.concerns(incident)


async def insert(tx: Tx, row: AlertRow) -> bool:
    """Whether it was written; False when its external id is taken."""
    return bool(
        await tx.count(
            f"insert into alert (workspace_id, environment, {_COLUMNS}) values (%(ws)s, %(env)s, %(id)s, %(external_id)s, %(name)s,"
            " %(about)b, %(endpoints)b::uuid[], %(target_type)s, %(target)b, %(every_s)s, %(now)s, null, 0, null, null, %(metadata)s, %(now)s,"
            " %(now)s, 1) on conflict (workspace_id, environment, external_id) do nothing",
            _params(tx, row),
        )
    )


async def update(tx: Tx, row: AlertRow) -> bool:
    """Write every settable field and raise the version; False when its external id is taken by another."""
    return bool(
        await tx.count(
            "update alert set external_id = %(external_id)s, name = %(name)s, about = %(about)b, endpoints = %(endpoints)b::uuid[],"
            " target_type = %(target_type)s, target = %(target)b, every_s = %(every_s)s, metadata = %(metadata)s, failures = 0,"
            " updated_at = %(now)s, version = version + 1 where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s"
            " and not exists (select from alert o where o.workspace_id = %(ws)s and o.environment = %(env)s"
            "  and o.external_id = %(external_id)s and o.id <> %(id)s)",
            _params(tx, row),
        )
    )


def _params(tx: Tx, row: AlertRow) -> dict[str, Any]:
    return {
        **tx.keys,
        "id": row.id,
        "external_id": row.external_id,
        "name": row.name,
        "about": row.about,
        "endpoints": row.endpoints and list(row.endpoints),
        "target_type": row.target_type,
        "target": row.target,
        "every_s": row.every_s,
        "metadata": Jsonb(row.metadata),
        "now": tx.now,
    }


async def find(
    tx: Tx, *, id: UUID | None = None, external_id: str | None = None, lock: bool = False
) -> AlertRow | None:
    row = await tx.row(
        f"select {_COLUMNS} from alert where workspace_id = %(ws)s and environment = %(env)s"
        " and (id = %(id)s or external_id = %(external_id)s)" + (" for update" if lock else ""),
        {**tx.keys, "id": id, "external_id": external_id},
    )
    return _row(row) if row else None


async def page(tx: Tx, after: UUID | None, most: int) -> list[AlertRow]:
    rows = await tx.rows(
        f"select {_COLUMNS} from alert where workspace_id = %(ws)s and environment = %(env)s"
        " and (%(after)s::uuid is null or id > %(after)s) order by id limit %(most)s",
        {**tx.keys, "after": after, "most": most},
    )
    return [_row(row) for row in rows]


async def every(tx: Tx) -> list[AlertRow]:
    """All of them, however many there are."""
    rows: list[AlertRow] = []
    while more := await page(tx, rows[-1].id if rows else None, _PAGE):
        rows += more
    return rows


async def count(tx: Tx) -> int:
    """How many there are."""
    row = await tx.row("select count(*) from alert where workspace_id = %(ws)s and environment = %(env)s", tx.keys)
    assert row is not None
    return int(row[0])


async def telling_endpoints(tx: Tx) -> list[AlertRow]:
    """Those that tell some endpoint."""
    rows = await tx.rows(
        f"select {_COLUMNS} from alert where workspace_id = %(ws)s and environment = %(env)s and target_type = 'webhook_endpoint'"
        " order by id",
        tx.keys,
    )
    return [_row(row) for row in rows]


async def delete(tx: Tx, id: UUID) -> None:
    await tx.run(
        "delete from alert where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s", {**tx.keys, "id": id}
    )


async def told(tx: Tx, ids: Sequence[UUID], until: datetime) -> None:
    """Whoever these tell knows all up to that instant."""
    await tx.run(
        "update alert set told_until = %(until)s, told_at = %(now)s, failures = 0, last_error = null"
        " where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[])",
        {**tx.keys, "ids": list(ids), "until": until, "now": tx.now},
    )


async def failed(tx: Tx, id: UUID, why: str) -> None:
    """Nobody could be told, for this reason."""
    await tx.run(
        "update alert set failures = failures + 1, failed_at = %(now)s, last_error = %(why)s"
        " where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id, "why": why, "now": tx.now},
    )


def _row(row: tuple[Any, ...]) -> AlertRow:
    return AlertRow(**dict(zip(_COLUMNS.split(", "), row, strict=True)))
