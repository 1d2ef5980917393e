"""The library that reads and evaluates CEL. Nobody else knows it; its errors stay here, for they quote the event.

Two of its habits shape this file. Each null that it hands out takes a reference from `None` that is not its own, until the
interpreter dies: only the value of a bool is ever asked for. And an error is a value, whose text begins with its kind.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]  # it brings stubs, and no mark that says so

from offhook.expressions.held import Answer, Doubt, Holds, HoldsNot, Lacks, Undecided
from offhook.expressions.logic import Logic, Part, read_logic
from offhook.expressions.refusal import NotAnExpression, refused_at
from offhook.expressions.tree import Node, read_tree

_ENVIRONMENT = cel.NewEnv(variables={"event": cel.Type.DYN})
_PATTERNS = cel.NewEnv(variables={"pattern": cel.Type.STRING}).compile("''.matches(pattern)")
_CONDITIONS = (cel.Type.BOOL, cel.Type.DYN)

_LACKING = re.compile(r"NOT_FOUND: Key not found|UNKNOWN: Index error: index=")
_DOUBTS = (
    (Doubt.WRONG_TYPES, re.compile(r"UNKNOWN: No matching overloads|UNKNOWN: Index error")),
    (Doubt.WRONG_TYPES, re.compile(r"INVALID_ARGUMENT: (Applying SELECT|Invalid container type|Invalid map key type)")),
    (Doubt.OUT_OF_RANGE, re.compile(r"OUT_OF_RANGE|INVALID_ARGUMENT: (divide|modulus) by zero")),
    (
        Doubt.NOT_READABLE,
        re.compile(r"INVALID_ARGUMENT: ([Cc]annot convert|String to|Type conversion|malformed UTF-8)"),
    ),
    (Doubt.TOO_MUCH_WORK, re.compile(r"INTERNAL: Iteration budget")),
)

_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_MISFIT = re.compile(r"found no matching overload for '([^']*)' applied to '\((.*)\)'")
_MISPLACED = re.compile(r"Syntax error: (?:token recognition error at: |.*? input )'(.*?)'(?: expecting.*)?$")


class Binding:
    """An event in the library's own form, which it is brought into once, when it is first asked about."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self.activation = _ENVIRONMENT.Activation({"event": event})


class Condition:
    """A compiled expression."""

    def __init__(self, text: str) -> None:
        """Raises NotAnExpression."""
        try:
            self._compiled = _ENVIRONMENT.compile(text)
        except Exception as failure:
            raise _refusal(text, str(failure)) from None
        self._parts: dict[Part, Any] = {}
        answer = self._compiled.return_type()
        if answer not in _CONDITIONS:
            raise refused_at(text, 0, f"a filter answers true or false; the answer of this is {answer.name().lower()}")

    @cached_property
    def logic(self) -> Logic:
        """How it is made of conditions."""
        return read_logic(self._compiled.serialize())

    def ask_part(self, part: Part, event: Binding) -> Answer:
        """What that condition of it says of the event. Never raises."""
        compiled = self._parts.get(part)
        if compiled is None:
            compiled = self._parts[part] = _ENVIRONMENT.deserialize(part.packed)
        return _ask(compiled, event)

    def tree(self) -> Node:
        """What it is made of."""
        return read_tree(self._compiled.serialize())

    def ask(self, event: Binding) -> Answer:
        """What the library says of the event: of several errors the first that it met. Never raises."""
        return _ask(self._compiled, event)


def is_pattern(text: str) -> bool:
    """Whether it is a regular expression."""
    return bool(_PATTERNS.eval(data={"pattern": text}).type() == cel.Type.BOOL)


def _ask(compiled: Any, event: Binding) -> Answer:
    try:
        answer = compiled.eval(event.activation)
        if answer.type() == cel.Type.BOOL:
            return Holds() if answer.value() else HoldsNot()
        if answer.type() == cel.Type.NULL:
            return Lacks()
        return _read(str(answer.value())) if answer.type() == cel.Type.ERROR else Undecided(Doubt.NOT_A_CONDITION)
    except Exception as failure:
        return _read(str(failure))


def _read(failure: str) -> Answer:
    if _LACKING.match(failure):
        return Lacks()
    return Undecided(next((doubt for doubt, pattern in _DOUBTS if pattern.match(failure)), Doubt.UNEXPECTED))


def _refusal(text: str, failure: str) -> NotAnExpression:
    if "recursion" in failure:
        return refused_at(text, 0, "it is nested too deeply")
    place = _PLACE.search(failure)
    if place is None:
        return refused_at(text, 0, "this is not CEL")
    line, column, complaint = int(place[1]), int(place[2]), place[3]
    undeclared = _UNDECLARED.match(complaint)
    if undeclared is None:
        return NotAnExpression(text, line=line, column=column, why=_in_words(complaint))
    name = undeclared[1].split(".")[0]
    starts = text.split("\n")[line - 1].rfind(name, 0, column - 1 + len(name)) + 1
    return NotAnExpression(
        text, line=line, column=starts or column, why=f"there is no {name} here; a filter asks about `event`"
    )


def _in_words(complaint: str) -> str:
    if "<EOF>' expecting" in complaint:
        return "the expression is not finished"
    if misfit := _MISFIT.match(complaint):
        return f"{misfit[1].replace('_', ' ').strip()} does not go with ({misfit[2]})"
    if misplaced := _MISPLACED.match(complaint):
        what = misplaced[1].strip()
        return "to compare, write ==" if what == "=" else f"{what or 'this'} cannot stand here"
    return complaint.removeprefix("Syntax error: ")
