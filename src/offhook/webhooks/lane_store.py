"""The hot SQL: deliveries that are written, waited for and claimed. What became of them: `outcome_store`.

Written so that no plan, however old, scans or hash-joins a whole table: `= any(array)` for deletes and updates, lateral
sub-selects for joins.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from offhook.db import Tx
from offhook.webhooks.parcel import Message, Parcel

ORDER_WAIT = timedelta(seconds=60)
"""How long an event waits at most for earlier ones of its subject."""


class Addressed(NamedTuple):
    """A parcel as fan-out writes it; `leased_until`, of the real clock, when this process sends it."""

    parcel: Parcel
    subject: UUID
    leased_until: datetime | None


INSERT = (
    "with g as materialized (select coalesce((select generation from endpoint_generation"
    "   where workspace_id = %(ws)s and environment = %(env)s), 0) as generation),"
    " t as materialized (select * from unnest(%(delivery)b::uuid[], %(event)b::uuid[], %(endpoint)b::uuid[], %(type)b::text[],"
    "   %(subject)b::uuid[], %(sequence)b::int[], %(until)b::timestamptz[], %(word)b::text[], %(ordered)b::uuid[],"
    "   %(test)b::bool[]) t(delivery, event, endpoint, type, subject, sequence, until, word, ordered, test)"
    "   where (select generation from g) = %(generation)s),"
    " d as (insert into delivery (workspace_id, environment, written_at, id, event_id, event_at, endpoint_id, type, subject_id, sequence,"
    "   rendering) select %(ws)s, %(env)s, %(wall)s, delivery, event, %(wall)s, endpoint, type, subject, sequence, word from t),"
    " o as (insert into due (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, due_at, leased_until,"
    "   test, rendering, subject_id, sequence, ordered_until)"
    "   select %(ws)s, %(env)s, delivery, %(wall)s, event, %(wall)s, endpoint, %(now)s,"
    "   until, test, word, ordered, case when ordered is not null then sequence end,"
    "   case when ordered is not null then %(now)s + %(wait)s end from t)"
    " select generation from g"
)


async def insert(tx: Tx, generation: int, rows: Sequence[Addressed]) -> int:
    """Write the rows if the endpoints are still of this generation; the present one."""
    parcels = [row.parcel for row in rows]
    messages = [parcel.message for parcel in parcels]
    found = await tx.row(
        INSERT,
        {
            **tx.keys,
            "generation": generation,
            "now": tx.now,
            "wall": tx.wall,
            "wait": ORDER_WAIT,
            "delivery": [parcel.delivery for parcel in parcels],
            "event": [message.id for message in messages],
            "endpoint": [parcel.endpoint for parcel in parcels],
            "type": [message.type for message in messages],
            "subject": [row.subject for row in rows],
            "sequence": [message.sequence for message in messages],
            "until": [row.leased_until for row in rows],
            "word": [message.word for message in messages],
            "ordered": [parcel.ordered for parcel in parcels],
            "test": [parcel.test for parcel in parcels],
        },
    )
    assert found is not None
    return int(found[0])


async def insert_renderings(tx: Tx, messages: Sequence[Message]) -> None:
    """Keep the bytes of these events that are not the log's own, sealed as the events are."""
    await tx.run(
        "insert into rendering (workspace_id, environment, written_at, event_id, word, body)"
        " select %(ws)s, %(env)s, %(wall)s, * from unnest(%(event)b::uuid[], %(word)b::text[], %(body)b::bytea[])"
        # The same event rendered again, for an endpoint that came later.
        " on conflict do nothing",
        {
            **tx.keys,
            "wall": tx.wall,
            "event": [message.id for message in messages],
            "word": [message.word for message in messages],
            "body": [message.sealed() for message in messages],
        },
    )
