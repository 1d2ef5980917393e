"""The stage of a kill test: the house in parts that may die, and the three outsiders that may not."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from offhook.db.embedded import EmbeddedPostgres
from offhook.db.migrating import migrate
from offhook.demo import Api, Part, free_port, module, offhook
from offhook.settings import load
from offhook.wiring import House

from .hooks import HOOKS, Made, heard, make

# It is a legal hour everywhere from New York to Honolulu, so calls are out while things are killed.
NOW = "2026-11-23T19:00:00Z"
SLOTS = 100
HELD_WITHIN_S = 30
PLATFORM_SPEED = 60
PLATFORM_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Stage:
    """Everything that runs, on loopback, in one scratch directory."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._data = scratch / "data"
        self.port, self._watched, self._platform_port = free_port(), free_port(), free_port()
        self._hook_port, self._control_port = free_port(), free_port()
        self._postgres = EmbeddedPostgres(self._data)
        self.key = ""
        self.api: Part
        self.worker: Part
        self.client: Part
        self._hooks: list[Made] = []
        self._before: frozenset[str] = frozenset()

    def journal(self, name: str) -> Path:
        return self.scratch / f"{name}.journal"

    @asynccontextmanager
    async def running(self, pace: float) -> AsyncIterator[None]:
        """Everything started and set up; everything ended afterwards, by the ids that it was started with."""
        async with AsyncExitStack() as stack:
            await self._postgres.start()
            stack.push_async_callback(self._postgres.stop)
            await self._make_installation()
            environment = {
                "OFFHOOK_DATABASE_URL": self._postgres.url,
                "OFFHOOK_DATA_DIR": str(self._data),
                "OFFHOOK_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            }
            self.api = self._part("api", offhook("api", "--port", str(self.port)), environment)
            self.worker = self._part("worker", offhook("worker", "--metrics-port", str(self._watched)), environment)
            stack.push_async_callback(self.api.stop)
            stack.push_async_callback(self.worker.stop)
            outsiders = self._outsiders(stack)
            await asyncio.gather(self.start_api(), self.start_worker(), *outsiders)
            await self._set_up()
            client = ("--port", str(self.port), "--key", self.key, "--journal", str(self.journal("client")))
            self.client = self._part("client", module("tests.kill.client", *client, "--pace", str(pace)))
            stack.push_async_callback(self.client.stop)
            await self.client.start()
            yield

    async def start_api(self) -> None:
        await self.api.start(f"http://127.0.0.1:{self.port}/readyz")

    async def start_worker(self) -> None:
        await self.worker.start(f"http://127.0.0.1:{self._watched}/readyz")

    async def kill_postgres(self) -> None:
        """SIGKILL to the postmaster; its backends find that out and end."""
        pid_file = self._data / "postgres" / "postmaster.pid"
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)

    async def start_postgres(self) -> None:
        """Start it again on what the crash left; recovery and all."""
        await self._postgres.stop()
        await self._postgres.start()

    async def told(self) -> int:
        """How many tellings the receiver has had, at the endpoint that hears everything."""
        return (await self._receiver("counts"))["told"]

    async def requests(self) -> int:
        """How many requests the receiver has had."""
        return (await self._receiver("counts"))["requests"]

    async def hold(self) -> None:
        """Have the receiver write down what comes and answer nothing; return when such a request is there."""
        async with asyncio.timeout(HELD_WITHIN_S):
            await self._receiver("hold", {})

    async def release(self) -> None:
        """Have it answer again, also what it held."""
        await self._receiver("release", {})

    async def mend(self) -> None:
        """From now on the receiver fails at nothing; what died because it did is replayed."""
        async with Api(f"http://127.0.0.1:{self.port}", self.key) as api:
            for made in self._hooks:
                await self._trust(made, 0)
                if made.hook.fails_every:
                    await api.post("/v1/replays", {"filter": {"endpoint": made.id}})

    async def log(self) -> list[dict[str, Any]]:
        """What each endpoint should have been told since everything was set up, as the API says."""
        async with Api(f"http://127.0.0.1:{self.port}", self.key) as api:
            found = [line for made in self._hooks for line in await heard(api, made)]
        return [line for line in found if line["id"] not in self._before]

    async def _receiver(self, word: str, body: object = None) -> dict[str, int]:
        url = f"http://127.0.0.1:{self._control_port}/{word}"
        async with aiohttp.ClientSession() as session, session.post(url, data=orjson.dumps(body)) as answer:
            counts: dict[str, int] = orjson.loads(await answer.read())
            return counts

    async def _trust(self, made: Made, fails_every: int) -> None:
        told = {"endpoint": made.hook.name, "secret": made.secret, "fails_every": fails_every}
        await self._receiver("trust", told)

    async def _make_installation(self) -> None:
        await asyncio.to_thread(migrate, self._postgres.url)
        house = House.build(
            load({"data_dir": self._data}, environ={}), self._postgres.url, engine=False, create_ring=True
        )
        await house.database.open()
        try:
            self.key = (await house.new_workspace("Kill")).test_key
        finally:
            await house.stop()

    def _outsiders(self, stack: AsyncExitStack) -> list[Coroutine[Any, Any, None]]:
        """Their starts, to be awaited."""
        where = ("--port", str(self._hook_port), "--control-port", str(self._control_port))
        receiver = module("tests.kill.receiver", *where, "--journal", str(self.journal("receiver")))
        platform = module(
            "offhook.sandbox.remote", "--port", str(self._platform_port), "--journal", str(self.journal("platform")),
            "--speed", str(PLATFORM_SPEED), "--secret", PLATFORM_SECRET,
        )  # fmt: skip
        starts = []
        for name, command, ready in (
            ("receiver", receiver, f"http://127.0.0.1:{self._control_port}/counts"),
            ("platform", platform, f"http://127.0.0.1:{self._platform_port}/health"),
        ):
            part = self._part(name, command)
            stack.push_async_callback(part.stop)
            starts.append(part.start(ready))
        return starts

    async def _set_up(self) -> None:
        async with Api(f"http://127.0.0.1:{self.port}", self.key) as api:
            await api.post("/v1/sandbox/reset", {"now": NOW})
            url = f"http://127.0.0.1:{self._platform_port}"
            wanted = {"provider": "sandbox", "name": "Remote", "settings": {"url": url}}
            account = await api.post(
                "/v1/provider-accounts", {**wanted, "secret": {"callback_secret": PLATFORM_SECRET}}
            )
            changes = {"provider_account_id": account["id"], "max_live_transfers": SLOTS, "max_concurrent_calls": SLOTS}
            async for page in api.pages("/v1/campaigns"):
                for campaign in page:
                    await api.patch(f"/v1/campaigns/{campaign['id']}", changes)
            async for page in api.pages("/v1/targets"):
                for target in page:
                    await api.patch(f"/v1/targets/{target['id']}", {"slots": SLOTS})
            for hook in HOOKS:
                made = await make(api, hook, f"http://127.0.0.1:{self._hook_port}/hooks")
                await self._trust(made, hook.fails_every)
                self._hooks.append(made)
            self._before = frozenset([line["id"] for made in self._hooks for line in await heard(api, made)])

    def _part(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Part:
        # Of this very checkout, whatever else is installed: a house of another age than the tests proves nothing.
        root = Path(__file__).parents[2]
        path = os.pathsep.join((str(root), str(root / "src")))
        return Part(name, command, self.scratch / f"{name}.log", {"PYTHONPATH": path, **(environment or {})})
