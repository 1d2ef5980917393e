"""From the key in a request to who asks, with no SQL on most requests.

A key that was found is believed for a second. Revoking or changing one is broadcast, so it counts everywhere at once;
the second bounds it where a broadcast is lost.

Anybody can make up keys, and the loops of this process share the connections by which keys are looked up. So a key that
never opened anything here waits for one of a few turns, and where many wait it is refused for the moment. A key that was
not found is not looked for again for a while: no new key is one that somebody sent before.
"""

import asyncio
import math
import time
from collections.abc import Callable
from uuid import UUID

from offhook.access import store
from offhook.access.token import hash_of
from offhook.db import Database, EngineTx, Wakeups
from offhook.errors import Unavailable
from offhook.http import Caller

BELIEVED_S = 1.0
UNKNOWN_S = 5.0
UNKNOWN_KEPT = 10_000
STRANGERS_AT_ONCE, STRANGERS_WAITING = 2, 64


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
        self._unknown: dict[bytes, float] = {}
        self._turns = asyncio.Semaphore(STRANGERS_AT_ONCE)
        self._strangers = 0
        wakeups.hear("key", lambda key: self._forget(UUID(key)))
        wakeups.on_reconnect(self._doubt)

    async def __call__(self, shown: str) -> Caller | None:
        """Who sends this key; None when it is unknown or revoked.

        Raises Unavailable when the database is away, or when too many wait who were never seen before.
        """
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

    def _doubt(self) -> None:
        """Ask about every key again. Those who bear one are no strangers for that."""
        self._changes += 1
        self._known = {hash: (who, -math.inf) for hash, (who, _) in self._known.items()}

    async def _ask_once(self, hash: bytes) -> Caller | None:
        """Requests that come with the same key at the same time share one question."""
        asking = self._asking.get(hash)
        if asking is None:
            if hash not in self._known and self._is_unknown(hash):
                return None
            asking = asyncio.create_task(self._ask(hash) if hash in self._known else self._ask_in_turn(hash))
            self._asking[hash] = asking
            asking.add_done_callback(lambda _: self._asking.pop(hash, None))
        return await asyncio.shield(asking)

    def _is_unknown(self, hash: bytes) -> bool:
        return self._monotonic() - self._unknown.get(hash, -math.inf) < UNKNOWN_S

    async def _ask_in_turn(self, hash: bytes) -> Caller | None:
        if self._strangers >= STRANGERS_AT_ONCE + STRANGERS_WAITING:
            raise Unavailable("keys_busy", "Too many keys are looked up at the moment; send the same request again.")
        self._strangers += 1
        try:
            async with self._turns:
                return await self._ask(hash)
        finally:
            self._strangers -= 1

    async def _ask(self, hash: bytes) -> Caller | None:
        asked_at, changes = self._monotonic(), self._changes
        async with self._database.engine() as tx:
            found = await store.find_by_hash(tx, hash)
        if found is None or found[1].revoked_at is not None:
            self._known.pop(hash, None)
            self._unknown.pop(hash, None)  # the oldest stand first
            self._unknown[hash] = asked_at
            if len(self._unknown) > UNKNOWN_KEPT:
                del self._unknown[next(iter(self._unknown))]
            return None
        tenant, row = found
        who = Caller(tenant, row.id, frozenset(row.scopes), row.rate_per_s, row.burst)
        if changes == self._changes:  # else it may have been this key that changed while we asked
            self._known[hash] = (who, asked_at)
        return who
