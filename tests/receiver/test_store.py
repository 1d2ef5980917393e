"""For those who do everything in their own transaction, within the request."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
from tests.receiver.conftest import Begin, Consumer
from tests.receiver.messages import event

from offhook_receiver import create_tables, first_time, newer
from offhook_receiver.store import Known, claim, complete, forget, keep, known
from offhook_receiver.transactions import sqlite


def test_an_event_is_new_once(begin: Begin) -> None:
    with begin() as connection:
        assert first_time(connection, event())
        assert not first_time(connection, event())

    with begin() as connection:
        assert not first_time(connection, event())
        assert first_time(connection, event(sequence=2))


def test_a_tombstone_is_new_once_also_when_its_event_was_seen(begin: Begin) -> None:
    erased = event(data={"erased": True})
    with begin() as connection:
        assert [first_time(connection, one) for one in (event(), erased, erased, event())] == [True, True, False, False]

        first = event("call_2", data={"erased": True})
        assert [first_time(connection, one) for one in (first, event("call_2"), first)] == [True, False, False]


def test_a_tombstone_is_never_too_old(begin: Begin) -> None:
    with begin() as connection:
        assert newer(connection, event(sequence=2))

        assert newer(connection, event(data={"erased": True}))
        assert not newer(connection, event())
        assert known(connection, "call_1").done == 2


def test_what_was_rolled_back_is_new_again(begin: Begin) -> None:
    def fails() -> None:
        with begin() as connection:
            assert first_time(connection, event())
            assert newer(connection, event())
            raise KeyError

    with pytest.raises(KeyError):
        fails()

    with begin() as connection:
        assert first_time(connection, event())
        assert newer(connection, event())


def test_of_one_subject_only_what_is_newer_counts(begin: Begin) -> None:
    with begin() as connection:
        found = [newer(connection, event(sequence=sequence)) for sequence in (2, 1, 2, 5, 3, 6)]

        assert found == [True, False, False, True, False, True]
        assert newer(connection, event("call_2"))


def test_outside_of_a_transaction_nothing_is_remembered_by_accident(database_url: str) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        create_tables(connection)
        for remember in (first_time, newer):
            with pytest.raises(RuntimeError, match="needs a transaction"):
                remember(connection, event())

    with psycopg.connect(database_url, autocommit=True) as connected:
        create_tables(connected)
        with pytest.raises(RuntimeError, match="needs a transaction"):
            first_time(connected, event())
        with connected.transaction():
            assert first_time(connected, event())


def test_the_usual_connection_of_python_opens_its_transaction_by_itself() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        create_tables(connection)
        assert first_time(connection, event())

        connection.rollback()
        assert first_time(connection, event())


def test_that_nothing_is_missing_is_never_unsaid(begin: Begin) -> None:
    with begin() as connection:
        for until in (5, 3, 6, 4):
            complete(connection, "call_1", until)

        assert known(connection, "call_1") == Known(done=0, complete=6)
        assert known(connection, "call_2") == Known(done=0, complete=0)


def test_in_postgresql_nobody_waits_for_what_another_worker_holds(database_url: str) -> None:
    begin = partial(psycopg.connect, database_url, options="-c lock_timeout=2s")
    with begin() as connection:
        create_tables(connection)
        keep(connection, [event(sequence=1), event(sequence=2)], now=0)

    with begin() as one, begin() as other:
        claimed = [claim(connection, 0, lowest=False) for connection in (one, other, other)]

    assert [waiting and waiting.sequence for waiting in claimed] == [1, 2, 2]


def test_making_the_tables_twice_does_nothing(begin: Begin) -> None:
    with begin() as connection:
        assert first_time(connection, event())
        create_tables(connection)
        assert not first_time(connection, event())


def test_what_is_forgotten_was_done_long_ago(consumer: Consumer) -> None:
    consumer.now -= timedelta(days=3_650).total_seconds()
    consumer.told(1, 2)
    consumer.fails_at = "evt_call_1_2"
    consumer.worker().work_off()
    with consumer.begin() as connection:
        assert first_time(connection, event("call_2"))

        assert forget(connection, timedelta(days=30)) == 1
        assert not first_time(connection, event("call_2"))

    assert consumer.rows("select count(*) from offhook_inbox where body is not null") == [(1,)]


def test_a_block_that_raises_leaves_nothing_in_sqlite(tmp_path: Path) -> None:
    begin = sqlite(tmp_path / "app.db")

    def fails() -> None:
        with begin() as connection:
            create_tables(connection)
            raise KeyError

    with pytest.raises(KeyError):
        fails()

    with begin() as connection:
        assert connection.execute("select * from sqlite_master").fetchall() == []
