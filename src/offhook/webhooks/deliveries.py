"""`/v1/deliveries` and `/v1/dead-letters`: what became of each event at each endpoint, and sending it once more.

A delivery's status is derived, never kept: open ones have a due row (pending, retrying, or held by their endpoint), ended
ones a dead letter (dead, discarded) or neither (delivered); what is given up is discarded while its row is still there. A
replay opens it again under its own id and the event's `webhook-id`.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from offhook import clock, ids
from offhook.db import Tx, Wakeups
from offhook.errors import Conflict, NotFound
from offhook.events import Actor, Fact, Log
from offhook.events.catalogue.webhooks import WebhookReplayed
from offhook.events.types import shown_subject
from offhook.privacy import PersonKey, Vault
from offhook.webhooks import delivery_store, held_store, response
from offhook.webhooks.delivery_store import DeliveryRow, Place, TryRow
from offhook.webhooks.letter import Heading, usual_headers

Shown = dict[str, Any]


class Deliveries:
    """The deliveries of a tenant."""

    def __init__(self, vault: Vault, log: Log, wakeups: Wakeups) -> None:
        self._vault = vault
        self._log = log
        self._wakeups = wakeups

    async def find(self, tx: Tx, id: UUID) -> Shown:
        """The delivery with every try, each response opened; null where the person was erased. Raises NotFound."""
        row = await self._row(tx, id)
        person = await delivery_store.person_of(tx, row)
        key = await self._vault.key(tx, person) if person else None
        tries = [self._try(row, attempt, person, key) for attempt in await delivery_store.tries(tx, id)]
        return {**shown(row), "tries": tries}

    async def any_open(self, tx: Tx, subjects: Sequence[UUID]) -> bool:
        """Whether anything about these subjects is still to be delivered: pending, held or retrying."""
        return await delivery_store.any_open(tx, subjects)

    async def replay(self, tx: Tx, id: UUID, actor: Actor) -> Shown:
        """Send it once more; an event tells that this actor wished it.

        Raises NotFound, or Conflict while it is open or when its endpoint is gone.
        """
        row = await self._row(tx, id)
        if not await self.open_again(tx, [(row.written_at, id)]):
            raise Conflict(
                "not_replayable", "It is on its way already, or its endpoint is gone; see its status and its endpoint."
            )
        fact = WebhookReplayed(subject_id=row.endpoint_id, actor=actor, deliveries=1, delivery_id=ids.show("dlv", id))
        await self._log.append(tx, [fact])
        return shown(await self._row(tx, id))

    async def discard(self, tx: Tx, id: UUID) -> Shown:
        """Put a dead letter aside for good. Idempotent. Raises NotFound, or Conflict when it is none."""
        await self._row(tx, id)
        if not await delivery_store.discard(tx, id):
            raise Conflict("not_dead", "This delivery is no dead letter.")
        return shown(await self._row(tx, id))

    async def open_again(self, tx: Tx, deliveries: Sequence[Place]) -> dict[UUID, UUID]:
        """Replay these where they can be; the endpoint of each that is open again."""
        await held_store.move_these(tx, [id for _, id in deliveries])
        opened = await delivery_store.replay(tx, deliveries)
        tx.on_commit(lambda: self._wakeups.send("due"))
        return opened

    async def tell(self, tx: Tx, opened: Mapping[UUID, int], actor: Actor) -> None:
        """Tell that this actor had so many deliveries of each endpoint replayed."""
        facts: list[Fact] = [
            WebhookReplayed(subject_id=endpoint, actor=actor, deliveries=count, delivery_id=None)
            for endpoint, count in opened.items()
        ]
        await self._log.append(tx, facts)

    async def _row(self, tx: Tx, id: UUID) -> DeliveryRow:
        row = await delivery_store.find(tx, id)
        if row is None:
            raise NotFound("no_such_delivery", "There is no delivery with this id.", param="id")
        return row

    def _try(self, row: DeliveryRow, attempt: TryRow, person: UUID | None, key: object) -> Shown:
        answered = self._response(row, attempt, person, key)
        error = {"code": attempt.error_code, "text": attempt.error_text} if attempt.error_code else None
        names = ("dns", "connect", "tls", "first_byte", "total")
        return {
            "n": attempt.n,
            "at": clock.show(attempt.at),
            "status_code": attempt.status_code,
            "error": error,
            "timing_ms": {name: clock.show_ms(ms) for name, ms in zip(names, attempt.timing_ms, strict=True)},
            "request_headers": self._request_headers(row, attempt),
            "batch_id": ids.show("bat", attempt.batch) if attempt.batch else None,
            "response_headers": dict(answered.headers) if answered else None,
            "response_body": answered.body.decode(errors="replace") if answered else None,
            "response_truncated": answered.truncated if answered else False,
        }

    def _request_headers(self, row: DeliveryRow, attempt: TryRow) -> dict[str, str]:
        if attempt.request is None:
            return usual_headers(_heading(row, attempt))
        kept = self._vault.open_own(attempt.request, response.place_of_request(row.id, attempt.n))
        return dict(orjson.loads(kept))

    def _response(
        self, row: DeliveryRow, attempt: TryRow, person: UUID | None, key: object
    ) -> response.Response | None:
        if attempt.response is None:
            return None
        place = response.place(row.id, attempt.n)
        if person is None:
            return response.unpack(self._vault.open_own(attempt.response, place))
        return response.unpack(key.open(attempt.response, place)) if isinstance(key, PersonKey) else None


def shown(row: DeliveryRow) -> Shown:
    """The delivery as lists show it."""
    return {
        "id": ids.show("dlv", row.id),
        "object": "delivery",
        "event_id": ids.show("evt", row.event_id),
        "webhook_endpoint_id": ids.show("whe", row.endpoint_id),
        "type": row.type,
        "subject": {"type": row.subject_type, "id": shown_subject(row.subject_type, row.subject_id)},
        "sequence": row.sequence,
        "status": row.status,
        "tries_made": row.tries,
        "next_try_at": clock.show_or_null(row.due_at),
        "replay": row.replay,
        "reason": row.reason,
        "last_error": row.last_error,
        "died_at": clock.show_or_null(row.died_at),
        "created_at": clock.show(row.told_at or row.written_at),
    }


def _heading(row: DeliveryRow, attempt: TryRow) -> Heading:
    shown_event, timestamp = ids.show("evt", row.event_id), int(attempt.written_at.timestamp())
    return Heading(shown_event, timestamp, row.id, attempt.n, attempt.replay, attempt.tombstone)
