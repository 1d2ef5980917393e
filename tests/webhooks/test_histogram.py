"""Quantiles out of buckets: near enough, whoever counted what."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.webhooks import histogram

LASTED = st.lists(st.floats(min_value=0.25, max_value=histogram.BOUNDS[-1], exclude_max=True), min_size=1)


def counted(durations: list[float]) -> histogram.Counts:
    counts: histogram.Counts = []
    for ms in durations:
        histogram.count(counts, ms)
    return counts


@given(LASTED, st.floats(min_value=0, max_value=1))
def test_a_quantile_is_as_near_as_it_says(durations: list[float], share: float) -> None:
    told = histogram.quantile(counted(durations), share)

    true = sorted(durations)[max(math.ceil(share * len(durations)), 1) - 1]
    assert told is not None
    assert true / (1 + histogram.WITHIN) - 1e-9 <= told <= true * (1 + histogram.WITHIN) + 1e-9


@given(LASTED, LASTED, st.floats(min_value=0, max_value=1))
def test_two_processes_tell_together_what_one_would_have(here: list[float], there: list[float], share: float) -> None:
    together = histogram.summed([counted(here), counted(there)])

    assert together == counted(here + there)
    assert histogram.quantile(together, share) == histogram.quantile(counted(here + there), share)


def test_of_nothing_there_is_no_quantile() -> None:
    assert histogram.quantile([], 0.5) is None
    assert histogram.quantile([0, 0], 0.5) is None


@pytest.mark.parametrize(("ms", "low", "high"), [(0.0, 0.0, 0.25), (1e12, histogram.BOUNDS[-1], histogram.BOUNDS[-1])])
def test_what_is_beyond_the_buckets_is_told_as_their_ends(ms: float, low: float, high: float) -> None:
    told = histogram.quantile(counted([ms]), 0.5)

    assert told is not None
    assert low <= told <= high
