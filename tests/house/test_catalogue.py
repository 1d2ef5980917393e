"""The published language: every event type says what it means, shows an example, and is told by somebody."""

import ast
import inspect

import orjson
import pytest
from tests.house.source import sources

from offhook.events.fact import Fact, data_fields
from offhook.events.types import every_type

FACTS = list(every_type().values())


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.type)
def test_an_event_type_says_when_it_happens_and_shows_an_example(fact: type[Fact]) -> None:
    said = inspect.cleandoc(fact.__dict__.get("__doc__") or "")

    assert said.endswith(".")
    assert not said.startswith(f"{fact.__name__}(")
    assert set(fact.example) == set(data_fields(fact))
    assert orjson.dumps(fact.example)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.type)
def test_an_example_is_a_fact_that_could_have_happened(fact: type[Fact]) -> None:
    hints = {name: field.type for name, field in fact.__dataclass_fields__.items()}

    empty = {name for name, value in fact.example.items() if value is None and "None" not in str(hints[name])}

    assert empty == set()


def test_every_event_type_is_told_by_somebody() -> None:
    told = {
        name
        for source in sources()
        if source.name != "wiring.py"  # which says what a fact sets off, and tells none
        for statement in source.tree.body
        if not (source.name.startswith("events/catalogue/") and isinstance(statement, ast.ClassDef))
        for node in ast.walk(statement)
        for name in (getattr(node, "id", None), getattr(node, "attr", None))
    }

    assert {fact.type for fact in FACTS if fact.__name__ not in told} == set()


def test_an_event_types_name_is_its_subject_and_what_happened() -> None:
    assert {fact.type for fact in FACTS if fact.type != fact.type.lower() or fact.type.count(".") != 1} == set()
