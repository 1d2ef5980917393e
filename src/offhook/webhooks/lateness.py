"""Endpoints that lag: what was due long ago is not sent. Looked for by one process at a time, once in half a minute."""

import asyncio
from collections import defaultdict
from datetime import timedelta
from uuid import UUID

from offhook.db import Database, Tenant
from offhook.errors import Unavailable
from offhook.events import Log
from offhook.log import get
from offhook.webhooks import incident_store, incidents
from offhook.webhooks.incident_store import Late, Seen

EVERY_S = 30.0
LATE = timedelta(minutes=5)


class Lateness:
    """Finds endpoints that lag, and those that no longer do."""

    def __init__(self, database: Database, log: Log) -> None:
        self._database = database
        self._log = log

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.once()
            except Unavailable as failure:
                get("webhooks").warning("lateness_put_off", why=failure.code)
            await asyncio.sleep(EVERY_S)

    async def once(self) -> None:
        """Look now. Idempotent; while another process looks, nothing is done."""
        async with self._database.engine() as tx:
            found = await incident_store.late(tx, LATE)
        tenants: dict[Tenant, list[Late]] = defaultdict(list)
        for late in found or ():
            tenants[late.tenant].append(late)
        for tenant, theirs in tenants.items():
            await self._tell(tenant, theirs)

    async def _tell(self, tenant: Tenant, found: list[Late]) -> None:
        seen = [Seen(one.endpoint, "lagging", 1, _how_late(one)) for one in found if one.by]
        over: list[UUID] = [one.endpoint for one in found if not one.by]
        async with self._database.transaction(tenant) as tx:
            if over:
                await incidents.end(tx, over, ("lagging",))
            await self._log.append(tx, await incidents.begin(tx, seen))


def _how_late(late: Late) -> str:
    return f"late_by_{int(late.by.total_seconds())}_s"
