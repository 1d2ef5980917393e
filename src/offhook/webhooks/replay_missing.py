"""Events that an endpoint never got, also from before it existed: found in the log, judged and rendered as it is set now."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple
from uuid import UUID

import orjson

from offhook import ids
from offhook.db import Tx
from offhook.events.envelope import Unpacked, revealed, unpack
from offhook.events.hearing import Hearing
from offhook.events.types import shown_subject
from offhook.expressions import Operand
from offhook.privacy import PersonKey, Vault
from offhook.webhooks import replay_missing_store
from offhook.webhooks.delivery_store import Place
from offhook.webhooks.directory import Directory, Endpoint
from offhook.webhooks.messages import lets_through
from offhook.webhooks.parcel import Message
from offhook.webhooks.rendering import USUAL_HEADERS, Rendered
from offhook.webhooks.replay import Position, Replay
from offhook.webhooks.replay_filter import Filter
from offhook.webhooks.replay_missing_store import Recorded

LOOK = 2000


class Missed(NamedTuple):
    """An event in clear, and the delivery of it that there is not yet."""

    event: Recorded
    delivery: UUID
    key: PersonKey | None
    said: Unpacked


@dataclass(frozen=True, slots=True)
class Found:
    """What one look at the log came to. Erased: events whose person was erased since, of whom nothing is told."""

    endpoint: Endpoint
    missed: Sequence[Missed]
    erased: int
    position: Position
    more: bool


class EndpointGone(Exception):
    """The endpoint was deleted."""


class Missing:
    """Finds what an endpoint missed, and writes its deliveries."""

    def __init__(self, vault: Vault, directory: Directory) -> None:
        self._vault = vault
        self._directory = directory

    async def find(self, tx: Tx, replay: Replay, most: int) -> Found:
        """What was missed among the next events behind the replay's position, so many at most. Raises EndpointGone."""
        assert replay.filter.endpoint is not None
        endpoint = (await self._directory.read(tx)).endpoints.get(replay.filter.endpoint)
        if endpoint is None:
            raise EndpointGone
        hearing = Hearing(endpoint.id, endpoint.events)
        events = await replay_missing_store.look(tx, hearing, replay.position, replay.until, LOOK)
        more = len(events) == LOOK
        position = events[-1].position if events else replay.position
        live = tx.tenant.environment == "live"
        heard = [one for one in events if one.heard and means(replay.filter, one, live)]
        lacking = await self._lacking(tx, heard, endpoint)
        if len(lacking) > most:
            lacking, more = lacking[:most], True
            position = lacking[-1][0].position
        opened, erased = await self._opened(tx, lacking)
        missed = [one for one in opened if await self._wants(endpoint, one)]
        return Found(endpoint, missed, erased, position, more)

    async def write(self, tx: Tx, endpoint: Endpoint, missed: Sequence[Missed]) -> list[Place]:
        """The deliveries of these, ended before they began: they are to be opened. Idempotent: answers the new ones."""
        messages = [self._message(tx, endpoint, one) for one in missed] if endpoint.word is not None else []
        made = [(one.event, one.delivery) for one in missed]
        return await replay_missing_store.insert(tx, endpoint.id, made, endpoint.word, messages)

    async def _lacking(self, tx: Tx, events: Sequence[Recorded], endpoint: Endpoint) -> Sequence[tuple[Recorded, UUID]]:
        told = [(event, ids.delivery_of(event.id, endpoint.id)) for event in events]
        if not told:
            return []
        there = await replay_missing_store.delivered_ever(tx, [(event.written_at, id) for event, id in told])
        return [(event, id) for event, id in told if id not in there]

    async def _opened(self, tx: Tx, lacking: Sequence[tuple[Recorded, UUID]]) -> tuple[list[Missed], int]:
        """Each with what it says, and how many say nothing any more."""
        if not lacking:
            return [], 0
        stored = await replay_missing_store.bodies(tx, [event for event, _ in lacking])
        keys = await self._vault.keys(tx, {event.person for event, _ in lacking if event.person})
        opened, erased = [], 0
        for event, delivery in lacking:
            key = keys[event.person] if event.person else None
            if isinstance(key, PersonKey):
                opened.append(Missed(event, delivery, key, unpack(key.open(stored[event.id], event.id.bytes))))
            elif key is None:
                opened.append(Missed(event, delivery, None, unpack(stored[event.id])))
            else:
                erased += 1
        return opened, erased

    async def _wants(self, endpoint: Endpoint, missed: Missed) -> bool:
        # Many filters one after another would keep what this process sends waiting.
        await asyncio.sleep(0)
        said = missed.said
        if orjson.loads(said.envelope).get("test"):
            return False  # that was for its moment
        if endpoint.filter is None or missed.event.only_for is not None:
            return True
        return lets_through(endpoint.filter, Operand(revealed(said.envelope, said.hidden)), count=True)

    def _message(self, tx: Tx, endpoint: Endpoint, missed: Missed) -> Message:
        event, said = missed.event, missed.said
        return Message(
            id=event.id,
            shown_id=ids.show("evt", event.id),
            type=event.type,
            subject_type=event.subject_type,
            subject_shown_id=shown_subject(event.subject_type, event.subject),
            sequence=event.sequence,
            occurred_at=event.occurred_at,
            person=event.person,
            key=missed.key,
            rendered=self._rendered(tx, endpoint, said),
            word=endpoint.word,
        )

    def _rendered(self, tx: Tx, endpoint: Endpoint, said: Unpacked) -> Rendered:
        if endpoint.word is None:
            return Rendered(USUAL_HEADERS, said.envelope)
        hashed = self._vault.tag
        return endpoint.rendering.render(
            said.envelope, said.hidden, lambda value: hashed(tx.tenant, "mask", value).hex()[:32]
        )


def means(wanted: Filter, event: Recorded, live: bool) -> bool:
    """Whether the filter means this event."""
    at = event.written_at if live else event.occurred_at
    return (
        fnmatchcase(event.type, wanted.type)
        and wanted.about in (None, event.subject)
        and (wanted.told_from is None or wanted.told_from <= at)
        and (wanted.told_to is None or at < wanted.told_to)
    )
