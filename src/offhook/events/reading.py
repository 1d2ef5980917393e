"""The log as readers see it: bodies opened, an erased person's events as tombstones."""

from collections.abc import Sequence

import orjson

from offhook.db import Tx
from offhook.events.envelope import envelope_of
from offhook.events.store import EventRow
from offhook.events.tombstone import tombstone
from offhook.events.types import shown_subject
from offhook.privacy import PersonKey, Vault


async def opened(tx: Tx, vault: Vault, rows: Sequence[EventRow]) -> list[orjson.Fragment]:
    """The envelopes of these rows, as the endpoints got them, in order."""
    keys = await vault.keys(tx, {row.person for row in rows if row.person})
    return [orjson.Fragment(_body(tx, row, keys[row.person] if row.person else None)) for row in rows]


def _body(tx: Tx, row: EventRow, key: object) -> bytes:
    if row.person is None:
        return envelope_of(row.body)
    if isinstance(key, PersonKey):
        return envelope_of(key.open(row.body, row.id.bytes))
    subject = shown_subject(row.subject_type, row.subject_id)
    return tombstone(row.id, row.type, row.subject_type, subject, row.sequence, row.occurred_at, tx.tenant)
