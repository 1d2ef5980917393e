"""What an endpoint in trouble costs the others, and what a backlog costs the fresh: the promises of the lane, measured."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from offhook.bench import heap_store as heap
from offhook.bench import store
from offhook.bench.measure import Load, got, loaded
from offhook.bench.stage import Stage
from offhook.demo import free_port

_QUICK = 4
_RATE = 250
_SETTLE_S = 5.0
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Milliseconds from an event's making to its arrival at the quick endpoints, alone and beside those in trouble."""

    topology: str
    deliveries_per_s: int
    rows_of_the_dead: int
    quiet_ms: Mapping[str, float]
    beside_trouble_ms: Mapping[str, float]

    @property
    def times_the_quiet_p99(self) -> float:
        return round(self.beside_trouble_ms["p99"] / max(self.quiet_ms["p99"], 0.001), 2)

    def shown(self) -> dict[str, Any]:
        return {**asdict(self), "times_the_quiet_p99": self.times_the_quiet_p99}


async def neighbours(stage: Stage, rows: int, seconds: float) -> Neighbours:
    """Quick endpoints alone; then beside one that is down with so many rows, one that hangs, and one that drips."""
    await stage.hear(["campaign.started"])
    base = stage.receiver_url.rsplit("/", 1)[0]
    for n in range(_QUICK):
        await stage.another(f"{base}/quick/{n}", ["lead.accepted"])
    load = Load("neighbours", batch=1, connections=32, rate=_RATE, seconds=seconds)
    await loaded(stage, load)
    quiet = await _latency(stage, load, first=int(_RATE * seconds) + 100)
    down = f"http://127.0.0.1:{free_port()}/down"
    for url, count in ((down, rows), (f"{base}/hang", rows // 100), (f"{base}/drip", rows // 100)):
        await heap.heap_up(stage.database, await stage.another(url, ["lead.accepted"]), count)
    await store.tidy(stage.database)
    await asyncio.sleep(_SETTLE_S)
    troubled = await _latency(stage, load, first=2 * int(_RATE * seconds) + 200)
    return Neighbours(stage.topology, _RATE * _QUICK, rows, quiet, troubled)


@dataclass(frozen=True, slots=True)
class Backlog:
    """A backlog that drains, and what the fresh deliveries of the same endpoint wait for it meanwhile."""

    topology: str
    rows: int
    drained_s: float
    deliveries_per_s: float
    fresh_per_s: int
    fresh_ms: Mapping[str, float]
    rss_mb: Mapping[str, float]

    def shown(self) -> dict[str, Any]:
        return asdict(self)


async def backlog(stage: Stage, rows: int) -> Backlog:
    """So many rows are due for an endpoint that is well; events go on all the while."""
    await stage.hear(["campaign.started"])
    base = stage.receiver_url.rsplit("/", 1)[0]
    endpoint = await stage.another(f"{base}/backlog", ["lead.accepted"])
    await loaded(stage, Load("warm", batch=1, connections=8, rate=50, seconds=2))
    await heap.heap_up(stage.database, endpoint, rows, due_in=heap.NOT_YET)
    await store.tidy(stage.database)
    rss = {"before": round(stage.gauge.rss_mb(), 1)}
    await got(f"{_control(stage)}/forget")
    await heap.make_due(stage.database, endpoint)
    begun, fresh = time.perf_counter(), 50
    load = asyncio.create_task(loaded(stage, Load("fresh", batch=1, connections=8, rate=fresh, seconds=600, first=500)))
    while await heap.open_of(stage.database, endpoint) > fresh:
        rss["most"] = max(rss.get("most", 0.0), round(stage.gauge.rss_mb(), 1))
        await asyncio.sleep(_LOOK_S)
    drained = time.perf_counter() - begun
    latency = json.loads(await got(f"{_control(stage)}/latency"))["/backlog"]
    load.cancel()
    await asyncio.gather(load, return_exceptions=True)
    rss["after"] = round(stage.gauge.rss_mb(), 1)
    return Backlog(stage.topology, rows, round(drained, 1), round(rows / drained, 1), fresh, _rounded(latency), rss)


@dataclass(frozen=True, slots=True)
class Claims:
    """What one claim of 500 rows takes over few and over many due rows."""

    few: int
    many: int
    few_ms: float
    many_ms: float

    @property
    def times(self) -> float:
        return round(self.many_ms / self.few_ms, 2)

    def shown(self) -> dict[str, Any]:
        return {**asdict(self), "times": self.times}


async def claims(stage: Stage, few: int, many: int) -> Claims:
    """The same claim over tables of both sizes, vacuumed and analysed each time."""
    endpoints = [await stage.another(f"http://127.0.0.1:{free_port()}/{n}", ["campaign.started"]) for n in range(20)]
    took = []
    for count, so_far in ((few, 0), (many, few)):
        for endpoint in endpoints:
            await heap.heap_up(stage.database, endpoint, (count - so_far) // len(endpoints), due_in=heap.NOT_YET)
        await store.tidy(stage.database)
        took.append(await heap.claim_ms(stage.database, endpoints, 25))
    return Claims(few, many, round(took[0], 2), round(took[1], 2))


async def _latency(stage: Stage, load: Load, first: int) -> dict[str, float]:
    await got(f"{_control(stage)}/forget")
    await loaded(stage, Load(load.name, load.batch, load.connections, load.rate, load.seconds, first))
    await asyncio.sleep(_LOOK_S)
    found: dict[str, dict[str, float]] = json.loads(await got(f"{_control(stage)}/latency"))
    quick = [one for path, one in found.items() if path.startswith("/quick")]
    worst = max(quick, key=lambda one: one["p99"])
    return _rounded(worst)


def _rounded(latency: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in latency.items()}


def _control(stage: Stage) -> str:
    parts = urlsplit(stage.receiver_counts)
    return f"{parts.scheme}://{parts.netloc}"
