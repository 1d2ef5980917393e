"""The book of calls: rows opened into values, and values written back with the facts of the step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from offhook.calls import store
from offhook.calls.call import NOTHING_TOLD, Call, Told
from offhook.calls.store import Row
from offhook.db import Tx
from offhook.events import Fact, Log, Story
from offhook.events.catalogue.calls import CallOptOutDetected
from offhook.privacy import PersonKey, Vault

PLACING = timedelta(seconds=45)
"""How long handing a call to its platform may take, tries and all; after that the call may be asked about."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A call before and after a step, and what the step made true."""

    before: Call
    after: Call
    facts: list[Fact]


class Book:
    """Reads and writes calls, sealing what is personal under the person's key."""

    def __init__(self, vault: Vault, log: Log) -> None:
        self._vault = vault
        self._log = log

    async def enter(self, tx: Tx, calls: Sequence[Call], *, being_placed: bool) -> list[Call]:
        """Store calls that begin; those that were not in the book and whose person is not erased.

        `being_placed`: somebody is about to hand them to their platform, and nobody may ask about them until that is over.
        """
        keys = await self._vault.keys(tx, {call.about.person_id for call in calls})
        sealed = [
            (call, key.seal(call.told.sealed_form(), call.id.bytes))
            for call in calls
            if isinstance(key := keys[call.about.person_id], PersonKey)
        ]
        new = await store.insert(tx, sealed, tx.wall + PLACING if being_placed else None)
        return [call for call, _ in sealed if call.id in new]

    async def lock(self, tx: Tx, calls: Iterable[UUID]) -> dict[UUID, Call]:
        """These calls, held until the end of the transaction."""
        return await self._opened(tx, await store.lock(tx, sorted(set(calls))))

    async def read(self, tx: Tx, calls: Iterable[UUID]) -> dict[UUID, Call]:
        """These calls as they are now."""
        return await self._opened(tx, await store.read(tx, list(set(calls))))

    async def page(self, tx: Tx, lead: UUID | None, status: str | None, before: UUID | None, limit: int) -> list[Call]:
        """A page of calls, the latest first."""
        rows = await store.page(tx, lead, status, before, limit)
        opened = await self._opened(tx, rows)
        return [opened[row.id] for row in rows]

    async def write(self, tx: Tx, changes: Sequence[Changed], *, born: Sequence[UUID] = ()) -> None:
        """Save what changed and append its facts. `born`: calls just entered.

        Of a person who was erased nothing more is told but that they said stop, which binds their number all the same.
        """
        moved = [change for change in changes if change.after != change.before]
        if moved:
            await store.save(
                tx,
                [change.after for change in moved],
                with_legs=[one.after for one in moved if one.before.participants() != one.after.participants()],
                with_transfer=[one.after for one in moved if one.before.transfer != one.after.transfer],
            )
        facts = [fact for change in changes for fact in _tellable(change)]
        await self._log.append(tx, facts, born=born)

    async def _opened(self, tx: Tx, rows: Sequence[Row]) -> dict[UUID, Call]:
        keys = await self._vault.keys(tx, {row.person_id for row in rows})
        return {row.id: row.call(_told(row, keys[row.person_id])) for row in rows}


def _tellable(change: Changed) -> list[Fact]:
    if not change.after.erased:
        return change.facts
    # Who said it and in which words is gone with the person; which number it was, the call still knows by its tag.
    return [
        replace(fact, story=Story(correlation=fact.story.correlation), phrase=None)
        for fact in change.facts
        if isinstance(fact, CallOptOutDetected)
    ]


def _told(row: Row, key: object) -> Told:
    if row.story is None or not isinstance(key, PersonKey):
        return NOTHING_TOLD
    return Told.of(key.open(row.story, row.id.bytes))
