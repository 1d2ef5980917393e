"""Importing a file: read whole before anything is stored, then taken in chunk by chunk as a durable job.

Each chunk waits sealed in the database and is taken in, counted and removed in one transaction: a killed import goes
on where it was.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson

from offhook.db import Database, Tx
from offhook.jobs import Job, Outside, enqueue, progress
from offhook.jobs.outcome import Done, Outcome
from offhook.leads import store
from offhook.leads.files import Line
from offhook.leads.ingest import Duplicate, Ingested, Leads, Refused, Stored, read_lead
from offhook.leads.wire import LeadIn
from offhook.privacy import Vault

KIND = "leads.import"
CHUNK = 500
PROBLEMS_TOLD = 100


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

    async def start(self, tx: Tx, lines: Sequence[Line]) -> UUID:
        """Keep the lines, sealed, and have them taken in; the job's id."""
        job = await enqueue(tx, KIND, {"rows": len(lines)})
        await progress.start(tx, job, KIND, total=len(lines))
        for n, start in enumerate(range(0, len(lines), CHUNK)):
            rows = [(line.number, line.body, line.fault) for line in lines[start : start + CHUNK]]
            sealed = self._vault.seal_own(tx, orjson.dumps(rows), _place(job, n))
            await store.put_chunk(tx, job, n, sealed)
        return job

    async def run(self, job: Job) -> Outcome:
        """The job: chunk after chunk until none is left."""
        while await self.take_in_next(job):
            pass
        return Done()

    async def take_in_next(self, job: Job) -> bool:
        """The import's next chunk, in one transaction; False when none was left."""
        async with self._database.transaction(job.tenant) as tx:
            # The chunk first: its lock makes a worker that lost its lease wait, and then read the counts anew.
            chunk = await store.take_chunk(tx, job.id)
            shown = await progress.show(tx, job.id)
            tally = Tally(shown["result"], shown["done"])
            if chunk is None:
                await progress.report(tx, job.id, done=tally.rows, result=tally.result, status="done")
                return False
            n, sealed = chunk
            rows = orjson.loads(self._vault.open_own(sealed, _place(job.id, n)))
            await self._take_in(tx, [Line(*row) for row in rows], tally)
            await progress.report(tx, job.id, done=tally.rows, result=tally.result)
            return True

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
                self.refuse(number, error.code, error.param)

    def refuse(self, number: int, code: str, param: str | None) -> None:
        """Count the row of this number as one that holds no lead."""
        self.rows += 1
        self.result["invalid"] += 1
        self._codes([code])
        if len(self.result["problems"]) < PROBLEMS_TOLD:
            self.result["problems"].append({"row": number, "code": code, "param": param})

    def _codes(self, codes: Iterable[str]) -> None:
        self.result["codes"] = dict(Counter(self.result["codes"]) + Counter(codes))


def _place(job: UUID, n: int) -> bytes:
    return b"import" + job.bytes + n.to_bytes(4, "big")
