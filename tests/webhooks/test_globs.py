"""Globs: which types they are for, and what was meant by one that is for none."""

import pytest

from offhook.webhooks.globs import faults, matches

TYPES = ["lead.accepted", "lead.erased", "call.ended"]


@pytest.mark.parametrize(
    ("globs", "told"),
    [
        (["*"], TYPES),
        (["lead.*"], TYPES[:2]),
        (["call.ended"], ["call.ended"]),
        (["*.ended", "lead.erased"], TYPES[1:]),
    ],
)
def test_a_star_stands_for_any_characters(globs: list[str], told: list[str]) -> None:
    assert [event_type for event_type in TYPES if matches(globs, event_type)] == told


@pytest.mark.parametrize("glob", ["leed.*", "call.endet", "[a-z].*", "", "LEAD.*", "lead.?ccepted"])
def test_a_glob_that_fits_no_type_is_a_fault(glob: str) -> None:
    (fault,) = faults(["*", glob], TYPES)

    assert (fault.param, fault.code) == ("events.1", "unknown_event_type")


def test_the_type_that_was_probably_meant_is_named() -> None:
    (fault,) = faults(["call.endet"], TYPES)

    assert "call.ended" in fault.detail
