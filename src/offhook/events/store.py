"""Reading the log.

Transactions commit out of order, so the log as a whole is read only below the oldest transaction that still runs: what
is behind a cursor can then no longer change. A restored dump starts its transaction numbers anew; the epoch, which
rises with it, keeps the order. The events of one subject need no such care: its row is locked from append to commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from offhook.db import EngineTx, Tx
from offhook.events.globs import like
from offhook.events.hearing import Hearing

BEGINNING = (-1, 0, UUID(int=0))
"""The position before every event."""

_NEAR = timedelta(seconds=10)
_FAR = timedelta(hours=2)

Position = tuple[int, int, UUID]


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it is stored: `body` is sealed under the person's key, where it speaks of a person."""

    id: UUID
    type: str
    subject_type: str
    subject_id: UUID
    sequence: int
    person: UUID | None
    occurred_at: datetime
    epoch: int
    xid: int
    only_for: UUID | None
    body: bytes

    @property
    def position(self) -> Position:
        """Where it stands in the log."""
        return self.epoch, self.xid, self.id


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events: those whose type fits one of the `types`, and which somebody `hears`, as far as is told without opening them."""

    types: Sequence[str] = ("*",)
    hears: Hearing = Hearing()

    def params(self) -> dict[str, Any]:
        return {"types": [like(glob) for glob in self.types], **heard_params(self.hears)}


HEARD: LiteralString = (
    "(%(ear)s::uuid is null or e.only_for = %(ear)s"
    " or (e.only_for is null and e.subject_id <> %(ear)s and e.type like any(%(heard)b::text[])))"
)
"""Whether an endpoint should get the event `e`, whatever its filter says; takes `heard_params`."""


def heard_params(hearing: Hearing) -> dict[str, Any]:
    return {"ear": hearing.endpoint, "heard": [like(glob) for glob in hearing.globs]}


LOOKED_AT = 2000
"""So many rows are looked at for a page, however few of them are wanted."""


class Looked(NamedTuple):
    """What a look found. `last` is the last one looked at (None: there was none); `more`: something may stand behind it."""

    rows: list[EventRow]
    last: EventRow | None
    more: bool


_COLUMNS: LiteralString = (
    "id, type, subject_type, subject_id, sequence, person_id, occurred_at, epoch, xid, only_for, body"
)
_LOG: LiteralString = (
    f"select {_COLUMNS} from event"
    " where workspace_id = %(ws)s and environment = %(env)s and (epoch, xid, id) > (%(epoch)s::int, %(xid)s::xid8, %(id)s::uuid)"
    " and (epoch < coalesce((select epoch from installation), 0) or xid < pg_snapshot_xmin(pg_current_snapshot()))"
    f" order by epoch, xid, id limit {LOOKED_AT}"
)
_SUBJECT: LiteralString = (
    f"select {_COLUMNS} from event"
    " where workspace_id = %(ws)s and environment = %(env)s and subject_id = %(subject)s and sequence > %(after)s"
    f" order by sequence limit {LOOKED_AT}"
)


def _wanted_of(source: LiteralString, order: LiteralString) -> LiteralString:
    # The last row is answered whether it is wanted or not: by the same snapshot as the others it tells how far that was.
    return (
        "select id, type, subject_type, subject_id, sequence, person_id, occurred_at, epoch, xid::text::bigint, only_for, body, wanted, n"
        f" from (select e.*, type like any(%(types)b::text[]) and {HEARD} as wanted,"
        f"  row_number() over o as n, lead(id) over o is null as last from ({source}) e"
        f"  window o as (order by {order})) e where wanted or last order by {order} limit %(most)s"
    )


_WANTED_OF_LOG = _wanted_of(_LOG, "e.epoch, e.xid, e.id")
_WANTED_OF_SUBJECT = _wanted_of(_SUBJECT, "e.sequence")


async def after_position(tx: Tx, wanted: Wanted, after: Position, most: int) -> Looked:
    """The next events of the tenant's log, in its order, leaving out what younger neighbours might still overtake."""
    epoch, xid, id = after
    rows = await tx.rows(
        _WANTED_OF_LOG, {**tx.keys, **wanted.params(), "epoch": epoch, "xid": str(xid), "id": id, "most": most}
    )
    return _looked(rows, most)


async def after_sequence(tx: Tx, subject: UUID, wanted: Wanted, after: int, most: int) -> Looked:
    """The next events of one subject, by their sequence."""
    rows = await tx.rows(
        _WANTED_OF_SUBJECT, {**tx.keys, **wanted.params(), "subject": subject, "after": after, "most": most}
    )
    return _looked(rows, most)


def _looked(rows: Sequence[tuple[Any, ...]], most: int) -> Looked:
    found = [EventRow(*row) for *row, wanted, _ in rows if wanted]
    if not rows:
        return Looked(found, None, more=False)
    *last, _, looked_at = rows[-1]
    return Looked(found, EventRow(*last), more=len(rows) == most or looked_at == LOOKED_AT)


async def now_position(tx: Tx) -> Position:
    """The position before whatever is told from now on; what is under way at this instant comes after it."""
    row = await tx.row(
        "select coalesce((select epoch from installation), 0), pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    )
    assert row is not None
    return row[0], row[1], UUID(int=0)


async def find(tx: Tx, id: UUID) -> EventRow | None:
    """The event with this id, looked for around the instant that the id itself tells."""
    minted_at = timedelta(milliseconds=id.int >> 80)
    for around in (_NEAR, _FAR):
        row = await tx.row(
            "select id, type, subject_type, subject_id, sequence, person_id, occurred_at, epoch, xid::text::bigint, only_for, body from event"
            " where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s"
            " and written_at between to_timestamp(0) + %(from)s and to_timestamp(0) + %(until)s",
            {**tx.keys, "id": id, "from": minted_at - around, "until": minted_at + around},
        )
        if row is not None:
            return EventRow(*row)
    return None


async def read_epoch(tx: EngineTx) -> int:
    """The epoch of this cluster's log. It rises when the database finds itself in another cluster: a restored dump."""
    await tx.run(
        "insert into installation (system_identifier, epoch) select system_identifier::text, 1 from pg_control_system()"
        " on conflict (only_row) do update set epoch = installation.epoch + 1, system_identifier = excluded.system_identifier"
        " where installation.system_identifier <> excluded.system_identifier"
    )
    row = await tx.row("select epoch from installation")
    assert row is not None
    return int(row[0])
