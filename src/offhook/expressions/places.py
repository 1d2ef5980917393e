"""Which places of an event an expression may look at, found out before there is an event."""

from offhook.expressions.tree import Call, Constant, Field, Listed, Loop, Name, Node

Place = tuple[str, ...]
"""The names that lead to it; none for the event as a whole."""

_ROOTS = frozenset(["event", ".event"])


def places_of(tree: Node) -> frozenset[Place]:
    """Every place whose value, whole or in part, may decide the answer of an expression that keeps the rules.

    What is not written out, such as `event[event.type]` or a place chosen by a condition, is taken for all that it may be.
    """
    return frozenset(_visit(tree, frozenset()))


def _visit(node: Node, bound: frozenset[str]) -> set[Place]:
    """`bound`: the variables of loops, whose elements belong to what is looped over."""
    if (place := _path(node, bound)) is not None:
        return {place}
    match node:
        case Field():
            parts: tuple[Node, ...] = (node.of,)
        case Call():
            parts = node.arguments
        case Listed():
            parts = (*node.keys, *node.values)
        case Loop():
            within = bound | {node.variable}
            steps = [place for part in (*node.steps, node.result) for place in _visit(part, within)]
            return _visit(node.over, bound) | set(steps)
        case _:
            return set()
    return {place for part in parts for place in _visit(part, bound)}


def _path(node: Node, bound: frozenset[str]) -> Place | None:
    """The place that a chain of names written out leads to; None when it is no such chain from the event."""
    match node:
        case Name(name=name) if name in _ROOTS - bound:
            return ()
        case Field(of=of, name=name):
            inside = _path(of, bound)
        case Call(function="_[_]", arguments=(of, Constant(is_text=True, text=name))):
            inside = _path(of, bound)
        case _:
            return None
    return None if inside is None else (*inside, name)
