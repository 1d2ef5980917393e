"""One measurement: a load, and what it came to from the first request to the last recorded delivery."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import aiohttp
import orjson

from offhook.bench import store
from offhook.bench.gauge import Cost
from offhook.bench.quantiles import Buckets, quantiles, read_buckets
from offhook.bench.stage import Stage
from offhook.demo import module
from offhook.errors import OffhookError

_WARM_S = 2.0
_PLAN_S = 0.5
"""Tidying has every statement planned anew, which is no part of what is measured either."""
_DRAINS_IN_S = 120
_LOOK_S = 0.02
# PostgreSQL's backends tell of their transactions at most once a second.
_STATISTICS_S = 1.5


class MeasureFailed(OffhookError):
    """The load could not be run, or its deliveries did not come to an end."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: `batch` leads per request, `rate` leads per second (0: as fast as they are taken); what the endpoint hears.

    The leads are those from the `first` to the `most`-th: no number may come twice. `born`: no leads are sent, but `rate`
    events a second are born in the house. `fan_out` endpoints hear each of them.
    """

    name: str
    batch: int = 1
    connections: int = 64
    rate: int = 0
    seconds: float = 8
    first: int = 0
    most: int = 30_000
    hears: Sequence[str] = ("*",)
    born: bool = False
    fan_out: int = 1


@dataclass(frozen=True, slots=True)
class Figures:
    """What one load came to.

    `leads_per_s` counts accepted leads while the load ran; `deliveries_per_s` all deliveries, until the last try was
    recorded; `received` is what the receiver counted: the same number when every try was recorded.
    `sql_transactions_per_event` is what PostgreSQL committed; `sql_round_trips_per_event` is counted as the voluntary
    waits of its backends, each of which is a round trip or a wait for a lock or the disk: an upper bound.
    """

    name: str
    topology: str
    leads: int
    events: int
    deliveries: int
    received: int
    refused: int
    leads_per_s: float
    deliveries_per_s: float
    response_ms: Mapping[str, float]
    commit_to_wire_ms: Mapping[str, float]
    sql_round_trips_per_event: float
    sql_transactions_per_event: float
    cpu_us_per_event: Mapping[str, float]
    rss_mb: Mapping[str, float]

    def shown(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Reading:
    cost: Cost
    transactions: int
    events: int
    tries: int
    received: int
    wire: Buckets


async def measure(stage: Stage, load: Load) -> Figures:
    """Run the load on a sandbox as good as empty, after two seconds of it in which connections are made and caches filled,
    and half a second in which its statements are planned.

    Raises MeasureFailed when the load fails or deliveries stay open.
    """
    await stage.hear(load.hears)
    for n in range(1, load.fan_out):
        await stage.another(f"{stage.receiver_url}/{n}", load.hears)
    await loaded(stage, replace(load, seconds=_WARM_S))
    await _drained(stage)
    await stage.empty()
    await _drained(stage)
    await store.tidy(stage.database)
    planned = await loaded(stage, replace(load, seconds=_PLAN_S))
    await _drained(stage)
    before = await _read(stage)
    sent = await loaded(stage, replace(load, first=sum(planned["statuses"].values()) * load.batch))
    await _drained(stage)
    recorded_s = sent["elapsed_s"] + time.time() - sent["ended_at"]
    rss_mb = stage.gauge.rss_mb()
    after = await _read(stage)
    return _figures(stage, load, sent, before, after, recorded_s, rss_mb)


async def _read(stage: Stage) -> _Reading:
    cost = stage.gauge.read()
    await asyncio.sleep(_STATISTICS_S)
    return _Reading(
        cost,
        await store.transactions(stage.database),
        await store.events(stage.database),
        (await store.recorded(stage.database)).tries,
        int(json.loads(await got(stage.receiver_counts))["received"]),
        read_buckets(await got(stage.metrics_url), "offhook_webhook_commit_to_wire_ms"),
    )


async def got(url: str) -> str:
    """What is answered there."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


async def loaded(stage: Stage, load: Load) -> dict[str, Any]:
    """Run the load; what its generator tells. Raises MeasureFailed."""
    if load.born:
        return _as_of_leads(json.loads(await got(f"{stage.births_url}?seconds={load.seconds}&rate={load.rate}")))
    asked = {**asdict(load), "port": stage.port, "key": stage.key, "run": f"{load.name}-{time.time_ns():x}"}
    process = await asyncio.create_subprocess_exec(
        *module("offhook.bench.load"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        told, _ = await process.communicate(orjson.dumps(asked))
    finally:
        if process.returncode is None:  # nobody waits for its load any more
            process.kill()
    if process.returncode:
        raise MeasureFailed("load_failed", f"The load generator ended with {process.returncode}.")
    found: dict[str, Any] = json.loads(told)
    return found


def _as_of_leads(born: dict[str, Any]) -> dict[str, Any]:
    """What was born, told as the generator of leads tells it."""
    return {**born, "leads": born["events"], "statuses": {}, "response_ms": born["commit_ms"]}


async def _drained(stage: Stage) -> None:
    deadline = time.monotonic() + _DRAINS_IN_S
    while await store.is_open(stage.database):
        if time.monotonic() > deadline:
            raise MeasureFailed("not_drained", f"Deliveries are still open {_DRAINS_IN_S} s after the load ended.")
        await asyncio.sleep(_LOOK_S)


def _figures(
    stage: Stage, load: Load, sent: dict[str, Any], before: _Reading, after: _Reading, recorded_s: float, rss_mb: float
) -> Figures:
    events = after.events - before.events
    deliveries = after.tries - before.tries
    per_event = 1 / max(1, events)
    return Figures(
        name=load.name,
        topology=stage.topology,
        leads=sent["leads"],
        events=events,
        deliveries=deliveries,
        received=after.received - before.received,
        refused=sum(n for status, n in sent["statuses"].items() if int(status) >= 300),
        leads_per_s=round(sent["leads"] / sent["elapsed_s"], 1),
        deliveries_per_s=round(deliveries / recorded_s, 1),
        response_ms={name: round(value, 2) for name, value in sent["response_ms"].items()},
        commit_to_wire_ms=quantiles(after.wire.since(before.wire)),
        sql_round_trips_per_event=round((after.cost.waits - before.cost.waits) * per_event, 3),
        sql_transactions_per_event=round((after.transactions - before.transactions) * per_event, 3),
        cpu_us_per_event={
            "python": round((after.cost.python_s - before.cost.python_s) * per_event * 1e6, 1),
            "postgres": round((after.cost.postgres_s - before.cost.postgres_s) * per_event * 1e6, 1),
        },
        rss_mb={"idle": round(stage.idle_rss_mb, 1), "loaded": round(rss_mb, 1)},
    )
