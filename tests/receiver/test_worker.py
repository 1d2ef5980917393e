"""The consumer's code runs once for each event, in one transaction with the mark that it is done."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from tests.receiver.conftest import Consumer
from tests.receiver.messages import batch, envelope

from offhook_receiver import Event, Worker
from offhook_receiver.ordering import backoff_s


def test_each_event_is_done_once_however_often_it_comes(consumer: Consumer) -> None:
    consumer.told(1, 2, 1)
    assert consumer.worker().work_off() == 2

    consumer.told(2, 1)
    assert consumer.worker().work_off() == 0

    assert consumer.done == ["1", "2"]


def test_events_of_a_batch_are_done_by_sequence(consumer: Consumer) -> None:
    consumer.takes(batch(*(envelope(sequence=sequence) for sequence in (3, 1, 2))))

    consumer.worker().work_off()

    assert consumer.done == ["1", "2", "3"]


def test_what_the_code_wrote_before_it_failed_is_undone_and_the_event_comes_again(consumer: Consumer) -> None:
    consumer.told(1)
    consumer.fails_at = "evt_call_1_1"
    assert consumer.worker().work_off() == 0
    assert consumer.done == []

    consumer.fails_at = ""
    consumer.now += backoff_s(0)
    assert consumer.worker().work_off() == 1
    assert consumer.done == ["1"]


def test_an_event_that_fails_rests_longer_each_time_and_stops_nobody(consumer: Consumer) -> None:
    consumer.told(1, 2)
    consumer.fails_at = "evt_call_1_1"

    for tries in range(3):
        consumer.worker().work_off()
        assert consumer.rows("select tries, failure, due_at from offhook_inbox where event_id = 'evt_call_1_1'") == [
            (tries + 1, "RuntimeError", consumer.now + backoff_s(tries))
        ]
        consumer.now += backoff_s(tries)

    assert consumer.done == ["2"]


def test_a_failure_is_told_to_the_log_and_not_kept_with_what_it_says(
    consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    consumer.told(1)
    consumer.fails_at = "evt_call_1_1"

    consumer.worker().work_off()

    assert "evt_call_1_1" in caplog.text
    assert consumer.rows("select failure from offhook_inbox") == [("RuntimeError",)]


def test_the_newest_leaves_out_what_is_older_than_what_was_done(consumer: Consumer) -> None:
    consumer.told(3)
    consumer.worker("newest").work_off()

    consumer.told(1, 2, 5)
    assert consumer.worker("newest").work_off() == 1

    assert consumer.done == ["3", "5"]


def test_the_newest_of_one_subject_says_nothing_of_another(consumer: Consumer) -> None:
    consumer.told(7)
    consumer.told(1, subject="call_2")

    assert consumer.worker("newest").work_off() == 2


def test_two_workers_never_do_the_same_event(consumer: Consumer) -> None:
    consumer.told(*range(1, 41))
    threads = [threading.Thread(target=consumer.worker().work_off) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(consumer.done, key=int) == [str(n) for n in range(1, 41)]


def test_a_worker_runs_until_it_is_stopped_also_while_the_database_is_away(consumer: Consumer) -> None:
    consumer.told(1)
    stop = threading.Event()
    refusals = [psycopg.OperationalError("away")]

    @contextmanager
    def sometimes() -> Iterator[object]:
        if refusals:
            raise refusals.pop()
        with consumer.begin() as connection:
            yield connection

    def handle(connection: object, event: Event) -> None:
        consumer.handle(connection, event)
        stop.set()

    Worker(sometimes, handle).run(stop, idle_s=0)  # type: ignore[arg-type]

    assert consumer.done == ["1"]


def test_only_in_order_has_a_use_for_the_api(consumer: Consumer) -> None:
    with pytest.raises(ValueError, match="in_order needs an api"):
        Worker(consumer.begin, consumer.handle, "in_order")
    with pytest.raises(ValueError, match="the others none"):
        Worker(consumer.begin, consumer.handle, "newest", api=consumer.log)
