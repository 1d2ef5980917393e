"""Processes of one's own: started, awaited, stopped or killed by their id, and never anybody else's."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from offhook.errors import OffhookError

Result = TypeVar("Result")

STOPS_IN_S = 25
_LINES_TOLD = 5


class PartFailed(OffhookError):
    """A process ended or did not become ready; `detail` bears the last lines of its log."""


class Part:
    """One process with a name and a log file. May be started again after it ended."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._environment = environment or {}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, ready_url: str | None = None, *, within_s: float = 60) -> None:
        """Start it, and return once `ready_url` answers 200. Raises PartFailed when it ends or takes too long."""
        # Settings of the surrounding shell must not reach it: they may name a database that is in use.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**inherited, **self._environment},
                cwd=self._log.parent,
            )
        if ready_url:
            await self._become_ready(ready_url, within_s)

    async def stop(self) -> None:
        """Tell it to end and wait until it did; after 25 s it is killed. Idempotent."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOPS_IN_S)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL: it has no chance to tidy up. Idempotent."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def end(self) -> None:
        """Return when it has ended by itself. Raises PartFailed unless it succeeded."""
        assert self._process is not None, "not started"
        if code := await self._process.wait():
            raise PartFailed("part_failed", f"{self.name} ended with {code}. {self._last_lines()}")

    async def _become_ready(self, url: str, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while time.monotonic() < deadline:
                if not self.alive:
                    raise PartFailed("part_ended", f"{self.name} ended before it was ready. {self._last_lines()}")
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)
        raise PartFailed("part_not_ready", f"{self.name} was not ready within {within_s:g} s. {self._last_lines()}")

    def _last_lines(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES_TOLD:]
        return f"Its last words ({self._log}): " + " | ".join(lines)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it to its end. SIGTERM ends it like Ctrl-C does: what it started is stopped first."""

    async def until_told() -> Result:
        working = asyncio.current_task()
        assert working is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
        return await work

    try:
        return asyncio.run(until_told())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def offhook(*arguments: str) -> list[str]:
    """The command line of this very installation's `offhook`."""
    return [sys.executable, "-c", "from offhook.cli import main; main()", *arguments]


def module(name: str, *arguments: str) -> list[str]:
    """The command line that runs a module of this installation."""
    return [sys.executable, "-m", name, *arguments]


def free_port() -> int:
    """A port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
