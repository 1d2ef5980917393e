"""Durable timed work: one mechanism for everything that must happen later and must not be forgotten.

A job is a row (kind, key, args, run_at in the environment's time). `enqueue` writes it in the caller's transaction; a
second enqueue under the same key moves it earlier, or, while it runs, lets it run once more. A worker leases what is
due, in batches per tenant, and runs the kind's handler.

    queued ──claim──▶ leased ──settle──▶ gone (Done, GiveUp)
       ▲                │ └─────────────▶ queued at `when` (RetryAt)
       └──lease over────┘  the worker died: another claims it, with a higher fence; the dead one's settle does nothing

Handlers of two sorts. A `Within`-handler needs only the database: it runs inside the transaction that settles its jobs,
so it happens exactly once. An `Outside`-handler talks to the network between two transactions, at least once.
"""

from offhook.jobs.queue import Job, cancel, enqueue, enqueue_all
from offhook.jobs.runner import Inside, Outside, Runner

__all__ = [
    "Inside",
    "Job",
    "Outside",
    "Runner",
    "cancel",
    "enqueue",
    "enqueue_all",
]
