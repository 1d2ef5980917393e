"""A fact, and the event that it becomes: what is held true, about whom, and the story that rides along with it."""

from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from offhook import ids
from offhook.events.envelope import Hidden
from offhook.privacy import PersonKey

SCHEMA_VERSION = "2026-11-01"
_OURS = {"subject_id", "story", "transition", "actor", "occurred_at", "causation", "test", "only_for", "id"}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: `engine`, `provider`, `api_key`, `consumer`, `rule`, `system`; with an id where there is one."""

    type: str
    id: str | None = None


ENGINE = Actor("engine")


@dataclass(frozen=True, slots=True)
class Transition:
    """What moved from where to where, and why."""

    field: str
    from_: str | None
    to: str
    reason: str


@dataclass(frozen=True, slots=True)
class Story:
    """The context that rides along, so that no consumer stitches events together.

    `call`, `visitor` and `lead` are JSON already encoded, masked by default; `hidden` holds what was masked, for the
    few who may see it. `person` is whose key seals the event (None: it says nothing about a person); `correlation` is
    the shown id of the lead, where there is one.
    """

    person: UUID | None = None
    correlation: str | None = None
    call: bytes | None = None
    visitor: bytes | None = None
    lead: bytes | None = None
    hidden: Hidden = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that happened to one subject. Subclasses add the event's own data as fields; each value is JSON-ready.

    `once`: it happens once per subject, and the database refuses a second one. `id` is the one that its event will
    have, so that another fact can name it as its `causation` before either is written. A `test` never happened: it is
    told like any other, and sets nothing off. `only_for` is the one endpoint that is told of it (None: all that
    listen).
    """

    type: ClassVar[str]
    subject_type: ClassVar[str]
    subject_prefix: ClassVar[ids.Prefix]
    kind: ClassVar[str | None] = None
    once: ClassVar[bool] = False
    example: ClassVar[dict[str, Any]]
    example_transition: ClassVar[Transition | None] = None

    subject_id: UUID
    story: Story = Story()
    transition: Transition | None = None
    actor: Actor = ENGINE
    occurred_at: datetime | None = None
    causation: UUID | None = None
    test: bool = False
    only_for: UUID | None = None
    id: UUID = field(default_factory=ids.new, compare=False)

    def data(self) -> dict[str, Any]:
        """The event's own fields, in order, as they stand under `data`; instants are spelt when it is written."""
        names = data_fields(type(self))
        return {name: getattr(self, name) for name in names}


class Event(NamedTuple):
    """A fact in the log. `body` is the envelope in clear, exactly as endpoints get it; `key` seals it (None: plain).

    A tuple, as what is made anew for every fact: a frozen dataclass takes three times as long.
    """

    fact: Fact
    shown_id: str
    subject_shown_id: str
    sequence: int
    occurred_at: datetime
    written_at: datetime
    key: PersonKey | None
    body: bytes

    def __repr__(self) -> str:
        return f"Event({self.shown_id}, {self.fact.type})"

    @property
    def id(self) -> UUID:
        return self.fact.id


def data_fields(fact: type) -> tuple[str, ...]:
    """The names of a fact class's own data, in order."""
    return _data_fields(fact)


@cache
def _data_fields(fact: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(fact) if field.name not in _OURS)
