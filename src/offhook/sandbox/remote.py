"""The platform that pretends, as a process of its own in real time: for kill tests, and to show the callback door.

    python -m offhook.sandbox.remote --port 8500 --journal FILE [--speed 60] [--secret whsec_…]

It writes each placed call to its journal, to the disk, before it answers, so what it dialed can be counted after any
crash, ours or its own; started again, it goes on from the journal. `POST /behaviour` makes it ill-mannered:

    answer_late_s   answer `place` only after this time (the call rings meanwhile)
    call_back_first call back before `place` is answered
    send_twice      send every callback twice
    shuffle         send the callbacks of one call in the wrong order
"""

import argparse
import asyncio
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import orjson
from aiohttp import web
from standardwebhooks import Webhook

from offhook import log
from offhook.providers.contract import Kind
from offhook.sandbox import script

CALLBACK_TIMEOUT_S = 10
CALLBACK_PAUSES_S = (0.1, 0.5, 2.0, 5.0, 10.0, 30.0)
_OVER = {Kind.NO_ANSWER, Kind.BUSY, Kind.ERROR, Kind.ENDED}
_PROGRESS = _OVER | {Kind.RINGING, Kind.ANSWERED}


@dataclass(slots=True)
class Behaviour:
    """How badly it behaves."""

    answer_late_s: float = 0.0
    call_back_first: bool = False
    send_twice: bool = False
    shuffle: bool = False


@dataclass(slots=True)
class _Call:
    order: dict[str, Any]
    script: script.Script
    status: Kind = Kind.PLACED
    transfer: str | None = None
    said: int = 0
    future: asyncio.Task[None] | None = field(default=None, repr=False)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def id(self) -> UUID:
        return UUID(self.order["call_id"])

    @property
    def ref(self) -> str:
        return f"rem_{self.order['call_id']}"


