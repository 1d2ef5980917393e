"""Many operations in one request: one transaction, one tick of the rate limit, one result each, in order."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from psycopg.errors import DeadlockDetected, QueryCanceled
from pydantic import Field

from offhook.db import Tx
from offhook.errors import Fault, Invalid, OffhookError, Unavailable
from offhook.http.answer import Answer
from offhook.http.problems import problem
from offhook.http.wire import Wire

MOST = 1000


class Operation(Wire):
    """One operation. `create` takes a body; `update` and `upsert` an id and a body; `delete` an id."""

    op: Literal["create", "update", "upsert", "delete"]
    id: Annotated[str | None, Field(max_length=300)] = None
    body: dict[str, Any] = {}

    @property
    def ref(self) -> str:
        """The id. Raises Invalid `missing` where the operation needs one and has none."""
        if self.id is None:
            raise Invalid([Fault("id", "missing", f"{self.op} needs the id of an object, or ext: with your own.")])
        return self.id


class Batch(Wire):
    """Up to 1,000 operations. `atomic`: all of them, or none."""

    operations: Annotated[list[Operation], Field(min_length=1, max_length=MOST)]
    atomic: bool = False


class RolledBack(OffhookError):
    """It would have been done, had not another operation of the atomic batch failed."""

    status = 424
    title = "Another operation failed"

    def __init__(self) -> None:
        detail = "This operation is fine; another one of the atomic batch failed, so nothing was done."
        super().__init__("rolled_back", detail)


class _Failed(Exception):
    """Undoes an atomic batch and carries its results out."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Runs batches of operations with `run_one`, which raises what the same request alone would be refused with."""

    run_one: Callable[[Tx, Operation], Awaitable[Answer]]

    async def run(self, tx: Tx, batch: Batch) -> dict[str, Any]:
        """The answer: `results`, one per operation, in order.

        Raises Unavailable when the database goes away, DeadlockDetected for the door to run all of it again, and
        QueryCanceled when a statement takes too long, which the transaction tells as Slow.
        """
        results: list[dict[str, Any]] = []
        try:
            async with tx.savepoint():
                for index, operation in enumerate(batch.operations):
                    results.append(_result(index, await self._alone(tx, operation)))
                if batch.atomic and not all(map(_is_done, results)):
                    raise _Failed
        except _Failed:
            return {"object": "batch", "atomic": True, "results": list(map(_undone, results))}
        return {"object": "batch", "atomic": batch.atomic, "results": results}

    async def _alone(self, tx: Tx, operation: Operation) -> Answer:
        try:
            async with tx.savepoint():
                return await self.run_one(tx, operation)
        except (Unavailable, DeadlockDetected, QueryCanceled):
            raise
        except Exception as failure:
            if tx.connection.closed or tx.connection.broken:
                raise
            return problem(failure)


def _is_done(result: dict[str, Any]) -> bool:
    return "problem" not in result


def _result(index: int, answer: Answer) -> dict[str, Any]:
    said = "body" if answer.status < 400 else "problem"
    return {"index": index, "status": answer.status, said: answer.body}


def _undone(result: dict[str, Any]) -> dict[str, Any]:
    if not _is_done(result):
        return result
    return _result(result["index"], problem(RolledBack()))
