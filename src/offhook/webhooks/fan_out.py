"""From events to deliveries, in the transaction that writes the events."""

from collections.abc import Iterator, Sequence
from typing import Protocol
from uuid import UUID

from offhook import ids
from offhook.db import Tx, Wakeups
from offhook.events import Event
from offhook.privacy import Vault
from offhook.webhooks import lane_store
from offhook.webhooks.directory import Book, Directory, Endpoint
from offhook.webhooks.lane_store import Addressed
from offhook.webhooks.messages import Messages
from offhook.webhooks.parcel import Message, Parcel


class Hand(Protocol):
    """Who sends in this process."""

    def room(self, endpoint: Endpoint) -> int:
        """How many more parcels it takes for this endpoint; none when another process alone sends to it."""

    def offer(self, parcels: Sequence[Parcel]) -> None:
        """Take these; they are leased to this process and committed."""


class FanOut:
    """Writes one delivery for each endpoint that listens, and hands it to this process's sender at the commit.

    An event is told to every endpoint that its transaction could see: the endpoints in memory are compared with the
    tenant's generation by the very statement that writes, and read anew when they are old. What the sender here has no
    room for, what is to be sent in order, and everything when there is none, is left for whoever may claim it.
    """

    def __init__(self, directory: Directory, vault: Vault, wakeups: Wakeups, hand: Hand | None) -> None:
        self._directory = directory
        self._vault = vault
        self._wakeups = wakeups
        self._hand = hand

    async def __call__(self, tx: Tx, events: Sequence[Event]) -> None:
        """Fan these events out. To be called within the transaction that appended them, once."""
        book = await self._directory.book(tx)
        while True:
            rows, to_keep = self._address(tx, book, events)
            if await lane_store.insert(tx, book.generation, rows) == book.generation:
                break
            book = await self._directory.read(tx)
        if to_keep:
            await lane_store.insert_renderings(tx, to_keep)
        leased = [row.parcel for row in rows if row.leased_until]
        if leased and self._hand:
            hand = self._hand
            tx.on_commit(lambda: hand.offer(leased))
        if any(not row.leased_until and _goes(book, row.parcel) for row in rows):
            tx.on_commit(lambda: self._wakeups.send("due"))

    def _address(self, tx: Tx, book: Book, events: Sequence[Event]) -> tuple[list[Addressed], list[Message]]:
        left: dict[UUID, int] = {}
        rows: list[Addressed] = []
        to_keep: list[Message] = []
        for event in events:
            messages = Messages(event, lambda value: self._vault.tag(tx.tenant, "mask", value).hex()[:32])
            for endpoint in _told(book, event):
                if not event.fact.only_for and not messages.wanted_by(endpoint):
                    continue
                rows.append(self._addressed(tx, event, endpoint, messages.for_(endpoint), left))
            to_keep += messages.to_keep()
        return rows, to_keep

    def _addressed(
        self, tx: Tx, event: Event, endpoint: Endpoint, message: Message, left: dict[UUID, int]
    ) -> Addressed:
        test = event.fact.test and event.fact.only_for is not None
        parcel = Parcel(
            tx.tenant,
            ids.delivery_of(event.id, endpoint.id),
            endpoint.id,
            message,
            tx.offset,
            tx.began + endpoint.lease.total_seconds(),
            test=test,
            ordered=event.fact.subject_id if endpoint.in_order and not test else None,
        )
        leased = endpoint.takes(test=test) and self._takes(left, endpoint)
        return Addressed(parcel, event.fact.subject_id, tx.wall + endpoint.lease if leased else None)

    def _takes(self, left: dict[UUID, int], endpoint: Endpoint) -> bool:
        # What is sent in order must know what of its subject is open already, and that the database knows.
        if self._hand is None or endpoint.in_order:
            return False
        room = left.get(endpoint.id)
        if room is None:
            room = self._hand.room(endpoint)
        left[endpoint.id] = room - 1
        return room > 0


def _goes(book: Book, parcel: Parcel) -> bool:
    return book.endpoints[parcel.endpoint].takes(test=parcel.test)


def _told(book: Book, event: Event) -> Iterator[Endpoint]:
    """Who is told: all who listen, but of an endpoint's own affairs never itself; of a test, the one that it is for."""
    fact = event.fact
    if fact.only_for is not None:
        if fact.only_for in book.endpoints:
            yield book.endpoints[fact.only_for]
        return
    for endpoint in book.listeners(fact.type):
        if endpoint.id != fact.subject_id:
            yield endpoint
