"""`offhook keys`, and how the command line speaks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cli.conftest import Running, offhook, until


def keys(house: Running, *arguments: str) -> Any:
    done = offhook("keys", *arguments, "--json", "--data-dir", house.data_dir, cwd=house.data_dir.parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_new_key_opens_the_api_until_it_is_revoked(house: Running) -> None:
    made = keys(house, "create", "--name", "CRM", "--environment", "live", "--scopes", "leads:read,leads:write")
    assert made["key"].startswith("ofk_live_")
    assert house.ask("/v1/leads", made["key"])[0] == 200

    assert keys(house, "revoke", made["id"])["revoked_at"]

    until(lambda: house.ask("/v1/leads", made["key"])[0] == 401, "the key is refused")


def test_a_list_tells_hints_and_no_keys(house: Running) -> None:
    told = keys(house, "list")

    assert {key["environment"] for key in told} == {"live", "sandbox"}
    assert house.credentials["test_key"] not in json.dumps(told)


def test_a_misspelt_scope_is_told_the_right_one(house: Running) -> None:
    refused = offhook(
        "keys",
        "create",
        "--name",
        "x",
        "--scopes",
        "lead:write",
        "--data-dir",
        house.data_dir,
        cwd=house.data_dir.parent,
    )

    assert refused.returncode == 2
    assert "Did you mean leads:write?" in refused.stderr


def test_a_key_that_does_not_exist_is_a_failure(house: Running) -> None:
    refused = offhook(
        "keys", "revoke", "key_00000000000000000000000000", "--data-dir", house.data_dir, cwd=house.data_dir
    )

    assert refused.returncode == 1
    assert "offhook keys list" in refused.stderr


def test_without_a_running_database_it_says_to_start_one(tmp_path: Path) -> None:
    refused = offhook("keys", "list", cwd=tmp_path)

    assert refused.returncode == 2
    assert "Start Offhook there first." in refused.stderr


def test_help_loads_nothing_heavy() -> None:
    heavy = {"fastapi", "pydantic", "psycopg", "uvicorn", "aiohttp", "cryptography"}
    script = f"import sys, offhook.cli; print(sorted({heavy!r} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"
