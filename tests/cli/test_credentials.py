"""credentials.json: for its owner only, and gone when its owner took it away."""

import stat
from pathlib import Path

import pytest

from offhook.cli import credentials
from offhook.errors import CannotStart

KEYS = {"workspace_id": "ws_1", "live_key": "ofk_live_1", "test_key": "ofk_test_1"}


def test_what_was_written_is_read_and_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "credentials.new").touch(0o644)  # of a start that was killed

    credentials.write(tmp_path, KEYS)

    assert credentials.key_in(tmp_path, "sandbox") == "ofk_test_1"
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600
    assert not (tmp_path / "credentials.new").exists()


def test_a_file_that_its_owner_took_away_is_no_error(tmp_path: Path) -> None:
    assert credentials.key_in(tmp_path, "sandbox") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '"x"'])
def test_a_spoiled_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text(text)

    with pytest.raises(CannotStart, match="credentials.json cannot be read"):
        credentials.key_in(tmp_path, "sandbox")


def test_keys_that_cannot_be_written_are_told_with_the_way_to_new_ones(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="offhook keys create"):
        credentials.write(tmp_path / "absent", KEYS)
