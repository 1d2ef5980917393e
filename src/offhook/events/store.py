"""Reading the log.

Transactions commit out of order, so the log as a whole is read only below the oldest transaction that still runs: what
is behind a cursor can then no longer change. A restored dump starts its transaction numbers anew; the epoch, which
rises with it, keeps the order. The events of one subject need no such care: its row is locked from append to commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from offhook.db import EngineTx, Tx

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
    body: bytes

    @property
    def position(self) -> Position:
        """Where it stands in the log."""
        return self.epoch, self.xid, self.id


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events: those whose type fits one of the `types` and one of the `heard` globs, not about `unheard`."""

    types: Sequence[str] = ("*",)
    heard: Sequence[str] = ("*",)
    unheard: UUID | None = None

    def params(self) -> dict[str, Any]:
        return {
            "types": [_like(glob) for glob in self.types],
            "heard": [_like(glob) for glob in self.heard],
            "unheard": [self.unheard] if self.unheard else [],
        }


async def after_position(tx: Tx, wanted: Wanted, after: Position, most: int) -> list[EventRow]:
    """The next events of the tenant's log, in its order, leaving out what younger neighbours might still overtake."""
    epoch, xid, id = after
    rows = await tx.rows(
        "select id, type, subject_type, subject_id, sequence, person_id, occurred_at, epoch, xid::text::bigint, body from event"
        " where workspace_id = %(ws)s and environment = %(env)s and (epoch, xid, id) > (%(epoch)s::int, %(xid)s::xid8, %(id)s::uuid)"
        " and (epoch < coalesce((select epoch from installation), 0) or xid < pg_snapshot_xmin(pg_current_snapshot()))"
        " and type like any(%(types)b::text[]) and type like any(%(heard)b::text[]) and subject_id <> all(%(unheard)b::uuid[])"
        # Spelt with their table: the `xid` of the answer is another, by which no index goes.
        " order by event.epoch, event.xid, event.id limit %(most)s",
        {**tx.keys, **wanted.params(), "epoch": epoch, "xid": str(xid), "id": id, "most": most},
    )
    return [EventRow(*row) for row in rows]


async def after_sequence(tx: Tx, subject: UUID, wanted: Wanted, after: int, most: int) -> list[EventRow]:
    """The next events of one subject, by their sequence."""
    rows = await tx.rows(
        "select id, type, subject_type, subject_id, sequence, person_id, occurred_at, epoch, xid::text::bigint, body from event"
        " where workspace_id = %(ws)s and environment = %(env)s and subject_id = %(subject)s and sequence > %(after)s"
        " and type like any(%(types)b::text[]) and type like any(%(heard)b::text[]) and subject_id <> all(%(unheard)b::uuid[])"
        " order by sequence limit %(most)s",
        {**tx.keys, **wanted.params(), "subject": subject, "after": after, "most": most},
    )
    return [EventRow(*row) for row in rows]


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
            "select id, type, subject_type, subject_id, sequence, person_id, occurred_at, epoch, xid::text::bigint, body from event"
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


def _like(glob: str) -> str:
    """The SQL pattern of a glob, in which only `*` means something."""
    return glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
