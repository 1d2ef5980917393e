"""The pools, and the transaction that knows whose it is and what time it is."""

import asyncio
import select
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, LiteralString, cast
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from offhook.db.arrays import adapters
from offhook.errors import Slow, Unavailable

Environment = Literal["live", "sandbox"]
Params = Sequence[object] | dict[str, Any] | None
Connection = psycopg.AsyncConnection[TupleRow]

BUSY_S = 10.0
"""How long a request waits for its turn at the pool."""
AWAY_S = 0.2
"""How long it waits for another connection after a dead one: where one was lost to a restart, the next is there or soon made."""
PLANS = 500
"""How many statements a connection keeps planned: more than there are."""
_MOST_BEHIND = 64

_SLOW = "The database took longer than a statement may; nothing was done, try again."
_AWAY = (psycopg.OperationalError, PoolTimeout)
# What a transaction sees and how an instant is spelt is ours to say, whatever the server's owner prefers: a lock taken
# under an older snapshot would guard nothing, and the driver reads no date style but this.
_READING = (
    r"-c default_transaction_isolation=read\ committed -c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres"
)
# One plan per statement, made once: planning anew each time took PostgreSQL a quarter of its time for a call. Such plans are
# kept from hash joins and scans over whole tables, which one made on an empty table would choose for ever.
_PLANNING = (
    "-c plan_cache_mode=force_generic_plan -c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off -c jit=off"
    " -c client_connection_check_interval=1s"
)


@dataclass(frozen=True, slots=True)
class Tenant:
    """One environment of one workspace: what shares nothing with any other."""

    workspace: UUID
    environment: Environment

    def __hash__(self) -> int:
        # Asked for several times for every delivery, and two environments of one workspace may well share it.
        return hash(self.workspace)

    @property
    def word(self) -> str:
        """This tenant in the detail of a wake-up."""
        return f"{self.workspace.hex}:{self.environment}"


class EngineTx:
    """A transaction over tenants, for claims, settling and upkeep. What nobody waits for is sent with what comes next: see `run`."""

    def __init__(self, connection: Connection, wall: datetime) -> None:
        self.connection = connection
        self.wall = wall
        self.began = time.monotonic()
        # One for all its statements, each of which takes its answer before the next: making one is a fifth of a short one.
        self._cursor = connection.cursor(binary=True)
        self._behind: list[tuple[LiteralString, Params]] = []
        self._on_commit: list[Callable[[], None]] = []
        self.was_cut_off = False
        """Whether statements were sent together of which the server passed over some."""

    async def run(self, query: LiteralString, params: Params = None) -> None:
        """Execute in its place, in one round trip with what comes next: that, or the commit, raises what this fails with.

        Nothing of it is done when this returns, so `params` must stay as they are.
        """
        self._behind.append((query, params))
        if len(self._behind) >= _MOST_BEHIND:
            await self.flush()

    async def run_now(self, query: LiteralString, params: Params = None) -> None:
        """Execute; return once it is done: for a lock, which must be held by then, and for what is too large to wait."""
        await self._ask(query, params)

    async def count(self, query: LiteralString, params: Params = None) -> int:
        """Execute; the number of rows it touched."""
        return (await self._ask(query, params)).rowcount

    async def rows(self, query: LiteralString, params: Params = None) -> list[TupleRow]:
        """Every row of the answer, as tuples."""
        return await (await self._ask(query, params)).fetchall()

    async def row(self, query: LiteralString, params: Params = None) -> TupleRow | None:
        """The first row, or None when there is none."""
        return await (await self._ask(query, params)).fetchone()

    async def flush(self) -> None:
        """Have done what was only told so far."""
        if self._behind:
            await self._together()

    async def _ask(self, query: LiteralString, params: Params) -> psycopg.AsyncCursor[TupleRow]:
        if not self._behind:
            return await self._cursor.execute(query, params)
        await self._together((query, params))
        return self._cursor

    async def _together(self, *last: tuple[LiteralString, Params]) -> None:
        """All that waits and then the last, whose answer is the cursor's, in one round trip."""
        told = self._behind[:]
        self._behind.clear()
        writer = self.connection.cursor(binary=True)
        try:
            async with self.connection.pipeline():
                for query, params in told:
                    await writer.execute(query, params)
                for query, params in last:
                    await self._cursor.execute(query, params)
        except BaseException:
            self.was_cut_off = True
            raise

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What is done inside, its `on_commit` too, is undone when it raises; the rest of the transaction stands."""
        await self.flush()
        kept = len(self._on_commit)
        try:
            async with self.connection.transaction():
                yield
                await self.flush()
        except BaseException:
            self._behind.clear()
            self.was_cut_off = False
            del self._on_commit[kept:]
            raise

    def on_commit(self, act: Callable[[], None]) -> None:
        """Call `act` once the commit is durable; never when it rolls back. It must not raise and not wait."""
        self._on_commit.append(act)

    async def commit(self) -> None:
        """Make it durable, with all that waits. Raises InFailedSqlTransaction when somebody swallowed a statement's failure."""
        if self.was_cut_off or self.connection.info.transaction_status is TransactionStatus.INERROR:
            raise psycopg.errors.InFailedSqlTransaction("a statement of this transaction failed; nothing was done")
        await self._ask("commit", None)

    def ended(self, *, committed: bool) -> None:
        """Do what waited for the commit, and let go of it: it knows this transaction, and such rings are what stops a busy
        process for a tenth of a second when the garbage collector comes to them.
        """
        acts = self._on_commit[:] if committed else ()
        self._on_commit.clear()
        for act in acts:
            act()


