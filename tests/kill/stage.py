"""The stage of a kill test: the house in parts that may die, and the three outsiders that may not."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import orjson

from offhook.db.embedded import EmbeddedPostgres
from offhook.demo import Api, Part, free_port, module, offhook

# It is a legal hour everywhere from New York to Honolulu, so calls are out while things are killed.
NOW = "2026-11-23T19:00:00Z"
SLOTS = 100
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
        self.api: Part
        self.worker: Part
        self.client: Part

    @property
    def key(self) -> str:
        return str(orjson.loads((self._data / "credentials.json").read_bytes())["test_key"])

    def journal(self, name: str) -> Path:
        return self.scratch / f"{name}.journal"

    @asynccontextmanager
    async def running(self, pace: float) -> AsyncIterator[None]:
        """Everything started and set up; everything ended afterwards, by the ids that it was started with."""
        async with AsyncExitStack() as stack:
            await self._make_installation()
            await self._postgres.start()
            stack.push_async_callback(self._postgres.stop)
            environment = {
                "OFFHOOK_DATABASE_URL": self._postgres.url,
                "OFFHOOK_DATA_DIR": str(self._data),
                "OFFHOOK_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            }
            self.api = self._part("api", offhook("api", "--port", str(self.port)), environment)
            self.worker = self._part("worker", offhook("worker", "--metrics-port", str(self._watched)), environment)
            stack.push_async_callback(self.api.stop)
            stack.push_async_callback(self.worker.stop)
            await self.start_api()
            await self.start_worker()
            await self._start_outsiders(stack)
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
        """How many tellings the receiver has had."""
        url = f"http://127.0.0.1:{self._control_port}/counts"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return int(orjson.loads(await answer.read())["told"])

    async def _make_installation(self) -> None:
        port = free_port()
        hub = self._part("up", offhook("up", "--port", str(port), "--data-dir", str(self._data)))
        try:
            await hub.start(f"http://127.0.0.1:{port}/readyz")
        finally:
            await hub.stop()

    async def _start_outsiders(self, stack: AsyncExitStack) -> None:
        where = ("--port", str(self._hook_port), "--control-port", str(self._control_port))
        receiver = module("tests.kill.receiver", *where, "--journal", str(self.journal("receiver")))
        platform = module(
            "offhook.sandbox.remote", "--port", str(self._platform_port), "--journal", str(self.journal("platform")),
            "--speed", str(PLATFORM_SPEED), "--secret", PLATFORM_SECRET,
        )  # fmt: skip
        for name, command, ready in (
            ("receiver", receiver, f"http://127.0.0.1:{self._control_port}/counts"),
            ("platform", platform, f"http://127.0.0.1:{self._platform_port}/health"),
        ):
            part = self._part(name, command)
            stack.push_async_callback(part.stop)
            await part.start(ready)

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
            hook = {"url": f"http://127.0.0.1:{self._hook_port}/hooks", "events": ["*"], "activate": True}
            endpoint = await api.post("/v1/webhook-endpoints", hook)
        trust = f"http://127.0.0.1:{self._control_port}/trust"
        async with aiohttp.ClientSession() as session:
            await session.post(trust, data=orjson.dumps({"secret": endpoint["secret"]}))

    def _part(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Part:
        root = Path(__file__).parents[2]
        return Part(name, command, self.scratch / f"{name}.log", {"PYTHONPATH": str(root), **(environment or {})})
