"""`append`: from facts to events, in the caller's transaction.

First the facts are completed: whatever they entail (an ended call, the next attempt) joins them. Then all of them are
written at once, so a story of many facts costs no more statements than one fact. Then whoever must know is told.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import LiteralString
from uuid import UUID

import orjson

from offhook import clock, ids, jobs
from offhook.db import Tx
from offhook.errors import OffhookError
from offhook.events.fact import SCHEMA_VERSION, Event, Fact
from offhook.events.reactions import After, Entails, Reaction, Within
from offhook.privacy import PersonKey, Vault


class Log:
    """The one writer of events. One per process, built in wiring."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.epoch = 0
        self.react(())

    def react(self, reactions: Sequence[Reaction]) -> None:
        """Install the printed table of reactions; called once, before the first append."""
        self._entails = [reaction for reaction in reactions if isinstance(reaction, Entails)]
        self._within = [reaction for reaction in reactions if isinstance(reaction, Within)]
        self._after = [reaction for reaction in reactions if isinstance(reaction, After)]

    async def append(self, tx: Tx, facts: Sequence[Fact], *, born: Collection[UUID] = ()) -> list[Event]:
        """Write the facts and all that they entail as events, in order, and tell whom they concern; every event written.

        Sequence numbers are gap-free from 1 per subject: the subject's row is locked (in id order) until the commit.
        `born` are subjects that nothing was ever told of, which saves asking for their numbers; the database refuses
        one that is known. A fact that was made before the one that it follows gets a new id, for the log as a whole is
        read by ids. Raises OffhookError `erased` when a fact speaks of a person whose key is gone.
        """
        if not facts:
            return []
        whole = await self._complete(tx, facts)
        counts = Counter(fact.subject_id for fact in whole)
        new = {subject: counts[subject] for subject in born if subject in counts}
        known = {subject: count for subject, count in counts.items() if subject not in new}
        last = new | (await _advance_subjects(tx, known) if known else {})
        events = await self._make(tx, whole, last)
        await _insert(tx, events, new, self.epoch)
        for within in self._within:
            if matching := [event for event in events if isinstance(event.fact, within.fact)]:
                await within.act(tx, matching)
        for after in self._after:
            for event in events:
                if isinstance(event.fact, after.fact):
                    args = {"event": event.id.hex, "subject": event.fact.subject_id.hex}
                    await jobs.enqueue(tx, after.job, args, key=event.id.hex)
        return events

    async def _complete(self, tx: Tx, facts: Sequence[Fact]) -> list[Fact]:
        """The facts, then all that they entail, then all that those entail."""
        whole: list[Fact] = []
        latest: dict[UUID, UUID] = {}
        wave = list(facts)
        while wave:
            wave = _ascending(wave, latest)
            whole += wave
            entailed: list[Fact] = []
            for reaction in self._entails:
                if matching := [fact for fact in wave if isinstance(fact, reaction.fact)]:
                    entailed += await reaction.act(tx, matching)
            wave = entailed
        return whole

    async def _make(self, tx: Tx, facts: Sequence[Fact], last: dict[UUID, int]) -> list[Event]:
        keys = await self._vault.keys(tx, {fact.story.person for fact in facts if fact.story.person})
        behind = Counter(fact.subject_id for fact in facts)
        events = []
        for fact in facts:
            behind[fact.subject_id] -= 1
            sequence = last[fact.subject_id] - behind[fact.subject_id]
            key = keys[fact.story.person] if fact.story.person else None
            if key is not None and not isinstance(key, PersonKey):
                raise OffhookError("erased", "This person was erased; nothing more is said about them.")
            occurred_at = fact.occurred_at or tx.now
            body = render(tx, fact.id, fact, sequence, occurred_at)
            events.append(Event(fact, sequence, occurred_at, tx.wall, key, body))
        return events


def _ascending(facts: Sequence[Fact], latest: dict[UUID, UUID]) -> list[Fact]:
    """The facts, each with an id above the `latest` of its subject; whoever names a cause names it by its new id."""
    renamed: dict[UUID, UUID] = {}
    ordered = []
    for fact in facts:
        if fact.causation in renamed:
            fact = replace(fact, causation=renamed[fact.causation])
        if (before := latest.get(fact.subject_id)) and fact.id < before:
            renamed[fact.id] = ids.new()
            fact = replace(fact, id=renamed[fact.id])
        latest[fact.subject_id] = fact.id
        ordered.append(fact)
    return ordered


