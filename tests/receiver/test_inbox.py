"""What arrives is in the consumer's database before it is answered, and only what is genuine."""

import pytest
from tests.receiver.conftest import NOW, Begin, Consumer
from tests.receiver.messages import OTHER_SECRET, SECRET, batch, envelope, message, tombstone

from offhook_receiver import Inbox, Verifier


def waiting(consumer: Consumer) -> int:
    ((count,),) = consumer.rows("select count(*) from offhook_inbox where body is not null")
    return int(count)


def test_a_genuine_event_is_stored_and_answered_204(consumer: Consumer) -> None:
    assert consumer.takes(envelope()) == 204
    assert waiting(consumer) == 1


def test_what_is_not_genuine_is_answered_401_and_leaves_nothing(
    consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox(consumer.begin, Verifier(OTHER_SECRET))

    assert inbox.take(*message(envelope())) == 401
    assert waiting(consumer) == 0
    assert "bad_signature" in caplog.text
    assert "evt_call_1" not in caplog.text


def test_what_is_genuine_but_no_event_is_answered_422(consumer: Consumer) -> None:
    assert consumer.takes({"hello": "world"}) == 422


def test_an_event_that_comes_twice_is_stored_once_and_answered_the_same(consumer: Consumer) -> None:
    assert [consumer.takes(envelope()), consumer.takes(envelope())] == [204, 204]
    assert waiting(consumer) == 1


def test_of_a_batch_each_event_is_stored_under_its_own_id(consumer: Consumer) -> None:
    consumer.told(2)

    assert consumer.takes(batch(envelope(sequence=1), envelope(sequence=2), envelope(sequence=3))) == 204
    assert waiting(consumer) == 3


def test_a_tombstone_takes_the_place_of_what_still_waits(consumer: Consumer) -> None:
    consumer.told(1)
    consumer.takes(tombstone())

    consumer.worker().work_off()

    assert consumer.done == ["1 erased"]


@pytest.mark.parametrize("order", ["as_it_comes", "newest", "in_order"])
def test_a_tombstone_of_what_was_done_is_told_once(consumer: Consumer, order: str) -> None:
    consumer.told(1, 2)
    consumer.worker(order).work_off()

    for _ in range(2):
        consumer.takes(tombstone())
        consumer.worker(order).work_off()

    assert consumer.done == ["1", "2", "1 erased"]
    assert consumer.rows("select * from offhook_inbox where body is not null") == []


def test_a_tombstone_does_not_rest_as_the_event_did_that_failed(consumer: Consumer) -> None:
    consumer.told(1)
    consumer.fails_at = "evt_call_1_1"
    consumer.worker().work_off()
    consumer.fails_at = ""

    consumer.takes(tombstone())
    consumer.worker().work_off()

    assert consumer.done == ["1 erased"]


def test_an_event_takes_no_tombstones_place(consumer: Consumer) -> None:
    consumer.takes(tombstone())
    consumer.told(1)

    consumer.worker().work_off()
    consumer.told(1)
    assert consumer.worker().work_off() == 0

    assert consumer.done == ["1 erased"]


def test_what_was_done_is_remembered_without_what_it_said(consumer: Consumer) -> None:
    consumer.told(1)
    consumer.worker().work_off()

    assert consumer.rows("select event_id, body, done_at from offhook_inbox") == [("evt_call_1_1", None, NOW)]


def test_a_database_that_fails_is_not_answered_for(begin: Begin) -> None:
    with begin() as connection:
        connection.cursor().execute("drop table offhook_inbox")

    with pytest.raises(Exception, match="offhook_inbox"):
        Inbox(begin, Verifier(SECRET)).take(*message(envelope()))
