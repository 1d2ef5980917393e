"""The vectors as files: each says what it is, and each of its cases where it comes from."""

import pytest
from tests.vectors.cases import FOLDER, read

FILES = sorted(path.name for path in FOLDER.glob("*.json"))


def test_there_are_vectors_for_signing_verifying_retrying_and_reaching() -> None:
    assert FILES == ["schedule.json", "sign.json", "ssrf.json", "verify.json"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_explains_itself_and_every_case_names_itself_and_its_source(name: str) -> None:
    told = read(name)
    cases = [case for part in told.values() if isinstance(part, list) for case in part]

    assert told["$comment"]
    assert all(case["name"] and case["source"] for case in cases)


@pytest.mark.parametrize("name", FILES)
def test_no_two_cases_of_a_file_are_the_same(name: str) -> None:
    cases = [case for part in read(name).values() if isinstance(part, list) for case in part]
    bare = [{key: value for key, value in case.items() if key not in ("name", "source")} for case in cases]

    assert all(case not in bare[:n] for n, case in enumerate(bare))
