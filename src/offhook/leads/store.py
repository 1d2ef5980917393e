"""The SQL of leads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from offhook.db import EngineTx, Tenant, Tx

_COLUMNS = (
    "id, ref_tag, payload_tag, campaign_id, status, number_tag, email_tag, zones, jurisdictions, preflight, details, evidence, next_attempt_at,"
    " settled_by, settled_at, erase_by, erased_at, created_at, updated_at, version"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A lead as it stands in its table; `details` and `evidence` are sealed. With `erase_by` it waits to be erased."""

    id: UUID
    ref_tag: bytes
    payload_tag: bytes
    campaign_id: UUID
    status: str
    number_tag: bytes
    email_tag: bytes | None
    zones: list[str]
    jurisdictions: list[str]
    preflight: list[Any]
    details: bytes | None
    evidence: bytes | None
    next_attempt_at: datetime | None
    settled_by: str | None
    settled_at: datetime | None
    erase_by: datetime | None
    erased_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int

    @property
    def tags(self) -> list[bytes]:
        """Of all that a stop may have named: the number, and the e-mail address where there is one."""
        return [self.number_tag, *([self.email_tag] if self.email_tag else [])]


async def by_refs(tx: Tx, ref_tags: Sequence[bytes]) -> dict[bytes, Row]:
    rows = await tx.rows(
        f"select {_COLUMNS} from lead where workspace_id = %(ws)s and environment = %(env)s and ref_tag = any(%(tags)b::bytea[])",
        {**tx.keys, "tags": list(ref_tags)},
    )
    return {row[1]: Row(*row) for row in rows}


async def hold_refs(tx: Tx, ref_tags: Sequence[bytes]) -> None:
    """Nobody stores a lead with one of these references before the commit; whoever is storing one is waited for.

    The table's own key holds them, at no cost to the door for leads: whoever stores a row with the key of one that we
    have put and taken away waits for us, as we do for theirs. Advisory locks would be one per lead of every batch, and
    the server's table of locks ends at some thousands.
    """
    held = await tx.rows(
        "insert into lead (workspace_id, environment, id, ref_tag, payload_tag, campaign_id, status, number_tag, zones, jurisdictions,"
        " preflight, created_at, updated_at) select %(ws)s, %(env)s, gen_random_uuid(), tag, '', gen_random_uuid(), 'rejected', '', '{}', '{}',"
        " '[]', %(now)s, %(now)s from unnest(%(tags)b::bytea[]) tag order by tag on conflict do nothing returning id",
        {**tx.keys, "now": tx.now, "tags": sorted(set(ref_tags))},
    )
    if held:
        await tx.run(
            "delete from lead where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[])",
            {**tx.keys, "ids": [row[0] for row in held]},
        )


_BY_IDS = (
    f"select {_COLUMNS} from lead where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[])"
)


async def by_ids(tx: Tx, ids: Sequence[UUID], *, lock: bool = False) -> dict[UUID, Row]:
    """The leads with these ids; with `lock` held until the end of the transaction, taken in id order."""
    rows = await tx.rows(
        _BY_IDS + (" order by id for no key update" if lock else ""),
        {**tx.keys, "ids": list(ids)},
    )
    return {row[0]: Row(*row) for row in rows}


async def lock(tx: Tx, id: UUID) -> Row | None:
    """The lead, held until the end of the transaction."""
    row = await tx.row(
        f"select {_COLUMNS} from lead where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s for no key update",
        {**tx.keys, "id": id},
    )
    return Row(*row) if row else None


async def with_number(tx: Tx, number_tag: bytes) -> list[UUID]:
    """Every lead with this number, in id order."""
    rows = await tx.rows(
        "select id from lead where workspace_id = %(ws)s and environment = %(env)s and number_tag = %(tag)s order by id",
        {**tx.keys, "tag": number_tag},
    )
    return [row[0] for row in rows]


async def numbers_with_emails(tx: Tx, email_tags: Sequence[bytes]) -> list[bytes]:
    """The tags of the numbers of every lead with one of these addresses."""
    rows = await tx.rows(
        # No `distinct`: for its order, a plan made on an empty table would walk through all numbers for ever.
        "select number_tag from lead where workspace_id = %(ws)s and environment = %(env)s and email_tag = any(%(tags)b::bytea[])",
        {**tx.keys, "tags": list(email_tags)},
    )
    return list({row[0] for row in rows})


