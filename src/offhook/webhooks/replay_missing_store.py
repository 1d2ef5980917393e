"""The SQL of events that an endpoint never got.

A delivery that is made later stands where the event stands, in the partition of the event's day. So its key, which is
derived from event and endpoint, is unique there, and whoever makes it a second time makes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from offhook.db import Tx
from offhook.events.hearing import Hearing
from offhook.events.store import HEARD, heard_params
from offhook.webhooks.parcel import Message
from offhook.webhooks.replay import Position


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as it stands in the log, but for its bytes."""

    written_at: datetime
    id: UUID
    type: str
    subject_type: str
    subject: UUID
    sequence: int
    person: UUID | None
    occurred_at: datetime
    only_for: UUID | None
    heard: bool
    """Whether the endpoint should have got it, whatever its filter says."""

    @property
    def position(self) -> Position:
        return self.written_at, self.id


async def look(tx: Tx, hearing: Hearing, after: Position, until: datetime, most: int) -> list[Recorded]:
    """The next events of the tenant behind this position, in the order of their writing; fewer when they are the last."""
    rows = await tx.rows(
        f"select written_at, id, type, subject_type, subject_id, sequence, person_id, occurred_at, only_for, {HEARD} from event e"
        " where workspace_id = %(ws)s and environment = %(env)s and written_at >= %(at)s and written_at <= %(until)s"
        " and (written_at, id) > (%(at)s, %(id)s) order by written_at, id limit %(most)s",
        {**tx.keys, **heard_params(hearing), "at": after[0], "id": after[1], "until": until, "most": most},
    )
    return [Recorded(*row) for row in rows]


async def delivered_ever(tx: Tx, deliveries: Sequence[Position]) -> set[UUID]:
    """Those of these deliveries, each with the instant of its event, that exist, whatever became of them."""
    rows = await tx.rows(
        "select d.id from unnest(%(at)b::timestamptz[], %(id)b::uuid[]) x(at, id) cross join lateral (select id from delivery d"
        " where d.workspace_id = %(ws)s and d.environment = %(env)s and d.written_at = x.at and d.id = x.id offset 0) d",
        {**tx.keys, "at": [at for at, _ in deliveries], "id": [id for _, id in deliveries]},
    )
    return {row[0] for row in rows}


async def bodies(tx: Tx, events: Sequence[Recorded]) -> dict[UUID, bytes]:
    """The bytes of these events as the log keeps them."""
    rows = await tx.rows(
        "select v.id, v.body from unnest(%(at)b::timestamptz[], %(id)b::uuid[]) x(at, id) cross join lateral (select id, body from event e"
        # By order and bound: see `delivery_store.TOLD_AT`.
        " where e.workspace_id = %(ws)s and e.environment = %(env)s and e.written_at = x.at and e.id >= x.id order by e.id limit 1) v"
        " where v.id = x.id",
        {**tx.keys, "at": [event.written_at for event in events], "id": [event.id for event in events]},
    )
    return dict(rows)


async def insert(
    tx: Tx, endpoint: UUID, made: Sequence[tuple[Recorded, UUID]], word: str | None, messages: Sequence[Message]
) -> list[Position]:
    """Write these deliveries of this endpoint and what they say; those that were not there before."""
    events = [event for event, _ in made]
    if messages:
        await _insert_renderings(tx, events, messages)
    rows = await tx.rows(
        "insert into delivery (workspace_id, environment, written_at, id, event_id, event_at, endpoint_id, type, subject_id, sequence,"
        "  rendering) select %(ws)s, %(env)s, at, id, event, at, %(endpoint)s, type, subject, sequence, %(word)s"
        " from unnest(%(at)b::timestamptz[], %(id)b::uuid[], %(event)b::uuid[], %(type)b::text[], %(subject)b::uuid[],"
        "  %(sequence)b::int[]) t(at, id, event, type, subject, sequence) on conflict do nothing returning written_at, id",
        {
            **tx.keys,
            "endpoint": endpoint,
            "word": word,
            "at": [event.written_at for event in events],
            "id": [delivery for _, delivery in made],
            "event": [event.id for event in events],
            "type": [event.type for event in events],
            "subject": [event.subject for event in events],
            "sequence": [event.sequence for event in events],
        },
    )
    return [(at, id) for at, id in rows]


async def _insert_renderings(tx: Tx, events: Sequence[Recorded], messages: Sequence[Message]) -> None:
    await tx.run(
        "insert into rendering (workspace_id, environment, written_at, event_id, word, body)"
        " select %(ws)s, %(env)s, * from unnest(%(at)b::timestamptz[], %(event)b::uuid[], %(word)b::text[], %(body)b::bytea[])"
        # Another endpoint wanted the same, and has it.
        " on conflict do nothing",
        {
            **tx.keys,
            "at": [event.written_at for event in events],
            "event": [message.id for message in messages],
            "word": [message.word for message in messages],
            "body": [message.sealed() for message in messages],
        },
    )
