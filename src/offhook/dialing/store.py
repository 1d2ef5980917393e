"""The SQL of campaigns and cadences."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from offhook.db import Tx

CAMPAIGN = (
    "id, external_id, name, status, mode, is_default, cadence_id, provider_account_id, max_live_transfers, max_concurrent_calls,"
    " ring_timeout_s, max_duration_s, caller_id, metadata, created_at, updated_at, version"
)


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign as it stands in its table."""

    id: UUID
    external_id: str | None
    name: str
    status: str
    mode: str
    is_default: bool
    cadence_id: UUID
    provider_account_id: UUID | None
    max_live_transfers: int | None
    max_concurrent_calls: int
    ring_timeout_s: int
    max_duration_s: int
    caller_id: str | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    version: int


async def campaigns(
    tx: Tx, *, by_id: Sequence[UUID] = (), external_ids: Sequence[str] = (), default: bool = False
) -> list[CampaignRow]:
    rows = await tx.rows(
        f"select {CAMPAIGN} from campaign where workspace_id = %(ws)s and environment = %(env)s"
        " and (id = any(%(ids)b::uuid[]) or external_id = any(%(external)b::text[]) or (%(default)s and is_default))",
        {**tx.keys, "ids": list(by_id), "external": list(external_ids), "default": default},
    )
    return [CampaignRow(*row) for row in rows]


async def campaigns_and_plans(
    tx: Tx, *, by_id: Sequence[UUID], external_ids: Sequence[str], default: bool
) -> list[tuple[CampaignRow, dict[str, Any]]]:
    """Campaigns, each with the latest version of its cadence, which this transaction need not read again."""
    rows = await tx.rows(
        f"select {CAMPAIGN}, v.number, v.plan from campaign c cross join lateral (select number, plan from cadence_version v"
        "  where v.workspace_id = c.workspace_id and v.environment = c.environment and v.cadence_id = c.cadence_id"
        "  order by number desc limit 1) v where workspace_id = %(ws)s and environment = %(env)s"
        " and (id = any(%(ids)b::uuid[]) or external_id = any(%(external)b::text[]) or (%(default)s and is_default))",
        {**tx.keys, "ids": list(by_id), "external": list(external_ids), "default": default},
    )
    found = [(CampaignRow(*row), number, plan) for *row, number, plan in rows]
    _known_plans(tx).update({row.id: (row.cadence_id, number, plan) for row, number, plan in found})
    return [(row, plan) for row, _, plan in found]


Latest = tuple[UUID, int, dict[str, Any]]
"""A cadence, the number of its latest version, and the plan."""


def _known_plans(tx: Tx) -> dict[UUID, Latest]:
    known: dict[UUID, Latest] = tx.notes.setdefault("dialing.latest_plans", {})
    return known


async def list_campaigns(tx: Tx, after: UUID | None, limit: int) -> list[CampaignRow]:
    rows = await tx.rows(
        f"select {CAMPAIGN} from campaign where workspace_id = %(ws)s and environment = %(env)s"
        " and (%(after)s::uuid is null or id > %(after)s) order by id limit %(limit)s",
        {**tx.keys, "after": after, "limit": limit},
    )
    return [CampaignRow(*row) for row in rows]


async def insert_campaign(tx: Tx, values: dict[str, Any]) -> None:
    await tx.run(
        "insert into campaign (workspace_id, environment, id, external_id, name, status, mode, is_default, cadence_id, provider_account_id,"
        " max_live_transfers, max_concurrent_calls, ring_timeout_s, max_duration_s, caller_id, metadata, created_at, updated_at)"
        " values (%(ws)s, %(env)s, %(id)s, %(external_id)s, %(name)s, %(status)s, %(mode)s, %(is_default)s, %(cadence_id)s,"
        " %(provider_account_id)s, %(max_live_transfers)s, %(max_concurrent_calls)s, %(ring_timeout_s)s, %(max_duration_s)s, %(caller_id)s,"
        " %(metadata)s, %(now)s, %(now)s)",
        {**tx.keys, **values, "metadata": Jsonb(values["metadata"]), "now": tx.now},
    )