def render(tx: Tx, event_id: UUID, fact: Fact, sequence: int, occurred_at: datetime) -> bytes:
    """The envelope of `events.md`, as the bytes that stay the same on every try."""
    story = fact.story
    moved = fact.transition
    return orjson.dumps(
        {
            "event_id": ids.show("evt", event_id),
            "type": fact.type,
            "schema_version": SCHEMA_VERSION,
            "occurred_at": clock.show(occurred_at),
            "recorded_at": clock.show(tx.now),
            "workspace_id": ids.show("ws", tx.tenant.workspace),
            "environment": tx.tenant.environment,
            "subject": {"type": fact.subject_type, "id": ids.show(fact.subject_prefix, fact.subject_id)},
            "sequence": sequence,
            "transition": moved and {"field": moved.field, "from": moved.from_, "to": moved.to, "reason": moved.reason},
            "kind": fact.kind,
            "actor": {"type": fact.actor.type, "id": fact.actor.id},
            "correlation_id": story.correlation,
            "causation_id": ids.show("evt", fact.causation) if fact.causation else None,
            "call": _fragment(story.call),
            "visitor": _fragment(story.visitor),
            "lead": _fragment(story.lead),
            "data": fact.data(),
            "redactions": story.redactions,
            "test": False,
        }
    )


def _fragment(encoded: bytes | None) -> orjson.Fragment | None:
    return None if encoded is None else orjson.Fragment(encoded)


async def _advance_subjects(tx: Tx, counts: Mapping[UUID, int]) -> dict[UUID, int]:
    """Add to each subject's counter; its new value. Rows are locked in id order, so that two appends never embrace."""
    subjects = sorted(counts)
    rows = await tx.rows(
        "insert into subject (workspace_id, environment, id, event_seq)"
        " select %(ws)s, %(env)s, id, n from unnest(%(ids)b::uuid[], %(ns)b::int[]) t(id, n)"
        " on conflict (workspace_id, environment, id) do update set event_seq = subject.event_seq + excluded.event_seq"
        " returning id, event_seq",
        {**tx.keys, "ids": subjects, "ns": [counts[subject] for subject in subjects]},
    )
    return dict(rows)


async def _insert(tx: Tx, events: Sequence[Event], born: Mapping[UUID, int], epoch: int) -> None:
    columns: dict[str, list[object]] = defaultdict(list)
    for event in events:
        columns["id"].append(event.id)
        columns["type"].append(event.fact.type)
        columns["subject_type"].append(event.fact.subject_type)
        columns["subject_id"].append(event.fact.subject_id)
        columns["sequence"].append(event.sequence)
        columns["person_id"].append(event.fact.story.person)
        columns["occurred_at"].append(event.occurred_at)
        columns["body"].append(event.key.seal(event.body, event.id.bytes) if event.key else event.body)
    once = [event for event in events if event.fact.once]
    await tx.run(
        _STATEMENTS[bool(once), bool(born)],
        {
            **tx.keys,
            "written_at": tx.wall,
            "epoch": epoch,
            **columns,
            "once_subject": [event.fact.subject_id for event in once],
            "once_type": [event.fact.type for event in once],
            "born": list(born),
            "born_seq": list(born.values()),
        },
    )


_INSERT: LiteralString = (
    "insert into event (workspace_id, environment, written_at, epoch, id, type, subject_type, subject_id, sequence, person_id,"
    " occurred_at, body)"
    " select %(ws)s, %(env)s, %(written_at)s, %(epoch)s, * from unnest(%(id)b::uuid[], %(type)b::text[], %(subject_type)b::text[],"
    " %(subject_id)b::uuid[], %(sequence)b::int[], %(person_id)b::uuid[], %(occurred_at)b::timestamptz[], %(body)b::bytea[])"
)
# What happens once per subject is refused a second time by this table's key.
_CLAIM_ONCE: LiteralString = (
    "insert into event_once (workspace_id, environment, subject_id, type)"
    " select %(ws)s, %(env)s, * from unnest(%(once_subject)b::uuid[], %(once_type)b::text[])"
)
_BEAR: LiteralString = (
    "insert into subject (workspace_id, environment, id, event_seq)"
    " select %(ws)s, %(env)s, * from unnest(%(born)b::uuid[], %(born_seq)b::int[])"
)
# By whether something of it happens once, and whether a subject is born. One constant inside another.
_STATEMENTS: dict[tuple[bool, bool], LiteralString] = {
    (False, False): _INSERT,
    (True, False): f"with o as ({_CLAIM_ONCE}) {_INSERT}",
    (False, True): f"with b as ({_BEAR}) {_INSERT}",
    (True, True): f"with o as ({_CLAIM_ONCE}), b as ({_BEAR}) {_INSERT}",
}
