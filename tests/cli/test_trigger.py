"""`offhook trigger`: an event that never happened, told by a running Offhook."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Running, offhook

from offhook.events.types import every_type


def trigger_at(house: Running, *arguments: str, **variables: str) -> Any:
    at = ("--url", f"http://127.0.0.1:{house.port}", "--data-dir", house.data_dir)
    return offhook("trigger", *arguments, *at, cwd=house.data_dir.parent, **variables)


def test_what_it_prints_is_an_event_of_the_log(house: Running) -> None:
    done = trigger_at(house, "call.ended")

    event, type, subject = done.stdout.split()
    status, told = house.ask(f"/v1/events/{event}", house.credentials["test_key"])
    assert (status, told["type"], told["subject"]["id"], told["test"]) == (200, type, subject, True)


def test_several_are_told_apart(house: Running) -> None:
    done = trigger_at(house, "lead.accepted", "--count", "3", "--json")

    made = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({event["event_id"] for event in made}) == len({event["subject"]["id"] for event in made}) == 3


def test_the_list_tells_every_type_in_a_line(house: Running) -> None:
    told = trigger_at(house, "--list").stdout

    assert [line.split()[0] for line in told.splitlines()] == list(every_type())


def test_a_misspelt_type_is_told_the_right_one(house: Running) -> None:
    refused = trigger_at(house, "call.endd")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "offhook: type: There is no such event type. Did you mean call.ended?\n"


def test_without_a_type_it_says_how_to_see_them(house: Running) -> None:
    refused = trigger_at(house)

    assert refused.returncode == 2
    assert "--list" in refused.stderr


def test_a_live_key_is_refused(house: Running) -> None:
    refused = trigger_at(house, "call.ended", OFFHOOK_API_KEY=house.credentials["live_key"])

    assert refused.returncode == 1
    assert "use the test key" in refused.stderr
    assert house.credentials["live_key"] not in refused.stderr


def test_where_no_offhook_runs_it_says_how_to_start_one(house: Running) -> None:
    refused = offhook("trigger", "call.ended", "--url", "http://127.0.0.1:1", "--api-key", "x", cwd=house.data_dir)

    assert refused.returncode == 1
    assert "Start it with `offhook up`" in refused.stderr


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("listen", ["--forward-to", "--events", "--environment", "--secret", "--url", "--api-key", "--json"]),
        ("trigger", ["EVENT_TYPE", "--count", "--list", "--url", "--api-key", "--json"]),
    ],
)
def test_help_names_every_option(command: str, options: list[str], tmp_path: Path) -> None:
    told = offhook(command, "--help", cwd=tmp_path, COLUMNS="200").stdout

    assert [option for option in options if option not in told] == []