class _EachTx(EngineTx):
    """Each statement a transaction of its own, so none may wait for the next: they would be one together."""

    async def run(self, query: LiteralString, params: Params = None) -> None:
        await self.run_now(query, params)


class Tx(EngineTx):
    """A transaction of one tenant. `now` is its environment's time, `wall` the real clock; both UTC, one instant each."""

    def __init__(self, connection: Connection, tenant: Tenant, now: datetime, wall: datetime) -> None:
        super().__init__(connection, wall)
        self.tenant = tenant
        self.now = now
        self.notes: dict[str, Any] = {}
        """What this transaction has found out and need not ask again: each note is one room's own."""

    @property
    def offset(self) -> timedelta:
        """How far the environment's clock is ahead of the real one."""
        return self.now - self.wall

    @asynccontextmanager
    async def in_environment(self, environment: Environment) -> AsyncIterator["Tx"]:
        """The same transaction in the other environment of its workspace, whose clock nobody has moved yet."""
        other = Tx(self.connection, Tenant(self.tenant.workspace, environment), self.wall, self.wall)
        other._behind, other._on_commit = self._behind, self._on_commit
        await self.run("select set_config('offhook.environment', %(env)s, true)", other.keys)
        try:
            yield other
        finally:
            self.was_cut_off |= other.was_cut_off
        await self.run("select set_config('offhook.environment', %(env)s, true)", self.keys)

    @property
    def keys(self) -> dict[str, object]:
        """`ws` and `env` for the parameters of a statement."""
        return {"ws": self.tenant.workspace, "env": self.tenant.environment}


