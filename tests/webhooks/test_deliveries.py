"""What the owner of an endpoint can see of each delivery, and sending it once more."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.webhooks.conftest import Receiver, Room, Says

from offhook import ids
from offhook.db import Tenant
from offhook.errors import Conflict, NotFound
from offhook.events import Actor

OWNER = Actor("api_key", "key_x")
OF_THE_CONNECTION = {"host", "accept", "accept-encoding", "content-length"}
"""Headers that every request has alike."""
SAID = b'{"note":"Michael is not at home"}'


async def a_dead_letter(room: Room, receiver: Receiver) -> UUID:
    receiver.says = [Says(410, body=b"gone"), Says(200)]
    told = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()
    await room.do(room.webhooks.endpoints.enable, told.id, "send")
    (delivery,) = await room.deliveries(status="dead")
    return ids.read("dlv", delivery["id"])


async def test_a_delivery_shows_every_try_with_request_and_response(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500, {"x-trace": "abc"}, SAID)]
    await room.endpoint(receiver.url)
    await room.happens(person=await room.person())
    await room.drain()

    (delivery,) = await room.deliveries()

    (tried,) = delivery["tries"]
    (request,) = receiver.received
    sent = {name: value for name, value in request.headers.items() if name not in OF_THE_CONNECTION}
    assert {**tried["request_headers"], "webhook-signature": sent["webhook-signature"]} == sent
    assert tried["request_headers"]["webhook-signature"] == "v1,***"
    assert tried["response_headers"]["x-trace"] == "abc"
    assert tried["response_body"] == SAID.decode()
    assert tried["timing_ms"]["total"] > 0
    assert tried["error"] == {"code": "http_500", "text": "the receiver answered 500, which is no success"}


@pytest.mark.parametrize("personal", [True, False])
async def test_responses_are_sealed_at_rest(room: Room, receiver: Receiver, personal: bool) -> None:
    receiver.says = [Says(200, body=SAID)]
    await room.endpoint(receiver.url)
    await room.happens(person=await room.person() if personal else None)
    await room.drain()

    (stored,) = await room.row("select response from try")

    assert stored is not None
    assert b"Michael" not in bytes(stored)
    (delivery,) = await room.deliveries()
    assert delivery["tries"][0]["response_body"] == SAID.decode()


async def test_the_response_of_an_erased_persons_delivery_is_gone(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(200, body=SAID)]
    await room.endpoint(receiver.url)
    person = await room.person()
    await room.happens(person=person)
    await room.drain()

    async with room.database.transaction(room.tenant) as tx:
        await room.vault.shred(tx, person, reason="request", kept=())

    (delivery,) = await room.deliveries()
    assert delivery["tries"][0]["response_body"] is None
    assert delivery["tries"][0]["status_code"] == 200


async def test_a_success_without_a_body_stores_no_response(room: Room, receiver: Receiver) -> None:
    await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()

    assert await room.row("select response from try") == (None,)


async def test_a_replay_keeps_delivery_and_webhook_id_and_says_that_it_is_one(room: Room, receiver: Receiver) -> None:
    dead = await a_dead_letter(room, receiver)

    await room.do(room.webhooks.deliveries.replay, dead, OWNER)
    await room.drain()

    first, again = receiver.received
    assert again.body == first.body
    for header in ("webhook-id", "offhook-delivery-id"):
        assert again.headers[header] == first.headers[header]
    assert (again.headers["offhook-replay"], again.headers["offhook-try"]) == ("1", "1")
    (delivery,) = await room.deliveries(type="lead.%")
    assert (delivery["status"], [one["n"] for one in delivery["tries"]]) == ("delivered", [0, 1])


async def test_a_replay_that_fails_has_the_whole_schedule_before_it(
    room: Room, worker: Room, receiver: Receiver, clock: Any
) -> None:
    dead = await a_dead_letter(room, receiver)
    receiver.says = [Says(500)]
    await clock.forward(timedelta(days=3))

    await room.do(room.webhooks.deliveries.replay, dead, OWNER)
    tries = 0
    while await worker.drain():
        tries += 1
        await clock.to(await worker.next_due() or (await room.row("select now() + interval '90 days'"))[0])

    assert tries == 8
    assert receiver.ids("offhook-try")[1:] == [str(n) for n in range(1, 9)]
    assert [one["status"] for one in await room.deliveries(type="lead.%")] == ["dead"]


async def test_what_is_on_its_way_cannot_be_replayed(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()
    (delivery,) = await room.deliveries()

    with pytest.raises(Conflict, match="not_replayable"):
        await room.do(room.webhooks.deliveries.replay, ids.read("dlv", delivery["id"]), OWNER)


async def test_a_replay_for_a_paused_endpoint_is_held(room: Room, receiver: Receiver) -> None:
    dead = await a_dead_letter(room, receiver)
    (endpoint,) = {ids.read("whe", one["webhook_endpoint_id"]) for one in await room.deliveries()}
    await room.do(room.webhooks.endpoints.pause, endpoint)

    shown = await room.do(room.webhooks.deliveries.replay, dead, OWNER)

    assert shown["status"] == "held"
    assert not await room.drain()


async def test_what_is_being_replayed_while_its_endpoint_is_enabled_is_sent(room: Room, receiver: Receiver) -> None:
    dead = await a_dead_letter(room, receiver)
    (endpoint,) = {ids.read("whe", one["webhook_endpoint_id"]) for one in await room.deliveries()}
    await room.do(room.webhooks.endpoints.pause, endpoint)

    async with room.database.transaction(room.tenant) as tx:
        await room.webhooks.deliveries.replay(tx, dead, OWNER)
        enabling = asyncio.create_task(room.do(room.webhooks.endpoints.enable, endpoint, "send"))
        await asyncio.wait([enabling], timeout=0.3)
    await enabling
    await room.drain()

    assert await room.deliveries(status="held") == []
    assert len(receiver.received) == 2


async def test_a_discarded_dead_letter_is_no_longer_listed(room: Room, receiver: Receiver) -> None:
    dead = await a_dead_letter(room, receiver)

    shown = await room.do(room.webhooks.deliveries.discard, dead)

    assert shown["status"] == "discarded"
    assert await room.deliveries(status="dead") == []
    assert len(await room.deliveries(status="discarded")) == 1


async def test_lists_find_deliveries_by_endpoint_status_type_and_subject(
    room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    neighbour.says = [Says(500)]
    here, there = await room.endpoint(receiver.url), await room.endpoint(neighbour.url)
    await room.happens(2)
    await room.drain()
    one, *_ = await room.deliveries()
    subject = ids.read("lead", one["subject"]["id"])

    assert len(await room.deliveries()) == 4
    assert len(await room.deliveries(endpoint=here.id)) == 2
    assert {d["webhook_endpoint_id"] for d in await room.deliveries(status="retrying")} == {there.shown["id"]}
    assert len(await room.deliveries(subject=subject)) == 2
    assert len(await room.deliveries(type="lead.%", status="delivered")) == 2
    assert await room.deliveries(type="call.%") == []


async def test_a_stranger_sees_no_delivery(room: Room, receiver: Receiver, stranger: Tenant) -> None:
    await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()
    (delivery,) = await room.deliveries()

    async with room.database.transaction(stranger) as tx:
        with pytest.raises(NotFound):
            await room.webhooks.deliveries.find(tx, ids.read("dlv", delivery["id"]))
