"""What an expression may cost. The figures that these rules keep it to stand in decision 12."""

from typing import Any

import pytest

from offhook.expressions import Holds, NotAnExpression, Undecided, compile_filter
from offhook.expressions.price import BUDGET_STEPS, USUAL, Dimensions, price_of
from offhook.expressions.runtime import Condition

SMALL = Dimensions(size_bytes=600, longest_list=10, longest_text=60)


def steps(text: str, event: Dimensions = SMALL) -> int:
    return price_of(Condition(text).tree()).steps(event)


@pytest.mark.parametrize(
    "text",
    [
        "event.list.all(x, " + " && ".join(["event == event"] * 100) + ")",
        "event.list.all(x, " + " && ".join(["!(2 in event.list)"] * 80) + ")",
        "event.list.all(x, " + " && ".join(["!event.text.contains(event.type)"] * 50) + ")",
        "event.list.all(x, " + " && ".join(["(event.list + event.list).size() > 0"] * 40) + ")",
        "[event, event, event, event].all(x, " + " && ".join(["x == x"] * 190) + ")",
    ],
)
def test_an_expression_that_would_take_seconds_is_refused(text: str) -> None:
    assert len(text) <= 2_000

    with pytest.raises(NotAnExpression, match="cost too much"):
        compile_filter(text)


@pytest.mark.parametrize(
    "event",
    [
        {"list": list(range(3_000))},
        {"list": [["a"] * 200] * 80},
        {"list": ["a"] * 20_000},
        {"list": ["a" * 300_000]},
    ],
)
def test_an_event_that_is_too_large_for_its_filter_is_undecided(event: dict[str, Any]) -> None:
    asked = compile_filter("event.list.all(x, event.list == event.list)")

    answer = asked.holds(event)

    assert isinstance(answer, Undecided)
    assert answer.code == "too_much_work"


def test_a_large_event_is_no_trouble_to_a_cheap_filter() -> None:
    event = {"type": "call.ended", "transcript": "and then, he said, " * 8_000, "words": list(range(5_000))}

    assert compile_filter("event.type == 'call.ended' && event.words.exists(x, x == 4999)").holds(event) == Holds()


def test_commas_in_a_text_make_no_list() -> None:
    event = {"text": "a,b," * 10_000, "tags": ["a", "b"]}

    assert (
        compile_filter("event.tags.exists(tag, tag == 'b' && tag != event.none || tag == 'b')").holds(event) == Holds()
    )


def test_two_lists_may_be_asked_for_what_they_share() -> None:
    asked = compile_filter("event.tags.exists(tag, tag in event.wanted)")

    assert asked.holds({"tags": ["a", "b"] * 10, "wanted": ["c", "b"] * 10, "text": "x" * 5_000}) == Holds()


def test_what_people_ask_for_costs_a_fraction_of_the_budget() -> None:
    usual = "event.type in ['call.ended', 'call.started'] && event.data.score > 50 && event.data.tags.exists(t, t == event.data.tag)"

    assert steps(usual, USUAL) < BUDGET_STEPS / 10


@pytest.mark.parametrize(
    ("cheaper", "dearer"),
    [
        ("event.a == 'x'", "event.a == event.b"),
        ("event.a.contains('x') && event.b.contains('x')", "event.a.contains(event.b)"),
        ("event.a.matches('x')", "event.a.matches('xxxx')"),
        ("event.a.exists(x, x == event.b)", "event.a.exists(x, event.b == event.b)"),
        ("[] == event.a + event.a || event.a.exists(x, x != event)", "(event.a + event.a).exists(x, x != event)"),
        ("event.a.exists(x, x == 1)", "event.a.exists(x, x == 1 || x == 2)"),
        (
            "event.a.exists(x, 'b'.contains(x))",
            "event.a.exists(x, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'.contains(x))",
        ),
        ("event.a[event.b] == 1", "event.a[{event.b: event.b}] == 1"),
        ("[1].exists(x, x == 1)", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14].exists(x, x == 1)"),
    ],
)
def test_more_work_has_a_higher_price(cheaper: str, dearer: str) -> None:
    assert steps(cheaper) < steps(dearer)


@pytest.mark.parametrize("larger", [Dimensions(1_200, 10, 60), Dimensions(600, 20, 60), Dimensions(600, 10, 120)])
def test_a_larger_event_has_a_higher_price(larger: Dimensions) -> None:
    text = "event.a.exists(x, x == event.b && event.c.contains('d'))"

    assert steps(text, larger) > steps(text, SMALL)


def test_a_variable_that_is_named_like_the_event_does_not_make_the_event_cheap() -> None:
    assert steps("[1].exists(event, .event == .event)") == steps("[1].exists(x, event == event)")
