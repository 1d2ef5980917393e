"""Endpoints: their secrets, their states, and changes that count at once."""

import pytest
from standardwebhooks import Webhook
from tests.webhooks.conftest import Receiver, Room, Says

from offhook.db import Tenant
from offhook.errors import Conflict, Invalid, NotFound
from offhook.http.resources import External
from offhook.webhooks.wire import EndpointChange


async def test_the_secret_is_shown_once_and_stands_nowhere_in_clear(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()

    assert told.secret.startswith("whsec_")
    assert "secret" not in await room.do(room.webhooks.endpoints.find, told.id)
    (stored,) = await room.row("select e::text || encode(secret, 'escape') from endpoint e")
    assert told.secret.removeprefix("whsec_") not in stored
    book = await room.webhooks.directory.latest(room.tenant)
    assert told.secret not in repr(book.endpoints) + repr(vars(book))


async def test_a_rotated_secret_signs_the_next_request_of_every_process(
    room: Room, worker: Room, receiver: Receiver
) -> None:
    told = await room.endpoint(receiver.url)
    await worker.happens()
    await worker.drain()

    rotated = await room.do(room.webhooks.endpoints.rotate_secret, told.id)
    await room.happens()
    await room.drain()

    assert rotated["secret"] != told.secret
    request = receiver.received[-1]
    Webhook(rotated["secret"]).verify(request.body, request.headers)


async def test_an_endpoint_to_be_tested_gets_nothing_until_a_test_succeeds(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url, activate=False)
    await room.happens()
    await room.drain()
    assert (receiver.received, await room.status_of(told.id)) == ([], "pending_test")

    await room.do(room.webhooks.endpoints.test, told.id)
    await room.drain()
    await room.happens()
    await room.drain()

    assert await room.status_of(told.id) == "active"
    assert len(receiver.received) == 2


async def test_a_test_that_fails_is_not_repeated_and_is_no_dead_letter(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)]
    told = await room.endpoint(receiver.url, activate=False)

    delivery = await room.do(room.webhooks.endpoints.test, told.id)
    await room.drain()

    shown = await room.do(room.webhooks.deliveries.find, delivery)
    assert (shown["status"], shown["reason"]) == ("discarded", "test_failed")
    assert await room.status_of(told.id) == "pending_test"


async def test_a_paused_endpoint_can_still_be_tested(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    await room.do(room.webhooks.endpoints.pause, told.id)

    await room.do(room.webhooks.endpoints.test, told.id)
    await room.drain()

    assert len(receiver.received) == 1
    assert await room.status_of(told.id) == "paused"


async def test_a_glob_that_no_event_answers_to_is_refused_with_what_was_meant(room: Room) -> None:
    with pytest.raises(Invalid) as refused:
        await room.endpoint("https://example.com/hook", ["lead.acepted", "lead.*"])

    (fault,) = refused.value.faults
    assert fault.param == "events.0"
    assert "lead.accepted" in fault.detail


async def test_a_changed_url_counts_from_the_next_event(room: Room, receiver: Receiver, neighbour: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()

    change = EndpointChange(url=neighbour.url)
    await room.do(room.webhooks.endpoints.change, told.id, change, frozenset({"url"}), None)
    await room.happens()
    await room.drain()

    assert (len(receiver.received), len(neighbour.received)) == (1, 1)


async def test_an_external_id_is_unique_and_finds_its_endpoint(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url, external_id="crm")

    with pytest.raises(Conflict, match="external_id_taken"):
        await room.endpoint(receiver.url, external_id="crm")

    assert (await room.do(room.webhooks.endpoints.find, External("crm")))["id"] == told.shown["id"]


async def test_a_stranger_sees_and_changes_no_endpoint(room: Room, receiver: Receiver, stranger: Tenant) -> None:
    told = await room.endpoint(receiver.url)

    async with room.database.transaction(stranger) as tx:
        with pytest.raises(NotFound):
            await room.webhooks.endpoints.disable(tx, told.id)

    assert await room.status_of(told.id) == "active"


async def test_every_change_is_told_to_the_other_endpoints(room: Room, receiver: Receiver, neighbour: Receiver) -> None:
    await room.endpoint(neighbour.url, ["webhook_endpoint.*"])
    told = await room.endpoint(receiver.url, ["*"])
    endpoints = room.webhooks.endpoints

    await room.do(endpoints.rotate_secret, told.id)
    await room.do(endpoints.disable, told.id)
    await room.do(endpoints.enable, told.id, "send")
    await room.do(endpoints.delete, told.id)
    await room.drain()

    types = [one["type"] for one in reversed(await room.deliveries())]
    assert sorted(types) == [
        f"webhook_endpoint.{verb}" for verb in ("created", "deleted", "disabled", "enabled", "secret_rotated")
    ]
    assert receiver.received == []
