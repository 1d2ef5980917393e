"""What is measured: real server processes on a fresh data directory, as one process or as api and worker."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import psycopg

from offhook import ids
from offhook.bench.gauge import Gauge
from offhook.db.embedded import EmbeddedPostgres
from offhook.demo import Api, Part, free_port, module, offhook

Topology = Literal["up", "split"]
RATE = 100_000
QUIET = {"OFFHOOK_LOG_LEVEL": "warning"}
"""A line per request in the log costs as much as a good part of the request."""
MONDAY_NOON = "2026-11-23T17:00:00Z"
"""When it is a legal hour in every zone of the country: every lead is accepted and planned at once."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The processes of a measurement, ready."""

    topology: Topology
    port: int
    key: str
    endpoint: str
    api: Api
    database: psycopg.AsyncConnection
    gauge: Gauge
    metrics_url: str
    receiver_url: str
    receiver_counts: str
    births_url: str
    """Where events are born by the asking; empty where they are born of leads."""
    idle_rss_mb: float

    async def empty(self) -> None:
        """Forget all leads and events, so that every number is free again."""
        await self.api.post("/v1/sandbox/reset", {"now": MONDAY_NOON})

    async def another(self, url: str, events: Sequence[str], **settings: Any) -> UUID:
        """One more endpoint."""
        made = await self.api.post("/v1/webhook-endpoints", {"url": url, "events": list(events), **settings})
        return ids.read("whe", made["id"])

    async def hear(self, events: Sequence[str]) -> None:
        """Have the endpoint hear these events from now on."""
        await self.api.patch(f"/v1/webhook-endpoints/{self.endpoint}", {"events": list(events)})


@asynccontextmanager
async def built(topology: Topology, *, births: bool = False) -> AsyncIterator[Stage]:
    """The stage, on loopback only; everything that was started has ended afterwards.

    With `births`, events are born in a process of their own, which sends as well (`up`) or leaves it to a worker (`split`).
    """
    async with AsyncExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="offhook-bench-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        data = scratch / "data"
        if births:
            started = _births(scratch, data, sends=topology == "up")
        else:
            started = _up(scratch, data) if topology == "up" else _split(scratch, data)
        servers = await stack.enter_async_context(started)
        gauge = Gauge([part.pid for part in servers.parts], data)
        idle_rss_mb = gauge.rss_mb()
        receiver_url, counts_url = await stack.enter_async_context(_receiver(scratch))
        api = await stack.enter_async_context(Api(f"http://127.0.0.1:{servers.port}", _credentials(data)["test_key"]))
        endpoint = await api.post("/v1/webhook-endpoints", {"url": receiver_url, "events": ["*"], "activate": True})
        key = await _prepared(api)
        database = await psycopg.AsyncConnection.connect(
            EmbeddedPostgres(data).admin_url.replace("/postgres?", "/offhook?"), autocommit=True
        )
        stack.push_async_callback(database.close)
        stage = Stage(
            topology,
            servers.port,
            key,
            endpoint["id"],
            api,
            database,
            gauge,
            servers.metrics_url,
            receiver_url,
            counts_url,
            servers.births_url,
            idle_rss_mb,
        )
        await stage.empty()
        yield stage


@dataclass(frozen=True, slots=True)
class Servers:
    """Our processes that are measured, the port of the API, and where the process that sends tells its metrics."""

    parts: list[Part]
    port: int
    metrics_url: str
    births_url: str = ""


@asynccontextmanager
async def _up(scratch: Path, data: Path) -> AsyncIterator[Servers]:
    port = free_port()
    command = offhook("up", "--port", str(port), "--data-dir", str(data))
    hub = Part("offhook up", command, scratch / "up.log", QUIET)
    url = f"http://127.0.0.1:{port}"
    async with _running(hub, f"{url}/readyz"):
        yield Servers([hub], port, f"{url}/metrics")


@asynccontextmanager
async def _split(scratch: Path, data: Path) -> AsyncIterator[Servers]:
    async with _database(scratch, data) as environment, AsyncExitStack() as stack:
        port, watched = free_port(), free_port()
        api = Part("offhook api", offhook("api", "--port", str(port)), scratch / "api.log", environment)
        await stack.enter_async_context(_running(api, f"http://127.0.0.1:{port}/readyz"))
        worker = await stack.enter_async_context(_worker(scratch, environment, watched))
        yield Servers([api, worker], port, f"http://127.0.0.1:{watched}/metrics")


@asynccontextmanager
async def _births(scratch: Path, data: Path, *, sends: bool) -> AsyncIterator[Servers]:
    async with _database(scratch, data) as environment, AsyncExitStack() as stack:
        port, asked, watched = free_port(), free_port(), free_port()
        api = Part("offhook api", offhook("api", "--port", str(port)), scratch / "api.log", environment)
        await stack.enter_async_context(_running(api, f"http://127.0.0.1:{port}/readyz"))
        command = module(
            "offhook.bench.births", "--port", str(asked), "--workspace", _credentials(data)["workspace_id"]
        )
        births = Part("births", [*command, *(["--sends"] if sends else [])], scratch / "births.log", environment)
        url = f"http://127.0.0.1:{asked}"
        await stack.enter_async_context(_running(births, url))
        parts = [births]
        if not sends:
            parts.append(await stack.enter_async_context(_worker(scratch, environment, watched)))
        yield Servers(parts, port, f"{url}/metrics" if sends else f"http://127.0.0.1:{watched}/metrics", f"{url}/born")


@asynccontextmanager
async def _database(scratch: Path, data: Path) -> AsyncIterator[dict[str, str]]:
    """A database with its workspace, running; what a process needs to work on it."""
    # `up` makes the database, the key ring and the workspace; then others take over.
    async with _up(scratch, data):
        pass
    postgres = EmbeddedPostgres(data)
    await postgres.start()
    try:
        yield {**QUIET, "OFFHOOK_DATABASE_URL": postgres.url, "OFFHOOK_DATA_DIR": str(data)}
    finally:
        await postgres.stop()


@asynccontextmanager
async def _worker(scratch: Path, environment: dict[str, str], watched: int) -> AsyncIterator[Part]:
    command = offhook("worker", "--metrics-port", str(watched))
    worker = Part("offhook worker", command, scratch / "worker.log", environment)
    async with _running(worker, f"http://127.0.0.1:{watched}/readyz"):
        yield worker


@asynccontextmanager
async def _running(part: Part, ready_url: str) -> AsyncIterator[Part]:
    try:
        await part.start(ready_url)
        yield part
    finally:
        await part.stop()


@asynccontextmanager
async def _receiver(scratch: Path) -> AsyncIterator[tuple[str, str]]:
    port, control = free_port(), free_port()
    where = ("--port", str(port), "--control-port", str(control))
    receiver = Part("the receiver", module("offhook.bench.receiver", *where), scratch / "receiver.log")
    try:
        await receiver.start(f"http://127.0.0.1:{control}/counts")
        yield f"http://127.0.0.1:{port}/hooks", f"http://127.0.0.1:{control}/counts"
    finally:
        await receiver.stop()


async def _prepared(api: Api) -> str:
    """A campaign that dials nobody; a key that may ask as often as it likes."""
    async for page in api.pages("/v1/campaigns"):
        for campaign in page:
            await api.patch(f"/v1/campaigns/{campaign['id']}", {"max_concurrent_calls": 0})
    wanted: dict[str, Any] = {"name": "bench", "scopes": ["*"], "rate_per_s": RATE, "burst": RATE}
    return str((await api.post("/v1/api-keys", wanted))["key"])


def _credentials(data: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((data / "credentials.json").read_text())
    return found
