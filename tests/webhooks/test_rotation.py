"""Rotation: there is always a key, the old one serves for its overlap, and then it is gone."""

from datetime import UTC, datetime, timedelta, timezone
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.webhooks.rotation import (
    LONGEST_OVERLAP,
    MOST_LIVE,
    USUAL_OVERLAP,
    Keys,
    NotKeys,
    Retiring,
    Ring,
    rotate,
    usable,
)
from offhook.webhooks.signing import SecondKey, SecondSignature, Secret, Signer, SigningKey

NOW = datetime(2026, 11, 21, 17, 3, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)

overlaps = st.timedeltas(timedelta(0), LONGEST_OVERLAP)
pauses = st.timedeltas(timedelta(0), timedelta(days=10))
names = st.sampled_from("abcdefgh")
steps = st.lists(st.tuples(names, pauses, overlaps), max_size=8)
instants = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))]))


def lived(steps: list[tuple[str, timedelta, timedelta]]) -> tuple[Ring[str], datetime]:
    """A ring after these rotations, and the instant of the last one."""

    def step(at: tuple[Ring[str], datetime], one: tuple[str, timedelta, timedelta]) -> tuple[Ring[str], datetime]:
        (ring, now), (new, pause, overlap) = at, one
        return rotate(ring, new, now + pause, overlap), now + pause

    return reduce(step, steps, (Ring("first"), NOW))


@given(steps, pauses)
def test_there_is_never_a_moment_without_a_key_nor_one_with_more_than_three(
    steps: list[tuple[str, timedelta, timedelta]], later: timedelta
) -> None:
    ring, now = lived(steps)

    keys = usable(ring, now + later)

    assert 1 <= len(keys) <= MOST_LIVE
    assert keys[0] == ([name for name, *_ in steps] or ["first"])[-1]
    assert len(set(keys)) == len(keys)


@given(steps, overlaps)
def test_a_key_serves_until_its_overlap_is_over_and_not_a_moment_longer(
    steps: list[tuple[str, timedelta, timedelta]], overlap: timedelta
) -> None:
    ring, now = lived(steps)

    rotated = rotate(ring, "new", now, overlap)

    assert (ring.newest in usable(rotated, now + overlap - INSTANT)) == (overlap > timedelta(0))
    assert ring.newest not in usable(rotated, now + overlap)


@given(steps, pauses)
def test_keys_come_newest_first(steps: list[tuple[str, timedelta, timedelta]], later: timedelta) -> None:
    ring, now = lived(steps)
    became_newest = {"first": -1} | {name: n for n, (name, *_) in enumerate(steps) if n == 0 or steps[n - 1][0] != name}

    order = [became_newest[key] for key in usable(ring, now + later)]

    assert order == sorted(order, reverse=True)


@given(steps, overlaps)
def test_a_rotation_forgets_what_is_over(steps: list[tuple[str, timedelta, timedelta]], overlap: timedelta) -> None:
    ring, now = lived(steps)

    rotated = rotate(ring, "new", now, overlap)

    assert (rotated.newest, *[one.key for one in rotated.retiring]) == usable(rotated, now)


@given(steps, overlaps)
def test_the_key_that_is_the_newest_already_stays_it(
    steps: list[tuple[str, timedelta, timedelta]], overlap: timedelta
) -> None:
    ring, now = lived(steps)

    assert rotate(ring, ring.newest, now, overlap) == ring


def test_the_old_key_serves_for_a_day_unless_told_otherwise() -> None:
    rotated = rotate(Ring("old"), "new", NOW)

    assert rotated == Ring("new", (Retiring("old", NOW + timedelta(hours=24)),))


def test_a_further_rotation_drops_the_oldest_of_three_before_its_time() -> None:
    ring, _ = lived([(name, timedelta(0), USUAL_OVERLAP) for name in ("second", "third", "fourth")])

    assert usable(ring, NOW) == ("fourth", "third", "second")


