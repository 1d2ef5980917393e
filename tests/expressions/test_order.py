"""The order in which a filter's conditions are written makes no difference, whatever goes wrong with which of them."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.expressions.test_filters import EVENTS, EXPRESSIONS, refusal_of

from offhook.expressions import Held, Holds, HoldsNot, Undecided, compile_filter

EVENT: dict[str, Any] = {"transition": None, "data": {"amount": "12 USD", "score": 5}, "visitor": {}}


def held(text: str, event: dict[str, Any] = EVENT) -> Held:
    return compile_filter(text).holds(event)


CONDITIONS = st.sampled_from(
    [f"event.{place} {rest}" for place in "abcd" for rest in ("== 1", "> 5", "== null", "!= 'a'", ".a == true")]
    + ["event.a", "event.b[0]", "1 / event.c == 1", "has(event.a.b)", "event.d.exists(x, x > 1)", "dyn(2)", "true"]
)
LOGIC = st.recursive(
    CONDITIONS | EXPRESSIONS.map("dyn({})".format),
    lambda inner: st.tuples(st.sampled_from(["&&", "||", "!", "?"]), inner, inner, inner),
    max_leaves=5,
)


def written(logic: Any, *, mirrored: bool) -> str:
    if isinstance(logic, str):
        return logic
    operator, *parts = logic
    first, second, third = (written(part, mirrored=mirrored) for part in parts)
    if operator in "!?":
        return f"!({first})" if operator == "!" else f"(({first}) ? ({second}) : ({third}))"
    return f"(({second}) {operator} ({first}))" if mirrored else f"(({first}) {operator} ({second}))"


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("{} && {}", ("event.data.amount > 5", "event.transition == null")),
        ("{} || {}", ("event.visitor.utm == 'x'", "event.data.amount > 5")),
        ("!({} && {})", ("event.visitor.utm == 'x'", "event.data.amount > 5")),
        ("{} || event.type == 'x' || {}", ("event.visitor.utm == 'x'", "event.data.amount > 5")),
    ],
)
def test_what_nobody_can_judge_is_told_wherever_it_stands(text: str, is_told: tuple[str, str]) -> None:
    first, second = is_told

    assert isinstance(held(text.format(first, second)), Undecided)
    assert isinstance(held(text.format(second, first)), Undecided)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("event.data.score > 9 && event.data.amount > 5", HoldsNot()),
        ("event.data.score == 5 || event.data.amount > 5", Holds()),
        ("event.visitor.utm == 'x' || event.data.score == 5", Holds()),
        ("!(event.visitor.utm == 'x')", HoldsNot()),
        ("event.transition > 5 || event.visitor.utm == 'x'", HoldsNot()),
    ],
)
def test_what_settles_it_settles_it_whatever_else_goes_wrong(text: str, answer: Held) -> None:
    assert held(text) == answer


@given(LOGIC, EVENTS)
@example(("&&", "event.a > 5", "event.b == null", "true"), {"a": "x", "b": None})
@example(("||", "event.a > 5", ("&&", "event.b", "event.c", "true"), "true"), {"b": 1})
def test_what_is_written_the_other_way_round_says_the_same(logic: Any, event: dict[str, Any]) -> None:
    texts = [written(logic, mirrored=mirrored) for mirrored in (False, True)]
    if all(refusal_of(text) is None for text in texts):
        assert held(texts[0], event) == held(texts[1], event)