async def update_campaign(tx: Tx, values: dict[str, Any]) -> None:
    await tx.run(
        "update campaign set external_id = %(external_id)s, name = %(name)s, mode = %(mode)s, is_default = %(is_default)s,"
        " cadence_id = %(cadence_id)s, provider_account_id = %(provider_account_id)s, max_live_transfers = %(max_live_transfers)s,"
        " max_concurrent_calls = %(max_concurrent_calls)s, ring_timeout_s = %(ring_timeout_s)s, max_duration_s = %(max_duration_s)s,"
        " caller_id = %(caller_id)s, metadata = %(metadata)s, updated_at = %(now)s, version = version + 1"
        " where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, **values, "metadata": Jsonb(values["metadata"]), "now": tx.now},
    )


async def set_campaign_status(tx: Tx, id: UUID, status: str) -> None:
    await tx.run(
        "update campaign set status = %(status)s, updated_at = %(now)s, version = version + 1 where workspace_id = %(ws)s"
        " and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id, "status": status, "now": tx.now},
    )


async def undefault_campaigns(tx: Tx) -> None:
    await tx.run(
        "update campaign set is_default = false, updated_at = %(now)s, version = version + 1 where workspace_id = %(ws)s"
        " and environment = %(env)s and is_default",
        {**tx.keys, "now": tx.now},
    )


# Each part by an index of its own: one over all of them would be written to at every step of every attempt.
_ATTEMPTS = "select lead_id, state, outcome from attempt where workspace_id = %(ws)s and environment = %(env)s and campaign_id = %(id)s"
_OF_CAMPAIGN = (
    f"({_ATTEMPTS} and state = 'planned' union all {_ATTEMPTS} and state = 'dialing'"
    f" union all {_ATTEMPTS} and state in ('paused', 'resolved', 'cancelled')) a"
)


async def lead_count(tx: Tx, campaign_id: UUID) -> int:
    """How many leads have an attempt for this campaign."""
    row = await tx.row(
        f"select count(distinct lead_id)::int from {_OF_CAMPAIGN}",
        {**tx.keys, "id": campaign_id},
    )
    return int(row[0]) if row else 0


async def delete_campaign(tx: Tx, id: UUID) -> None:
    await tx.run(
        "delete from campaign where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id},
    )


async def progress(tx: Tx, campaign_id: UUID) -> list[tuple[Any, ...]]:
    """(state, outcome, how many) of the campaign's attempts."""
    return await tx.rows(
        f"select state, outcome, count(*)::int from {_OF_CAMPAIGN} group by state, outcome order by state, outcome",
        {**tx.keys, "id": campaign_id},
    )


async def insert_cadence(tx: Tx, values: dict[str, Any], plan: dict[str, Any]) -> None:
    await tx.run(
        "insert into cadence (workspace_id, environment, id, external_id, name, latest, metadata, created_at, updated_at)"
        " values (%(ws)s, %(env)s, %(id)s, %(external_id)s, %(name)s, 1, %(metadata)s, %(now)s, %(now)s)",
        {**tx.keys, **values, "metadata": Jsonb(values["metadata"]), "now": tx.now},
    )
    await insert_cadence_version(tx, values["id"], 1, plan)


async def insert_cadence_version(tx: Tx, cadence_id: UUID, number: int, plan: dict[str, Any]) -> None:
    await tx.run(
        "insert into cadence_version (workspace_id, environment, cadence_id, number, plan, created_at)"
        " values (%(ws)s, %(env)s, %(id)s, %(number)s, %(plan)s, %(now)s)",
        {**tx.keys, "id": cadence_id, "number": number, "plan": Jsonb(plan), "now": tx.now},
    )


async def update_cadence(tx: Tx, values: dict[str, Any]) -> None:
    await tx.run(
        "update cadence set external_id = %(external_id)s, name = %(name)s, latest = %(latest)s, metadata = %(metadata)s,"
        " updated_at = %(now)s, version = version + 1 where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, **values, "metadata": Jsonb(values["metadata"]), "now": tx.now},
    )


