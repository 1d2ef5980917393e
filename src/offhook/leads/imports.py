"""Importing a file: read to its end before anything is stored, then taken in chunk by chunk as a durable job.

Each chunk waits sealed in the database and is taken in, counted and removed in one transaction: a killed import goes
on where it was. Chunks are sealed under no person's key, for their persons are not known yet, so none outlives its
import: one that fails again and again is given up within a quarter of an hour, and whatever stayed behind even so is
forgotten by the hourly upkeep.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from offhook.db import Database, Tenant, Tx
from offhook.db.races import unraced
from offhook.errors import OffhookError, is_away
from offhook.jobs import Job, Outside, enqueue, progress
from offhook.jobs.outcome import Done, GiveUp, Outcome
from offhook.leads import store
from offhook.leads.chunks import Chunks
from offhook.leads.files import Line
from offhook.leads.ingest import RACES, Duplicate, Ingested, Leads, Raced, Refused, Stored, read_lead
from offhook.leads.wire import LeadIn
from offhook.log import get, place_of
from offhook.privacy import Vault

KIND = "leads.import"
PROBLEMS_TOLD = 100
FAILURES = 8
"""Of one import; they take a quarter of an hour at most. A database that is away counts as none."""
LONGEST = timedelta(hours=24)


class Imports:
    """Takes files in. One per process, built in wiring."""

    def __init__(self, database: Database, vault: Vault, leads: Leads) -> None:
        self._database = database
        self._vault = vault
        self._leads = leads

    @property
    def handlers(self) -> dict[str, Outside]:
        """The job of this part, for the runner."""
        return {KIND: Outside(self.run)}

    async def start(self, tx: Tx, chunks: Chunks) -> UUID:
        """Keep the lines, sealed, and have them taken in; the job's id."""
        job = await enqueue(tx, KIND, {"rows": chunks.rows})
        await progress.start(tx, job, KIND, total=chunks.rows)
        for n, chunk in enumerate(chunks):
            await store.put_chunk(tx, job, n, self._vault.seal_own(tx, chunk, _place(job, n)))
        return job

    async def run(self, job: Job) -> Outcome:
        """The job: chunk after chunk until none is left, or it has failed too often: then it is over and nothing of it waits."""
        try:
            while await unraced(lambda: self.take_in_next(job), Raced, again=RACES):
                pass
        except Exception as failure:
            if is_away(failure) or job.failures + 1 < FAILURES:
                raise
            await self._abandon(job.tenant, job.id)
            return GiveUp(type(failure).__name__)
        return Done()

    async def take_in_next(self, job: Job) -> bool:
        """The import's next chunk, in one transaction; False when none was left."""
        async with self._database.transaction(job.tenant) as tx:
            # The chunk first: its lock makes a worker that lost its lease wait, and then read the counts anew.
            chunk = await store.take_chunk(tx, job.id)
            shown = await progress.show(tx, job.id)
            tally = Tally(shown["result"], shown["done"])
            if chunk is None:
                status = "done" if tally.rows == shown["total"] else "failed"
                await progress.report(tx, job.id, done=tally.rows, result=tally.result, status=status)
                return False
            n, sealed = chunk
            rows = orjson.loads(self._vault.open_own(sealed, _place(job.id, n)))
            await self._take_in(tx, [Line(*row) for row in rows], tally)
            await progress.report(tx, job.id, done=tally.rows, result=tally.result)
            return True

    async def forget_abandoned(self) -> None:
        """Forget what waits for an import that is over, or that a day did not suffice for; for the hourly upkeep."""
        async with self._database.engine() as tx:
            abandoned = await store.abandoned_imports(tx, tx.wall - LONGEST)
        for tenant, job in abandoned:
            try:
                await self._abandon(tenant, job)
            except Exception as failure:
                if is_away(failure):
                    raise
                get("leads").error("import_not_forgotten", error=type(failure).__name__, at=place_of(failure))

    async def _abandon(self, tenant: Tenant, job: UUID) -> None:
        async with self._database.transaction(tenant) as tx:
            await store.forget_chunks(tx, job)
            shown = await progress.show(tx, job)
            await progress.report(tx, job, done=shown["done"], result=shown["result"], status="failed")

    async def _take_in(self, tx: Tx, lines: Sequence[Line], tally: "Tally") -> None:
        read = [None if line.fault else read_lead(line.body) for line in lines]
        answers = iter(await self._leads.ingest(tx, [lead for lead in read if isinstance(lead, LeadIn)]))
        for line, lead in zip(lines, read, strict=True):
            if line.fault:
                tally.refuse(line.number, line.fault, None)
            else:
                tally.count(line.number, lead if isinstance(lead, Refused) else next(answers))


class Tally:
    """What became of an import's rows, in numbers, codes and row numbers."""

    def __init__(self, result: dict[str, Any], rows: int) -> None:
        self.rows = rows
        self.result: dict[str, Any] = {
            "accepted": 0, "held": 0, "rejected": 0, "duplicates": 0, "payload_differs": 0, "invalid": 0, "codes": {}, "problems": [],
            **result,
        }  # fmt: skip

    def count(self, number: int, answer: Ingested) -> None:
        """Count the row of this number by what its lead was answered."""
        match answer:
            case Stored(body=body):
                self.rows += 1
                decision = body["preflight"]["decision"]
                self.result[{"accept": "accepted", "hold": "held", "reject": "rejected"}[decision]] += 1
                if decision == "reject":
                    self._codes(check["code"] for check in body["preflight"]["checks"] if check["result"] == "block")
            case Duplicate(body=body):
                self.rows += 1
                self.result["duplicates"] += 1
                self.result["payload_differs"] += body["payload_differs"]
            case Refused(error=error):
                self.refuse(number, error.code, _place_of(error))

    def refuse(self, number: int, code: str, param: str | None) -> None:
        """Count the row of this number as one that holds no lead."""
        self.rows += 1
        self.result["invalid"] += 1
        self._codes([code])
        if len(self.result["problems"]) < PROBLEMS_TOLD:
            self.result["problems"].append({"row": number, "code": code, "param": param})

    def _codes(self, codes: Iterable[str]) -> None:
        self.result["codes"] = dict(Counter(self.result["codes"]) + Counter(codes))


def _place_of(error: OffhookError) -> str | None:
    """Where it is wrong, without a name that the file made up: what an import came to is kept, and may not name a person."""
    if error.code != "unknown_field" or error.param is None:
        return error.param
    above, dot, _ = error.param.rpartition(".")
    return f"{above}{dot}(a key)"


def _place(job: UUID, n: int) -> bytes:
    return b"import" + job.bytes + n.to_bytes(4, "big")