async def listed(tx: Tx, status: str | None, campaign_id: UUID | None, after: UUID | None, limit: int) -> list[Row]:
    rows = await tx.rows(
        f"select {_COLUMNS} from lead where workspace_id = %(ws)s and environment = %(env)s"
        " and (%(status)s::text is null or status = %(status)s) and (%(campaign)s::uuid is null or campaign_id = %(campaign)s)"
        " and (%(after)s::uuid is null or id > %(after)s) order by id limit %(limit)s",
        {**tx.keys, "status": status, "campaign": campaign_id, "after": after, "limit": limit},
    )
    return [Row(*row) for row in rows]


async def in_campaign(tx: Tx, campaign_id: UUID) -> int:
    row = await tx.row(
        "select count(*)::int from lead where workspace_id = %(ws)s and environment = %(env)s and campaign_id = %(id)s"
        " and status <> 'rejected' and erased_at is null",
        {**tx.keys, "id": campaign_id},
    )
    return int(row[0]) if row else 0


async def number_holders(tx: Tx, tags: Sequence[bytes]) -> dict[bytes, UUID]:
    rows = await tx.rows(
        "select number_tag, lead_id from number_claim where workspace_id = %(ws)s and environment = %(env)s"
        " and number_tag = any(%(tags)b::bytea[])",
        {**tx.keys, "tags": list(tags)},
    )
    return dict(rows)


_INSERTED = {
    "id": "uuid", "ref_tag": "bytea", "payload_tag": "bytea", "campaign_id": "uuid", "status": "text", "number_tag": "bytea",
    "email_tag": "bytea", "preflight": "jsonb", "details": "bytea", "evidence": "bytea", "next_attempt_at": "timestamptz",
}  # fmt: skip


async def insert(tx: Tx, rows: Sequence[dict[str, Any]], claims: Sequence[tuple[bytes, UUID]]) -> bool:
    """Store new leads and note whose each of these numbers is; False when somebody else took a reference or a number meanwhile."""
    # Arrays of arrays must be rectangular, so the places of each lead travel as one text.
    params: dict[str, Any] = {name: [row[name] for row in rows] for name in _INSERTED}
    params["zones"] = [" ".join(row["zones"]) for row in rows]
    params["jurisdictions"] = [" ".join(row["jurisdictions"]) for row in rows]
    params["preflight"] = [Jsonb(row["preflight"]) for row in rows]
    params["tags"], params["leads"] = [tag for tag, _ in claims], [lead for _, lead in claims]
    found = await tx.row(
        "with l as (insert into lead (workspace_id, environment, id, ref_tag, payload_tag, campaign_id, status, number_tag, email_tag, preflight,"
        "  details, evidence, next_attempt_at, zones, jurisdictions, created_at, updated_at)"
        "  select %(ws)s, %(env)s, id, ref_tag, payload_tag, campaign_id, status, number_tag, email_tag, preflight, details, evidence,"
        "   next_attempt_at,"
        "   string_to_array(zones, ' '), string_to_array(jurisdictions, ' '), %(now)s, %(now)s"
        "  from unnest(%(id)b::uuid[], %(ref_tag)b::bytea[], %(payload_tag)b::bytea[], %(campaign_id)b::uuid[], %(status)b::text[],"
        "   %(number_tag)b::bytea[], %(email_tag)b::bytea[], %(preflight)b::jsonb[], %(details)b::bytea[], %(evidence)b::bytea[],"
        "   %(next_attempt_at)b::timestamptz[], %(zones)b::text[], %(jurisdictions)b::text[])"
        "   t(id, ref_tag, payload_tag, campaign_id, status, number_tag, email_tag, preflight, details, evidence, next_attempt_at, zones,"
        "    jurisdictions) order by ref_tag"
        "  on conflict do nothing returning 1),"
        " n as (insert into number_claim (workspace_id, environment, number_tag, lead_id) select %(ws)s, %(env)s, tag, lead"
        "  from unnest(%(tags)b::bytea[], %(leads)b::uuid[]) t(tag, lead) order by tag on conflict do nothing returning 1)"
        " select (select count(*) from l), (select count(*) from n)",
        {**tx.keys, "now": tx.now, **params},
    )
    return found == (len(rows), len(claims))


async def states(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, tuple[str, datetime | None]]:
    """(status, next_attempt_at) of each."""
    rows = await tx.rows(
        "select id, status, next_attempt_at from lead where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[])",
        {**tx.keys, "ids": list(ids)},
    )
    return {id: (status, at) for id, status, at in rows}


