"""Transactions. The one service is PostgreSQL; everything durable goes through a `Tx`.

A `Tx` belongs to one tenant (one environment of one workspace): row-level security shows it that tenant's rows and no
others, and `now` is that environment's time. An `EngineTx` passes over tenants, on the few tables that the engine's
loops work on, and knows only the real clock.

`run` returns at once: its statement goes with the next one that is asked for an answer, or with the commit, which raise
its failure. What needs a lock, or an answer, says so (`run_now`, `row`, `rows`, `count`).

On failure the transaction rolls back and its `on_commit` callbacks are forgotten. A transaction never waits for the
network: nothing but the database is awaited between begin and commit. A database that is away raises
`errors.Unavailable`, and nothing was done; when it goes away during the commit itself, the outcome is unknown to the
caller, who repeats the same request (every write of the house is idempotent by key). A statement that takes longer than it
may raises its subclass `errors.Slow`: the database is there, so whoever does work of several splits it, and backs off.
"""

from offhook.db.connection import Database, EngineTx, Tenant, Tx
from offhook.db.group import GroupCommit
from offhook.db.migrating import migrate, missing_migrations
from offhook.db.wakeup import Wakeups

__all__ = ["Database", "EngineTx", "GroupCommit", "Tenant", "Tx", "Wakeups", "migrate", "missing_migrations"]
