"""The kit at the end of Offhook's own wire: its messages, its signatures, its log."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.journeys.stage import TRANSFERRED, Stage, stage
from tests.webhooks.conftest import Receiver, Says

from offhook_receiver import Event, Inbox, Verifier, Worker, create_tables
from offhook_receiver.api import ApiFailed, HubApi
from offhook_receiver.transactions import sqlite

__all__ = ["stage"]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().running() as receiver:
        yield receiver


class Consumer:
    """An endpoint of Acme's sandbox and what stands behind it. `done` are the events that its code was handed."""

    def __init__(self, stage: Stage, endpoint: dict[str, Any], path: Path) -> None:
        self.done: list[Event] = []
        self.verifier = Verifier(endpoint["secret"])
        self.endpoint = str(endpoint["id"])
        self._stage = stage
        self._begin = sqlite(path)
        with self._begin() as connection:
            create_tables(connection)
        self.inbox = Inbox(self._begin, self.verifier)

    async def works_off(self) -> None:
        """Everything, in order, with no patience for what is late."""
        loop = asyncio.get_running_loop()

        def fetch(url: str, headers: Mapping[str, str]) -> bytes:
            path = url.removeprefix("https://offhook.test")
            reply = asyncio.run_coroutine_threadsafe(self._stage.api.get(path), loop).result()
            if reply.status != 200:
                raise ApiFailed(f"http_{reply.status}")
            content: bytes = reply.content
            return content

        api = HubApi("https://offhook.test", "ofk_test_key", self.endpoint, fetch)
        worker = Worker(self._begin, lambda _, event: self.done.append(event), "in_order", api, patience_s=0)
        await asyncio.to_thread(worker.work_off)

    def done_of(self, subject: str) -> list[str]:
        return [event.id for event in self.done if event.subject == subject]


async def a_consumer(stage: Stage, receiver: Receiver, path: Path, *events: str, **more: Any) -> Consumer:
    endpoint = await stage.post("/v1/webhook-endpoints", {"url": receiver.url, "events": list(events), **more})
    return Consumer(stage, endpoint, path / "app.db")


@pytest.mark.parametrize("globs", [("*",), ("call.ended", "lead.*", "transfer.bridged")])
async def test_of_a_story_told_in_disorder_and_half_lost_all_is_done_once_and_in_order(
    stage: Stage, receiver: Receiver, tmp_path: Path, globs: tuple[str, ...], a_lead: Any
) -> None:
    consumer = await a_consumer(stage, receiver, tmp_path, *globs)
    await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(hours=2)

    arriving = random.Random(7).sample(receiver.received, len(receiver.received)) * 2
    kept = [one for n, one in enumerate(arriving) if n % 3]
    assert {consumer.inbox.take(one.headers, one.body) for one in kept} == {204}
    await consumer.works_off()

    subjects = {event.subject for event in consumer.done}
    asked = f"/v1/events?limit=1000&webhook_endpoint={consumer.endpoint}"
    told = (await stage.get(asked))["data"]
    assert len(subjects) >= 2
    for subject in subjects:
        assert consumer.done_of(subject) == [event["event_id"] for event in told if event["subject"]["id"] == subject]


@pytest.mark.parametrize("format", ["envelope", "thin", "cloudevents_structured", "cloudevents_binary"])
async def test_what_is_told_in_any_format_is_read(
    stage: Stage, receiver: Receiver, tmp_path: Path, format: str, a_lead: Any
) -> None:
    consumer = await a_consumer(stage, receiver, tmp_path, "lead.accepted", format=format)
    (lead,) = await stage.send(a_lead())
    await stage.settle()

    (one,) = receiver.received
    (event,) = consumer.verifier.verify(one.headers, one.body)

    assert (event.type, event.subject, event.sequence) == ("lead.accepted", lead, 1)


@pytest.mark.parametrize("format", ["envelope", "cloudevents_structured"])
async def test_a_batch_of_the_hub_is_unpacked(
    stage: Stage, receiver: Receiver, tmp_path: Path, format: str, a_lead: Any
) -> None:
    batch = {"max_events": 10, "max_wait_ms": 50}
    consumer = await a_consumer(stage, receiver, tmp_path, "lead.accepted", format=format, batch=batch)
    leads = await stage.send(a_lead(), a_lead(), a_lead())
    await stage.settle()

    told = [event for one in receiver.received for event in consumer.verifier.verify(one.headers, one.body)]

    assert sorted(event.subject for event in told) == sorted(leads)
    assert receiver.received[0].headers["webhook-id"].startswith("bat_")


async def test_a_person_who_was_erased_before_they_were_told_comes_as_a_tombstone(
    stage: Stage, receiver: Receiver, tmp_path: Path, a_lead: Any
) -> None:
    consumer = await a_consumer(stage, receiver, tmp_path, "lead.accepted")
    receiver.says = [Says(500), Says(200)]
    (lead,) = await stage.send(a_lead())
    await stage.settle()

    await stage.post(f"/v1/leads/{lead}/erase", {"reason": "request"})
    await stage.passes(minutes=5)

    first, second = (consumer.verifier.verify(one.headers, one.body)[0] for one in receiver.received)
    assert (first.erased, second.erased) == (False, True)
    assert (first.id, first.subject, first.sequence) == (second.id, second.subject, second.sequence)
    assert second.subject == lead


async def test_a_test_of_the_endpoint_is_an_event_like_another(
    stage: Stage, receiver: Receiver, tmp_path: Path
) -> None:
    consumer = await a_consumer(stage, receiver, tmp_path, "lead.*")

    await stage.post(f"/v1/webhook-endpoints/{consumer.endpoint}/test")
    await stage.settle()
    for one in receiver.received:
        assert consumer.inbox.take(one.headers, one.body) == 204
    await consumer.works_off()

    assert [event.type for event in consumer.done] == ["webhook.test"]
