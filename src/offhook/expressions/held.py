"""What became of asking a filter about an event."""

from dataclasses import dataclass
from enum import StrEnum


class Doubt(StrEnum):
    """Why a filter could not answer; stable, to count by."""

    WRONG_TYPES = "wrong_types"
    NOT_READABLE = "not_readable"
    OUT_OF_RANGE = "out_of_range"
    TOO_MUCH_WORK = "too_much_work"
    NOT_JSON = "not_json"
    NOT_A_CONDITION = "not_a_condition"
    UNEXPECTED = "unexpected"


_WORDS = {
    Doubt.WRONG_TYPES: "an operator met a value of a type that it cannot take, such as a text compared with a number",
    Doubt.NOT_READABLE: "a value could not be converted, such as a text that should be a timestamp",
    Doubt.OUT_OF_RANGE: "a calculation has no result: it overflowed or divided by zero",
    Doubt.TOO_MUCH_WORK: "the event is too large for what the filter asks of it",
    Doubt.NOT_JSON: "the event holds what an expression cannot read: a key that is no text, a broken text, a number past 64 bits",
    Doubt.NOT_A_CONDITION: "the filter answered with a value that is neither true nor false",
    Doubt.UNEXPECTED: "the filter failed at this event in an unforeseen way",
}


@dataclass(frozen=True, slots=True)
class Holds:
    """The event is what the filter asks for."""


@dataclass(frozen=True, slots=True)
class HoldsNot:
    """It is not, or it lacks what the filter asks about."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """Nobody knows. `code` is stable for machines; neither it nor `why` ever quotes the event."""

    code: Doubt

    @property
    def why(self) -> str:
        """The reason in plain words."""
        return _WORDS[self.code]


@dataclass(frozen=True, slots=True)
class Lacks:
    """The event lacks what a condition asks about. Of a whole filter that is `HoldsNot`."""


Held = Holds | HoldsNot | Undecided
Answer = Held | Lacks
"""What became of asking one condition of a filter."""
