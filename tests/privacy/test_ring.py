import os
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import CannotStart
from offhook.privacy import KeyRing

MONDAY = date(2026, 11, 23)
DAYS = st.dates(date(2020, 1, 1), date(2099, 12, 31))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring.json"


def test_the_ring_is_readable_by_its_owner_alone_whatever_the_umask_says(path: Path) -> None:
    before = os.umask(0)
    try:
        KeyRing.open(path, create=True).epoch_for(MONDAY)
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_missing_ring_stops_the_start_and_is_never_replaced_silently(path: Path) -> None:
    with pytest.raises(CannotStart, match="no_key_ring"):
        KeyRing.open(path)

    assert not path.exists()


def test_a_ring_that_others_may_read_is_refused_and_the_message_says_how_to_mend_it(path: Path) -> None:
    KeyRing.open(path, create=True)
    path.chmod(0o640)

    with pytest.raises(CannotStart, match="chmod 600"):
        KeyRing.open(path)


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"tag_key": "!", "signing_key": "!", "epochs": {}}'])
def test_a_ring_that_is_damaged_is_refused(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o600)

    with pytest.raises(CannotStart, match="bad_key_ring"):
        KeyRing.open(path)


def test_asking_to_create_a_ring_that_exists_keeps_its_keys(path: Path) -> None:
    first = KeyRing.open(path, create=True)

    again = KeyRing.open(path, create=True)

    assert again.tag(b"x") == first.tag(b"x")
    assert again.public_key == first.public_key


@given(DAYS, st.integers(0, 6))
def test_all_days_of_a_week_share_an_epoch_and_the_next_week_has_another(
    tmp_path_factory: pytest.TempPathFactory, day: date, within: int
) -> None:
    ring = KeyRing.open(tmp_path_factory.getbasetemp() / "epochs.json", create=True)
    monday = day - timedelta(days=day.weekday())

    epochs = {ring.epoch_for(monday + timedelta(days=days)) for days in (0, within, 6)}

    assert len(epochs) == 1
    assert ring.epoch_for(monday + timedelta(days=7)) not in epochs


def test_an_epoch_that_another_process_made_is_found(path: Path) -> None:
    one, other = KeyRing.open(path, create=True), KeyRing.open(path)
    sealed = one.epoch(one.epoch_for(MONDAY)).encrypt(b"n" * 12, b"said", None)

    opened = other.epoch("2026-W48").decrypt(b"n" * 12, sealed, None)

    assert opened == b"said"


def test_two_processes_that_need_the_same_new_epoch_agree_on_its_key(path: Path) -> None:
    one, other = KeyRing.open(path, create=True), KeyRing.open(path)

    sealed = one.epoch(one.epoch_for(MONDAY)).encrypt(b"n" * 12, b"said", None)

    assert other.epoch(other.epoch_for(MONDAY)).decrypt(b"n" * 12, sealed, None) == b"said"


@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_a_tag_is_the_same_for_the_same_parts_only(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], others: list[bytes]
) -> None:
    ring = KeyRing.open(tmp_path_factory.getbasetemp() / "tags.json", create=True)

    assert (ring.tag(*parts) == ring.tag(*others)) == (parts == others)


def test_a_tag_says_nothing_to_who_lacks_the_ring(tmp_path: Path) -> None:
    ours, theirs = (KeyRing.open(tmp_path / name, create=True) for name in ("ours.json", "theirs.json"))

    assert ours.tag(b"+13125550199") != theirs.tag(b"+13125550199")


def test_a_ring_shows_none_of_its_keys_when_it_is_printed(path: Path) -> None:
    ring = KeyRing.open(path, create=True)
    ring.epoch_for(MONDAY)

    assert f"{ring} {ring!r}" == "KeyRing(1 epochs) KeyRing(1 epochs)"
