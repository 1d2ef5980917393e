"""How often, how long and after which answers: an owner's own schedule, and what a receiver can ask for by itself."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.owner import last

from offhook.webhooks.endpoint_settings import patched, settings_of
from offhook.webhooks.wire import EndpointChange


async def run_until_closed(room: Room, clock: Any) -> None:
    await room.drain()
    while due := await room.next_due():
        await clock.to(due)
        await room.drain()


async def only_delivery(room: Room) -> dict[str, Any]:
    (delivery,) = await room.deliveries(type="lead.%")
    return delivery


def gaps_of(delivery: dict[str, Any]) -> list[float]:
    at = [datetime.fromisoformat(one["at"]) for one in delivery["tries"]]
    return [(later - earlier).total_seconds() for earlier, later in zip(at, at[1:], strict=False)]


async def test_an_endpoint_is_tried_by_its_own_schedule_of_which_more_tries_repeat_the_last_gap(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url, retry={"gaps_s": [0, 600, 7200], "tries": 4})
    await room.happens()

    await run_until_closed(room, clock)

    delivery = await only_delivery(room)
    assert (delivery["status"], delivery["reason"], delivery["tries_made"]) == ("dead", "tries_used_up", 4)
    for gap, least in zip(gaps_of(delivery), (600, 7200, 7200), strict=True):
        assert least <= gap <= least * 1.1 + 60


async def test_who_wants_one_try_gets_one(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url, retry={"tries": 1})

    await room.happens()
    await room.drain()

    assert (await only_delivery(room))["status"] == "dead"
    assert len(receiver.received) == 1


async def test_a_changed_schedule_counts_from_the_next_failure_on(room: Room, receiver: Receiver, clock: Any) -> None:
    receiver.says = [Says(500)]
    endpoint = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()

    change = EndpointChange.model_validate({"retry": {"tries": 2}})
    await room.do(room.webhooks.endpoints.change, endpoint.id, change, frozenset({"retry"}), None)
    await run_until_closed(room, clock)

    assert (await only_delivery(room))["tries_made"] == 2


@pytest.mark.parametrize(
    ("status", "became", "reason"), [(404, "dead", "http_404"), (422, "retrying", None), (500, "retrying", None)]
)
async def test_a_4xx_is_final_where_its_owner_says_so(
    room: Room, receiver: Receiver, status: int, became: str, reason: str | None
) -> None:
    receiver.says = [Says(status)]
    endpoint = await room.endpoint(receiver.url, retry={"final_statuses": [404, 409]})

    await room.happens()
    await room.drain()

    delivery = await only_delivery(room)
    assert (delivery["status"], delivery["reason"]) == (became, reason)
    assert await room.status_of(endpoint.id) == "active"


async def test_who_answers_later_than_its_owner_grants_has_not_answered(
    room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    receiver.says = neighbour.says = [Says(200, after_s=1.2)]
    hasty = await room.endpoint(receiver.url, timeout_s=1)
    patient = await room.endpoint(neighbour.url, timeout_s=30)

    await room.happens()
    await room.drain()

    ((cut,), (waited,)) = [await room.deliveries(endpoint=one.id) for one in (hasty, patient)]
    assert (cut["tries"][0]["error"]["code"], waited["status"]) == ("timeout", "delivered")


async def test_an_endpoint_is_disabled_after_as_many_days_of_failures_as_its_owner_says(
    room: Room, receiver: Receiver, neighbour: Receiver, clock: Any
) -> None:
    receiver.says, neighbour.says = [Says(500)], [Says(500)]
    hasty = await room.endpoint(receiver.url, disable_after_days=1)
    patient = await room.endpoint(neighbour.url, disable_after_days=2)
    await room.happens()
    await room.drain()

    await clock.forward(timedelta(days=1, minutes=1))
    await room.happens()
    await room.drain()

    shown = await room.do(room.webhooks.endpoints.find, hasty.id)
    assert (shown["status"], shown["status_reason"]) == ("disabled", "no_success")
    assert await room.status_of(patient.id) == "active"


@pytest.mark.parametrize("status", [200, 500])
async def test_a_receiver_can_have_its_endpoint_disabled(
    room: Room, receiver: Receiver, neighbour: Receiver, status: int
) -> None:
    receiver.says = [Says(status, {"webhook-delivery": "disable"})]
    endpoint = await room.endpoint(receiver.url)
    await room.endpoint(neighbour.url, ["webhook_endpoint.disabled"])

    await room.happens()
    await room.drain()
    await room.drain()

    shown = await room.do(room.webhooks.endpoints.find, endpoint.id)
    assert (shown["status"], shown["status_reason"]) == ("disabled", "asked_by_receiver")
    assert last(neighbour)[1]["data"] == {"reason": "asked_by_receiver"}


async def test_a_receiver_can_ask_to_be_spared_one_message(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500, {"Webhook-Delivery": "Abort-Message"}), Says(200)]
    endpoint = await room.endpoint(receiver.url)

    for _ in range(2):
        await room.happens()
        await room.drain()

    assert await room.status_of(endpoint.id) == "active"
    aborted, delivered = reversed(await room.deliveries(endpoint=endpoint.id))
    assert (aborted["status"], aborted["reason"]) == ("dead", "aborted_by_receiver")
    assert delivered["status"] == "delivered"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_receiver_that_is_busy_is_left_alone_for_as_long_as_it_asks(
    room: Room, receiver: Receiver, clock: Any, status: int
) -> None:
    receiver.says = [Says(status, {"retry-after": "7200"}), Says(200)]
    await room.endpoint(receiver.url, retry={"gaps_s": [0, 60]})
    await room.happens()

    await run_until_closed(room, clock)

    (gap,) = gaps_of(await only_delivery(room))
    assert gap >= 7200


def test_a_first_gap_that_was_taken_once_reads_as_what_it_did_and_stays_changeable() -> None:
    stored = {"retry": {"gaps_s": [60, 300], "tries": 3}, "timeout_s": 5}

    assert settings_of(stored).retry.gaps_s == [0, 300]
    assert patched(stored, {"timeout_s": 6}).retry.gaps_s == [0, 300]
