"""When an endpoint does not take an event: again at the schedule's instants, and in the end a dead letter."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from tests.webhooks.conftest import Receiver, Room, Says

GAPS = [timedelta(minutes=minutes) for minutes in (1, 5, 60, 120, 240, 480, 534)]


async def run_until_closed(room: Room, clock: Any) -> list[datetime]:
    """Step from one due instant to the next until nothing waits; the instants."""
    instants = []
    await room.drain()
    while due := await room.next_due():
        instants.append(due)
        await clock.to(due)
        await room.drain()
    return instants


async def test_retries_come_at_the_instants_of_the_schedule_and_end_after_a_day(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url)
    await room.happens()

    await run_until_closed(room, clock)

    (delivery,) = await room.deliveries()
    at = [datetime.fromisoformat(one["at"]) for one in delivery["tries"]]
    gaps = [later - earlier for earlier, later in zip(at, at[1:], strict=False)]
    assert len(gaps) == len(GAPS)
    for gap, least in zip(gaps, GAPS, strict=True):
        assert least <= gap <= least * 1.1 + timedelta(seconds=5)
    assert at[-1] - at[0] >= timedelta(hours=24)


async def test_a_delivery_that_used_up_its_tries_is_one_dead_letter_told_once(
    room: Room, receiver: Receiver, neighbour: Receiver, clock: Any
) -> None:
    receiver.says = [Says(503)]
    told = await room.endpoint(receiver.url)
    await room.endpoint(neighbour.url, ["webhook.*"])
    await room.happens()

    await run_until_closed(room, clock)

    (event,) = [orjson.loads(one.body) for one in neighbour.received]
    assert event["type"] == "webhook.dead_lettered"
    assert event["subject"] == {"type": "webhook_endpoint", "id": told.shown["id"]}
    assert (event["data"]["tries"], event["data"]["reason"]) == (8, "tries_used_up")
    assert event["data"]["last_error"] == "http_503"
    (dead,) = await room.deliveries(status="dead")
    assert (dead["status"], dead["reason"], dead["tries_made"]) == ("dead", "tries_used_up", 8)


async def test_an_endpoint_is_never_told_about_itself(room: Room, receiver: Receiver, clock: Any) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url, ["*"])
    await room.happens()

    await run_until_closed(room, clock)

    assert {orjson.loads(one.body)["type"] for one in receiver.received} == {"lead.cadence_paused"}


async def test_retry_after_lengthens_the_gap(room: Room, receiver: Receiver, clock: Any) -> None:
    receiver.says = [Says(429, {"retry-after": "7200"}), Says(200)]
    await room.endpoint(receiver.url)
    await room.happens()

    (due,) = await run_until_closed(room, clock)

    (delivery,) = await room.deliveries()
    first = datetime.fromisoformat(delivery["tries"][0]["at"])
    assert timedelta(hours=2) <= due - first < timedelta(hours=2, minutes=1)
    assert delivery["status"] == "delivered"


async def test_410_disables_the_endpoint_holds_what_is_open_and_is_told(
    room: Room, receiver: Receiver, neighbour: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500), Says(410)]
    told = await room.endpoint(receiver.url)
    await room.endpoint(neighbour.url, ["webhook_endpoint.disabled"])
    await room.happens()
    await room.drain()

    await room.happens()
    await room.drain()

    assert await room.status_of(told.id) == "disabled"
    assert [one["status"] for one in await room.deliveries(endpoint=told.id)] == ["dead", "held"]
    (event,) = [orjson.loads(one.body) for one in neighbour.received]
    assert event["data"] == {"reason": "gone"}
    assert event["transition"]["to"] == "disabled"


async def test_an_endpoint_that_fails_ten_times_is_failing_and_one_success_heals_it(
    room: Room, receiver: Receiver
) -> None:
    receiver.says = [Says(500)]
    told = await room.endpoint(receiver.url)
    await room.happens(10)
    await room.drain()
    assert await room.status_of(told.id) == "failing"

    receiver.says = [Says(200)]
    await room.happens()
    await room.drain()

    assert await room.status_of(told.id) == "active"


async def test_an_endpoint_without_success_for_five_days_is_disabled(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500)]
    told = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()

    await clock.forward(timedelta(days=5, minutes=1))
    await room.happens()
    await room.drain()

    assert await room.status_of(told.id) == "disabled"


async def test_a_receiver_that_is_not_there_is_tried_again_and_the_reason_is_told_in_words(room: Room) -> None:
    await room.endpoint("http://127.0.0.1:9/nobody")

    await room.happens()
    await room.drain()

    (delivery,) = await room.deliveries()
    (tried,) = delivery["tries"]
    assert tried["status_code"] is None
    assert tried["error"]["text"]
    assert delivery["next_try_at"] > datetime.now(UTC).isoformat()
