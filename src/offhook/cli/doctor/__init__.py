"""`offhook doctor`: examines an installation without changing it, whether or not it runs.

Every check stands alone: one that cannot be made is itself a finding, and the next is made all the same.
"""

from collections.abc import Callable, Iterator, Mapping

import typer

from offhook import log
from offhook import settings as settings_room
from offhook.cli import screen
from offhook.cli.doctor import database, files, machine
from offhook.cli.doctor.finding import Finding, fail, ok
from offhook.errors import OffhookError
from offhook.settings import Settings

Check = Callable[[Settings], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    machine.python,
    machine.open_files,
    machine.port,
    machine.zones,
    machine.rule_packs,
    files.data_directory,
    files.key_ring,
    files.first_keys,
    database.server,
)


def doctor(given: Mapping[str, object], *, as_json: bool) -> None:
    """Tell every finding, and exit 1 when one is `fail`."""
    findings = []
    for finding in examine(given):
        findings.append(finding)
        if not as_json:
            cure = f" {finding.cure}" if finding.cure else ""
            screen.grade(finding.grade, finding.name, finding.says + cure)
    if as_json:
        screen.machine([finding.as_json() for finding in findings])
    if any(finding.grade == "fail" for finding in findings):
        raise typer.Exit(1)


def examine(given: Mapping[str, object]) -> Iterator[Finding]:
    """Every finding, as it is made. Settings that cannot be read end the examination, for nothing else means anything."""
    try:
        settings = settings_room.load(given)
    except OffhookError as failure:
        yield fail("settings", failure.detail, "Mend that, and ask again.")
        return
    log.configure(settings.log_level, settings.log_format)
    yield ok("settings", "Every setting is known and has a value that it may have.")
    for check in CHECKS:
        yield from _made(check, settings)


def _made(check: Check, settings: Settings) -> Iterator[Finding]:
    name = check.__name__.replace("_", " ")
    try:
        yield from check(settings)
    except OffhookError as failure:
        yield fail(name, failure.detail, "")
    except Exception as failure:
        yield fail(name, f"The check broke: {type(failure).__name__} at {log.place_of(failure)}.", "Report this line.")
