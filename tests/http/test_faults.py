from datetime import datetime
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from offhook.errors import Fault, Invalid
from offhook.http import Wire

SECRET = "Michael-13125550199"


def _never(value: str) -> str:
    raise ValueError(f"{value} is wrong")


def _ours(value: str) -> str:
    raise PydanticCustomError("no_such_cadence", "There is no such cadence.")


class Email(Wire):
    kind: Literal["email"]
    address: str


class Sms(Wire):
    kind: Literal["sms"]
    number: Annotated[str, StringConstraints(pattern=r"^\+\d+$")]


class Everything(Wire):
    count: Annotated[int, Field(ge=0, lt=10)] = 0
    mode: Literal["ai_only", "ai_first"] = "ai_only"
    at: datetime | None = None
    tags: Annotated[list[Annotated[str, StringConstraints(max_length=3)]], Field(max_length=2)] = []
    channel: Annotated[Email | Sms, Field(discriminator="kind")] | None = None
    named: dict[str, int] = {}
    careless: Annotated[str, AfterValidator(_never)] | None = None
    careful: Annotated[str, AfterValidator(_ours)] | None = None


@pytest.mark.parametrize(
    ("sent", "param", "code"),
    [
        ({"count": 10}, "count", "out_of_range"),
        ({"count": 1.5}, "count", "wrong_type"),
        ({"count": "x"}, "count", "wrong_type"),
        ({"mode": SECRET}, "mode", "not_one_of"),
        ({"at": SECRET}, "at", "wrong_type"),
        ({"tags": ["abcd"]}, "tags.0", "too_long"),
        ({"tags": ["a"] * 3}, "tags", "too_long"),
        ({"channel": {"kind": "sms", "number": SECRET}}, "channel.number", "bad_format"),
        ({"channel": {"kind": "sms", "numbr": "+1", "number": "+1"}}, "channel.numbr", "unknown_field"),
        ({"channel": {"kind": SECRET}}, "channel", "not_one_of"),
        ({"channel": {}}, "channel", "missing"),
        ({"named": {SECRET: "x"}}, "named.(a key)", "wrong_type"),
        ({"+13125550199": "x"}, "(a key)", "unknown_field"),
        ({"careless": SECRET}, "careless", "invalid"),
        ({"careful": SECRET}, "careful", "no_such_cadence"),
        (SECRET, "body", "wrong_type"),
    ],
)
def test_each_fault_has_its_place_and_code(sent: Any, param: str, code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        Everything.read(sent)

    assert [(fault.param, fault.code) for fault in refusal.value.faults] == [(param, code)]
    assert SECRET not in str(refusal.value.faults)


def test_an_unknown_field_of_a_union_is_answered_with_the_one_meant() -> None:
    with pytest.raises(Invalid) as refusal:
        Everything.read({"channel": {"kind": "sms", "numbr": "+1", "number": "+1"}})

    assert refusal.value.detail == "There is no such field. Did you mean number?"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Everything.model_fields, "x"]), anything, max_size=4) | anything)
def test_whatever_is_sent_is_read_or_refused_by_place_and_code(sent: Any) -> None:
    faults: tuple[Fault, ...] = ()
    try:
        Everything.read(sent)
    except Invalid as refusal:
        faults = refusal.faults

    assert all(fault.param and fault.code and fault.detail for fault in faults)
