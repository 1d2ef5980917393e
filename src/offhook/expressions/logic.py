"""An expression as the logic of its conditions, each of which can be asked by itself. Pure.

The library tells one error of an expression, the first that it meets, and an event that lacks something may hide from it
a value that nobody can judge, or the other way round. So where an expression has no answer, its conditions are weighed
one by one: what nobody can judge goes before what is lacking, in whatever order they were written.
"""

from collections.abc import Callable
from dataclasses import dataclass

from offhook.expressions.held import Answer, Doubt, Holds, HoldsNot, Lacks, Undecided
from offhook.expressions.tree import parts_of_call, repacked, unpacked


@dataclass(frozen=True, slots=True)
class Part:
    """A condition that is no logic of others, packed as the whole expression was."""

    packed: bytes


@dataclass(frozen=True, slots=True)
class Joined:
    """`left && right`, or `left || right`: what `settles` it does so whatever the other one is."""

    settles: Holds | HoldsNot
    left: "Logic"
    right: "Logic"


@dataclass(frozen=True, slots=True)
class Opposite:
    """`!of`"""

    of: "Logic"


@dataclass(frozen=True, slots=True)
class Choice:
    """`by ? then : otherwise`"""

    by: "Logic"
    then: "Logic"
    otherwise: "Logic"


Logic = Part | Joined | Opposite | Choice


def read_logic(serialized: bytes) -> Logic:
    """The logic of a checked expression that was packed as `google.protobuf.Any`."""
    return _read(unpacked(serialized))


def _read(message: bytes) -> Logic:
    function, arguments = parts_of_call(message)
    match function, [_read(one) for one in arguments] if function in _LOGIC else []:
        case "_&&_", [left, right]:
            return Joined(HoldsNot(), left, right)
        case "_||_", [left, right]:
            return Joined(Holds(), left, right)
        case "!_", [of]:
            return Opposite(of)
        case "_?_:_", [by, then, otherwise]:
            return Choice(by, then, otherwise)
    return Part(repacked(message))


_LOGIC = frozenset(["_&&_", "_||_", "!_", "_?_:_"])


def weigh(logic: Logic, ask: Callable[[Part], Answer]) -> Answer:
    """What the whole says when each of its conditions is asked so; it may be answered though the library had no answer."""
    match logic:
        case Part():
            return ask(logic)
        case Joined(settles, left, right):
            both = [_truth(weigh(left, ask)), _truth(weigh(right, ask))]
            return settles if settles in both else max(both, key=_weight)
        case Opposite(of):
            return _opposite(_truth(weigh(of, ask)))
        case Choice(by, then, otherwise):
            chosen = _truth(weigh(by, ask))
            if isinstance(chosen, Holds | HoldsNot):
                return weigh(then if isinstance(chosen, Holds) else otherwise, ask)
            return chosen


def _truth(answer: Answer) -> Answer:
    """The answer of a condition that others are joined to, which a number cannot be."""
    return Undecided(Doubt.WRONG_TYPES) if answer == Undecided(Doubt.NOT_A_CONDITION) else answer


def _opposite(answer: Answer) -> Answer:
    match answer:
        case Holds():
            return HoldsNot()
        case HoldsNot():
            return Holds()
    return answer


def _weight(answer: Answer) -> tuple[int, str]:
    match answer:
        case Undecided(code):
            return 2, code
        case Lacks():
            return 1, ""
    return 0, ""
