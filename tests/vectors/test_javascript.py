"""The official library for JavaScript comes to what the vectors say."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.vectors.cases import Case, read
from tests.vectors.node import install, run_node
from tests.vectors.test_signatures import is_for_the_official_library

PACKAGE = Path(__file__).with_name("official_js")


def cases_for_it(name: str) -> list[Case]:
    found = [case for case in read(name)["cases"] if is_for_the_official_library(case)]
    return [case for case in found if "official_libraries" not in case]


@pytest.fixture(scope="session")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the library made of every case."""
    folder = tmp_path_factory.mktemp("official_js") / "package"
    shutil.copytree(PACKAGE, folder)
    if (why := install(folder)) is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the official library for JavaScript could not be installed:\n{why}")
        pytest.skip("the official library for JavaScript could not be installed: is there a way to the npm registry?")
    asked = {"sign": cases_for_it("sign.json"), "verify": cases_for_it("verify.json")}
    told: dict[str, Any] = json.loads(run_node("run.mjs", stdin=json.dumps(asked), cwd=folder))
    return told


def test_the_official_javascript_library_signs_as_the_vectors_say(said: dict[str, Any]) -> None:
    assert said["sign"] == [case["signature"] for case in cases_for_it("sign.json")]


def test_the_official_javascript_library_believes_as_the_vectors_say(said: dict[str, Any]) -> None:
    cases = cases_for_it("verify.json")

    wrong = [case["name"] for case, is_believed in zip(cases, said["verify"], strict=True)
             if is_believed != (case["outcome"] == "genuine")]  # fmt: skip

    assert wrong == []


def test_its_lock_names_hashes_and_no_host() -> None:
    lock = (PACKAGE / "package-lock.json").read_text()

    assert "resolved" not in lock
    assert "://" not in lock
    assert lock.count('"integrity": "sha512-') == lock.count('"node_modules/')
