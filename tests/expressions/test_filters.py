import sys
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.expressions import Held, Holds, HoldsNot, NotAnExpression, Operand, Undecided, compile_filter

EVENT: dict[str, Any] = {
    "type": "call.ended",
    "occurred_at": "2026-11-21T16:00:01.5Z",
    "call": None,
    "data": {"score": 51, "ratio": 50.5, "wait": "90s", "tags": ["hot", "west"], "scores": [1, None, 9], "none": None},
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.sampled_from("abcd"), inner, max_size=4)
    ),
    max_leaves=20,
)
EVENTS = st.dictionaries(st.sampled_from("abcd") | st.text(max_size=3), JSON, max_size=5)

OPERANDS = st.sampled_from(
    [
        "event.a",
        "event.b.c",
        "event['d']",
        "event.a[0]",
        "event",
        "1",
        "2.5",
        "-3",
        "'a'",
        "null",
        "true",
        "[1, 'a']",
        "{'a': 1}",
        "7u",
    ]
)
EXPRESSIONS = st.recursive(
    OPERANDS,
    lambda inner: st.one_of(
        st.builds("({}) {} ({})".format, inner, st.sampled_from("== != < <= > >= in && || + - * / %".split()), inner),
        st.builds(
            "{}({})".format, st.sampled_from("! size timestamp duration string int double dyn bool".split()), inner
        ),
        st.builds(
            "event.{}.{}(x, ({}) == x)".format,
            st.sampled_from("abc"),
            st.sampled_from(["exists", "all", "exists_one"]),
            inner,
        ),
        st.builds("({}) ? ({}) : ({})".format, inner, inner, inner),
        st.builds(
            "string({}).{}('a')".format, inner, st.sampled_from(["contains", "startsWith", "endsWith", "matches"])
        ),
        st.builds("({}).{}".format, inner, st.sampled_from(["a", "b[0]", "getHours()", "size()"])),
    ),
    max_leaves=6,
)


def held(text: str, event: dict[str, Any] = EVENT) -> Held:
    return compile_filter(text).holds(event)


def refusal_of(text: str) -> NotAnExpression | None:
    try:
        compile_filter(text)
    except NotAnExpression as refusal:
        return refusal
    return None


@pytest.mark.parametrize(
    "text",
    [
        "event.type == 'call.ended'",
        "event.data.score > 50 && event.data.score > 50.5 && event.data.score == 51.0 && event.data.score in [51.0]",
        "event.data.ratio > 50 && event.data.ratio < 50.75",
        "timestamp(event.occurred_at) > timestamp('2026-11-21T16:00:01Z')",
        "timestamp(event.occurred_at).getHours() == 16 && timestamp(event.occurred_at).getHours('-08:00') == 8",
        "duration(event.data.wait) > duration('1m')",
        "event.data.tags.exists(tag, tag == 'hot') && 'west' in event.data.tags && size(event.data.tags) == 2",
        "event.type.startsWith('call.') && event.type.matches('^call[.](ended|started)$')",
        "event.call == null && has(event.data.score) && !has(event.data.colour)",
        "event.data.colour == 'red' || event.data.score == 51",
    ],
)
def test_a_filter_holds_for_what_it_asks_for(text: str) -> None:
    assert held(text) == Holds()


@pytest.mark.parametrize(
    "text",
    [
        "event.colour == 'red'",
        "event.colour != 'red'",
        "event.data.colour.hue == 1",
        "event['colour'] == 'red'",
        "event.data.tags[2] == 'hot'",
        "has(event.call.id)",
        "event.call.id == 'x'",
        "event.call.id.part == 'x'",
        "event.data.none > 5",
        "event.data.none.startsWith('a')",
        "timestamp(event.data.none) > timestamp('2026-01-01T00:00:00Z')",
        "event.data.scores.exists(score, score > 9)",
        "event.data.none",
    ],
)
def test_what_the_event_lacks_does_not_hold(text: str) -> None:
    assert held(text) == HoldsNot()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("event.data.score > 'a'", "wrong_types"),
        ("event.data.score.x == 1", "wrong_types"),
        ("event.type.exists(letter, letter == 'c')", "wrong_types"),
        ("event.data.tags['a'] == 1", "wrong_types"),
        ("timestamp(event.type) > timestamp(event.occurred_at)", "not_readable"),
        ("int(event.type) == 1", "not_readable"),
        ("event.data.score / 0 == 1", "out_of_range"),
        ("event.data.score + 9223372036854775807 > 0", "out_of_range"),
        ("event.data.score", "not_a_condition"),
    ],
)
def test_what_cannot_be_answered_is_told_and_is_no_no(text: str, code: str) -> None:
    answer = held(text)

    assert isinstance(answer, Undecided)
    assert answer.code == code
    assert answer.why


def test_a_null_does_not_hide_a_wrong_type_elsewhere() -> None:
    assert isinstance(held("event.data.score > 'a'", EVENT | {"call": None}), Undecided)


def test_a_reason_never_quotes_the_event() -> None:
    secret = "+14155550123"

    for text in (
        "event.phone > 5",
        "timestamp(event.phone) == event.t",
        "event[event.phone] == event.m[event.phone]",
        "event.phone",
    ):
        assert secret not in repr(held(text, {"phone": secret, "t": 1, "m": {}}))
    assert secret not in repr(Operand({"phone": secret}))


@pytest.mark.parametrize("value", [2**64, "a\0b", "\ud800", {1: "a"}, {1, 2}, b"a"])
def test_an_event_that_is_no_json_is_undecided(value: object) -> None:
    answer = held("true", {"a": value})

    assert isinstance(answer, Undecided)
    assert answer.code == "not_json"


def test_a_text_may_speak_of_nul_without_holding_one() -> None:
    assert held(r"event.a == '\\u0000'", {"a": r"\u0000"}) == Holds()


def test_an_event_may_be_any_mapping_and_its_times_are_texts() -> None:
    event = MappingProxyType({"at": datetime(2026, 11, 21, tzinfo=UTC), "large": 2**63})

    assert compile_filter("timestamp(event.at).getDate() == 21 && event.large > 5").holds(event) == Holds()


def test_many_filters_ask_about_an_event_that_is_read_once() -> None:
    operand = Operand(EVENT)

    assert [
        compile_filter(text).holds(operand) for text in ("event.data.score > 50", "event.call.id == 'x'", "event.nope")
    ] == [
        Holds(),
        HoldsNot(),
        HoldsNot(),
    ]


def test_the_same_text_is_compiled_once() -> None:
    assert compile_filter("event.type == 'a'") is compile_filter("event.type == 'a'")


def test_asking_for_a_null_over_and_over_takes_nothing_from_none() -> None:
    asked = compile_filter("event.none")
    operand = Operand({"none": None})
    before = sys.getrefcount(None)

    for _ in range(5_000):
        asked.holds(operand)

    assert sys.getrefcount(None) > before - 1_000


@given(EXPRESSIONS | st.text())
@example("event.a\r== evnt")
def test_any_text_is_a_filter_or_is_refused_with_a_place(text: str) -> None:
    refused = refusal_of(text)

    assert refused is None or (refused.line >= 1 and refused.column >= 1 and refused.why in str(refused))


@given(EXPRESSIONS.filter(lambda text: refusal_of(text) is None), EVENTS)
@example("event.a.exists(event, event == 1)", {"a": [1]})
def test_any_event_gives_an_outcome_and_always_the_same(text: str, event: dict[str, Any]) -> None:
    asked = compile_filter(text)

    first = asked.holds(event)

    assert isinstance(first, Holds | HoldsNot | Undecided)
    assert asked.holds(Operand(event)) == first
