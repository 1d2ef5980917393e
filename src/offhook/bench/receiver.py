"""The receiver of a measurement. It verifies nothing, so that it costs next to nothing.

    python -m offhook.bench.receiver --port 8700 --control-port 8701

Its path says how it behaves: `/hang` never answers, `/drip` sends a byte of its answer a second, all others answer 204.
`GET /counts` on the control port: {"received": …}. `GET /latency`: for each path the milliseconds from an event's making
(the time in its id) to its first arrival since the latest `GET /forget`, as {"n", "p50", "p99", "max"}.
"""

import argparse
import asyncio
import time
from collections import defaultdict

import orjson
import uvloop

from offhook.demo import Exchange, Listener

_ID = b"webhook-id: evt_"
# The first ten characters of a TypeID are the 48 bits of its time.
_DIGITS = {character: n for n, character in enumerate(b"0123456789abcdefghjkmnpqrstvwxyz")}
_DRIP = b"HTTP/1.1 200 .\r\ncontent-length: 60\r\n\r\n"


class Counter:
    """Counts requests, and how long their events took to come."""

    def __init__(self) -> None:
        self._received = 0
        self._took_ms: defaultdict[str, list[float]] = defaultdict(list)
        self._forgotten_at = 0.0
        self._drips: set[asyncio.Task[None]] = set()

    def take(self, exchange: Exchange) -> None:
        """Count it, and answer as its path says."""
        self._received += 1
        path = exchange.path
        if path.startswith("/hang"):
            return
        if path.startswith("/drip"):
            task = asyncio.create_task(_drip(exchange))
            self._drips.add(task)
            task.add_done_callback(self._drips.discard)
            return
        now, made = time.time() * 1000, _made_ms(exchange.head)
        if made >= self._forgotten_at:
            self._took_ms[path].append(now - made)
        exchange.answer()

    def tell(self, exchange: Exchange) -> None:
        """Answer with what was counted."""
        match exchange.path:
            case "/latency":
                told = {path: _quantiles(sorted(took)) for path, took in self._took_ms.items()}
                exchange.answer(200, orjson.dumps(told))
            case "/forget":
                # What was made before now is of no interest either, whenever it comes.
                self._forgotten_at = time.time() * 1000
                self._took_ms.clear()
                exchange.answer()
            case _:
                exchange.answer(200, orjson.dumps({"received": self._received}))


async def _drip(exchange: Exchange) -> None:
    exchange.send(_DRIP)
    for _ in range(60):
        await asyncio.sleep(1)
        exchange.send(b".")


def _made_ms(head: bytes) -> float:
    at = head.find(_ID)
    if at < 0:
        return 0.0
    made = 0
    for character in head[at + len(_ID) : at + len(_ID) + 10]:
        made = made * 32 + _DIGITS[character]
    return float(made)


def _quantiles(took: list[float]) -> dict[str, float]:
    n = len(took)
    return {"n": n, "p50": took[n // 2], "p99": took[n * 99 // 100], "max": took[-1]}


async def serve(port: int, control_port: int) -> None:
    """Listen on both ports until the process that started this one is gone."""
    counter = Counter()
    await Listener(port, counter.take).open()
    await Listener(control_port, counter.tell).stay()


def main() -> None:
    parser = argparse.ArgumentParser(description="The receiver of a measurement.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    chosen = parser.parse_args()
    uvloop.run(serve(chosen.port, chosen.control_port))


if __name__ == "__main__":
    main()
