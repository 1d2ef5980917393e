"""The receiver: writes each telling of an event to the disk, then answers 204.

    python -m tests.kill.receiver --port 8600 --control-port 8601 --journal FILE

`POST /trust {"secret"}` on the control port says whose signature to believe; `GET /counts` tells how much came in.
"""

import argparse
import asyncio
from pathlib import Path

import orjson
import uvloop
from standardwebhooks import Webhook, WebhookVerificationError

from offhook.demo import Exchange, Listener

from .journal import Journal


class Receiver:
    """What arrives in one turn of the loop shares one flush."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._verifier: Webhook | None = None
        self._waiting: list[tuple[Exchange, dict[str, object]]] = []
        self._told = 0
        self._forged = 0

    def take(self, exchange: Exchange) -> None:
        """Verify and write down; not ready, or not signed, is not taken."""
        if self._verifier is None:
            exchange.answer(503)
            return
        try:
            self._verifier.verify(exchange.body, exchange.headers(), json_parse=False)
        except WebhookVerificationError:
            self._forged += 1
            exchange.answer(401)
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write)
        self._waiting.append((exchange, _line(exchange)))

    def control(self, exchange: Exchange) -> None:
        """Learn the secret, or tell the counts."""
        if exchange.path == "/trust":
            self._verifier = Webhook(orjson.loads(exchange.body)["secret"])
        exchange.answer(200, orjson.dumps({"told": self._told, "forged": self._forged}))

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._journal.write(line for _, line in waiting)
        self._told += len(waiting)
        for exchange, _ in waiting:
            exchange.answer(204)


def _line(exchange: Exchange) -> dict[str, object]:
    event = orjson.loads(exchange.body)
    return {
        "id": exchange.headers()["webhook-id"],
        "type": event["type"],
        "subject": event["subject"]["id"],
        "sequence": event["sequence"],
        "ref": (event["lead"] or {}).get("client_ref_id"),
    }


async def serve(port: int, control_port: int, journal: Path) -> None:
    """Until stopped, or the process that started this one is gone."""
    receiver = Receiver(Journal(journal))
    await Listener(port, receiver.take).open()
    await Listener(control_port, receiver.control).stay()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    chosen = parser.parse_args()
    uvloop.run(serve(chosen.port, chosen.control_port, chosen.journal))
