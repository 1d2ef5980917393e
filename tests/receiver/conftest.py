"""A consumer: a database of its own, SQLite or PostgreSQL, and what it did about the events."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.receiver.messages import SECRET, body, event, message

from offhook_receiver import Event, Inbox, Verifier, Worker, create_tables
from offhook_receiver.api import ApiFailed
from offhook_receiver.transactions import Connection, sqlite
from offhook_receiver.worker import Handler

NOW = 1_795_280_602.0

Begin = Callable[[], AbstractContextManager[Connection]]


@pytest.fixture(params=["sqlite", "postgresql"])
def begin(request: pytest.FixtureRequest, tmp_path: Path) -> Begin:
    """Opens a transaction on the consumer's database, whose tables are there."""
    if request.param == "sqlite":
        begin: Begin = sqlite(tmp_path / "app.db")
    else:
        begin = partial(psycopg.connect, request.getfixturevalue("database_url"))
    with begin() as connection:
        create_tables(connection)
        connection.cursor().execute("create table done (event_id text)")
    return begin


@dataclass
class Log:
    """Offhook's log of one endpoint; counts how often it is asked."""

    events: list[Event] = field(default_factory=list)
    asked: int = 0
    is_down: bool = False

    def events_of(self, subject: str, after: int) -> list[Event]:
        self.asked += 1
        if self.is_down:
            raise ApiFailed("unreachable")
        return [event for event in self.events if event.subject == subject and event.sequence > after]


class Consumer:
    """Writes down in its own table what it is handed. `now` is its clock; `fails_at` an event that its code cannot do."""

    def __init__(self, begin: Begin, log: Log) -> None:
        self.begin = begin
        self.log = log
        self.now = NOW
        self.fails_at = ""
        self._inbox = Inbox(begin, Verifier(SECRET), self._clock)

    def told(self, *sequences: int, subject: str = "call_1") -> None:
        """These events arrive, in this order, each in a message of its own."""
        for sequence in sequences:
            self.takes(dict(event(subject, sequence).body))

    def takes(self, told: Any) -> int:
        """A message arrives; what it is answered."""
        sent = told if isinstance(told, bytes) else body(told)
        return self._inbox.take(*message(sent, now=self.now))

    def worker(self, order: Any = "as_it_comes", handler: Handler | None = None) -> Worker:
        api = self.log if order == "in_order" else None
        return Worker(self.begin, handler or self.handle, order, api, clock=self._clock)

    def handle(self, connection: Any, event: Event) -> None:
        mark = "%s" if isinstance(connection, psycopg.Connection) else "?"
        connection.cursor().execute(
            f"insert into done values ({mark})", [event.id + (" erased" if event.erased else "")]
        )
        if event.id == self.fails_at:
            raise RuntimeError("no")

    @property
    def done(self) -> list[str]:
        """What was done, in order, by the last part of each id."""
        return [id.removeprefix("evt_call_1_") for (id,) in self.rows("select event_id from done")]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.begin() as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return list(cursor.fetchall())

    def _clock(self) -> float:
        return self.now


@pytest.fixture
def consumer(begin: Begin) -> Consumer:
    """It has an inbox for the endpoint of `SECRET`."""
    return Consumer(begin, Log())
