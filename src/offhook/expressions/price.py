"""What a filter costs at most, as a sum in the dimensions of an event.

The library evaluates while it holds the interpreter, cannot be interrupted, and counts turns of loops only, whatever is done
in each: within 2,000 characters one can write sixteen seconds of work over an event of 6 kB. So the work is bounded
beforehand, from the tree: every node is a step; whatever looks through a text or compares whole values costs by the length of
the longest text or of the whole event; a loop repeats what is in it for each element of the longest list. The elements of one
list are together no larger than the event, so looking at each of them costs what looking at the event does.

A step stands for about 0.1 µs, and eight bytes that are looked at cost as much.
"""

from dataclasses import dataclass, field

from offhook.expressions.tree import Call, Constant, Field, Listed, Loop, Name, Node

BUDGET_STEPS = 50_000
_BYTES_PER_STEP = 8
_COMPILING_A_PATTERN = 1_000
_CONVERTING = 5
_PER_LETTER_OF_A_PATTERN = 3  # looks at each byte, when its automaton has grown too large and is walked by hand
_NEEDLE_OF_THE_EVENT = 16  # the product of two lengths, which the budget keeps small enough for this factor

_COMPARES = frozenset(["_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"])
_SEARCHES = frozenset(["contains", "startsWith", "endsWith"])
_HANDS_ON = frozenset(["_?_:_", "_+_", "_[_]", "dyn", "string", "bytes"])
_LOOKS_AT_NOTHING = frozenset(["_&&_", "_||_", "!_", "_?_:_", "dyn", "type", "@not_strictly_false"])


@dataclass(frozen=True, slots=True)
class Dimensions:
    """How large an event is; each number may be too high and never too low."""

    size_bytes: int
    longest_list: int
    longest_text: int


USUAL = Dimensions(size_bytes=2_048, longest_list=50, longest_text=256)
"""A filter that is too dear for such an event is refused at creation."""


@dataclass(slots=True)
class _Work:
    steps: int = 0
    texts: int = 0
    wholes: int = 0

    def at(self, event: Dimensions) -> int:
        looked_at = self.texts * event.longest_text + self.wholes * event.size_bytes
        return self.steps + looked_at // _BYTES_PER_STEP


@dataclass(frozen=True, slots=True)
class Price:
    """The most that an expression can cost."""

    once: _Work = field(default_factory=_Work)
    each: _Work = field(default_factory=_Work)
    elements: int = 0
    longest_literal: int = 0

    def steps(self, event: Dimensions) -> int:
        """The steps that it takes at most at an event of these dimensions."""
        turns = max(event.longest_list, self.longest_literal)
        return self.once.at(event) + turns * self.each.at(event) + self.elements * event.size_bytes // _BYTES_PER_STEP


@dataclass(frozen=True, slots=True, order=True)
class _Size:
    """At most how large a value is: so many whole events, so many elements of a list of the event, so many letters written out."""

    events: int = 0
    elements: int = 0
    letters: int = 0

    def __add__(self, other: "_Size") -> "_Size":
        return _Size(self.events + other.events, self.elements + other.elements, self.letters + other.letters)


def price_of(tree: Node) -> Price:
    """The price of an expression that keeps the rules."""
    tally = _Tally()
    tally.visit(tree, {"event": _Size(events=1), ".event": _Size(events=1)})
    return Price(tally.once, tally.each, tally.elements, tally.longest_literal)


class _Tally:
    def __init__(self) -> None:
        self.once, self.each = _Work(), _Work()
        self.elements = 0
        self.longest_literal = 0
        self._turns = 0  # within a loop: how many of the longest lists it may go through

    def visit(self, node: Node, names: dict[str, _Size]) -> _Size:
        self._steps(1)
        match node:
            case Constant():
                return _Size(letters=node.length)
            case Name():
                return names.get(node.name, _Size())
            case Field():
                return self.visit(node.of, names)
            case Listed():
                return self._listed(node, names)
            case Call():
                return self._call(node, names)
            case Loop():
                return self._loop(node, names)
        raise AssertionError("the rules have refused messages")

    def _listed(self, node: Listed, names: dict[str, _Size]) -> _Size:
        self.longest_literal = max(self.longest_literal, len(node.values))
        keys = sum((self.visit(key, names) for key in node.keys), _Size())
        self._look(keys)
        return sum((self.visit(value, names) for value in node.values), keys)

    def _call(self, call: Call, names: dict[str, _Size]) -> _Size:
        sizes = [self.visit(argument, names) for argument in call.arguments]
        everything = sum(sizes, _Size())
        if call.function in _COMPARES:
            self._look(min(sizes), wholly=True)
        elif call.function == "@in":
            self._look(sizes[1], wholly=True)
        elif call.function == "_[_]":
            self._look(sizes[1])
        elif call.function in _SEARCHES:
            needle = sizes[1]
            self._look(everything, times=_NEEDLE_OF_THE_EVENT if needle.events or needle.elements else 1)
        elif call.function == "matches":
            self._steps(_COMPILING_A_PATTERN)
            self._look(sizes[0], times=_PER_LETTER_OF_A_PATTERN * max(1, sizes[1].letters))
        elif call.function not in _LOOKS_AT_NOTHING:
            self._steps(_CONVERTING)
            self._look(everything, wholly=call.function == "_+_")
        return everything if call.function in _HANDS_ON else _Size()

    def _loop(self, loop: Loop, names: dict[str, _Size]) -> _Size:
        over = self.visit(loop.over, names)
        self._turns = max(1, over.events)
        inside = names | {loop.variable: _Size(elements=1, letters=over.letters)}
        for step in loop.steps:
            self.visit(step, inside)
        self._turns = 0
        return self.visit(loop.result, names)

    def _steps(self, steps: int) -> None:
        if self._turns:
            self.each.steps += steps * self._turns
        else:
            self.once.steps += steps

    def _look(self, size: _Size, *, times: int = 1, wholly: bool = False) -> None:
        self._steps(size.letters * times // _BYTES_PER_STEP)
        work, events = (self.each, size.events * self._turns) if self._turns else (self.once, size.events)
        if wholly:
            work.wholes += events * times
        else:
            work.texts += events * times
        self.elements += size.elements * times * self._turns
