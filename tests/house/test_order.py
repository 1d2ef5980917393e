"""The order in which the suite is worked off."""

from pathlib import Path

from tests.conftest import LONGEST


def test_the_longest_files_are_there() -> None:
    assert [name for name in LONGEST if not (Path(__file__).parents[1] / name).exists()] == []
