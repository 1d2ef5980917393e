"""What an operator is told by Prometheus: figures of the process and the installation, never an id."""

import math
import re
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY
from tests.db.explaining import Explaining
from tests.webhooks.conftest import Receiver, Room, Says

from offhook import metrics
from offhook.db import Database
from offhook.errors import Unavailable
from offhook.webhooks import backlog_store, counts
from offhook.webhooks.backlog import Backlog

ID = re.compile(r"[a-z]+_01[0-9a-z]{24}|[0-9a-f]{8}-[0-9a-f]{4}-")


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def requests(answer: str) -> float:
    return counted("offhook_webhook_request_ms_count", answer=answer)


@pytest.mark.parametrize(
    ("says", "answer"), [(Says(200), "2xx"), (Says(302), "3xx"), (Says(404), "4xx"), (Says(503), "5xx")]
)
async def test_a_request_is_counted_by_the_class_of_its_answer(
    room: Room, receiver: Receiver, says: Says, answer: str
) -> None:
    receiver.says = [says]
    await room.endpoint(receiver.url)
    before = requests(answer)

    await room.happens(2)
    await room.drain()

    assert requests(answer) - before == 2


async def test_a_request_without_an_answer_is_counted_as_none(room: Room, receiver: Receiver) -> None:
    await room.endpoint("http://127.0.0.1:9/")
    before = requests("none")

    await room.happens()
    await room.drain()

    assert requests("none") - before == 1


async def test_no_label_is_an_id(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(200), Says(500)]
    await room.endpoint(receiver.url)
    await room.happens(3)
    await room.drain()
    await room.webhooks.backlog.sample()

    told = [line for line in metrics.exposition().decode().splitlines() if line.startswith("offhook_webhook")]

    assert told
    assert [line for line in told if ID.search(line)] == []


async def test_the_backlog_tells_for_how_long_the_oldest_is_due(room: Room, receiver: Receiver, clock: Any) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()
    await room.webhooks.backlog.sample()
    waiting_its_time = (counted("offhook_webhook_oldest_due_seconds"), counted("offhook_webhook_endpoints_behind"))

    await clock.forward(timedelta(hours=1))
    await room.webhooks.backlog.sample()

    assert waiting_its_time == (0.0, 0.0)
    assert 3400 < counted("offhook_webhook_oldest_due_seconds") < 3600
    assert counted("offhook_webhook_endpoints_behind") == 1


async def test_what_is_held_is_no_backlog(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    await room.do(room.webhooks.endpoints.pause, told.id)
    await room.happens(3)

    await room.webhooks.backlog.sample()

    assert counted("offhook_webhook_oldest_due_seconds") == 0.0


async def test_what_was_held_is_due_from_its_enabling_on(room: Room, receiver: Receiver, clock: Any) -> None:
    told = await room.endpoint(receiver.url)
    await room.do(room.webhooks.endpoints.pause, told.id)
    await room.happens(3)
    await clock.forward(timedelta(hours=1))

    await room.do(room.webhooks.endpoints.enable, told.id, "send")
    await room.webhooks.backlog.sample()
    await room.webhooks.lateness.once()

    assert counted("offhook_webhook_oldest_due_seconds") < 60
    assert counted("offhook_webhook_endpoints_behind") == 1
    assert await room.row("select count(*) from incident") == (0,)


async def test_without_a_database_the_backlog_is_unknown_and_not_none(database_url: str) -> None:
    closed = Database(database_url)

    with pytest.raises(Unavailable):
        await Backlog(closed).sample()

    assert math.isnan(counted("offhook_webhook_oldest_due_seconds"))
    counts.oldest_due_s.set(0)


async def test_a_sample_reads_one_row_of_each_endpoint(room: Room, receiver: Receiver, database_url: str) -> None:
    for _ in range(3):
        told = await room.endpoint(receiver.url)
        await room.do(room.webhooks.endpoints.pause, told.id)
    await room.happens(300)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("analyze due")

    async with room.database.transaction(room.tenant) as tx:
        explaining = Explaining(tx)
        await explaining.rows(backlog_store.BEHIND)

    read = [node for node in explaining.nodes if node.get("Relation Name") == "due"]
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) <= 4
