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
from offhook.events import Actor, Log, Story
from offhook.events.catalogue.suppressions import SuppressionAdded

Scope = Literal["seller", "workspace"]
Kind = Literal["phone", "email"]
_ENGINE = Actor("engine")


@dataclass(frozen=True, slots=True)
class Identifier:
    """A number or address as its keyed hash."""

    kind: Kind
    tag: bytes


async def taking_turns(tx: Tx, tags: Sequence[bytes]) -> None:
    """Hold these tags until the transaction ends: an opt-out and a dial of one number never run side by side."""
    await store.lock_tags(tx, tags)


async def suppressed(tx: Tx, tags: Sequence[bytes]) -> dict[bytes, str]:
    """The suppression's scope of each of these tags that is suppressed. Ask in the tags' turn before a dial."""
    return await store.suppressed(tx, tags) if tags else {}


async def page(tx: Tx, after: UUID | None, limit: int) -> list[dict[str, Any]]:
    """Suppressions in id order after that one, without the hashes."""
    return await store.listed(tx, after, limit)


async def suppress(
    tx: Tx,
    log: Log,
    identifiers: Sequence[Identifier],
    *,
    scope: Scope,
    source: str,
    tag_version: int,
    actor: Actor = _ENGINE,
    causation: UUID | None = None,
) -> list[UUID]:
    """Suppress them at once and for good; the ids of their suppressions, in id order. Idempotent.

    `causation` is the fact that entails it.
    """
    await taking_turns(tx, [identifier.tag for identifier in identifiers])
    rows = [
        {"id": ids.new(), "scope": scope, "tag": one.tag, "version": tag_version, "kind": one.kind, "source": source}
        for one in identifiers
    ]
    new = await store.insert(tx, rows)
    facts = [
        SuppressionAdded(
            subject_id=id,
            story=Story(),
            actor=actor,
            causation=causation,
            scope=scope,
            identifier_kind=str(row["kind"]),
            source=source,
        )
        for row in rows
        if isinstance(id := row["id"], UUID) and id in new
    ]
    await log.append(tx, facts)
    return await store.ids_of(tx, [identifier.tag for identifier in identifiers], scope)
