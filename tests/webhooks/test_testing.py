"""`/test` answers with the result of its delivery, whichever process sends it."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from psycopg.errors import DeadlockDetected
from tests.conftest import Client
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.owner import PATH, api_of

from offhook.db import Wakeups
from offhook.webhooks import delivery_store, http


@pytest.fixture
async def api(room: Room, wakeups: Wakeups) -> Client:
    return await api_of(room, wakeups)


async def sent_by(room: Room, answer: Awaitable[Any]) -> Any:
    """The answer, which comes while this process sends whatever is due."""
    asked = asyncio.ensure_future(answer)
    async with asyncio.timeout(10):
        while not asked.done():
            await room.drain()
            await asyncio.sleep(0)
    return await asked


@pytest.mark.parametrize(
    ("says", "status", "error"), [(Says(200), "delivered", None), (Says(500), "discarded", "http_500")]
)
async def test_the_answer_says_what_became_of_it(
    room: Room, api: Client, receiver: Receiver, says: Says, status: str, error: str | None
) -> None:
    receiver.says = [says]
    told = await room.endpoint(receiver.url)

    tested = await api.post(f"{PATH}/{told.shown['id']}/test")

    assert (tested.status, tested.json["status"], tested.json["tries_made"]) == (202, status, 1)
    assert tested.json["last_error"] == error


async def test_the_answer_waits_for_another_process_that_sends(
    room: Room, worker: Room, receiver: Receiver, wakeups: Wakeups
) -> None:
    api = await api_of(worker, wakeups)
    told = await worker.endpoint(receiver.url)

    tested = await sent_by(room, api.post(f"{PATH}/{told.shown['id']}/test"))

    assert tested.json["status"] == "delivered"


async def test_the_answer_waits_for_the_process_that_owns_the_endpoint(
    room: Room, worker: Room, api: Client, receiver: Receiver
) -> None:
    told = await room.endpoint(receiver.url, rate_limit_per_s=100)

    tested = await sent_by(worker, api.post(f"{PATH}/{told.shown['id']}/test"))

    assert tested.json["status"] == "delivered"


async def test_the_answer_comes_though_the_first_run_was_undone(
    room: Room, api: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, found, runs = await room.endpoint(receiver.url), delivery_store.find, []

    async def find(*asked: Any) -> Any:
        runs.append(asked)
        if len(runs) == 1:
            raise DeadlockDetected
        return await found(*asked)

    monkeypatch.setattr(delivery_store, "find", find)
    async with asyncio.timeout(10):
        tested = await api.post(f"{PATH}/{told.shown['id']}/test")

    assert (tested.json["status"], len(receiver.received)) == ("delivered", 1)


async def test_the_answer_comes_in_the_end_when_nobody_sends(
    worker: Room, receiver: Receiver, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "LONGEST_TIMEOUT_S", -1.0)
    told = await worker.endpoint(receiver.url)

    tested = await (await api_of(worker, wakeups)).post(f"{PATH}/{told.shown['id']}/test")

    assert (tested.status, tested.json["status"]) == (202, "pending")


async def test_who_asks_again_by_the_same_key_is_told_what_became_of_it_and_nothing_is_sent_again(
    room: Room, api: Client, receiver: Receiver
) -> None:
    told = await room.endpoint(receiver.url)
    path = f"{PATH}/{told.shown['id']}/test"

    first, again = [await api.post(path, Idempotency_Key="a") for _ in range(2)]

    assert first.json == again.json
    assert (again.json["status"], len(receiver.received)) == ("delivered", 1)


async def test_a_test_of_an_unknown_type_is_refused_with_the_one_meant(
    room: Room, api: Client, receiver: Receiver
) -> None:
    told = await room.endpoint(receiver.url)

    refused = await api.post(f"{PATH}/{told.shown['id']}/test", {"type": "call.endd"})

    assert (refused.status, refused.json["code"], refused.json["param"]) == (422, "unknown_event_type", "type")
    assert "Did you mean call.ended?" in refused.json["detail"]
