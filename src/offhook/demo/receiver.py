"""The receiver of the demo, as a process of its own: verifies, keeps each event once, and posts back.

    python -m offhook.demo.receiver --port 8600 --control-port 8601 --journal FILE

An event is answered once it is in the table. While it is down its port refuses; the control port stays:
`POST /begin {"secret", "url", "key"}`, `POST /down`, `POST /up`, `GET /counts`.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import uvloop
from standardwebhooks import Webhook, WebhookVerificationError

from offhook.demo.api import Api, ApiRefused
from offhook.demo.crm import Crm
from offhook.demo.listener import Exchange, Listener
from offhook.demo.store import Journal, Processed


class Receiver:
    """Takes webhooks in; whatever came in one turn of the loop shares one commit."""

    def __init__(self, journal: Journal) -> None:
        self.live_transfers = 0
        self.processed = 0
        self.duplicates = 0
        self.forged = 0
        self.reached: set[str | None] = set()
        self.replies: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._journal = journal
        self._crm = Crm()
        self._verifier: Webhook | None = None
        self._waiting: list[tuple[Exchange, Processed]] = []

    def trust(self, secret: str) -> None:
        """Believe what is signed with this secret."""
        self._verifier = Webhook(secret)

    def take(self, exchange: Exchange) -> None:
        """Verify, and keep with whatever else arrives at this moment. What is not signed is answered 401."""
        try:
            if self._verifier is None:
                raise WebhookVerificationError("no secret yet")
            self._verifier.verify(exchange.body, exchange.headers(), json_parse=False)
        except WebhookVerificationError:
            self.forged += 1
            exchange.answer(401)
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._keep)
        self._waiting.append((exchange, Processed.of(orjson.loads(exchange.body))))

    def _keep(self) -> None:
        waiting, self._waiting = self._waiting, []
        new = self._journal.process([event for _, event in waiting])
        self.processed += len(new)
        self.duplicates += len(waiting) - len(new)
        for exchange, _ in waiting:
            exchange.answer(204)
        for event in new:
            self._react(event)

    def _react(self, event: Processed) -> None:
        if event.type == "transfer.bridged":
            self.live_transfers += 1
        elif event.type == "transfer.ended":
            self.live_transfers -= 1
        elif event.type == "call.voice_detected":
            self.reached.add(event.lead)
        if (said := self._crm.hears(event)) is not None:
            self.replies.put_nowait(said)


class Desk:
    """Posts back what the CRM says, one at a time, in order."""

    def __init__(self, journal: Journal, replies: "asyncio.Queue[Mapping[str, Any]]") -> None:
        self._journal = journal
        self._replies = replies
        self.open = 0

    async def work(self, url: str, key: str) -> None:
        """Until cancelled."""
        async with Api(url, key) as api:
            while True:
                said = await self._replies.get()
                self.open = 1
                await self._send(api, dict(said))
                self.open = 0

    async def _send(self, api: Api, said: dict[str, Any]) -> None:
        try:
            status, answer = 200, await api.post("/v1/postbacks", said)
        except ApiRefused as refusal:
            status, answer = int(refusal.code.removeprefix("http_")), {"detail": refusal.detail}
        self._journal.keep_answer(said, said["client_ref_id"], status, answer)


class Control:
    """The door for whoever runs the demo."""

    def __init__(self, receiver: Receiver, desk: Desk, hooks: Listener) -> None:
        self._receiver = receiver
        self._desk = desk
        self._hooks = hooks
        self._working: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, exchange: Exchange) -> None:
        """Do what the path says."""
        act: Callable[[bytes], Awaitable[dict[str, Any]]] = {
            "/begin": self._begin, "/down": self._down, "/up": self._up, "/counts": self._counts
        }[exchange.path]  # fmt: skip
        task = asyncio.get_running_loop().create_task(self._answer(exchange, act))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, exchange: Exchange, act: Callable[[bytes], Awaitable[dict[str, Any]]]) -> None:
        exchange.answer(200, orjson.dumps(await act(exchange.body)))

    async def _begin(self, body: bytes) -> dict[str, Any]:
        asked = orjson.loads(body)
        self._receiver.trust(asked["secret"])
        self._working = asyncio.create_task(self._desk.work(asked["url"], asked["key"]))
        return {}

    async def _down(self, _: bytes) -> dict[str, Any]:
        await self._hooks.close()
        return {}

    async def _up(self, _: bytes) -> dict[str, Any]:
        await self._hooks.open()
        return {}

    async def _counts(self, _: bytes) -> dict[str, Any]:
        told = ("processed", "duplicates", "forged", "live_transfers")
        counts = {name: getattr(self._receiver, name) for name in told}
        reached = len(self._receiver.reached)
        return {**counts, "reached": reached, "replies_open": self._receiver.replies.qsize() + self._desk.open}


async def serve(port: int, control_port: int, path: Path) -> None:
    """Listen on both ports until the process that started this one is gone, or it is killed."""
    journal = Journal(path)
    receiver = Receiver(journal)
    hooks = Listener(port, receiver.take)
    control = Listener(control_port, Control(receiver, Desk(journal, receiver.replies), hooks).take)
    await hooks.open()
    await control.stay()


def main() -> None:
    parser = argparse.ArgumentParser(description="The receiver of the demo.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    chosen = parser.parse_args()
    uvloop.run(serve(chosen.port, chosen.control_port, chosen.journal))


if __name__ == "__main__":
    main()
