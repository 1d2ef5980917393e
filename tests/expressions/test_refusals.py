import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.expressions import NotAnExpression, compile_filter


def refusal(text: str) -> NotAnExpression:
    with pytest.raises(NotAnExpression) as caught:
        compile_filter(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "column", "why"),
    [
        ("", 1, 1, "not finished"),
        ("event.type ==", 1, 14, "not finished"),
        ("event.type = 'a'", 1, 12, "write =="),
        ("event.type == 'a' 'b'", 1, 19, "'b' cannot stand here"),
        ("event.type == 'a' &&\n  evnt.colour == 'b'", 2, 3, "there is no evnt here"),
        ("event.type.shout() == 'A'", 1, 12, "there is no shout here"),
        ("1 == 'a'", 1, 3, "== does not go with (int, string)"),
        ("event.type == 'é😀' && evnt", 1, 23, "there is no evnt here"),
        ("1 + 1", 1, 1, "answers true or false"),
        ("event.a\0", 1, 8, "control characters such as U+0000"),
        ("event.a == '\ud800'", 1, 13, "U+D800"),
        ("!" + "(" * 60 + "true" + ")" * 60, 1, 1, "nested too deeply"),
        ("event" + ".a" * 60, 1, 1, "nested too deeply"),
        ("{1: 1, 1: 2}[1] == 1", 1, 1, "fails whatever the event is"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place_in_plain_words(
    text: str, line: int, column: int, why: str
) -> None:
    refused = refusal(text)

    assert (refused.line, refused.column) == (line, column)
    assert why in refused.why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("event.a.map(x, x)[0] == 1", "builds no lists"),
        ("event.a.filter(x, x > 1).size() > 1", "builds no lists"),
        ("event.a.exists(x, event.b.all(y, x == y))", "within one another"),
        ("event.a.exists(x, x.matches('a'))", "within exists, all or exists_one"),
        ("event.a.matches(event.b)", "written out"),
        ("event.a.matches('(')", "not a regular expression"),
        ("event.a.matches('a{3}')", "no counted repetition"),
        (r"event.a.matches('\\pL')", "no counted repetition"),
        ("event.a.matches('" + "a" * 60 + "') || event.a.matches('" + "a" * 60 + "')", "at most 100 characters"),
        ("timestamp(event.a).getHours('America/New_York') == 1", "time zone"),
        ("timestamp(event.a).getHours('/dev/stdin') == 1", "time zone"),
        ("timestamp(event.a).getHours(event.zone) == 1", "time zone"),
        ("google.protobuf.Int64Value{value: 1} == 1", "no messages"),
    ],
)
def test_what_a_filter_may_not_do_is_refused(text: str, why: str) -> None:
    assert why in refusal(text).why


def test_a_filter_has_two_thousand_characters_at_most() -> None:
    fits = "event.a == '" + "x" * 1_987 + "'"

    assert len(compile_filter(fits).text) == 2_000
    assert "at most 2000 characters" in refusal(fits + " ").why


def test_a_refusal_shows_its_place_under_the_line() -> None:
    assert str(refusal("event.type == 'a' &&\n  evnt.b")) == (
        "line 2, column 3: there is no evnt here; a filter asks about `event`\n    evnt.b\n    ^"
    )


@given(st.integers(0, 120), st.integers(0, 120))
def test_a_long_line_is_cut_and_the_caret_stays_under_the_place(before: int, after: int) -> None:
    text = "true" + " && true" * before + " && evnt" + " && true" * after

    _, piece, caret = str(refusal(text)).split("\n")

    assert len(piece) <= 82
    assert piece[len(caret) - 1 :].startswith("evnt")
