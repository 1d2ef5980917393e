"""`offhook up`: what it makes, what it finds again, what it survives, and what it refuses."""

import json
import os
import signal
import stat
from pathlib import Path

import psutil
import pytest
from tests.cli.conftest import PATIENCE_S, Running, Starter, lives, offhook, until

from offhook.db import Tenant


def test_the_first_start_makes_keys_for_nobody_but_their_owner(house: Running) -> None:
    file = house.data_dir / "credentials.json"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()).keys() >= {"workspace_id", "live_key", "test_key"}


def test_it_is_ready_when_it_says_so(house: Running) -> None:
    assert house.ask("/readyz")[0] == 200


def test_it_shows_the_sandbox_key_and_never_the_live_one(house: Running) -> None:
    keys = house.credentials

    assert house.told["Test key"].split()[0] == keys["test_key"]
    assert keys["live_key"] not in house.output.read_text()


def test_both_first_keys_open_the_api(house: Running) -> None:
    keys = house.credentials

    assert house.ask("/v1/leads", keys["test_key"])[0] == 200
    assert house.ask("/v1/leads", keys["live_key"])[0] == 200


def test_the_data_directory_is_closed_to_others(house: Running) -> None:
    assert not house.data_dir.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~0o011


def test_idle_it_takes_less_than_250_mb(house: Running) -> None:
    assert psutil.Process(house.process.pid).memory_info().rss < 250 * 2**20


def test_what_it_made_is_there_after_a_stop(start: Starter) -> None:
    first = start()
    made, postmaster = first.credentials, first.postmaster()

    assert first.end(signal.SIGTERM) == 0
    assert not lives(postmaster)

    second = start()
    assert second.credentials == made
    assert second.ask("/v1/leads", made["test_key"])[0] == 200
    assert "Applied migration" not in second.output.read_text()


def test_a_killed_database_is_a_503_that_passes_by_itself(house: Running) -> None:
    said: list[int] = []

    def says(status: int) -> bool:
        said.append(house.ask("/readyz")[0])
        return said[-1] == status

    settings = house.data_dir / "postgres" / "postgresql.conf"
    kept = settings.read_text()
    settings.write_text(kept + "no_such_setting = 1\n")  # so that it stays down until we have looked
    house.postmaster().kill()
    until(lambda: says(503), "it says that the database is away")
    settings.write_text(kept)
    until(lambda: says(200), "it is ready again")

    assert set(said) == {200, 503}
    assert house.ask("/v1/leads", house.credentials["test_key"])[0] == 200


def test_a_killed_start_leaves_a_database_that_the_next_one_adopts(start: Starter) -> None:
    killed = start()
    orphan = killed.postmaster().pid
    killed.end(signal.SIGKILL)

    adopting = start()

    assert adopting.postmaster().pid == orphan
    assert adopting.ask("/readyz")[0] == 200
    assert adopting.end(signal.SIGINT) == 0


def test_a_second_ctrl_c_ends_it_at_once(start: Starter) -> None:
    running = start()
    running.postmaster().suspend()  # so that the first one cannot be done with
    running.process.send_signal(signal.SIGINT)
    until(lambda: "Stopping" in running.output.read_text(), "it heard the first")

    running.process.send_signal(signal.SIGINT)

    assert running.process.wait(PATIENCE_S) == 128 + signal.SIGINT


def test_a_port_that_is_taken_is_named_with_who_has_it(house: Running, tmp_path: Path) -> None:
    refused = offhook("up", "--port", house.port, "--data-dir", tmp_path / "other", cwd=tmp_path)

    assert refused.returncode == 2
    assert f"Port {house.port} is in use by process {house.process.pid}" in refused.stderr
    assert "--port" in refused.stderr


def test_a_data_directory_has_one_user_at_a_time(house: Running, tmp_path: Path) -> None:
    refused = offhook("up", "--port", "0", "--data-dir", house.data_dir, cwd=tmp_path)

    assert refused.returncode == 2
    assert f"in use by process {house.process.pid}" in refused.stderr


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    refused = offhook("up", "--port", "0", "--data-dir", tmp_path / "file" / "data", cwd=tmp_path)

    assert refused.returncode == 2
    assert f"{tmp_path}/file/data cannot be written" in refused.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_closed_to_us_is_named(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o500)

    refused = offhook("up", "--port", "0", "--data-dir", data_dir, cwd=data_dir.parent)

    assert refused.returncode == 2
    assert f"{data_dir} cannot be written: Permission denied" in refused.stderr


def test_a_data_directory_where_others_may_write_is_refused(data_dir: Path) -> None:
    data_dir.mkdir()
    data_dir.chmod(0o777)

    refused = offhook("up", "--port", "0", "--data-dir", data_dir, cwd=data_dir.parent)

    assert refused.returncode == 2
    assert f"chmod 700 {data_dir}" in refused.stderr


def test_a_misspelt_setting_is_told_the_right_one(tmp_path: Path) -> None:
    refused = offhook("up", cwd=tmp_path, OFFHOOK_PROT="8400")

    assert refused.returncode == 2
    assert "Did you mean port?" in refused.stderr


async def test_a_lost_key_ring_is_never_replaced(database_url: str, tenant: Tenant, tmp_path: Path) -> None:
    refused = offhook("up", "--port", "0", "--database-url", database_url, "--data-dir", tmp_path, cwd=tmp_path)

    assert refused.returncode == 2
    assert "keyring.json is missing" in refused.stderr
    assert not (tmp_path / "keyring.json").exists()


def test_a_refusal_is_one_line_and_leaves_nothing_running(tmp_path: Path) -> None:
    refused = offhook("up", "--database-url", "postgresql://nobody@127.0.0.1:1/none", "--port", "0", cwd=tmp_path)

    assert refused.returncode == 1
    assert refused.stderr.startswith("offhook: PostgreSQL at 127.0.0.1:1 does not let us in.")
    assert refused.stderr.count("\n") == 1
