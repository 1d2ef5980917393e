"""The log as readers see it: bodies opened, an erased person's events as tombstones."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from offhook.db import Tx
from offhook.events.envelope import Unpacked, revealed, unpack
from offhook.events.hearing import Asks
from offhook.events.store import EventRow
from offhook.events.tombstone import tombstone
from offhook.events.types import shown_subject
from offhook.privacy import PersonKey, Vault


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it is told, and what is known yet of what it hides."""

    envelope: bytes = field(repr=False)
    _stored: Unpacked | None = field(repr=False)
    """None: its person was erased."""

    def fits(self, asks: Asks) -> bool:
        """Whether the clear event is what is asked for; also where nobody knows any more: unknown is not no."""
        if self._stored is None:
            return True
        clear = revealed(*self._stored)
        # Of an event about nobody, as a sample is, what it hides is not kept.
        return not set(clear["redactions"]) <= self._stored.hidden.keys() or asks(clear)


async def opened(tx: Tx, vault: Vault, rows: Sequence[EventRow]) -> list[orjson.Fragment]:
    """The envelopes of these rows, as the endpoints got them, in order."""
    return [orjson.Fragment(told.envelope) for told in await read(tx, vault, rows)]


async def read(tx: Tx, vault: Vault, rows: Sequence[EventRow]) -> list[Told]:
    """These rows as they are told, in order."""
    keys = await vault.keys(tx, {row.person for row in rows if row.person})
    return [_told(tx, row, keys[row.person] if row.person else None) for row in rows]


def _told(tx: Tx, row: EventRow, key: object) -> Told:
    if row.person is None:
        return _of(row.body)
    if isinstance(key, PersonKey):
        return _of(key.open(row.body, row.id.bytes))
    subject = shown_subject(row.subject_type, row.subject_id)
    return Told(tombstone(row.id, row.type, row.subject_type, subject, row.sequence, row.occurred_at, tx.tenant), None)


def _of(stored: bytes) -> Told:
    unpacked = unpack(stored)
    return Told(unpacked.envelope, unpacked)