class Database:
    """The two pools: requests and jobs as offhook_app, loops as offhook_engine."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = url
        self._app = _pool(url, "offhook_app", pool_size)
        self._engine = _pool(url, "offhook_engine", max(2, pool_size // 2))

    async def open(self) -> None:
        """Connect. Raises Unavailable when the database does not answer within ten seconds."""
        try:
            await self._app.open(wait=True, timeout=10)
            await self._engine.open(wait=True, timeout=10)
        except PoolTimeout:
            await self.close()
            raise Unavailable(
                "database_away", "PostgreSQL does not answer; is it running, and is the URL right?"
            ) from None

    async def close(self) -> None:
        await self._app.close()
        await self._engine.close()

    @asynccontextmanager
    async def transaction(self, tenant: Tenant, *, reading: bool = False) -> AsyncIterator[Tx]:
        """A transaction that sees this tenant only. Raises Unavailable when the database is away.

        `reading` is for lists: their filters may be left out, so each gets a plan for what it asks.
        """
        async with _begun(self._app, _begin_for(tenant, reading)) as (connection, (*_, now, wall)):
            tx = Tx(connection, tenant, now, wall)
            async with _ending(tx):
                yield tx

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[EngineTx]:
        """A transaction over tenants. Raises Unavailable when the database is away."""
        async with _begun(self._engine, _BEGIN_ENGINE) as (connection, (wall,)):
            tx = EngineTx(connection, wall)
            async with _ending(tx):
                yield tx

    @asynccontextmanager
    async def engine_each(self) -> AsyncIterator[EngineTx]:
        """Over tenants, each statement a transaction of its own, at a third of the cost: for looks, and for statements of
        which nobody must know whether they were done.

        Raises Unavailable when the database is away.
        """
        connection = await _take_living(self._engine)
        try:
            yield _EachTx(connection, datetime.now(UTC))
        except psycopg.errors.QueryCanceled:
            raise Slow("database_slow", _SLOW) from None
        except psycopg.OperationalError:
            if connection.closed or connection.broken:
                raise Unavailable("database_away", "The database went away; write the same again.") from None
            raise
        finally:
            await self._engine.putconn(connection)

    async def alive(self) -> bool:
        """Whether the database answers right now."""
        try:
            async with asyncio.timeout(1), self.engine() as tx:
                return tx.wall is not None
        except (Unavailable, TimeoutError):
            return False


_HOW = (
    "select set_config('offhook.workspace', {workspace}, true), set_config('offhook.environment', {environment}, true),"
    " coalesce(environment_now({workspace}, {environment}), now()), now()"
)
_BEGIN = sql.SQL(f"begin; {_HOW}")
_BEGIN_READING = sql.SQL(f"begin; set local plan_cache_mode = force_custom_plan; {_HOW}")
_BEGIN_ENGINE = b"begin; select now()"


@lru_cache(maxsize=4096)
def _begin_for(tenant: Tenant, reading: bool) -> bytes:
    """The text that begins a transaction of this tenant; spelt once, as it stands before every request."""
    return (
        (_BEGIN_READING if reading else _BEGIN)
        .format(workspace=sql.Literal(str(tenant.workspace)), environment=sql.Literal(tenant.environment))
        .as_bytes(None)
    )


def _pool(url: str, role: str, size: int) -> AsyncConnectionPool[Connection]:
    timeout = "-c statement_timeout=5s" if role == "offhook_engine" else "-c statement_timeout=30s"
    options = f"-c role={role} -c idle_in_transaction_session_timeout=60s {timeout} {_READING} {_PLANNING}"
    return AsyncConnectionPool(
        make_conninfo(url, options=options, application_name=role),
        min_size=min(2, size),
        max_size=size,
        open=False,
        # A statement that comes a second time is ours and will come again: it is planned then and kept.
        kwargs={"autocommit": True, "context": adapters(), "prepare_threshold": 1},
        configure=_keep_plans,
        check=None,
    )


async def _keep_plans(connection: Connection) -> None:
    connection.prepared_max = PLANS


@asynccontextmanager
async def _begun(
    pool: AsyncConnectionPool[Connection], statement: bytes
) -> AsyncIterator[tuple[Connection, tuple[Any, ...]]]:
    """A connection with a transaction begun on it, and what its beginning answered.

    Connections that died while they lay idle (the database was restarted) are thrown away and passed over: nothing had
    begun on them. Raises Unavailable when no living one can be had.
    """
    for n in range(pool.max_size + 1):
        connection = await _take(pool, BUSY_S if n == 0 else AWAY_S)
        try:
            try:
                row = await _begin(connection, statement)
            except psycopg.OperationalError:
                continue
            yield connection, row
            return
        finally:
            await pool.putconn(connection)
    raise Unavailable("database_away", "The database went away; nothing was done, try again.")


async def _take(pool: AsyncConnectionPool[Connection], timeout_s: float) -> Connection:
    try:
        return await pool.getconn(timeout_s)
    except _AWAY:
        raise Unavailable("database_away", "The database does not answer; try again in a moment.") from None


async def _take_living(pool: AsyncConnectionPool[Connection]) -> Connection:
    """One that the server has not closed while it lay idle: who begins nothing on it cannot pass over a dead one later."""
    for n in range(pool.max_size):
        connection = await _take(pool, BUSY_S if n == 0 else AWAY_S)
        if not _was_hung_up(connection):
            return connection
        await connection.close()
        await pool.putconn(connection)
    return await _take(pool, AWAY_S)


def _was_hung_up(connection: Connection) -> bool:
    """Whether the server has closed it: there is something to read where nothing was asked."""
    if connection.closed:
        return True
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


async def _begin(connection: Connection, statement: bytes) -> tuple[Any, ...]:
    cursor = await connection.execute(statement)
    while cursor.nextset():
        pass
    return cast(tuple[Any, ...], await cursor.fetchone())


@asynccontextmanager
async def _ending(tx: EngineTx) -> AsyncIterator[None]:
    try:
        yield
        await tx.commit()
    except BaseException as failure:
        tx.ended(committed=False)
        await _roll_back(tx)
        if isinstance(failure, psycopg.OperationalError) and (tx.connection.closed or tx.connection.broken):
            raise Unavailable("database_away", "The database went away; send the same request again.") from None
        if isinstance(failure, psycopg.errors.QueryCanceled):
            raise Slow("database_slow", _SLOW) from None
        raise
    tx.ended(committed=True)


async def _roll_back(tx: EngineTx) -> None:
    connection = tx.connection
    if connection.closed or connection.broken:
        return
    try:
        # psycopg counts as prepared what the server passed over after a failure; its own rollback forgets all that is
        # prepared, which is dear, and so is not for every request that is refused.
        await (connection.rollback() if tx.was_cut_off else connection.execute("rollback"))
    except psycopg.Error:
        await connection.close()
