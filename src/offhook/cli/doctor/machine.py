"""The machine and what is installed on it: Python, limits, the port, the clocks of places, the law."""

import resource
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path

from offhook.cli.doctor.finding import Finding, fail, ok, warn
from offhook.compliance import packaged
from offhook.compliance.rehearsal import broken_examples
from offhook.compliance.tz import tzdata_version
from offhook.errors import CannotStart
from offhook.serve import taking_port
from offhook.settings import Settings

_OPEN_FILES = 4096
_SYSTEM_ZONES = Path("/usr/share/zoneinfo/tzdata.zi")


def python(_: Settings) -> Iterator[Finding]:
    version = sys.version.split()[0]
    if sys.version_info < (3, 11):  # noqa: UP036 # somebody may run it without having installed it
        yield fail("python", f"Python {version} is too old.", "Install 3.11 or newer, and run make again.")
    else:
        yield ok("python", f"Python {version}.")


def open_files(_: Settings) -> Iterator[Finding]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < _OPEN_FILES:
        cure = f"Each connection is one. Mend: LimitNOFILE=65536 in the unit, or `ulimit -Hn {_OPEN_FILES}` as root."
        yield warn("open files", f"A process may open {hard} files at most.", cure)
    else:
        yield ok("open files", f"A process may open {hard if hard >= 0 else 'any number of'} files.")


def port(settings: Settings) -> Iterator[Finding]:
    try:
        with taking_port(settings.host, settings.port):
            yield ok("port", f"Port {settings.port} of {settings.host} is free.")
    except CannotStart as failure:
        if _answers(settings):
            yield ok("port", f"Offhook answers on port {settings.port}.")
        else:
            yield fail("port", failure.detail, "")


def zones(_: Settings) -> Iterator[Finding]:
    pinned, system = tzdata_version(), _system_release()
    says = f"Legal time is computed with tzdata {pinned}; the system's {system or 'is absent and'} is not asked."
    if system is not None and system > pinned:
        yield warn("zones", says, "The system's is newer: take a newer Offhook, or a newer tzdata package.")
    else:
        yield ok("zones", says)


def rule_packs(_: Settings) -> Iterator[Finding]:
    rules = packaged()
    broken = list(broken_examples(rules))
    for line in broken:
        yield fail("rule packs", f"{line}.", "No call is safe under this pack. Mend the pack or its example.")
    if not broken:
        yield ok("rule packs", f"{len(rules.packs)} packs, and all their examples hold.")


def _answers(settings: Settings) -> bool:
    with suppress(OSError), closing(HTTPConnection(settings.host, settings.port, timeout=2)) as connection:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    return False


def _system_release() -> str | None:
    with suppress(OSError), _SYSTEM_ZONES.open(encoding="utf-8") as source:
        return source.readline().removeprefix("# version ").strip()
    return None
