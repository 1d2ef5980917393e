"""`offhook doctor`: it finds what is wrong, says how to mend it, and changes nothing."""

import json
import shutil
from pathlib import Path

from tests.cli.conftest import Running, offhook

from offhook.db import Tenant


def test_a_running_installation_is_healthy(house: Running) -> None:
    report = offhook("doctor", "--json", "--port", house.port, "--data-dir", house.data_dir, cwd=house.data_dir.parent)

    assert report.returncode == 0
    grades = {finding["name"]: finding["grade"] for finding in json.loads(report.stdout)}
    assert "fail" not in grades.values()
    assert grades.keys() >= {"port", "key ring", "database", "migrations", "roles", "durability", "clock", "rule packs"}


def test_before_the_first_start_nothing_fails_and_nothing_is_made(data_dir: Path) -> None:
    report = offhook("doctor", "--port", "0", "--data-dir", data_dir, cwd=data_dir.parent)

    assert report.returncode == 0, report.stdout
    assert not data_dir.exists()


def test_a_lost_key_ring_is_named(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)

    report = offhook("doctor", "--port", "0", "--data-dir", data_dir, cwd=data_dir.parent)

    assert report.returncode == 1
    assert f"The key ring {data_dir}/keyring.json is missing. Restore it" in report.stdout


async def test_a_workspace_without_its_key_ring_is_a_failure(database_url: str, tenant: Tenant, tmp_path: Path) -> None:
    report = offhook("doctor", "--port", "0", "--database-url", database_url, cwd=tmp_path)

    assert report.returncode == 1
    assert "nothing in it can be opened" in report.stdout


def test_a_key_ring_open_to_others_is_named_with_its_cure(house: Running, data_dir: Path) -> None:
    data_dir.mkdir()
    shutil.copy(house.data_dir / "keyring.json", data_dir)
    (data_dir / "keyring.json").chmod(0o644)

    report = offhook("doctor", "--port", "0", "--data-dir", data_dir, cwd=data_dir.parent)

    assert report.returncode == 1
    assert f"chmod 600 {data_dir}/keyring.json" in report.stdout


def test_a_bad_setting_is_a_finding(tmp_path: Path) -> None:
    report = offhook("doctor", cwd=tmp_path, OFFHOOK_POOL_SIZE="none")

    assert report.returncode == 1
    assert "OFFHOOK_POOL_SIZE" in report.stdout


def test_an_address_of_another_machine_is_a_failure(tmp_path: Path) -> None:
    report = offhook("doctor", "--port", "1", "--host", "192.0.2.1", cwd=tmp_path)

    assert report.returncode == 1
    assert "192.0.2.1 is no address of this machine" in report.stdout
