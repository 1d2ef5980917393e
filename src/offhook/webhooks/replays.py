"""`POST /v1/replays`: many dead letters once more, as a durable job that tells how far it is."""

from datetime import datetime
from typing import Any
from uuid import UUID

from offhook.db import Database, Tx
from offhook.events import Actor
from offhook.jobs import Job, enqueue, progress
from offhook.jobs.outcome import Done, Outcome
from offhook.webhooks import delivery_store
from offhook.webhooks.deliveries import Deliveries
from offhook.webhooks.delivery_store import Wanted

KIND = "webhooks.replay"
_PAGE = 500
_COUNTED = 100_000


class Replays:
    """Starts replays and runs them. A replay that is interrupted goes on with what is still dead."""

    def __init__(self, database: Database, deliveries: Deliveries) -> None:
        self._database = database
        self._deliveries = deliveries

    async def start(self, tx: Tx, wanted: Wanted, actor: Actor) -> dict[str, Any]:
        """Replay the dead letters that there are now and that match; the job, as `/v1/jobs/{id}` shows it.

        Its events say that it was this actor.
        """
        until = min(wanted.died_to or tx.now, tx.now)
        args = {
            "endpoint": wanted.endpoint.hex if wanted.endpoint else None,
            "type": wanted.type,
            "from": wanted.died_from.isoformat() if wanted.died_from else None,
            "to": until.isoformat(),
            "actor": [actor.type, actor.id],
        }
        job = await enqueue(tx, KIND, args)
        await progress.start(tx, job, KIND, total=await delivery_store.count_dead(tx, _wanted(args), _COUNTED))
        return await progress.show(tx, job)

    async def run(self, job: Job) -> Outcome:
        """One page in each transaction, so that nothing waits for the whole; safe to run again."""
        wanted, after = _wanted(job.args), None
        while True:
            async with self._database.transaction(job.tenant, reading=True) as tx:
                rows = await delivery_store.dead_letters(tx, wanted, after, _PAGE)
                done = (await progress.show(tx, job.id))["done"]
                if rows:
                    done += await self._deliveries.open_again(tx, [row.id for row in rows], Actor(*job.args["actor"]))
                status = "running" if len(rows) == _PAGE else "done"
                await progress.report(tx, job.id, done=done, result={"replayed": done}, status=status)
            if status == "done":
                return Done()
            assert rows[-1].died_at is not None
            after = (rows[-1].died_at, rows[-1].id)


def _wanted(args: dict[str, Any]) -> Wanted:
    return Wanted(
        endpoint=UUID(args["endpoint"]) if args["endpoint"] else None,
        status="dead",
        type=args["type"],
        died_from=datetime.fromisoformat(args["from"]) if args["from"] else None,
        died_to=datetime.fromisoformat(args["to"]),
    )
