"""Which places a filter may look at: what can be kept from somebody must be found before the filter is taken."""

from typing import Any

import pytest
from hypothesis import assume, given
from tests.expressions.test_filters import EVENTS, EXPRESSIONS, refusal_of

from offhook.expressions import Operand, compile_filter

WHOLE: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("true", set()),
        ("event.call.caller_id.startsWith('+1')", {("call", "caller_id")}),
        ("event['call']['caller_id'] == 'x'", {("call", "caller_id")}),
        ("has(event.call.caller_id)", {("call", "caller_id")}),
        ("event.data.tags[0] == 'hot' && event.type == 'a'", {("data", "tags"), ("type",)}),
        ("event[event.type] == 'a'", {WHOLE, ("type",)}),
        ("(event.a ? event.call : event.data).caller_id == 'x'", {("a",), ("call",), ("data",)}),
        ("dyn(event).call.caller_id == 'x'", {WHOLE}),
        ("event.call.exists(key, event.call[key] == 'x')", {("call",)}),
        ("['caller_id'].exists(key, event.call[key] == 'x')", {("call",)}),
        ("[dyn(1)].exists(event, event.call == 1)", set()),
        ("[1].exists(event, .event.call.mode == 1)", {("call", "mode")}),
        ("{'a': event.call}.a.caller_id == 'x'", {("call",)}),
    ],
)
def test_a_filter_names_every_place_that_it_may_look_at(text: str, places: set[tuple[str, ...]]) -> None:
    assert compile_filter(text).places == places


def keep(event: Any, places: frozenset[tuple[str, ...]]) -> dict[str, Any]:
    """The event with nothing in it but these places."""
    if WHOLE in places:
        return dict(event)
    firsts = {place[0] for place in places if place[0] in event}
    inner = {name: frozenset(place[1:] for place in places if place[0] == name) for name in firsts}
    return {name: keep(value, inner[name]) if isinstance(value := event[name], dict) else value for name in firsts}


@given(EXPRESSIONS.filter(lambda text: refusal_of(text) is None), EVENTS)
def test_nothing_but_these_places_makes_a_difference(text: str, event: dict[str, Any]) -> None:
    assume(Operand(event).readable)
    asked = compile_filter(text)

    assert type(asked.holds(keep(event, asked.places))) is type(asked.holds(event))
