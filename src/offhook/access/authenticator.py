"""From the key in a request to who asks, with no SQL on most requests.

A key that was found is believed for a second. Revoking or changing one is broadcast, so it counts everywhere at once;
the second bounds it where a broadcast is lost.
"""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

from offhook.access import store
from offhook.access.token import hash_of
from offhook.db import Database, EngineTx, Wakeups
from offhook.http import Caller

BELIEVED_S = 1.0


class Authenticator:
    """Knows the keys that were used in the last second. One per process; called with the key as it was sent."""

    def __init__(
        self, database: Database, wakeups: Wakeups, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._monotonic = monotonic
        self._known: dict[bytes, tuple[Caller, float]] = {}
        self._changes = 0
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}
        wakeups.hear("key", lambda key: self._forget(UUID(key)))
        wakeups.on_reconnect(self._known.clear)

    async def __call__(self, shown: str) -> Caller | None:
        """Who sends this key; None when it is unknown or revoked. Raises Unavailable when the database is away."""
        claimed = hash_of(shown)
        if claimed is None:
            return None
        environment, hash = claimed
        known = self._known.get(hash)
        if known and self._monotonic() - known[1] < BELIEVED_S:
            who: Caller | None = known[0]
        else:
            who = await self._ask_once(hash)
        return who if who and who.tenant.environment == environment else None

    def changed(self, tx: EngineTx, key: UUID) -> None:
        """Have every process ask again about this key, once the transaction is committed."""
        tx.on_commit(lambda: self._announce(key))

    def _announce(self, key: UUID) -> None:
        self._forget(key)
        self._wakeups.send(f"key:{key}")

    def _forget(self, key: UUID) -> None:
        self._changes += 1
        for hash in [hash for hash, (who, _) in self._known.items() if who.key_id == key]:
            del self._known[hash]

    async def _ask_once(self, hash: bytes) -> Caller | None:
        """Requests that come with the same key at the same time share one question."""
        asking = self._asking.get(hash)
        if asking is None:
            asking = self._asking[hash] = asyncio.create_task(self._ask(hash))
            asking.add_done_callback(lambda _: self._asking.pop(hash, None))
        return await asyncio.shield(asking)

    async def _ask(self, hash: bytes) -> Caller | None:
        asked_at, changes = self._monotonic(), self._changes
        async with self._database.engine() as tx:
            found = await store.find_by_hash(tx, hash)
        if found is None or found[1].revoked_at is not None:
            self._known.pop(hash, None)
            return None
        tenant, row = found
        who = Caller(tenant, row.id, frozenset(row.scopes), row.rate_per_s, row.burst)
        if changes == self._changes:  # else it may have been this key that changed while we asked
            self._known[hash] = (who, asked_at)
        return who
