"""The receiver's table of processed events, and what the ledger asks of it: a SQLite file of the receiver's own.

A webhook-id is a primary key: the second telling of an event is counted and not processed again.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

_TABLE = """
create table if not exists processed (
  event_id text primary key, type text not null, subject text not null, sequence integer not null,
  occurred_at text not null, lead text, data blob not null, told integer not null default 1
) without rowid;
create table if not exists said_back (
  external_ref text primary key, type text not null, lead text not null, status integer not null, answer blob not null
);
"""


@dataclass(frozen=True, slots=True)
class Processed:
    """One event as the receiver keeps it. `lead` is the customer's own id of the lead, where the event has one."""

    event_id: str
    type: str
    subject: str
    sequence: int
    occurred_at: str
    lead: str | None
    data: dict[str, Any]

    @classmethod
    def of(cls, envelope: dict[str, Any]) -> "Processed":
        """The parts of an envelope that are kept."""
        lead = envelope["lead"] or {}
        return cls(
            envelope["event_id"],
            envelope["type"],
            envelope["subject"]["id"],
            envelope["sequence"],
            envelope["occurred_at"],
            lead.get("client_ref_id"),
            envelope["data"],
        )

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.occurred_at)


class Journal:
    """The table. One process writes, others read."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.executescript(_TABLE)

    def process(self, events: Sequence[Processed]) -> list[Processed]:
        """Keep them in one transaction; those that are new, each once."""
        new = []
        self._db.execute("begin")
        for event in events:
            row = (event.event_id, event.type, event.subject, event.sequence, event.occurred_at, event.lead)
            added = self._db.execute(
                "insert into processed (event_id, type, subject, sequence, occurred_at, lead, data)"
                " values (?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
                (*row, orjson.dumps(event.data)),
            )
            if added.rowcount:
                new.append(event)
            else:
                self._db.execute("update processed set told = told + 1 where event_id = ?", (event.event_id,))
        self._db.execute("commit")
        return new

    def keep_answer(self, said: dict[str, Any], lead: str, status: int, answer: Any) -> None:
        """Note what was answered to a post-back."""
        self._db.execute(
            "insert or replace into said_back values (?, ?, ?, ?, ?)",
            (said["external_ref"], said["type"], lead, status, orjson.dumps(answer)),
        )

    def close(self) -> None:
        self._db.close()

    def count(self) -> tuple[int, int]:
        """(events processed, tellings of events that were processed already)."""
        events, told = self._db.execute("select count(*), coalesce(sum(told), 0) from processed").fetchone()
        return events, told - events

    def gaps(self) -> int:
        """How many sequence numbers are missing, over all subjects, between 1 and the highest that was told."""
        (missing,) = self._db.execute(
            "select coalesce(sum(highest - n), 0) from"
            " (select max(sequence) as highest, count(distinct sequence) as n from processed group by subject)"
        ).fetchone()
        return int(missing)

    def knows(self, event_id: str) -> bool:
        """Whether this event was processed."""
        return self._db.execute("select 1 from processed where event_id = ?", (event_id,)).fetchone() is not None

    def types(self) -> Counter[str]:
        """How many events of each type."""
        return Counter(dict(self._db.execute("select type, count(*) from processed group by type")))

    def outcomes(self) -> Counter[str]:
        """How many attempts came to each outcome."""
        rows = self._db.execute(
            "select data ->> 'outcome', count(*) from processed where type = 'lead.attempted' group by 1"
        )
        return Counter(dict(rows))

    def calls_told_wrongly(self) -> int:
        """How many calls have not exactly one `call.started` and one `call.ended`."""
        (wrong,) = self._db.execute(
            "select count(*) from (select sum(type = 'call.started') as begun, sum(type = 'call.ended') as ended"
            " from processed where subject like 'call_%' group by subject having begun <> 1 or ended <> 1)"
        ).fetchone()
        return int(wrong)

    def events(self, *types: str) -> Iterator[Processed]:
        """The events of these types, as they happened."""
        rows = self._db.execute(
            "select event_id, type, subject, sequence, occurred_at, lead, data from processed"
            " where type in (select value from json_each(?)) order by occurred_at, subject, sequence",
            (orjson.dumps(types).decode(),),
        )
        for event_id, type_, subject, sequence, occurred_at, lead, data in rows:
            yield Processed(event_id, type_, subject, sequence, occurred_at, lead, orjson.loads(data))

    def said_back(self) -> list[tuple[str, str, int, Any]]:
        """(type, lead, status, answer) of every post-back."""
        rows = self._db.execute("select type, lead, status, answer from said_back order by rowid")
        return [(type_, lead, status, orjson.loads(answer)) for type_, lead, status, answer in rows]
