"""What a measurement cost: CPU of our processes and of PostgreSQL's, memory, waits of its backends."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds so far. `waits` counts how often a backend waited for its client, a lock or the disk."""

    python_s: float
    postgres_s: float
    waits: int


class Gauge:
    """Watches these Python processes and the PostgreSQL of that data directory."""

    def __init__(self, pids: Sequence[int], data_dir: Path) -> None:
        self._servers = [psutil.Process(pid) for pid in pids]
        first_line = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0]
        self._postmaster = psutil.Process(int(first_line))

    def read(self) -> Cost:
        """What they have used until now."""
        times = [server.cpu_times() for server in self._servers]
        return Cost(sum(one.user + one.system for one in times), *self._postgres())

    def rss_mb(self) -> float:
        """Resident memory of the Python processes together, in MiB."""
        return float(sum(server.memory_info().rss for server in self._servers) / MIB)

    def _postgres(self) -> tuple[float, int]:
        own = self._postmaster.cpu_times()
        # The postmaster's own children_* hold the backends that have ended; those alive are asked one by one.
        seconds, waits = own.user + own.system + own.children_user + own.children_system, 0
        for child in self._postmaster.children(recursive=True):
            with suppress(psutil.Error):
                used = child.cpu_times()
                seconds += used.user + used.system
                if "offhook offhook" in " ".join(child.cmdline()):
                    waits += child.num_ctx_switches().voluntary
        return seconds, waits
