"""In order: by sequence, each once, whatever is lost, late or not for us."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from hypothesis import given
from hypothesis import strategies as st
from tests.receiver.conftest import Begin, Consumer, Log
from tests.receiver.messages import event

from offhook_receiver import Event, Worker, create_tables
from offhook_receiver.ordering import backoff_s, next_step
from offhook_receiver.store import Known


def test_events_that_overtake_each_other_are_done_by_sequence(consumer: Consumer) -> None:
    worker = consumer.worker("in_order")
    for sequence in (3, 2, 1, 4):
        consumer.told(sequence)
        worker.work_off()

    assert consumer.done == ["1", "2", "3", "4"]
    assert consumer.log.asked == 0


def test_what_never_came_is_fetched_once_patience_is_over(consumer: Consumer) -> None:
    consumer.log.events = [event(sequence=sequence) for sequence in range(1, 6)]
    consumer.told(1, 4)
    consumer.worker("in_order").work_off()
    assert (consumer.done, consumer.log.asked) == (["1"], 0)

    consumer.now += 5
    consumer.worker("in_order").work_off()

    assert (consumer.done, consumer.log.asked) == (["1", "2", "3", "4", "5"], 1)


def test_what_was_fetched_and_then_comes_is_not_done_again(consumer: Consumer) -> None:
    consumer.log.events = [event(sequence=sequence) for sequence in range(1, 4)]
    consumer.told(3)
    consumer.now += 5
    consumer.worker("in_order").work_off()

    consumer.told(1, 2, 3)
    assert consumer.worker("in_order").work_off() == 0

    assert consumer.done == ["1", "2", "3"]


def test_a_number_that_the_endpoint_does_not_listen_to_is_no_gap(consumer: Consumer) -> None:
    consumer.log.events = [event(sequence=sequence) for sequence in (2, 5, 9)]
    consumer.told(5, 9, 2)
    consumer.now += 5

    consumer.worker("in_order").work_off()

    assert consumer.done == ["2", "5", "9"]
    assert consumer.log.asked == 1


def test_what_the_log_no_longer_tells_is_waited_for_no_longer(consumer: Consumer) -> None:
    consumer.told(8)
    consumer.now += 5

    consumer.worker("in_order").work_off()

    assert consumer.done == ["8"]


def test_while_the_api_is_away_a_gap_holds_up_its_subject_and_no_other(consumer: Consumer) -> None:
    consumer.log.is_down = True
    consumer.told(2)
    consumer.told(1, 2, 3, subject="call_2")
    consumer.now += 5
    consumer.worker("in_order").work_off()
    assert consumer.done == ["evt_call_2_1", "evt_call_2_2", "evt_call_2_3"]

    consumer.log.is_down = False
    consumer.now += 60
    consumer.worker("in_order").work_off()

    assert consumer.done[3:] == ["2"]


def test_a_gap_that_closes_by_itself_while_the_api_is_away_needs_no_api(consumer: Consumer) -> None:
    consumer.log.is_down = True
    consumer.told(2)
    consumer.now += 5
    consumer.worker("in_order").work_off()

    consumer.told(1)
    consumer.worker("in_order").work_off()

    assert consumer.done == ["1", "2"]


def test_while_one_worker_asks_about_a_gap_no_other_does(consumer: Consumer) -> None:
    class Slow(Log):
        def events_of(self, subject: str, after: int) -> list[Event]:
            found = super().events_of(subject, after)
            consumer.worker("in_order").work_off()
            return found

    consumer.log = Slow()
    consumer.told(2)
    consumer.now += 5
    consumer.worker("in_order").work_off()

    assert (consumer.done, consumer.log.asked) == (["2"], 1)


def test_what_fails_holds_up_the_rest_of_its_subject(consumer: Consumer) -> None:
    consumer.told(1, 2, 3)
    consumer.fails_at = "evt_call_1_2"
    consumer.worker("in_order").work_off()
    assert consumer.done == ["1"]

    consumer.fails_at = ""
    consumer.now += backoff_s(0)
    consumer.worker("in_order").work_off()

    assert consumer.done == ["1", "2", "3"]


@given(st.permutations(range(1, 7)), st.sets(st.integers(1, 6)), st.lists(st.integers(1, 6)), st.booleans())
def test_whatever_is_lost_late_or_repeated_all_is_done_once_and_in_order(
    arriving: list[int], lost: set[int], again: list[int], is_patient: bool
) -> None:
    with in_memory() as begin:
        consumer = Consumer(begin, Log([event(sequence=sequence) for sequence in range(1, 7)]))
        arrived = [sequence for sequence in [*arriving, *again] if sequence not in lost]
        for sequence in arrived:
            consumer.told(sequence)
            consumer.now += 0 if is_patient else 5
            consumer.worker("in_order").work_off()
        consumer.now += 5
        consumer.worker("in_order").work_off()

        assert consumer.done == [str(n) for n in range(1, len(consumer.done) + 1)]
        assert len(consumer.done) >= max(arrived, default=0)


@contextmanager
def in_memory() -> Iterator[Begin]:
    """A consumer's database for one example."""
    with closing(sqlite3.connect(":memory:")) as connection:

        @contextmanager
        def begin() -> Iterator[sqlite3.Connection]:
            with connection:
                yield connection

        with begin() as first:
            create_tables(first)
            first.execute("create table done (event_id text)")
        yield begin


def test_several_workers_keep_each_subjects_order(consumer: Consumer) -> None:
    consumer.log.events = [event(subject, n) for subject in ("call_1", "call_2", "call_3") for n in range(1, 13)]
    for told in consumer.log.events[::2]:
        consumer.takes(dict(told.body))
    consumer.now += 5
    done: list[Event] = []
    workers = [consumer.worker("in_order", lambda _, event: done.append(event)) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(Worker.work_off, workers))
    counts.append(workers[0].work_off())

    assert sum(counts) == len(done) == 36
    for subject in ("call_1", "call_2", "call_3"):
        assert [event.sequence for event in done if event.subject == subject] == list(range(1, 13))


@given(st.integers(1, 99), st.integers(0, 99), st.integers(0, 99))
def test_nothing_is_done_before_what_comes_before_it_nor_twice(sequence: int, done: int, complete: int) -> None:
    step = next_step("in_order", sequence, Known(done, complete))

    assert (step == "skip") == (sequence <= done)
    assert (step == "do") == (done < sequence <= max(done + 1, complete))


@given(st.integers(1, 99), st.integers(0, 99), st.integers(0, 99))
def test_a_tombstone_is_never_skipped_and_waits_for_its_turn_as_others_do(
    sequence: int, done: int, complete: int
) -> None:
    for order in ("as_it_comes", "newest", "in_order"):
        usual = next_step(order, sequence, Known(done, complete))
        erased = next_step(order, sequence, Known(done, complete), erased=True)

        assert erased == ("do" if usual == "skip" else usual)


@given(st.integers(0, 10**6))
def test_a_rest_is_five_seconds_to_an_hour_and_never_shorter_than_the_one_before(tries: int) -> None:
    assert 5 <= backoff_s(tries) <= backoff_s(tries + 1) <= 3600
