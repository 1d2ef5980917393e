"""Wake-ups between processes: NOTIFY says *look*, never *what*; whoever misses one finds the row at its next look.

NOTIFY takes a lock of the whole database at commit, so it never rides in a transaction of ours: wake-ups are gathered
for a few milliseconds and sent on a connection of their own.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

import psycopg
from psycopg.conninfo import make_conninfo

from offhook.db.connection import Tenant
from offhook.log import get

Connection = psycopg.AsyncConnection[tuple[object, ...]]

CHANNEL = "offhook"
_GATHER_S = 0.005
_RECONNECT_S = 0.5


class Wakeups:
    """Sends and hears wake-ups. Topics are short words, with an id behind a colon where one helps (`person:…`)."""

    def __init__(self, url: str) -> None:
        self._url = make_conninfo(url, options="-c role=offhook_engine", application_name="offhook_wakeups")
        self._pending: set[str] = set()
        self._ready = asyncio.Event()
        self._hearers: dict[str, list[Callable[[str], None]]] = defaultdict(list)
        self._tasks: list[asyncio.Task[None]] = []
        self._reconnected: list[Callable[[], None]] = []
        self._own_pid = 0

    def send(self, topic: str, tenant: Tenant | None = None) -> None:
        """Tell every process to look: this one at once, the others in a few milliseconds. `tenant` says at whose rows."""
        if tenant is not None:
            topic = f"{topic}:{tenant.word}"
        self._tell(topic)
        self._pending.add(topic)
        self._ready.set()

    def hear(self, topic: str, act: Callable[[str], None]) -> None:
        """Call `act(detail)` at each wake-up of this topic; `detail` is what stood behind the colon, or empty."""
        self._hearers[topic].append(act)

    def on_reconnect(self, act: Callable[[], None]) -> None:
        """Call `act` whenever wake-ups may have been missed: forget what is cached, look at everything."""
        self._reconnected.append(act)

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._keep(loop)) for loop in (self._sending, self._hearing)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, loop: Callable[[Connection], Awaitable[None]]) -> None:
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
                async with connection:
                    await loop(connection)
            except psycopg.Error:
                get("db").debug("wakeups_reconnect")
                await asyncio.sleep(_RECONNECT_S)

    async def _sending(self, connection: Connection) -> None:
        self._own_pid = connection.info.backend_pid
        while True:
            await self._ready.wait()
            await asyncio.sleep(_GATHER_S)
            self._ready.clear()
            topics, self._pending = self._pending, set()
            try:
                await connection.execute(
                    "select pg_notify(%s, topic) from unnest(%b::text[]) topic", (CHANNEL, list(topics))
                )
            except psycopg.Error:
                self._pending |= topics
                self._ready.set()
                raise

    async def _hearing(self, connection: Connection) -> None:
        await connection.execute(f"listen {CHANNEL}")
        for act in self._reconnected:
            act()
        async for message in connection.notifies():
            if message.pid != self._own_pid:  # what this process says it has heard already
                self._tell(message.payload)

    def _tell(self, payload: str) -> None:
        topic, _, detail = payload.partition(":")
        for hear in self._hearers[topic]:
            hear(detail)
