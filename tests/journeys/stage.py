"""Acme's sandbox as its owner uses it: leads in, time that passes, events out, all by the public API."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from offhook import access, ids
from offhook.db import Database, Tenant
from offhook.leads import LeadIn
from offhook.leads.ingest import Stored
from offhook.sandbox.clock import Reached
from offhook.wiring import House

WHOLE_RUN_S = 600.0
PATIENCE_S = 10.0
NOT_QUALIFIED = "+12125550193"
TRANSFERRED = "+12125550199"
NO_ANSWER = "+12125550190"
BUSY = "+12125550191"
ASKS_TO_STOP = "+12125550195"


class Stage:
    """A house, a tenant of it and its clock. `phones` are the numbers of the leads that were sent, by lead."""

    def __init__(self, house: House, tenant: Tenant, api: Any) -> None:
        self.house = house
        self.tenant = tenant
        self.api = api
        self.phones: dict[str, str] = {}
        self._read: dict[str, dict[str, Any]] = {}

    async def now(self) -> datetime:
        async with self.house.database.transaction(self.tenant) as tx:
            return tx.now

    async def at(self, instant: str) -> None:
        """It is that instant now; nothing in between happens."""
        async with self.house.database.transaction(self.tenant) as tx:
            await access.set_clock(tx, datetime.fromisoformat(instant) - tx.wall)

    async def until(self, instant: str | datetime) -> Reached:
        """Let everything happen until then."""
        to = instant if isinstance(instant, datetime) else datetime.fromisoformat(instant)
        return await self.house.clock.advance(self.tenant, to, budget_s=WHOLE_RUN_S)

    async def passes(self, **time: float) -> Reached:
        """Let everything happen while that much time passes."""
        return await self.until(await self.now() + timedelta(**time))

    async def settle(self) -> None:
        """Do what is due now."""
        await self.house.clock.settle(self.tenant)

    async def send(self, *leads: LeadIn) -> list[str]:
        """Take these leads in, in one batch; their ids."""
        async with self.house.database.transaction(self.tenant) as tx:
            made = await self.house.leads.ingest(tx, leads)
        shown = [one.body["id"] for one in made if isinstance(one, Stored)]
        self.phones |= {id: lead.contact.phone for id, lead in zip(shown, leads, strict=True)}
        return shown

    async def post(self, path: str, body: Any = None, status: int | None = None, **headers: str) -> Any:
        """The JSON of the answer, which must have that status (or any good one)."""
        reply = await self.api.post(path, body, **headers)
        assert reply.status == status if status else reply.status < 300, (reply.status, reply.content)
        return reply.json

    async def get(self, path: str) -> Any:
        reply = await self.api.get(path)
        assert reply.status == 200, (reply.status, reply.content)
        return reply.json

    async def patch(self, path: str, body: Any) -> Any:
        reply = await self.api.patch(path, body)
        assert reply.status == 200, (reply.status, reply.content)
        return reply.json

    async def lead(self, id: str) -> Any:
        return await self.get(f"/v1/leads/{id}")

    async def status(self, id: str) -> str:
        return str((await self.lead(id))["status"])

    async def attempts(self, id: str) -> list[dict[str, Any]]:
        """Every attempt of the lead, by number."""
        return list((await self.get(f"/v1/leads/{id}/explain"))["attempts"])

    async def blockers(self, id: str) -> dict[str, str | None]:
        """What stands in the way of the next dial, and until when."""
        told = (await self.get(f"/v1/leads/{id}/explain"))["blockers"]
        return {blocker["code"]: blocker["until"] for blocker in told}

    async def events(self, type: str = "*", of: str | None = None) -> list[dict[str, Any]]:
        """The log in its order, or the events of one subject; what was read before an erasure is remembered."""
        path, cursor, found = f"/v1/events?limit=1000&type={type}", "", list[dict[str, Any]]()
        path += f"&subject={of}" if of else ""
        while True:
            page = await self.get(path + cursor)
            found += [{**self._read.get(event["event_id"], {}), **event} for event in page["data"]]
            if not page["has_more"]:
                self._read |= {event["event_id"]: event for event in found}
                return found
            cursor = f"&after={page['next_cursor']}"

    async def count(self, type: str, of: str | None = None) -> int:
        return len(await self.events(type, of))

    async def calls(self, lead: str | None = None) -> list[dict[str, Any]]:
        """Calls, the first first."""
        found = (await self.get("/v1/calls?limit=1000" + (f"&lead_id={lead}" if lead else "")))["data"]
        return list(reversed(found))

    async def key(self) -> dict[str, str]:
        """The actor of what the owner changes through the API."""
        (found,) = [one for one in (await self.get("/v1/api-keys"))["data"] if one["name"] == "Owner"]
        return {"type": "api_key", "id": found["id"]}

    async def campaign(self, **changes: Any) -> str:
        """The default campaign with these changes; its id."""
        (found,) = (await self.get("/v1/campaigns"))["data"]
        if changes:
            await self.patch(f"/v1/campaigns/{found['id']}", changes)
        return str(found["id"])

    async def target(self, **changes: Any) -> str:
        """The target that the sandbox is born with, with these changes; its id."""
        found = (await self.get("/v1/targets"))["data"][0]
        if changes:
            await self.patch(f"/v1/targets/{found['id']}", changes)
        return str(found["id"])

    async def cadence(self, **plan: Any) -> None:
        """Another plan for the default campaign."""
        made = await self.post("/v1/cadences", {"name": "Another", **plan})
        await self.campaign(cadence_id=made["id"])

    async def default_campaign(self) -> UUID:
        return ids.read("cmp", await self.campaign())


async def side_by_side(*acts: Callable[[], Awaitable[Any]]) -> Sequence[Any]:
    """Do all of these at the same time; what each came to."""
    return await asyncio.gather(*(act() for act in acts))


async def until_waiting(database: Database) -> None:
    """Return once a transaction of this database waits for another; it never does where nobody takes turns."""
    # A wait for a row is a wait for a transaction, which pg_locks tells of no database.
    waits = (
        "select 1 from pg_locks join pg_stat_activity using (pid) where not granted and datname = current_database()"
    )
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with database.engine() as tx:
                if await tx.row(waits):
                    return


@pytest.fixture
async def stage(house: House, sandbox: Tenant, client_of: Any) -> Stage:
    """Acme's sandbox at ten on a Monday in New York, and its owner at the API, with a key that is never too fast."""
    async with house.database.transaction(sandbox) as tx:
        key = await access.issue_key(tx, "Owner", ["*"], rate_per_s=10_000, burst=10_000)
    return Stage(house, sandbox, client_of(house.app, key.shown))
