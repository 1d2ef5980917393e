"""`offhook migrate`: bring the database up to date, or tell whether it is."""

import typer

from offhook.cli.database import found, lacking, migrated
from offhook.cli.screen import machine, say
from offhook.settings import Settings


def migrate(settings: Settings, *, only_check: bool, as_json: bool) -> None:
    """Apply what is missing, or only list it and exit 1. Raises CannotStart or Unavailable."""
    url = found(settings)
    names = lacking(url) if only_check else migrated(url)
    if as_json:
        machine({"missing" if only_check else "applied": names})
    else:
        _tell(names, "Missing" if only_check else "Applied")
    if only_check and names:
        raise typer.Exit(1)


def _tell(names: list[str], what: str) -> None:
    for name in names:
        say(f"{what}: {name}")
    if not names:
        say("The database is up to date.")
