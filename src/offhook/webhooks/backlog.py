"""How far behind the sending is, sampled for Prometheus.

Every process that runs it tells the same of the whole installation: take the `max` over them, never the sum. A sample is
one statement that reads one row of each endpoint with something open.
"""

import asyncio

from offhook.db import Database
from offhook.errors import Unavailable
from offhook.log import get
from offhook.webhooks import backlog_store, counts

SAMPLED_EVERY_S = 15.0


class Backlog:
    """Samples the backlog of the installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        """Sample now and every 15 seconds, until cancelled."""
        while True:
            try:
                await self.sample()
            except Unavailable as failure:
                get("webhooks").warning("sample_put_off", why=failure.code)
            await asyncio.sleep(SAMPLED_EVERY_S)

    async def sample(self) -> None:
        """Look once. Raises Unavailable, and then tells that it does not know."""
        counts.oldest_due_s.set(float("nan"))
        async with self._database.engine_each() as tx:
            behind = await backlog_store.behind(tx)
        counts.oldest_due_s.set(behind.oldest.total_seconds())
        counts.endpoints_behind.set(behind.endpoints)
