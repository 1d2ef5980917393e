"""Events that are born in the house itself, as the reports of a platform are, in a process of its own.

    OFFHOOK_DATABASE_URL=… OFFHOOK_DATA_DIR=… python -m offhook.bench.births --port 8700 --workspace ws_… [--sends]

The whole house is in that process, its log and its fan-out as everywhere. With `--sends` it tells the endpoints as
well, as `offhook up` does; without, it takes a worker. `GET /born?seconds=6&rate=1000` has that many events written a
second (0: as fast as they are sent), each about a person of its own, and tells {"events": …, "elapsed_s": …,
"ended_at": …, "commit_ms": {"p50", "p99", "max"}}, where a commit's time counts from when its events were due. `GET
/metrics`: as everywhere.
"""

import argparse
import asyncio
import time
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import orjson
import uvloop

from offhook import ids, metrics
from offhook.db import Tenant
from offhook.demo import Exchange, Listener
from offhook.events import Fact, Story
from offhook.events.catalogue.contexts import VISITOR, call, lead
from offhook.events.catalogue.leads import LeadQualified
from offhook.serve import living_in
from offhook.settings import load
from offhook.wiring import House

_TOGETHER = 100
"""How many events one transaction writes: what a platform reports at once."""
_AHEAD = 1000
"""At full speed no more wait to be sent: what is sent from memory was never read from the database."""
_REST_S = 0.001
_CONTEXT = Story(
    call=orjson.dumps(call("lead.qualified")), visitor=orjson.dumps(VISITOR), lead=orjson.dumps(lead("lead.qualified"))
)


class Births:
    """Has events born in this house."""

    def __init__(self, house: House, tenant: Tenant) -> None:
        self._house = house
        self._tenant = tenant
        self._task: asyncio.Task[None] | None = None

    def take(self, exchange: Exchange) -> None:
        """Do what the path says."""
        asked = urlsplit(exchange.path)
        if asked.path == "/metrics":
            exchange.answer(200, metrics.exposition())
        elif asked.path == "/born":
            wanted = {name: float(values[0]) for name, values in parse_qs(asked.query).items()}
            self._task = asyncio.create_task(self._tell(exchange, wanted["seconds"], wanted["rate"]))
        else:
            exchange.answer(200)

    async def _tell(self, exchange: Exchange, seconds: float, rate: float) -> None:
        begun = time.perf_counter()
        events, took = 0, [0.0]
        while (now := time.perf_counter()) < begun + seconds:
            due = begun + events / rate if rate else now
            if due > now or (not rate and self._house.webhooks.sender.held > _AHEAD):
                await asyncio.sleep(max(due - now, _REST_S))
                continue
            count = min(_TOGETHER, max(int((now - begun) * rate) - events, 1)) if rate else _TOGETHER
            await self._bear(count)
            took.append((time.perf_counter() - due) * 1000)
            events += count
        took.sort()
        told = {
            "events": events,
            "elapsed_s": time.perf_counter() - begun,
            "ended_at": time.time(),
            "commit_ms": {"p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100], "max": took[-1]},
        }
        exchange.answer(200, orjson.dumps(told))

    async def _bear(self, count: int) -> None:
        async with self._house.database.transaction(self._tenant) as tx:
            persons = [ids.new() for _ in range(count)]
            await self._house.vault.create(tx, persons, classes=("operational",))
            await self._house.log.append(tx, [_fact(person) for person in persons], born=persons)


def _fact(person: UUID) -> Fact:
    return LeadQualified(subject_id=person, story=replace(_CONTEXT, person=person), call_id=ids.show("call", person))


async def serve(port: int, workspace: str, *, sends: bool) -> None:
    """Listen until the process that started this one is gone."""
    settings = load()
    assert settings.database_url is not None
    house = House.build(settings, settings.database_url, engine=sends)
    births = Births(house, Tenant(ids.read("ws", workspace), "sandbox"))
    async with living_in(house):
        await Listener(port, births.take).stay()


def main() -> None:
    parser = argparse.ArgumentParser(description="Events that are born in the house itself.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--sends", action="store_true")
    chosen = parser.parse_args()
    uvloop.run(serve(chosen.port, chosen.workspace, sends=chosen.sends))


if __name__ == "__main__":
    main()
