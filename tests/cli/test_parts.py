"""`offhook api` and `offhook worker`: the halves, over a database that somebody else runs."""

from pathlib import Path

import psycopg
import pytest
from tests.cli.conftest import ask, offhook, started

from offhook.privacy import KeyRing


@pytest.fixture
def ring_dir(data_dir: Path) -> Path:
    """A data directory with the installation's key ring in it."""
    data_dir.mkdir(mode=0o700)
    KeyRing.open(data_dir / "keyring.json", create=True)
    return data_dir


def test_an_api_process_answers(database_url: str, ring_dir: Path) -> None:
    with started("api", "--port", "0", "--database-url", database_url, data_dir=ring_dir) as running:
        words = running.output.read_text().split()
        base = next(word for word in words if word.startswith("http")).removesuffix("/v1.")

        assert ask(f"{base}/readyz")[0] == 200
        assert running.end() == 0


def test_a_worker_tells_its_watchers(database_url: str, ring_dir: Path) -> None:
    with started("worker", "--metrics-port", "0", "--database-url", database_url, data_dir=ring_dir) as running:
        port = running.output.read_text().partition("port ")[2].partition(".")[0]

        assert ask(f"http://127.0.0.1:{port}/healthz")[0] == 200
        assert ask(f"http://127.0.0.1:{port}/readyz")[0] == 200
        assert running.end() == 0


def test_a_worker_needs_no_port(database_url: str, ring_dir: Path) -> None:
    with started("worker", "--database-url", database_url, data_dir=ring_dir) as running:
        assert running.end() == 0


@pytest.mark.parametrize("part", ["api", "worker"])
def test_without_a_database_url_it_says_what_to_do(part: str, tmp_path: Path) -> None:
    refused = offhook(part, cwd=tmp_path)

    assert refused.returncode == 2
    assert "OFFHOOK_DATABASE_URL" in refused.stderr
    assert "offhook up" in refused.stderr


@pytest.mark.parametrize("part", ["api", "worker"])
def test_a_database_that_is_behind_is_refused(part: str, database_url: str, ring_dir: Path) -> None:
    forget_everything(database_url)

    refused = offhook(part, "--database-url", database_url, "--data-dir", ring_dir, cwd=ring_dir.parent)

    assert refused.returncode == 2
    assert "Run `offhook migrate` first." in refused.stderr


def test_a_missing_key_ring_is_refused_and_not_made(database_url: str, tmp_path: Path) -> None:
    refused = offhook("worker", "--database-url", database_url, "--data-dir", tmp_path, cwd=tmp_path)

    assert refused.returncode == 2
    assert "keyring.json is missing" in refused.stderr
    assert not (tmp_path / "keyring.json").exists()


def test_migrate_lists_what_it_applied_and_check_only_tells(database_url: str, tmp_path: Path) -> None:
    forget_everything(database_url)
    to = ("--database-url", database_url)

    assert offhook("migrate", "--check", *to, cwd=tmp_path).returncode == 1
    assert "Applied: 0001_the_house" in offhook("migrate", *to, cwd=tmp_path).stdout
    assert offhook("migrate", "--check", *to, cwd=tmp_path).returncode == 0


def forget_everything(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")
