"""The vectors as tests take them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "vectors"
Case = dict[str, Any]


def read(name: str) -> dict[str, Any]:
    """A file of `vectors/`."""
    told: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return told


def every(name: str, part: str = "cases", only: Callable[[Case], bool] = lambda case: True) -> pytest.MarkDecorator:
    """The mark that runs a test with each `case` of a file, under the case's name."""
    found = [case for case in read(name)[part] if only(case)]
    assert found, f"no case of {name} is left"
    return pytest.mark.parametrize("case", found, ids=[case["name"] for case in found])
