"""Which deliveries a replay or a cancellation is about. Pure.

`from` and `to` bound when the event was recorded, as its `recorded_at` says: from that instant on, before that one. In a
sandbox, whose clock can be moved, they bound its `occurred_at`. `died_from` and `died_to` bound when a delivery became a
dead letter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from offhook import clock, ids
from offhook.errors import Fault, Invalid
from offhook.events.globs import like
from offhook.events.types import read_subject

Verb = Literal["replay", "cancel"]
Ended = Literal["dead", "delivered", "discarded", "any_ended"]
Open = Literal["pending", "retrying", "held", "open", "dead"]

_SEVERAL = {
    "any_ended": ("dead", "discarded", "delivered"),
    "open": ("pending", "held", "retrying"),
}
_INSTANTS = ("from", "to", "died_from", "died_to")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is asked for; None is any. `status` is None where events are sought that have no delivery yet."""

    endpoint: UUID | None = None
    status: Ended | Open | None = None
    type: str = "*"
    subject: str | None = None
    """As it is shown: `lead_…`, `call_…`."""
    cause: str | None = None
    """The error code of the last try."""
    told_from: datetime | None = None
    told_to: datetime | None = None
    died_from: datetime | None = None
    died_to: datetime | None = None

    @property
    def statuses(self) -> tuple[str, ...]:
        """Every status of a delivery that is meant."""
        return _SEVERAL.get(self.status or "", (self.status or "",))

    @property
    def of_the_dead(self) -> bool:
        """Whether all that is meant stands among the dead letters."""
        return {"dead", "discarded"}.issuperset(self.statuses)

    @property
    def about(self) -> UUID | None:
        """The subject's own id."""
        return None if self.subject is None else read_subject(self.subject, "filter.subject")

    @property
    def pattern(self) -> str | None:
        """The types as a pattern of LIKE; None for all."""
        return None if self.type == "*" else like(self.type)

    def shown(self) -> dict[str, Any]:
        """As people are shown it; what is any is left out."""
        return {**self.kept(), **{name: clock.show(at) for name, at in self._instants().items()}}

    def kept(self) -> dict[str, Any]:
        """As it is stored: the same, with its instants to the microsecond."""
        whole = {
            "endpoint": self.endpoint and ids.show("whe", self.endpoint),
            "status": self.status,
            "type": None if self.type == "*" else self.type,
            "subject": self.subject,
            "cause": self.cause,
            **{name: at.isoformat() for name, at in self._instants().items()},
        }
        return {name: value for name, value in whole.items() if value is not None}

    def _instants(self) -> dict[str, datetime]:
        instants = (self.told_from, self.told_to, self.died_from, self.died_to)
        return {name: at for name, at in zip(_INSTANTS, instants, strict=True) if at is not None}

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Self:
        """What `kept` keeps."""
        told_from, told_to, died_from, died_to = (
            datetime.fromisoformat(kept[name]) if name in kept else None for name in _INSTANTS
        )
        return cls(
            endpoint=ids.read("whe", kept["endpoint"]) if "endpoint" in kept else None,
            status=kept.get("status"),
            type=kept.get("type", "*"),
            subject=kept.get("subject"),
            cause=kept.get("cause"),
            told_from=told_from,
            told_to=told_to,
            died_from=died_from,
            died_to=died_to,
        )


def check(wanted: Filter) -> None:
    """Raises Invalid with all that is wrong: no bounds, a range that ends before it begins, dates of death of the living."""
    _ = wanted.about  # an id, or refused
    faults = _missing_faults(wanted) if wanted.status is None else _bound_faults(wanted)
    for begin, end, name in (
        (wanted.told_from, wanted.told_to, "to"),
        (wanted.died_from, wanted.died_to, "died_to"),
    ):
        if begin and end and end <= begin:
            faults.append(Fault(f"filter.{name}", "empty_range", "The range must end after it begins."))
    if (wanted.died_from or wanted.died_to) and not wanted.of_the_dead:
        detail = "Only dead letters have died; bound when the event was recorded with from and to."
        faults.append(Fault("filter.died_from" if wanted.died_from else "filter.died_to", "never_died", detail))
    if faults:
        raise Invalid(faults)


def _bound_faults(wanted: Filter) -> list[Fault]:
    if wanted.of_the_dead or wanted.endpoint or wanted.told_from:
        return []
    detail = "Name an endpoint or from when on; only dead letters can be asked for without either."
    return [Fault("filter.endpoint", "unbounded_filter", detail)]


def _missing_faults(wanted: Filter) -> list[Fault]:
    faults = []
    if wanted.endpoint is None:
        faults.append(Fault("filter.endpoint", "missing", "Events are missing at one endpoint; name it."))
    if wanted.told_from is None:
        faults.append(Fault("filter.from", "missing", "Say from when on events are to be looked for."))
    if wanted.cause is not None:
        detail = "What an endpoint never got was never tried, so no try of it failed; leave cause out."
        faults.append(Fault("filter.cause", "never_tried", detail))
    return faults