class RemotePretender:
    """The calls of one such process."""

    def __init__(self, journal: Path, *, secret: str, speed: float) -> None:
        self.behaviour = Behaviour()
        self._journal = open(journal, "ab")  # open as long as the process
        self._path = journal
        self._signer = Webhook(secret)
        self._speed = speed
        self._calls: dict[str, _Call] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def app(self) -> web.Application:
        """The HTTP application."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/health", self._health),
                web.post("/calls", self._place),
                web.get("/calls/{id}", self._status),
                web.post("/calls/{id}/hang-up", self._hang_up),
                web.post("/calls/{id}/transfer", self._transfer),
                web.post("/calls/{id}/wrap-up", self._wrap_up),
                web.post("/behaviour", self._behave),
            ]
        )
        app.on_startup.append(self._start)
        app.on_cleanup.append(self._stop)
        return app

    async def settled(self) -> None:
        """Wait until no call has a future and no callback is under way."""
        while busy := [call.future for call in self._calls.values() if call.future and not call.future.done()] + [
            *self._sending
        ]:
            await asyncio.wait(busy)

    async def _start(self, _: web.Application) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALLBACK_TIMEOUT_S))
        for line in self._path.read_bytes().splitlines():
            order = orjson.loads(line)
            self._begin(order)

    async def _stop(self, _: web.Application) -> None:
        tasks = [call.future for call in self._calls.values() if call.future] + list(self._sending)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert self._session is not None
        await self._session.close()
        self._journal.close()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"calls": len(self._calls)})

    async def _place(self, request: web.Request) -> web.Response:
        order = await request.json()
        call = self._calls.get(order["call_id"])
        if call is None:
            self._write_down(order)
            call = self._begin(order)
        if self.behaviour.call_back_first:
            await asyncio.sleep(0.2)
        if self.behaviour.answer_late_s:
            await asyncio.sleep(self.behaviour.answer_late_s)
        return web.json_response({"platform_ref": call.ref}, status=201)

    async def _status(self, request: web.Request) -> web.Response:
        call = self._calls.get(request.match_info["id"])
        if call is None:
            return web.json_response({"code": "no_such_call"}, status=404)
        return web.json_response({"status": call.status, "platform_ref": call.ref})

    async def _hang_up(self, request: web.Request) -> web.Response:
        call = self._calls.get(request.match_info["id"])
        if call is None:
            return web.json_response({"code": "no_such_call"}, status=404)
        if call.status not in _OVER:
            self._play(call, script.hung_up_by_us(datetime.now(UTC)))
        return web.json_response({})

    async def _transfer(self, request: web.Request) -> web.Response:
        call = self._calls.get(request.match_info["id"])
        if call is None:
            return web.json_response({"code": "no_such_call"}, status=404)
        transfer_id = (await request.json())["transfer_id"]
        if call.transfer != transfer_id:
            if call.status is not Kind.ANSWERED or not call.script.handover:
                return web.json_response({"code": "not_transferable"}, status=409)
            call.transfer = transfer_id
            self._play(call, call.script.handover)
        return web.json_response({})

    async def _wrap_up(self, request: web.Request) -> web.Response:
        known = request.match_info["id"] in self._calls
        return web.json_response({} if known else {"code": "no_such_call"}, status=200 if known else 404)

    async def _behave(self, request: web.Request) -> web.Response:
        self.behaviour = Behaviour(**await request.json())
        return web.json_response({})

    def _write_down(self, order: Mapping[str, Any]) -> None:
        self._journal.write(orjson.dumps(order) + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def _begin(self, order: dict[str, Any]) -> _Call:
        outcome = script.outcome_of(order["to"], order["seed"], order.get("mix"))
        call = _Call(order, script.script(outcome, order["seed"], order["ring_timeout_s"]))
        self._calls[order["call_id"]] = call
        self._play(call, call.script.steps)
        return call

    def _play(self, call: _Call, steps: list[script.Step]) -> None:
        if call.future:
            call.future.cancel()
        call.future = asyncio.create_task(self._live(call, steps))

    async def _live(self, call: _Call, steps: list[script.Step]) -> None:
        begun = asyncio.get_running_loop().time()
        for step in steps:
            await asyncio.sleep(max(0.0, begun + step["after"] / self._speed - asyncio.get_running_loop().time()))
            if (kind := Kind(step["kind"])) in _PROGRESS:
                call.status = kind
            call.said += 1
            said = {
                **step,
                "call_id": call.order["call_id"],
                "platform_ref": call.ref,
                "key": f"{call.order['call_id']}:{call.said}",
                "at": datetime.now(UTC).isoformat(),
            }
            self._tell(call, said)

    def _tell(self, call: _Call, said: dict[str, Any]) -> None:
        for _ in range(2 if self.behaviour.send_twice else 1):
            task = asyncio.create_task(self._send(call, orjson.dumps({"reports": [said]}).decode()))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, call: _Call, body: str) -> None:
        if self.behaviour.shuffle:
            await asyncio.sleep(random.random() * 3 / self._speed)  # noqa: S311  # bad manners, not a secret
            sent = await self._try(call, body)
        else:
            async with call.turn:
                sent = await self._try(call, body)
        for pause_s in CALLBACK_PAUSES_S:
            if sent:
                return
            await asyncio.sleep(pause_s)
            sent = await self._try(call, body)

    async def _try(self, call: _Call, body: str) -> bool:
        assert self._session is not None
        message, now = f"cb_{uuid4().hex}", datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message, now, body),
        }
        try:
            async with self._session.post(call.order["callback_url"], data=body, headers=headers) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="The platform that pretends, as a process of its own.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--speed", type=float, default=1.0, help="How many of its seconds pass in one real second.")
    parser.add_argument("--secret", default=os.environ.get("OFFHOOK_REMOTE_SECRET"), help="Signs callbacks (whsec_…).")
    chosen = parser.parse_args()
    if not chosen.secret:
        parser.error("--secret (or OFFHOOK_REMOTE_SECRET) is needed: callbacks without a signature are not believed")
    log.configure("warning", "text")
    pretender = RemotePretender(chosen.journal, secret=chosen.secret, speed=chosen.speed)
    web.run_app(pretender.app(), host=chosen.host, port=chosen.port, print=None)


if __name__ == "__main__":
    main()
