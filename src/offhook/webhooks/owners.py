"""Who sends to an endpoint that bounds or orders what it gets: one process, by a lease, as evenly as the processes count.

A process that dies loses what it owns within LEASE_S; one that stops gives it away at once. Whoever owns too many sends no
more to some, and lets them go once they have been quiet, so that a process that comes gets its share and the bounds hold
all the while.
"""

import time
from collections.abc import Callable, Collection
from uuid import UUID

from offhook import ids
from offhook.db import Database, Tenant
from offhook.webhooks import counts, owner_store

LEASE_S = 12.0
RENEW_S = 3.0
_MARGIN_S = 3.0
"""By this clock a lease ends so much earlier than by the database's, lest two send at once."""


class Owners:
    """What this process owns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._id = ids.new()
        self._until: dict[UUID, float] = {}
        self._look_at = 0.0

    def owns(self, endpoint: UUID) -> bool:
        """Whether this process may send to it now."""
        return self._until.get(endpoint, 0.0) > time.monotonic()

    @property
    def owned(self) -> Collection[UUID]:
        """What it may send to, or might a moment ago."""
        return self._until.keys()

    @property
    def is_due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() >= self._look_at

    def look_soon(self) -> None:
        """An endpoint has come or changed: look now."""
        self._look_at = 0.0

    async def look(self, is_quiet: Callable[[UUID], bool]) -> Collection[UUID]:
        """Renew what is ours, take what nobody owns, let go what is more than our share; what is not to be sent to any more.

        `is_quiet`: nothing is under way to it, nor so recently ended that it still counts.
        """
        asked_at = time.monotonic()
        self._look_at = asked_at + RENEW_S
        async with self._database.engine() as tx:
            standing = await owner_store.renew(tx, self._id, LEASE_S)
        mine, leaving = standing.mine[: standing.share], standing.mine[standing.share :]
        lost = self._now_own(mine, asked_at)
        # Only now, when nothing is sent to them any more.
        if gone := [endpoint for endpoint in leaving if is_quiet(endpoint)]:
            async with self._database.engine() as tx:
                await owner_store.let_go(tx, self._id, gone)
        return lost

    async def take(self, tenant: Tenant) -> None:
        """Own every endpoint of this tenant that no living process owns: whoever steps its clock waits for nobody."""
        asked_at = time.monotonic()
        async with self._database.engine() as tx:
            mine = await owner_store.take(tx, self._id, tenant, LEASE_S)
        for endpoint in mine:
            self._until[endpoint] = asked_at + LEASE_S - _MARGIN_S

    async def leave(self) -> None:
        """Give everything away: this process stops."""
        self._until.clear()
        async with self._database.engine() as tx:
            await owner_store.leave(tx, self._id)

    def _now_own(self, mine: Collection[UUID], asked_at: float) -> set[UUID]:
        before = set(self._until)
        self._until = dict.fromkeys(mine, asked_at + LEASE_S - _MARGIN_S)
        counts.owned.set(len(self._until))
        return before - set(mine)
