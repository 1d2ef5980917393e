"""The SQL of post-backs and opt-outs."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from offhook.db import EngineTx, Tx

PURGED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class PostBackRow:
    """A post-back as it is stored; `content` is sealed, and kept only while it waits for its lead."""

    id: UUID
    type: str
    external_tag: bytes | None
    ref_tag: bytes | None
    lead_id: UUID | None
    content: bytes | None = field(repr=False)
    occurred_at: datetime
    answer: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OptOutRow:
    """An opt-out as it is stored; `evidence` is sealed under the person's evidence key."""

    id: UUID
    channel: str
    scope: str
    tag: bytes
    person_id: UUID
    evidence: bytes = field(repr=False)
    answer: dict[str, Any]


async def take_turns(tx: Tx, tags: Collection[bytes]) -> None:
    """Post-backs with one external reference take turns until the commit; several references in one order for everybody."""
    await tx.run_now(
        "select pg_advisory_xact_lock(hashtextextended(encode(tag, 'hex'), 3)) from unnest(%(tags)b::bytea[]) tag order by tag",
        {"tags": sorted(set(tags))},
    )


async def find_postback(tx: Tx, type: str, external_tag: bytes) -> tuple[UUID, dict[str, Any]] | None:
    row = await tx.row(
        "select id, answer from postback where workspace_id = %(ws)s and environment = %(env)s and type = %(type)s"
        " and external_tag = %(tag)b",
        {**tx.keys, "type": type, "tag": external_tag},
    )
    return (row[0], row[1]) if row else None


async def insert_postback(tx: Tx, row: PostBackRow) -> None:
    await tx.run(
        "insert into postback (workspace_id, environment, id, type, external_tag, ref_tag, lead_id, content, occurred_at, applied, answer,"
        " created_at) values (%(ws)s, %(env)s, %(id)s, %(type)s, %(external)b, %(ref)b, %(lead)s, %(content)b, %(at)s, %(applied)s,"
        " %(answer)s, %(now)s)",
        {
            **tx.keys,
            "id": row.id,
            "type": row.type,
            "external": row.external_tag,
            "ref": row.ref_tag,
            "lead": row.lead_id,
            "content": row.content,
            "at": row.occurred_at,
            "applied": row.answer["applied"],
            "answer": Jsonb(row.answer),
            "now": tx.now,
        },
    )


async def waiting(tx: Tx, ref_tag: bytes, since: datetime) -> list[tuple[UUID, bytes]]:
    """(id, sealed content) of the post-backs that came before their lead, oldest word first, not older than `since`."""
    rows = await tx.rows(
        "select id, content from postback where workspace_id = %(ws)s and environment = %(env)s and ref_tag = %(tag)b and not applied"
        " and content is not null and created_at > %(since)s order by occurred_at, id for no key update",
        {**tx.keys, "tag": ref_tag, "since": since},
    )
    return [(row[0], row[1]) for row in rows]


async def refs_waiting(tx: Tx, ref_tags: list[bytes], since: datetime) -> list[bytes]:
    """Those of these references that post-backs wait for."""
    rows = await tx.rows(
        "select distinct ref_tag from postback where workspace_id = %(ws)s and environment = %(env)s and ref_tag = any(%(tags)b::bytea[])"
        " and not applied and content is not null and created_at > %(since)s",
        {**tx.keys, "tags": ref_tags, "since": since},
    )
    return [row[0] for row in rows]


async def answer_postback(tx: Tx, id: UUID, lead_id: UUID | None, answer: dict[str, Any]) -> None:
    """The post-back found its lead at last; what waited of it is forgotten."""
    await tx.run(
        "update postback set applied = %(applied)s, answer = %(answer)s, lead_id = %(lead)s, content = null"
        " where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id, "lead": lead_id, "applied": answer["applied"], "answer": Jsonb(answer)},
    )


async def purge_postbacks(tx: EngineTx, older_than: timedelta) -> int:
    """Forget post-backs whose lead has not come for so long, by the clock of each environment, `PURGED_AT_ONCE` at most; how many."""
    return await tx.count(
        # Twice what waits: whose lead comes meanwhile is not what was found.
        "delete from postback where content is not null and ctid = any(array("
        "select p.ctid from environment e join postback p on p.workspace_id = e.workspace_id and p.environment = e.environment"
        " where p.content is not null and p.created_at <= %(wall)s + e.clock_offset - %(age)s limit %(most)s))",
        {"wall": tx.wall, "age": older_than, "most": PURGED_AT_ONCE},
    )


async def find_opt_out(tx: Tx, tag: bytes, scope: str, channel: str) -> tuple[UUID, dict[str, Any]] | None:
    row = await tx.row(
        "select id, answer from opt_out where workspace_id = %(ws)s and environment = %(env)s and tag = %(tag)b and scope = %(scope)s"
        " and channel = %(channel)s",
        {**tx.keys, "tag": tag, "scope": scope, "channel": channel},
    )
    return (row[0], row[1]) if row else None


async def insert_opt_out(tx: Tx, row: OptOutRow) -> None:
    await tx.run(
        "insert into opt_out (workspace_id, environment, id, channel, scope, tag, person_id, evidence, answer, effective_at, created_at)"
        " values (%(ws)s, %(env)s, %(id)s, %(channel)s, %(scope)s, %(tag)b, %(person)s, %(evidence)b, %(answer)s, %(now)s, %(now)s)",
        {
            **tx.keys,
            "id": row.id,
            "channel": row.channel,
            "scope": row.scope,
            "tag": row.tag,
            "person": row.person_id,
            "evidence": row.evidence,
            "answer": Jsonb(row.answer),
            "now": tx.now,
        },
    )
