"""`GET /v1/events/stream`: the log as it grows, over server-sent events.

Each message's id is its cursor, so a client that comes back with Last-Event-ID goes on exactly behind what it has seen.
The first message is an id alone, where the stream begins: one that is cut off before its first event misses none either.
Another follows wherever events were passed over that were not wanted, so that nobody who comes back reads those again.
A stream looks when its tenant's log grows, 20 times a second at most, and once a second anyway. It ends when its key is
changed or revoked, when wake-ups may have been missed, or when the process stops; the client then comes again, to
another, and is authenticated again.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from uuid import UUID

import orjson

from offhook.db import Database, Tx, Wakeups
from offhook.errors import TooMany
from offhook.events import store
from offhook.events.fact import Event
from offhook.events.reading import opened
from offhook.events.store import EventRow, Looked, Position, Wanted
from offhook.http import Caller
from offhook.http.pages import cursor
from offhook.privacy import Vault

LOOK_S = 1.0
PAUSE_S = 0.05
"""So long a stream rests between two looks at least, however often it is woken."""
MOST = 100
"""How many streams a tenant may have open at one process."""
RETRY_AFTER_S = 5
ALIVE_S = 15.0
_BATCH = 200
_STILL_HERE = b": still here\n\n"


def announce(wakeups: Wakeups) -> Callable[[Tx, Sequence[Event]], Awaitable[None]]:
    """The within-reaction of every fact that wakes its tenant's streams in all processes once it is committed."""

    async def act(tx: Tx, events: Sequence[Event]) -> None:
        tx.on_commit(lambda: wakeups.send("event", tx.tenant))

    return act


class _Listener:
    """One open stream: woken to look, or told that it is over."""

    def __init__(self, key: UUID, *, over: bool) -> None:
        self.key = key
        self.over = over
        self.awake = asyncio.Event()

    def end(self) -> None:
        self.over = True
        self.awake.set()


class Streams:
    """The open streams of this process."""

    def __init__(self, database: Database, vault: Vault, wakeups: Wakeups) -> None:
        self._database = database
        self._vault = vault
        self._listeners: defaultdict[str, set[_Listener]] = defaultdict(set)
        self._are_over = False
        wakeups.hear("event", self._wake)
        wakeups.hear("key", lambda key: self._end(UUID(key)))
        wakeups.on_reconnect(lambda: self._end(None))

    def end(self) -> None:
        """End every open stream now, and each that begins from now on: the process stops."""
        self._are_over = True
        self._end(None)

    def check_room(self, who: Caller) -> None:
        """Raises TooMany while the tenant has as many streams open here as it may."""
        if len(self._listeners.get(who.tenant.word, ())) >= MOST:
            detail = f"This environment follows {MOST} streams already; close one, or pass on what one of them tells."
            raise TooMany("too_many_streams", detail, retry_after_s=RETRY_AFTER_S)

    async def follow(self, who: Caller, wanted: Wanted, after: Position | None) -> AsyncIterator[bytes]:
        """The wanted events behind that position, or from now on, as messages; endless until the key or the process ends."""
        with self._listening(who) as listener:
            position = after or await self._now(who)
            if not listener.over:
                yield _place(position)
            quiet_s, clock = 0.0, asyncio.get_running_loop().time
            while not listener.over:
                listener.awake.clear()
                found, messages = await self._next(who, wanted, position)
                looked_at = clock()
                for message in messages:
                    yield message
                if found.last:
                    position, quiet_s = found.last.position, 0.0
                if not found.more:
                    if quiet_s >= ALIVE_S:
                        quiet_s = 0.0
                        yield _STILL_HERE
                    quiet_s += await _rest(listener)
                await asyncio.sleep(looked_at + PAUSE_S - clock())

    async def _now(self, who: Caller) -> Position:
        async with self._database.transaction(who.tenant, reading=True) as tx:
            return await store.now_position(tx)

    async def _next(self, who: Caller, wanted: Wanted, after: Position) -> tuple[Looked, list[bytes]]:
        async with self._database.transaction(who.tenant, reading=True) as tx:
            found = await store.after_position(tx, wanted, after, _BATCH)
            bodies = await opened(tx, self._vault, found.rows)
        messages = [_message(row, body) for row, body in zip(found.rows, bodies, strict=True)]
        if found.last and found.last not in found.rows[-1:]:
            messages.append(_place(found.last.position))
        return found, messages

    @contextmanager
    def _listening(self, who: Caller) -> Iterator[_Listener]:
        of_tenant = self._listeners[who.tenant.word]
        # Others may have begun since there was room for this one; its client comes again, and is told.
        listener = _Listener(who.key_id, over=self._are_over or len(of_tenant) >= MOST)
        of_tenant.add(listener)
        try:
            yield listener
        finally:
            of_tenant.discard(listener)
            if not of_tenant:
                self._listeners.pop(who.tenant.word, None)

    def _wake(self, tenant: str) -> None:
        for listener in self._listeners.get(tenant, ()):
            listener.awake.set()

    def _end(self, key: UUID | None) -> None:
        for listener in chain.from_iterable(self._listeners.values()):
            if key is None or listener.key == key:
                listener.end()


def _place(position: Position) -> bytes:
    """An id alone: where to go on."""
    return f"id: {cursor(position)}\n\n".encode()


def _message(row: EventRow, body: orjson.Fragment) -> bytes:
    return f"id: {cursor(row.position)}\nevent: {row.type}\ndata: ".encode() + orjson.dumps(body) + b"\n\n"


async def _rest(listener: _Listener) -> float:
    """Until woken, a second at most; how long that was at most."""
    try:
        await asyncio.wait_for(listener.awake.wait(), LOOK_S)
    except TimeoutError:
        return LOOK_S
    return 0.0
