"""Filters: an expression that was found fit, and what it says of an event."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any
from unicodedata import category

from offhook.expressions import price, rules
from offhook.expressions.held import Answer, Doubt, Held, HoldsNot, Lacks, Undecided
from offhook.expressions.logic import Part, weigh
from offhook.expressions.operand import Operand
from offhook.expressions.places import Place, places_of
from offhook.expressions.refusal import refused_at
from offhook.expressions.runtime import Condition, is_pattern

LONGEST_TEXT = 2_000
_KEPT = 1_024
_WRONG_TYPES = Undecided(Doubt.WRONG_TYPES)
_TOO_MUCH_WORK = Undecided(Doubt.TOO_MUCH_WORK)


@dataclass(frozen=True, slots=True)
class Filter:
    """An expression that answers true or false about an event. Equal texts are equal filters.

    `places` are those of the event that its answer may depend on, each by the names that lead to it.
    """

    text: str
    places: frozenset[Place] = field(repr=False, compare=False)
    _condition: Condition = field(repr=False, compare=False)
    _price: price.Price = field(repr=False, compare=False)

    def holds(self, event: Mapping[str, Any] | Operand) -> Held:
        """Whether the event is what the filter asks for; the same answer for the same event, and never an exception.

        Ask several filters about one `Operand`: it is read once. At most some milliseconds; the interpreter waits meanwhile.
        """
        operand = event if isinstance(event, Operand) else Operand(event)
        if not operand.readable:
            return Undecided(Doubt.NOT_JSON)
        if operand.too_large or not self._affords(operand):
            return _TOO_MUCH_WORK
        held = self._condition.ask(operand.bound)
        if isinstance(held, Lacks | Undecided):
            match self._condition.logic:
                case Part() as alone:
                    held = self._judge(operand, alone, held)
                case logic:
                    held = weigh(logic, partial(self._ask, operand))
        return HoldsNot() if isinstance(held, Lacks) else held

    def _affords(self, operand: Operand) -> bool:
        return (
            self._price.steps(operand.at_most) <= price.BUDGET_STEPS
            or self._price.steps(operand.dimensions) <= price.BUDGET_STEPS
        )

    def _ask(self, operand: Operand, part: Part) -> Answer:
        return self._judge(operand, part, self._condition.ask_part(part, operand.bound))

    def _judge(self, operand: Operand, part: Part, answer: Answer) -> Answer:
        # The library does not tell a null among wrong types. Where the nulls were the reason, it goes on without them.
        if answer != _WRONG_TYPES or (without := operand.bound_without_nulls) is None:
            return answer
        return answer if self._condition.ask_part(part, without) == _WRONG_TYPES else Lacks()


@lru_cache(maxsize=_KEPT)
def compile_filter(text: str) -> Filter:
    """The filter that the text is; the same object for a text that was compiled lately.

    Raises NotAnExpression when it is longer than 2,000 characters, is not CEL, names what is not there, answers something
    else than true or false, or would cost too much.
    """
    _check_letters(text)
    condition = Condition(text)
    tree = condition.tree()
    for pattern in rules.check(text, tree):
        if not is_pattern(pattern.text):
            raise refused_at(text, pattern.offset, "this is not a regular expression in the syntax of RE2")
    cost = price.price_of(tree)
    if cost.steps(price.USUAL) > price.BUDGET_STEPS:
        raise refused_at(text, 0, "it would cost too much; compare fewer whole values or write shorter patterns")
    made = Filter(text, places_of(tree), condition, cost)
    if made.holds({}) in (Undecided(Doubt.UNEXPECTED), _TOO_MUCH_WORK):
        raise refused_at(text, 0, "it fails whatever the event is")
    return made


def _check_letters(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise refused_at(
            text, LONGEST_TEXT, f"a filter has at most {LONGEST_TEXT} characters, and this text has {len(text)}"
        )
    for offset, letter in enumerate(text):
        if category(letter) in ("Cc", "Cs") and letter not in "\t\r\n":
            raise refused_at(text, offset, f"a filter has no control characters such as U+{ord(letter):04X}")
