"""The receiver of a measurement: answers 204 and counts. It verifies nothing, so that it costs next to nothing.

    python -m offhook.bench.receiver --port 8700 --control-port 8701

`GET /counts` on the control port: {"received": …}.
"""

import argparse

import orjson
import uvloop

from offhook.demo import Exchange, Listener


class Counter:
    """Counts requests."""

    def __init__(self) -> None:
        self._received = 0

    def take(self, exchange: Exchange) -> None:
        """Count it."""
        self._received += 1
        exchange.answer()

    def tell(self, exchange: Exchange) -> None:
        """Answer with the counts."""
        exchange.answer(200, orjson.dumps({"received": self._received}))


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
