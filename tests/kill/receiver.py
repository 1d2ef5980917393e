"""The receiver: writes each telling of an event to the disk, then answers. Its paths are endpoints: `/hooks/{name}`.

    python -m tests.kill.receiver --port 8600 --control-port 8601 --journal FILE

On the control port, `POST /trust {"endpoint", "secret", "fails_every"}` says whose signature to believe there, and at
which requests to say 500 (0: at none). `POST /hold` makes it take requests and answer none, until `POST /release`; it
is answered once there is one.
`GET /counts` tells how much came in.
"""

import argparse
import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import uvloop
from standardwebhooks import Webhook, WebhookVerificationError

from offhook.demo import Exchange, Listener

from .hooks import WHOLE
from .journal import Journal


@dataclass(slots=True)
class _Endpoint:
    verifier: Webhook
    fails_every: int
    asked: int = 0

    def status(self) -> int:
        """What to answer this time."""
        self.asked += 1
        return 500 if self.fails_every and self.asked % self.fails_every == 0 else 204


class Receiver:
    """What arrives in one turn of the loop shares one flush."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._endpoints: dict[str, _Endpoint] = {}
        self._waiting: list[tuple[Exchange, int, list[dict[str, object]]]] = []
        self._held: list[Exchange] | None = None
        self._holder: Exchange | None = None
        self._counts = {"told": 0, "requests": 0, "forged": 0}

    def take(self, exchange: Exchange) -> None:
        """Verify and write down; not ready, or not signed, is not taken."""
        name = exchange.path.rpartition("/")[2]
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            exchange.answer(503)
            return
        try:
            endpoint.verifier.verify(exchange.body, exchange.headers(), json_parse=False)
        except WebhookVerificationError:
            self._counts["forged"] += 1
            exchange.answer(401)
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write)
        status = endpoint.status() if self._held is None else 204
        self._waiting.append((exchange, status, list(_lines(exchange, name, status))))

    def control(self, exchange: Exchange) -> None:
        """Do as told, and tell the counts."""
        match exchange.path:
            case "/trust":
                told = orjson.loads(exchange.body)
                self._endpoints[told["endpoint"]] = _Endpoint(Webhook(told["secret"]), told["fails_every"])
            case "/hold":
                self._held, self._holder = [], exchange
                return
            case "/release":
                held, self._held = self._held or [], None
                for one in held:
                    one.answer(204)
        self._tell(exchange)

    def _tell(self, exchange: Exchange) -> None:
        exchange.answer(200, orjson.dumps(self._counts))

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._journal.write(line for _, _, lines in waiting for line in lines)
        self._counts["requests"] += len(waiting)
        self._counts["told"] += sum(line["endpoint"] == WHOLE for _, _, lines in waiting for line in lines)
        for exchange, status, _ in waiting:
            if self._held is None:
                exchange.answer(status)
            else:
                self._held.append(exchange)
        if self._held and self._holder:
            self._tell(self._holder)
            self._holder = None


def _lines(exchange: Exchange, endpoint: str, status: int) -> Iterator[dict[str, object]]:
    headers, body = exchange.headers(), orjson.loads(exchange.body)
    for event in body["events"] if body.get("object") == "batch" else [body]:
        yield {
            "endpoint": endpoint,
            "id": event["event_id"],
            "message": headers["webhook-id"],
            "bytes": hashlib.sha256(exchange.body).hexdigest()[:16],
            "taken": status < 300,
            "out_of_order": "offhook-out-of-order" in headers,
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
