"""Replays and cancellations as the tests work them off: page by page, by hand."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from uuid import UUID

from tests.webhooks.conftest import Receiver, Room, Told

from offhook import ids
from offhook.db import Tx
from offhook.events import Actor
from offhook.events.catalogue.leads import LeadCadencePaused
from offhook.jobs import Job, Outside
from offhook.jobs.outcome import Done, Outcome
from offhook.webhooks import replay_store
from offhook.webhooks.replay import Replay
from offhook.webhooks.replay_filter import Filter, Verb
from offhook.webhooks.replays import KIND, Asked

OWNER = Actor("api_key", "key_x")
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class Crash(Exception):
    """The process ends in the middle of a page."""


class Bulk:
    """One room's replays, without a runner: what runs when is the test's to say."""

    def __init__(self, room: Room) -> None:
        self.room = room

    async def start(
        self, verb: Verb = "replay", *, missing: bool = False, rate: int | None = None, **wanted: Any
    ) -> dict[str, Any]:
        asked = Asked(verb=verb, filter=Filter(**wanted), missing=missing, rate_per_s=rate)
        shown: dict[str, Any] = await self.room.do(self.room.webhooks.replays.start, asked, OWNER)
        return shown

    async def preview(self, verb: Verb = "replay", *, missing: bool = False, **wanted: Any) -> dict[str, Any]:
        asked = Asked(verb=verb, filter=Filter(**wanted), missing=missing)
        shown: dict[str, Any] = await self.room.do(self.room.webhooks.replays.preview, asked)
        return shown

    async def page(self, begun: dict[str, Any]) -> Outcome:
        """The next page, as the job runs it."""
        handler = self.room.webhooks.handlers[KIND]
        assert isinstance(handler, Outside)
        args = {"replay": _id(begun).hex}
        return await handler.run(Job(self.room.tenant, ids.new(), KIND, "", args, LONG_AGO, 1, 0))

    async def through(self, begun: dict[str, Any]) -> dict[str, Any]:
        """To the end, where no rate holds it up; how it is then."""
        async with asyncio.timeout(30):
            while not isinstance(await self.page(begun), Done):
                pass
        return await self.now(begun)

    async def all(self, verb: Verb = "replay", **asked: Any) -> dict[str, Any]:
        """Start it and work it off."""
        return await self.through(await self.start(verb, **asked))

    async def now(self, begun: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = await self.room.do(self.room.webhooks.replays.find, verb_of(begun), _id(begun))
        return shown

    async def do(self, name: str, begun: dict[str, Any]) -> dict[str, Any]:
        """`pause`, `resume` or `cancel` it."""
        verb = getattr(self.room.webhooks.replays, name)
        shown: dict[str, Any] = await self.room.do(verb, verb_of(begun), _id(begun))
        return shown

    async def instant(self) -> datetime:
        """What time it is there."""
        async with self.room.database.transaction(self.room.tenant) as tx:
            return tx.now

    async def happens_to(self, subject: UUID, count: int) -> None:
        """So many events about one lead."""
        async with self.room.database.transaction(self.room.tenant) as tx:
            facts = [LeadCadencePaused(subject_id=subject, reason="api_key") for _ in range(count)]
            await self.room.log.append(tx, facts)

    async def delivered(self, receiver: Receiver, count: int, **more: Any) -> Told:
        """An endpoint that got so many events."""
        told = await self.room.endpoint(receiver.url, **more)
        await self.room.happens(count)
        await self.room.drain()
        receiver.received.clear()
        return told

    async def gone(self, told: Told) -> None:
        await self.room.do(self.room.webhooks.endpoints.delete, told.id)


@contextmanager
def small_pages(most: int = 2, look: int = 3) -> Iterator[None]:
    with (
        patch("offhook.webhooks.replay.MOST", most),
        patch("offhook.webhooks.replay_pages.LOOK", look),
        patch("offhook.webhooks.replay_missing.LOOK", look),
    ):
        yield


@contextmanager
def crashing() -> Iterator[None]:
    """A page does all of its work, and is not committed."""

    async def crash(tx: Tx, replay: Replay) -> None:
        if replay.status != "failed":
            raise Crash
        await saved(tx, replay)

    saved = replay_store.save

    with patch.object(replay_store, "save", crash):
        yield


def verb_of(begun: dict[str, Any]) -> Verb:
    return "replay" if begun["object"] == "replay" else "cancel"


def _id(begun: dict[str, Any]) -> UUID:
    return ids.read("rpl" if begun["object"] == "replay" else "cnl", begun["id"])


async def dead_of(room: Room, receiver: Receiver, count: int, says: Sequence[Any] = ()) -> Told:
    """An endpoint with so many dead letters."""
    told = await room.endpoint(receiver.url, retry={"tries": 1})
    receiver.says = list(says)
    await room.happens(count)
    await room.drain()
    receiver.received.clear()
    return told