def moved(tx: Tx) -> set[UUID]:
    """The leads whose status this transaction has set since they were stored."""
    found: set[UUID] = tx.notes.setdefault("leads.moved", set())
    return found


async def mark(tx: Tx, marks: Sequence[tuple[UUID, str, datetime | None]], *, only_from: Sequence[str] = ()) -> None:
    """Set (lead, status, next_attempt_at) of leads that are not erased; of those now in `only_from`, where it is given."""
    if not marks:
        return
    moved(tx).update(id for id, _, _ in marks)
    await tx.run(
        "update lead l set status = m.status, next_attempt_at = m.at, updated_at = %(now)s, version = version + 1"
        " from unnest(%(ids)b::uuid[], %(statuses)b::text[], %(ats)b::timestamptz[]) m(id, status, at)"
        " where l.workspace_id = %(ws)s and l.environment = %(env)s and l.id = m.id and l.erased_at is null"
        " and (cardinality(%(only)b::text[]) = 0 or l.status = any(%(only)b::text[]))",
        {
            **tx.keys,
            "only": list(only_from),
            "now": tx.now,
            "ids": [mark[0] for mark in marks],
            "statuses": [mark[1] for mark in marks],
            "ats": [mark[2] for mark in marks],
        },
    )


async def settle(
    tx: Tx, id: UUID, status: str, by: str, at: datetime, *, next_attempt_at: datetime | None = None
) -> None:
    """Give the lead a status that somebody decided at `at`; by default no attempt follows."""
    moved(tx).add(id)
    await tx.run(
        "update lead set status = %(status)s, settled_by = %(by)s, settled_at = %(at)s, next_attempt_at = %(next)s, updated_at = %(now)s,"
        " version = version + 1 where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id, "status": status, "by": by, "at": at, "next": next_attempt_at, "now": tx.now},
    )


async def erase_by(tx: Tx, id: UUID, by: datetime) -> None:
    """The lead waits to be erased, until then at the latest."""
    await tx.run(
        "update lead set erase_by = %(by)s, updated_at = %(now)s, version = version + 1"
        " where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id, "by": by, "now": tx.now},
    )


async def erase(tx: Tx, id: UUID) -> None:
    """Empty the row: what is left are keyed hashes, dates and codes."""
    await tx.run(
        "update lead set status = 'erased', erased_at = %(now)s, details = null, email_tag = null, next_attempt_at = null,"
        " updated_at = %(now)s, version = version + 1 where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id, "now": tx.now},
    )
    await tx.run(
        "delete from number_claim where workspace_id = %(ws)s and environment = %(env)s and lead_id = %(id)s",
        {**tx.keys, "id": id},
    )


async def put_chunk(tx: Tx, job: UUID, n: int, rows: bytes) -> None:
    await tx.run_now(
        "insert into import_chunk (workspace_id, environment, job_id, n, rows, written_at)"
        " values (%(ws)s, %(env)s, %(job)s, %(n)s, %(rows)b, %(wall)s)",
        {**tx.keys, "job": job, "n": n, "rows": rows, "wall": tx.wall},
    )


async def take_chunk(tx: Tx, job: UUID) -> tuple[int, bytes] | None:
    """The import's next chunk, removed within this transaction; None when all are done."""
    row = await tx.row(
        "delete from import_chunk where (workspace_id, environment, job_id, n) = (select workspace_id, environment, job_id, n"
        " from import_chunk where workspace_id = %(ws)s and environment = %(env)s and job_id = %(job)s order by n limit 1 for update)"
        " returning n, rows",
        {**tx.keys, "job": job},
    )
    return (row[0], row[1]) if row else None


async def forget_chunks(tx: Tx, job: UUID) -> None:
    await tx.run(
        "delete from import_chunk where workspace_id = %(ws)s and environment = %(env)s and job_id = %(job)s",
        {**tx.keys, "job": job},
    )


async def abandoned_imports(tx: EngineTx, since: datetime) -> list[tuple[Tenant, UUID]]:
    """Each import that has chunks waiting though its job is gone, or since before `since`."""
    rows = await tx.rows(
        "select distinct workspace_id, environment, job_id from import_chunk c where written_at < %(since)s or not exists"
        " (select from job j where j.workspace_id = c.workspace_id and j.environment = c.environment and j.id = c.job_id)",
        {"since": since},
    )
    return [(Tenant(workspace, environment), job) for workspace, environment, job in rows]
