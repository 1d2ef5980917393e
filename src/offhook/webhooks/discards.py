"""What was given up, moved among the dead letters: in the background, for it is shown as discarded already."""

import asyncio

from offhook.db import Database, Tenant
from offhook.errors import Unavailable
from offhook.log import get
from offhook.webhooks import held_store

EVERY_S = 1.0


class Discards:
    """Moves what was given up. Any number of processes may: each passes over what another has in hand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            try:
                await self.clear(None)
            except Unavailable as failure:
                get("webhooks").warning("discards_put_off", why=failure.code)
            await asyncio.sleep(EVERY_S)

    async def clear(self, tenant: Tenant | None) -> None:
        """Move all that is given up, of one tenant when one is named, but for what some process is sending just now.

        Chunk by chunk, each a transaction of its own. Raises Unavailable.
        """
        async with self._database.engine_each() as tx:
            left = await held_store.given_up(tx, tenant)
        while left:
            async with self._database.engine_each() as tx:
                left = [one for one in left if await held_store.move(tx, one)]
