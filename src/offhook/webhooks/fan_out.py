"""From events to deliveries, in the transaction that writes the events."""

from collections.abc import Iterator, Sequence
from typing import Protocol
from uuid import UUID

from offhook import ids
from offhook.db import Tx, Wakeups
from offhook.events import Event
from offhook.webhooks import lane_store
from offhook.webhooks.directory import Book, Directory, Endpoint
from offhook.webhooks.lane_store import LEASE, Addressed
from offhook.webhooks.parcel import TEST, Message, Parcel


class Hand(Protocol):
    """Who sends in this process."""

    def room(self, endpoint: UUID) -> int:
        """How many more parcels it takes for this endpoint."""

    def offer(self, parcels: Sequence[Parcel]) -> None:
        """Take these; they are leased to this process and committed."""


class FanOut:
    """Writes one delivery for each endpoint that listens, and hands it to this process's sender at the commit.

    An event is told to every endpoint that its transaction could see: the endpoints in memory are compared with the
    tenant's generation by the very statement that writes, and read anew when they are old. Only what is to be held takes
    turns with whoever enables an endpoint, lest it be held for one that is enabled already. What the sender here has no
    room for, or when there is none, is left for whoever claims it first.
    """

    def __init__(self, directory: Directory, wakeups: Wakeups, hand: Hand | None) -> None:
        self._directory = directory
        self._wakeups = wakeups
        self._hand = hand

    async def __call__(self, tx: Tx, events: Sequence[Event]) -> None:
        """Fan these events out. To be called within the transaction that appended them, once."""
        book = await self._directory.book(tx)
        while True:
            rows = self._address(tx, book, events)
            if any(row.held for row in rows):
                await lane_store.holding(tx)
            if await lane_store.insert(tx, book.generation, rows) == book.generation:
                break
            book = await self._directory.read(tx)
        leased = [row.parcel for row in rows if row.leased]
        if leased and self._hand:
            hand = self._hand
            tx.on_commit(lambda: hand.offer(leased))
        if any(not (row.leased or row.held) for row in rows):
            tx.on_commit(lambda: self._wakeups.send("due"))

    def _address(self, tx: Tx, book: Book, events: Sequence[Event]) -> list[Addressed]:
        left: dict[UUID, int] = {}
        rows = []
        leased_until, offset = tx.wall + LEASE, tx.offset
        for event in events:
            message: Message | None = None
            for endpoint in _told(book, event):
                message = message or _message(event)
                held = not endpoint.sendable and message.type != TEST
                leased = not held and self._takes(left, endpoint.id)
                delivery = ids.delivery_of(event.id, endpoint.id)
                parcel = Parcel(tx.tenant, delivery, endpoint.id, message, offset, leased_until)
                rows.append(Addressed(parcel, event.fact.subject_id, held, leased))
        return rows

    def _takes(self, left: dict[UUID, int], endpoint: UUID) -> bool:
        room = left.get(endpoint)
        if room is None:
            room = self._hand.room(endpoint) if self._hand else 0
        left[endpoint] = room - 1
        return room > 0


def _told(book: Book, event: Event) -> Iterator[Endpoint]:
    """Who is told: all who listen, but of an endpoint's own affairs never itself, save of a test, which is for it."""
    fact = event.fact
    if fact.type == TEST and fact.subject_id in book.endpoints:
        yield book.endpoints[fact.subject_id]
    for endpoint in book.listeners(fact.type):
        if endpoint.id != fact.subject_id:
            yield endpoint


def _message(event: Event) -> Message:
    fact = event.fact
    return Message(
        id=event.id,
        shown_id=event.shown_id,
        type=fact.type,
        subject_type=fact.subject_type,
        subject_shown_id=event.subject_shown_id,
        sequence=event.sequence,
        occurred_at=event.occurred_at,
        person=fact.story.person,
        key=event.key,
        body=event.body,
    )
