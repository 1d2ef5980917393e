"""The rate bucket of a key, as the gate of the API leases from it."""

from collections.abc import Awaitable, Callable

from offhook.access import store
from offhook.db import Database
from offhook.http import Caller
from offhook.http.limits import Lease


def leases_of(database: Database) -> Callable[[Caller, int], Awaitable[Lease]]:
    """What `Limits` asks: up to so many whole tokens of the caller's bucket. It raises Unavailable."""

    async def lease(who: Caller, most: int) -> Lease:
        async with database.transaction(who.tenant) as tx:
            granted, left = await store.lease_tokens(tx, who.key_id, who.rate_per_s, who.burst, most)
        return Lease(granted, left)

    return lease