def test_a_rotation_can_be_taken_back() -> None:
    there = rotate(Ring("old"), "new", NOW)

    back = rotate(there, "old", NOW)

    assert usable(back, NOW) == ("old", "new")
    assert usable(back, NOW + LONGEST_OVERLAP) == ("old",)


@pytest.mark.parametrize("overlap", [-INSTANT, LONGEST_OVERLAP + INSTANT])
def test_an_overlap_is_of_zero_to_seven_days(overlap: timedelta) -> None:
    with pytest.raises(ValueError, match="0 to 7 days"):
        rotate(Ring("old"), "new", NOW, overlap)


secrets = st.binary(min_size=24, max_size=64).map(Secret)
signing_keys = st.binary(min_size=32, max_size=32).map(SigningKey)
second_keys = st.builds(SecondKey, st.text(st.characters(codec="utf-8"), min_size=1, max_size=99), st.just(True))


def rings(keys: st.SearchStrategy[object]) -> st.SearchStrategy[Ring[object]]:
    return st.builds(Ring, keys, st.lists(st.builds(Retiring, keys, instants), max_size=2).map(tuple))


every_keys = st.builds(Keys, rings(secrets), st.none() | rings(signing_keys), st.none() | rings(second_keys))


@given(every_keys)
def test_keys_read_back_as_they_were_told(keys: Keys) -> None:
    assert Keys.from_json(keys.to_json()) == keys


@given(every_keys)
def test_no_key_stands_in_a_repr(keys: Keys) -> None:
    shown = repr(keys)

    assert "newest=Secret()" in shown
    assert "whsec_" not in shown
    assert "seed" not in shown
    assert "text" not in shown


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hunter2",
        b"[]",
        b"{}",
        b'{"secrets": [], "signing_keys": [], "second": []}',
        b'{"secrets": [{"key": "hunter2"}], "signing_keys": [], "second": []}',
        b'{"secrets": [{"key": 7}], "signing_keys": [], "second": []}',
        b'{"secrets": ["hunter2"], "signing_keys": [], "second": []}',
    ],
)
def test_what_holds_no_keys_is_told_without_showing_it(data: bytes) -> None:
    with pytest.raises(NotKeys) as told:
        Keys.from_json(data)

    assert "hunter2" not in str(told.value)
    assert told.value.__cause__ is told.value.__context__ is None


def test_new_keys_are_one_secret_that_no_other_endpoint_has() -> None:
    keys = Keys.new()

    assert keys != Keys.new()
    assert keys == Keys(Ring(keys.secrets.newest))
    assert keys.changes_at(NOW) is None


def test_a_message_is_signed_with_every_key_that_is_usable() -> None:
    old, new, key, second = Secret.new(), Secret.new(), SigningKey.new(), SecondKey.new()
    keys = Keys(rotate(Ring(old), new, NOW), Ring(key), Ring(second))
    form = SecondSignature("X-Signature", "plain_hex")

    during, after = keys.signer(NOW, form), keys.signer(NOW + USUAL_OVERLAP)

    expected = Signer([new, old], [key], form, [second])
    assert during.headers("msg_1", 1, b"{}") == expected.headers("msg_1", 1, b"{}")
    assert after.headers("msg_1", 1, b"{}") == Signer([new], [key]).headers("msg_1", 1, b"{}")


def test_keys_say_when_the_next_of_them_is_over() -> None:
    hour = timedelta(hours=1)
    keys = Keys(
        rotate(Ring(Secret.new()), Secret.new(), NOW, 3 * hour),
        rotate(Ring(SigningKey.new()), SigningKey.new(), NOW, hour),
        rotate(Ring(SecondKey.new()), SecondKey.new(), NOW, 2 * hour),
    )

    moments = [keys.changes_at(NOW + n * hour) for n in range(4)]

    assert moments == [NOW + hour, NOW + 2 * hour, NOW + 3 * hour, None]
