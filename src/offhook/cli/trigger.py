"""`offhook trigger`: have a running Offhook tell an event that never happened, to everybody who listens."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from offhook.cli.screen import columns, machine_line, say
from offhook.cli.server import Server, Way, connected


def trigger(way: Way, type: str, count: int, *, as_json: bool) -> None:
    """Make that many events of the type, one after the other, and tell each. Raises Unavailable, Invalid or Refused."""

    async def make(server: Server) -> None:
        for _ in range(count):
            made = await server.post("/v1/sandbox/events", {"type": type})
            event = made["event"]
            if as_json:
                machine_line(event)
            else:
                say("  ".join((event["event_id"], event["type"], event["subject"]["id"])))

    _ask(way, make)


def list_types(way: Way, *, as_json: bool) -> None:
    """Tell every event type, a line each."""

    async def tell(server: Server) -> None:
        found: list[dict[str, Any]] = (await server.get("/v1/event-types"))["data"]
        width = max(len(one["type"]) for one in found)
        for one in found:
            if as_json:
                machine_line(one)
            else:
                columns((one["type"].ljust(width), "bold"), (one["description"].partition(". ")[0].rstrip("."), ""))

    _ask(way, tell)


def _ask(way: Way, ask: Callable[[Server], Awaitable[None]]) -> None:
    async def asking() -> None:
        async with connected(way) as server:
            await ask(server)

    asyncio.run(asking())
