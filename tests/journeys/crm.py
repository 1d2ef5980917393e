"""A CRM at the other end: it verifies every webhook with the public library, and knows each event once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook
from tests.journeys.stage import Stage


class Crm:
    """What it was told, by event; while it is `down` it answers 503. `requests` counts what reached it."""

    def __init__(self) -> None:
        self.down = False
        self.requests = 0
        self.told: dict[str, dict[str, Any]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.secret = ""

    async def take(self, request: web.Request) -> web.Response:
        self.requests += 1
        if self.down:
            return web.Response(status=503)
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        Webhook(self.secret).verify(body, headers)
        self.told[headers["webhook-id"]] = orjson.loads(body)
        self.headers[headers["webhook-id"]] = headers
        return web.Response(status=204)

    def types(self, subject: str) -> list[str]:
        """What it knows of one subject, by sequence."""
        mine = [event for event in self.told.values() if event["subject"]["id"] == subject]
        return [event["type"] for event in sorted(mine, key=lambda event: event["sequence"])]

    def tombstones(self) -> set[str]:
        return {id for id, headers in self.headers.items() if headers.get("offhook-tombstone") == "1"}


@asynccontextmanager
async def listening(stage: Stage, *events: str) -> AsyncIterator[Crm]:
    """A CRM on loopback that an endpoint of the stage tells of these events."""
    crm = Crm()
    app = web.Application()
    app.add_routes([web.post("/hook", crm.take)])
    async with TestServer(app) as server:
        asked = {"url": str(server.make_url("/hook")), "events": list(events) or ["*"]}
        crm.secret = (await stage.post("/v1/webhook-endpoints", asked, 201))["secret"]
        yield crm