_CADENCE = (
    "c.id, c.external_id, c.name, c.latest, c.metadata, c.created_at, c.updated_at, c.version, v.plan"
    " from cadence c join cadence_version v on v.workspace_id = c.workspace_id and v.environment = c.environment and v.cadence_id = c.id"
    " and v.number = c.latest where c.workspace_id = %(ws)s and c.environment = %(env)s"
)


_CADENCE_FIELDS = ("id", "external_id", "name", "latest", "metadata", "created_at", "updated_at", "version", "plan")


async def find_cadence(tx: Tx, *, id: UUID | None = None, external_id: str | None = None) -> dict[str, Any] | None:
    row = await tx.row(
        f"select {_CADENCE} and (c.id = %(id)s or c.external_id = %(external_id)s)",
        {**tx.keys, "id": id, "external_id": external_id},
    )
    return dict(zip(_CADENCE_FIELDS, row, strict=True)) if row else None


async def list_cadences(tx: Tx, after: UUID | None, limit: int) -> list[dict[str, Any]]:
    rows = await tx.rows(
        f"select {_CADENCE} and (%(after)s::uuid is null or c.id > %(after)s) order by c.id limit %(limit)s",
        {**tx.keys, "after": after, "limit": limit},
    )
    return [dict(zip(_CADENCE_FIELDS, row, strict=True)) for row in rows]


async def campaigns_of_cadence(tx: Tx, cadence_id: UUID) -> list[UUID]:
    rows = await tx.rows(
        "select id from campaign where workspace_id = %(ws)s and environment = %(env)s and cadence_id = %(id)s",
        {**tx.keys, "id": cadence_id},
    )
    return [row[0] for row in rows]


async def leads_on_cadence(tx: Tx, cadence_id: UUID) -> int:
    """How many leads were ever planned by this cadence."""
    row = await tx.row(
        "select count(distinct lead_id)::int from attempt where workspace_id = %(ws)s and environment = %(env)s and cadence_id = %(id)s",
        {**tx.keys, "id": cadence_id},
    )
    return int(row[0]) if row else 0


async def delete_cadence(tx: Tx, id: UUID) -> None:
    await tx.run(
        "delete from cadence where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id},
    )


async def plans(tx: Tx, versions: Collection[tuple[UUID, int]]) -> dict[tuple[UUID, int], dict[str, Any]]:
    """The plans of these (cadence, version)."""
    rows = await tx.rows(
        "select v.cadence_id, v.number, v.plan from cadence_version v"
        " join unnest(%(cadences)b::uuid[], %(numbers)b::int[]) wanted(cadence, number)"
        " on v.cadence_id = wanted.cadence and v.number = wanted.number"
        " where v.workspace_id = %(ws)s and v.environment = %(env)s",
        {**tx.keys, "cadences": [cadence for cadence, _ in versions], "numbers": [number for _, number in versions]},
    )
    return {(cadence, number): plan for cadence, number, plan in rows}


async def lock_campaign(tx: Tx, campaign_id: UUID) -> None:
    """Take the campaign's turn to dispatch until the end of the transaction."""
    await tx.run_now("select pg_advisory_xact_lock(hashtextextended(%(id)s::text, 2))", {"id": campaign_id})


async def latest_plans(tx: Tx, campaign_ids: Sequence[UUID]) -> dict[UUID, Latest]:
    """Per campaign: its cadence, the latest version's number and plan."""
    known = _known_plans(tx)
    if all(campaign in known for campaign in campaign_ids):
        return {campaign: known[campaign] for campaign in campaign_ids}
    rows = await tx.rows(
        "select c.id, d.id, d.latest, v.plan from campaign c join cadence d on d.workspace_id = c.workspace_id"
        " and d.environment = c.environment and d.id = c.cadence_id join cadence_version v on v.workspace_id = d.workspace_id"
        " and v.environment = d.environment and v.cadence_id = d.id and v.number = d.latest where c.workspace_id = %(ws)s"
        " and c.environment = %(env)s and c.id = any(%(ids)b::uuid[])",
        {**tx.keys, "ids": list(campaign_ids)},
    )
    return {campaign: (cadence, number, plan) for campaign, cadence, number, plan in rows}
