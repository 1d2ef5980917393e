"""The real command in processes of its own, each on a data directory and a port of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

COMMAND = str(Path(sys.executable).with_name("offhook"))
READY = "Ctrl-C stops."
PATIENCE_S = 20


@dataclass
class Running:
    """A process that said it is ready."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    output: Path

    @property
    def port(self) -> str:
        """The port that it took."""
        return self.told["API"].removesuffix("/v1").rpartition(":")[2]

    @property
    def credentials(self) -> dict[str, str]:
        """The first keys, as their owner reads them."""
        found: dict[str, str] = json.loads((self.data_dir / "credentials.json").read_text())
        return found

    @property
    def told(self) -> dict[str, str]:
        """The `name: value` lines of its start."""
        return dict(line.split(": ", 1) for line in self.output.read_text().splitlines() if ": " in line)

    def ask(self, path: str, key: str | None = None) -> tuple[int, Any]:
        """Status and JSON of a GET; status 0 when nobody answers."""
        return ask(f"http://127.0.0.1:{self.port}{path}", key)

    def postmaster(self) -> psutil.Process:
        """The PostgreSQL of its data directory."""
        return postmaster(self.data_dir)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the signal; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


Starter = Callable[..., Running]


def ask(url: str, key: str | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read() or b"null")
    except OSError:
        return 0, None


def offhook(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [COMMAND, *arguments], cwd=cwd, env=surroundings(variables), capture_output=True, text=True, timeout=PATIENCE_S
    )


def surroundings(variables: dict[str, str]) -> dict[str, str]:
    """Our environment without our own settings, and with these."""
    return {**{name: text for name, text in os.environ.items() if not name.startswith("OFFHOOK_")}, **variables}


def postmaster(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().split("\n")[0]))


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie that nobody has buried yet does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def until(holds: Callable[[], bool], what: str) -> None:
    """Return once it holds; fail when it does not in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


@contextmanager
def started(*arguments: str | Path, data_dir: Path, **variables: str) -> Iterator[Running]:
    """A process of `offhook …` that is ready; whatever is left of it is killed afterwards."""
    output = data_dir.with_suffix(".out")
    with output.open("wb") as to:
        process = subprocess.Popen(
            [COMMAND, *arguments, "--data-dir", data_dir],
            cwd=data_dir.parent,
            env=surroundings(variables),
            stdout=to,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: READY in output.read_text() or process.poll() is not None, "the process is ready")
        assert process.poll() is None, output.read_text()
        yield Running(process, data_dir, output)
    finally:
        process.kill()
        process.wait()
        with suppress(OSError, ValueError, psutil.Error):
            postmaster(data_dir).kill()


@pytest.fixture
def start(data_dir: Path) -> Iterator[Starter]:
    """Start `offhook up` on the test's data directory and a free port."""
    with ExitStack() as processes:
        yield lambda: processes.enter_context(started("up", "--port", "0", data_dir=data_dir))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One installation for all tests that leave it as it was."""
    with started("up", "--port", "0", data_dir=tmp_path_factory.mktemp("house") / "data") as running:
        yield running
