"""Suppression: numbers and addresses that nobody may contact.

Kept as keyed hashes, so they outlive the person's erasure without saying who it was. Opt-out and dispatch take turns
on the tag (`taking_turns`): whoever comes second sees what the first one did. It is read in that turn, never cached.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from offhook import ids
from offhook.compliance import store
from offhook.db import Tx
from offhook.events import ENGINE, Actor, Log, Story
from offhook.events.catalogue.suppressions import SuppressionAdded

Scope = Literal["seller", "workspace"]
Kind = Literal["phone", "email"]


@dataclass(frozen=True, slots=True)
class Identifier:
    """A number or address as its keyed hash."""

    kind: Kind
    tag: bytes


@dataclass(frozen=True, slots=True)
class Stop:
    """Nobody may contact these any more: by which source we know, on whose word, and because of which fact, if of one."""

    identifiers: Sequence[Identifier]
    source: str
    scope: Scope = "seller"
    actor: Actor = ENGINE
    causation: UUID | None = None

    @property
    def tags(self) -> list[bytes]:
        return [identifier.tag for identifier in self.identifiers]


async def taking_turns(tx: Tx, tags: Sequence[bytes]) -> None:
    """Hold these tags until the transaction ends: an opt-out and a dial of one number never run side by side."""
    if tags:
        await store.lock_tags(tx, tags)


async def suppressed(tx: Tx, tags: Sequence[bytes]) -> dict[bytes, str]:
    """The suppression's scope of each of these tags that is suppressed. Ask in the tags' turn before a dial."""
    return await store.suppressed(tx, tags) if tags else {}


async def page(tx: Tx, after: UUID | None, limit: int) -> list[dict[str, Any]]:
    """Suppressions in id order after that one, without the hashes."""
    return await store.listed(tx, after, limit)


async def suppress(tx: Tx, log: Log, stop: Stop, *, tag_version: int) -> list[UUID]:
    """Suppress them at once and for good; the ids of their suppressions, in id order. Idempotent."""
    await taking_turns(tx, stop.tags)
    common = {"scope": stop.scope, "version": tag_version, "source": stop.source}
    rows = [{**common, "id": ids.new(), "tag": one.tag, "kind": one.kind} for one in stop.identifiers]
    new = await store.insert(tx, rows)
    facts = [
        SuppressionAdded(
            subject_id=id,
            story=Story(),
            actor=stop.actor,
            causation=stop.causation,
            scope=stop.scope,
            identifier_kind=str(row["kind"]),
            source=stop.source,
        )
        for row in rows
        if isinstance(id := row["id"], UUID) and id in new
    ]
    await log.append(tx, facts)
    return await store.ids_of(tx, stop.tags, stop.scope)
