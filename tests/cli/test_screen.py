"""What is printed is what was to be printed."""

import json

import pytest

from offhook.cli import screen

CODES = {"a": "x :ok: [bold]y[/bold] :smiley: " + "z" * 500}


def test_a_line_for_machines_is_the_value_to_the_letter(capsys: pytest.CaptureFixture[str]) -> None:
    screen.machine_line(CODES)
    (line,) = capsys.readouterr().out.splitlines()

    assert json.loads(line) == CODES


def test_a_value_for_machines_is_the_value_to_the_letter(capsys: pytest.CaptureFixture[str]) -> None:
    screen.machine([CODES])

    assert json.loads(capsys.readouterr().out) == [CODES]


def test_a_line_for_people_keeps_its_colons(capsys: pytest.CaptureFixture[str]) -> None:
    screen.say("Listening at :ok: now.")
    screen.table({"Where": ":ok:"})

    assert capsys.readouterr().out.splitlines() == ["Listening at :ok: now.", "Where: :ok:"]
