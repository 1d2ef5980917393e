"""The load generator, as a process of its own: leads by the thousand, as fast as they are taken or at a fixed rate.

    echo '{"port": 8400, "key": "ofk_test_…", "run": "a", "batch": 1, "connections": 64, "rate": 0, "seconds": 5,
           "first": 0, "most": 30000}' | python -m offhook.bench.load

`batch` leads go into one request, `rate` is leads per second (0: as fast as they are taken), and the leads are those
from the `first` to the `most`-th. It answers with one JSON object. At a fixed rate the time of a request counts from
when it was due, not from when a connection was free.
"""

import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvloop

from offhook.bench import people
from offhook.bench.wire import Wire, post


@dataclass(slots=True)
class Tally:
    """What came of it."""

    leads: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    took_ms: list[float] = field(default_factory=list)

    def shown(self, elapsed_s: float) -> dict[str, Any]:
        ordered = sorted(self.took_ms) or [0.0]
        return {
            "leads": self.leads,
            "elapsed_s": elapsed_s,
            "ended_at": time.time(),
            "statuses": {str(status): n for status, n in self.statuses.items()},
            "response_ms": {
                "p50": ordered[len(ordered) // 2],
                "p99": ordered[len(ordered) * 99 // 100],
                "max": ordered[-1],
            },
        }


async def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Send what was asked for, and tell what came of it."""
    path = "/v1/leads" if asked["batch"] == 1 else "/v1/leads/batch"
    wrap = post(
        asked["port"], path, asked["key"], "application/json" if asked["batch"] == 1 else "application/x-ndjson"
    )
    # All of them are made before the first is due: made meanwhile, the first of them come late and in a heap.
    leads = itertools.islice(people.leads(asked["run"]), asked["first"], asked["most"])
    bodies = iter([*_bodies(leads, asked["batch"])])
    wires = [await Wire.to(asked["port"]) for _ in range(asked["connections"])]
    tally = Tally()
    begun = time.perf_counter()
    due = _due(asked, begun)
    senders = (_send(wire, bodies, due, wrap, tally, begun + asked["seconds"]) for wire in wires)
    await asyncio.gather(*senders)
    elapsed = time.perf_counter() - begun
    for wire in wires:
        wire.close()
    return tally.shown(elapsed)


def _bodies(leads: Iterator[bytes], batch: int) -> Iterator[tuple[int, bytes]]:
    while part := list(itertools.islice(leads, batch)):
        yield len(part), b"\n".join(part)


def _due(asked: dict[str, Any], begun: float) -> Iterator[float]:
    """When each request is due."""
    if not asked["rate"]:
        return itertools.repeat(0.0)
    gap = asked["batch"] / asked["rate"]
    return (begun + n * gap for n in itertools.count())


async def _send(
    wire: Wire, bodies: Iterator[tuple[int, bytes]], due: Iterator[float], wrap: Any, tally: Tally, until: float
) -> None:
    for count, body in bodies:
        at = next(due) or time.perf_counter()
        if (wait := at - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        if at >= until:
            return
        status = await wire.request(wrap(body))
        tally.took_ms.append((time.perf_counter() - at) * 1000)
        tally.statuses[status] += 1
        tally.leads += count if status < 300 else 0


def main() -> None:
    asked = orjson.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(orjson.dumps(uvloop.run(run(asked))))


if __name__ == "__main__":
    main()
