"""`append`: from facts to events, in the caller's transaction.

First the facts are completed: whatever they entail (an ended call, the next attempt) joins them. Then all of them are
written at once, so a story of many facts costs no more statements than one fact. Then whoever must know is told.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import LiteralString
from uuid import UUID

import orjson

from offhook import clock, ids, jobs
from offhook.db import Tx
from offhook.errors import OffhookError
from offhook.events.envelope import pack
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
        read by ids. A fact that is a test is told, and nothing else comes of it.

        Raises OffhookError `erased` when a fact speaks of a person whose key is gone.
        """
        if not facts:
            return []
        whole = await self._complete(tx, facts)
        counts = Counter([fact.subject_id for fact in whole])
        new = {subject: counts[subject] for subject in born if subject in counts}
        known = {subject: count for subject, count in counts.items() if subject not in new}
        told = dict.fromkeys(new, 0) | (await _advance_subjects(tx, known) if known else {})
        events = await self._make(tx, whole, told)
        await _insert(tx, events, new, self.epoch)
        for within in self._within:
            tells = within.tells
            if matching := [
                one for one in events if isinstance(one.fact, within.fact) and (tells or not one.fact.test)
            ]:
                await within.act(tx, matching)
        for after in self._after:
            for event in events:
                if isinstance(event.fact, after.fact) and not event.fact.test:
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
                if matching := [fact for fact in wave if isinstance(fact, reaction.fact) and not fact.test]:
                    entailed += await reaction.act(tx, matching)
            wave = entailed
        return whole

    async def _make(self, tx: Tx, facts: Sequence[Fact], told: dict[UUID, int]) -> list[Event]:
        """The facts as events, each subject's numbered on from how many were `told` of it before."""
        keys = await self._vault.keys(tx, {fact.story.person for fact in facts if fact.story.person})
        scribe, events = _Scribe(tx), []
        for fact in facts:
            told[fact.subject_id] = sequence = told[fact.subject_id] + 1
            key = keys[fact.story.person] if fact.story.person else None
            if key is not None and not isinstance(key, PersonKey):
                raise OffhookError("erased", "This person was erased; nothing more is said about them.")
            id, subject_id = ids.show("evt", fact.id), ids.show(fact.subject_prefix, fact.subject_id)
            body = scribe.envelope(fact, id, subject_id, sequence)
            events.append(Event(fact, id, subject_id, sequence, fact.occurred_at or tx.now, tx.wall, key, body))
        return events


def _ascending(facts: Sequence[Fact], latest: dict[UUID, UUID]) -> list[Fact]:
    """The facts, each with an id above the `latest` of its subject; whoever names a cause names it by its new id."""
    renamed: dict[UUID, UUID] = {}
    ordered = []
    for fact in facts:
        if renamed and fact.causation in renamed:
            fact = replace(fact, causation=renamed[fact.causation])
        if (before := latest.get(fact.subject_id)) and fact.id < before:
            renamed[fact.id] = ids.new()
            fact = replace(fact, id=renamed[fact.id])
        latest[fact.subject_id] = fact.id
        ordered.append(fact)
    return ordered


class _Scribe:
    """Writes the envelopes of one append: what all of them say is spelt once."""

    def __init__(self, tx: Tx) -> None:
        self._workspace_id = ids.show("ws", tx.tenant.workspace)
        self._environment = tx.tenant.environment
        self._now = clock.show(tx.now)

    def envelope(self, fact: Fact, id: str, subject_id: str, sequence: int) -> bytes:
        """The envelope of `events.md`, as the bytes that stay the same on every try."""
        story = fact.story
        moved = fact.transition
        envelope = {
            "event_id": id,
            "type": fact.type,
            "schema_version": SCHEMA_VERSION,
            "occurred_at": fact.occurred_at or self._now,
            "recorded_at": self._now,
            "workspace_id": self._workspace_id,
            "environment": self._environment,
            "subject": {"type": fact.subject_type, "id": subject_id},
            "sequence": sequence,
            "transition": moved and {"field": moved.field, "from": moved.from_, "to": moved.to, "reason": moved.reason},
            "kind": fact.kind,
            "actor": {"type": fact.actor.type, "id": fact.actor.id},
            "correlation_id": story.correlation,
            "causation_id": fact.causation and ids.show("evt", fact.causation),
            "call": story.call and orjson.Fragment(story.call),
            "visitor": story.visitor and orjson.Fragment(story.visitor),
            "lead": story.lead and orjson.Fragment(story.lead),
            "data": fact.data(),
            "redactions": list(story.hidden),
            "test": fact.test,
        }
        return orjson.dumps(envelope, default=clock.show, option=orjson.OPT_PASSTHROUGH_DATETIME)


async def _advance_subjects(tx: Tx, counts: Mapping[UUID, int]) -> dict[UUID, int]:
    """Add to each subject's counter; its value before. Rows are locked in id order, so that two appends never embrace."""
    subjects = sorted(counts)
    rows = await tx.rows(
        "insert into subject (workspace_id, environment, id, event_seq)"
        " select %(ws)s, %(env)s, id, n from unnest(%(ids)b::uuid[], %(ns)b::int[]) t(id, n)"
        " on conflict (workspace_id, environment, id) do update set event_seq = subject.event_seq + excluded.event_seq"
        " returning id, event_seq",
        {**tx.keys, "ids": subjects, "ns": [counts[subject] for subject in subjects]},
    )
    return {subject: last - counts[subject] for subject, last in rows}


async def _insert(tx: Tx, events: Sequence[Event], born: Mapping[UUID, int], epoch: int) -> None:
    facts = [event.fact for event in events]
    once = [fact for fact in facts if fact.once]
    await tx.run(
        _STATEMENTS[bool(once), bool(born)],
        {
            **tx.keys,
            "written_at": tx.wall,
            "epoch": epoch,
            "id": [fact.id for fact in facts],
            "type": [fact.type for fact in facts],
            "subject_type": [fact.subject_type for fact in facts],
            "subject_id": [fact.subject_id for fact in facts],
            "sequence": [event.sequence for event in events],
            "person_id": [fact.story.person for fact in facts],
            "occurred_at": [event.occurred_at for event in events],
            "only_for": [fact.only_for for fact in facts],
            "body": [_stored(event) for event in events],
            "once_subject": [fact.subject_id for fact in once],
            "once_type": [fact.type for fact in once],
            "born": list(born),
            "born_seq": list(born.values()),
        },
    )


def _stored(event: Event) -> bytes:
    # What an envelope hides is kept under the person's key or not at all.
    return event.key.seal(pack(event.body, event.fact.story.hidden), event.id.bytes) if event.key else event.body


_INSERT: LiteralString = (
    "insert into event (workspace_id, environment, written_at, epoch, id, type, subject_type, subject_id, sequence, person_id,"
    " occurred_at, only_for, body)"
    " select %(ws)s, %(env)s, %(written_at)s, %(epoch)s, * from unnest(%(id)b::uuid[], %(type)b::text[], %(subject_type)b::text[],"
    " %(subject_id)b::uuid[], %(sequence)b::int[], %(person_id)b::uuid[], %(occurred_at)b::timestamptz[], %(only_for)b::uuid[], %(body)b::bytea[])"
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
