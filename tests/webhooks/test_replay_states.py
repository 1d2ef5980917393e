"""How a replay gets on, without a database: pages, rates, and what may be done to it when."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook import ids
from offhook.errors import Conflict
from offhook.events import Actor
from offhook.webhooks.replay import MOST, Page, Replay, shown
from offhook.webhooks.replay_filter import Filter

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
HERE, THERE = ids.new(), ids.new()
INSTANTS = st.timedeltas(timedelta(-9000), timedelta(9000)).map(NOW.__add__)
RATES = st.one_of(st.none(), st.integers(1, 10_000))


def a_replay(rate: int | None = None) -> Replay:
    return Replay(
        id=ids.new(),
        verb="replay",
        status="queued",
        filter=Filter(endpoint=HERE, status="dead"),
        missing=False,
        rate_per_s=rate,
        actor=Actor("api_key", "key_x"),
        until=NOW,
        position=(NOW, HERE),
        total=0,
        total_is_exact=True,
        created_at=NOW,
        updated_at=NOW,
    )


PAGES = st.builds(
    Page,
    position=st.just((NOW, THERE)),
    opened=st.dictionaries(st.sampled_from([HERE, THERE]), st.integers(1, 250)),
    passed_over=st.dictionaries(st.sampled_from(["open", "endpoint_gone"]), st.integers(1, 9)),
    more=st.just(True),
    busy=st.booleans(),
)


@given(RATES, st.lists(PAGES, min_size=1, max_size=5))
def test_every_page_is_counted_and_none_comes_before_the_rate_allows_it(rate: int | None, pages: list[Page]) -> None:
    replay, now = a_replay(rate), NOW
    for page in pages:
        replay = replay.after(page, now)
        assert replay.next_at is not None
        now = replay.next_at

    opened = sum(sum(page.opened.values()) for page in pages)
    assert (replay.opened, sum(replay.untold.values())) == (opened, opened)
    assert replay.done == opened + sum(replay.passed_over.values())
    if rate:
        assert now - NOW >= timedelta(seconds=opened / rate) - timedelta(milliseconds=1)


@given(RATES)
def test_a_page_is_no_larger_than_a_seconds_worth(rate: int | None) -> None:
    assert 1 <= a_replay(rate).page_size <= min(MOST, rate or MOST)


def test_it_runs_only_while_nobody_stopped_it() -> None:
    replay = a_replay()
    done = replay.after(Page((NOW, HERE), {}, {}, more=False), NOW)

    assert replay.is_to_run
    assert replay.paused(NOW).resumed(NOW).is_to_run
    assert replay.failed("x", NOW).resumed(NOW).is_to_run
    assert [one.is_to_run for one in (done, replay.paused(NOW), replay.cancelled(NOW), replay.failed("x", NOW))] == [
        False
    ] * 4


@pytest.mark.parametrize("verb", ["paused", "resumed"])
def test_what_is_over_stays_over(verb: str) -> None:
    over = a_replay().cancelled(NOW)

    assert over.cancelled(NOW) == over
    with pytest.raises(Conflict, match="replay_ended"):
        getattr(over, verb)(NOW)


@given(
    st.builds(
        Filter,
        endpoint=st.sampled_from([None, HERE]),
        status=st.sampled_from([None, "dead", "any_ended", "open"]),
        type=st.sampled_from(["*", "lead.*"]),
        subject=st.sampled_from([None, ids.show("lead", HERE)]),
        cause=st.sampled_from([None, "http_503"]),
        told_from=st.one_of(st.none(), INSTANTS),
        died_to=st.one_of(st.none(), INSTANTS),
    )
)
def test_a_filter_is_kept_to_the_microsecond(wanted: Filter) -> None:
    assert Filter.read(wanted.kept()) == wanted
    assert shown(a_replay())["filter"] == {"endpoint": ids.show("whe", HERE), "status": "dead"}
