"""The machine under measurement, in the words that a reader needs to compare."""

import platform
from pathlib import Path
from typing import Any

import psutil

GIB = 2**30


def described(postgres: dict[str, str]) -> dict[str, Any]:
    """Processor, cores, memory, versions, and PostgreSQL's settings of durability."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgres": postgres,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
