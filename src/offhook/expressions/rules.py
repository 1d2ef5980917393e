"""What a filter may say of all that CEL can: the part whose cost can be known before it is asked."""

import re

from offhook.expressions.refusal import refused_at
from offhook.expressions.tree import Call, Constant, Field, Listed, Loop, Message, Node

LONGEST_PATTERNS = 100
"""How many characters the patterns of one filter have together."""

_OPERATORS = frozenset(
    "_&&_ _||_ !_ _?_:_ _==_ _!=_ _<_ _<=_ _>_ _>=_ @in _+_ _-_ _*_ _/_ _%_ -_ _[_] @not_strictly_false".split()
)
_TEXT = frozenset(["contains", "startsWith", "endsWith", "matches", "size"])
_CONVERSIONS = frozenset(["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"])
_CALENDAR = frozenset(
    f"get{part}"
    for part in "Date DayOfMonth DayOfWeek DayOfYear FullYear Hours Milliseconds Minutes Month Seconds".split()
)
_FUNCTIONS = _OPERATORS | _TEXT | _CONVERSIONS | _CALENDAR
_OFFSET = re.compile(r"UTC|[+-][0-9]{2}:[0-9]{2}")
_COSTLY = re.compile(r"\{|\\[pP]")


def check(text: str, tree: Node) -> list[Constant]:
    """The patterns that stand in the expression.

    Raises NotAnExpression at the first place that a filter may not have.
    """
    patterns = list(_patterns(text, tree, looped=False))
    if sum(len(pattern.text) for pattern in patterns) > LONGEST_PATTERNS:
        why = f"the patterns of a filter have at most {LONGEST_PATTERNS} characters together"
        raise refused_at(text, patterns[-1].offset, why)
    return patterns


def _patterns(text: str, node: Node, *, looped: bool) -> list[Constant]:
    found = []
    match node:
        case Message():
            raise refused_at(text, node.offset, "a filter has no messages; write a map, such as {'a': 1}")
        case Loop():
            _check_loop(text, node, looped=looped)
        case Call():
            found = _check_call(text, node, looped=looped)
    for part, in_loop in _parts(node):
        found += _patterns(text, part, looped=looped or in_loop)
    return found


def _check_loop(text: str, loop: Loop, *, looped: bool) -> None:
    if loop.builds:
        raise refused_at(text, loop.offset, "a filter builds no lists; ask with exists, all or exists_one")
    if looped:
        raise refused_at(text, loop.offset, "exists, all and exists_one do not stand within one another")


def _check_call(text: str, call: Call, *, looped: bool) -> list[Constant]:
    if call.function not in _FUNCTIONS:
        raise refused_at(text, call.offset, f"a filter does not know the function {call.function}")
    if call.function == "matches":
        return [_pattern(text, call, looped=looped)]
    if call.function in _CALENDAR and len(call.arguments) > 1:
        _check_zone(text, call.arguments[1])
    return []


def _pattern(text: str, call: Call, *, looped: bool) -> Constant:
    pattern = call.arguments[1]
    if not isinstance(pattern, Constant):
        raise refused_at(text, pattern.offset, "the pattern of matches is written out, it does not come from the event")
    if looped:
        raise refused_at(
            text, call.offset, "matches does not stand within exists, all or exists_one; try contains or startsWith"
        )
    if _COSTLY.search(pattern.text):
        raise refused_at(
            text, pattern.offset, "a pattern has no counted repetition such as {3} and no class such as \\pL"
        )
    return pattern


def _check_zone(text: str, zone: Node) -> None:
    # The library looks a zone's name up as a file, which may be any file, and in whatever rules the machine happens to have.
    if not (isinstance(zone, Constant) and _OFFSET.fullmatch(zone.text)):
        raise refused_at(text, zone.offset, "a time zone is written as 'UTC' or as an offset such as '-08:00'")


def _parts(node: Node) -> list[tuple[Node, bool]]:
    """What a node is made of, and whether it is done again for each element."""
    match node:
        case Field():
            return [(node.of, False)]
        case Call():
            return [(argument, False) for argument in node.arguments]
        case Listed():
            return [(part, False) for part in (*node.keys, *node.values)]
        case Loop():
            return [(node.over, False), *((step, True) for step in node.steps), (node.result, False)]
    return []
