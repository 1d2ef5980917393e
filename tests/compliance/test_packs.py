import csv
from datetime import date, timedelta
from importlib.resources import files

import pytest

from offhook.compliance import rehearsal
from offhook.compliance.rulebook import Shut, load, packaged
from offhook.compliance.rulepack import Example
from offhook.errors import CannotStart

PACKS = files("offhook.compliance").joinpath("packs")
BOOK = packaged()
EXAMPLES = [
    pytest.param(jurisdiction, example, id=f"{jurisdiction}-{example.at.isoformat()}-{example.expect}")
    for jurisdiction, pack in BOOK.packs.items()
    for example in pack.tests
]


def text(name: str) -> str:
    return PACKS.joinpath(name).read_text(encoding="utf-8")


def pennsylvania(**changes: str) -> dict[str, bytes]:
    """Its pack and its holidays, with parts of the text replaced."""
    pack = text("US-PA.yaml")
    for old, new in changes.items():
        old = {"sunday": "sun: []", "end": '"19:00"', "through": "holidays_valid_through: 2027-12-31"}.get(old, old)
        assert old in pack
        pack = pack.replace(old, new)
    dates = "holidays/US-PA.2026-2027.csv"
    return {"US.yaml": text("US.yaml").encode(), "US-PA.yaml": pack.encode(), dates: text(dates).encode()}


@pytest.mark.parametrize(("jurisdiction", "example"), EXAMPLES)
def test_a_pack_answers_its_own_examples(jurisdiction: str, example: Example) -> None:
    assert rehearsal.answer(BOOK, jurisdiction, example) == example.expect


def test_a_pack_that_breaks_its_own_example_is_told_with_the_instant() -> None:
    book = load(pennsylvania(end='"20:00"'))

    assert list(rehearsal.broken_examples(BOOK)) == []
    assert any("2026-10-19T19:00:00-04:00: expected deny" in line for line in rehearsal.broken_examples(book))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sunday": "sunday: []"}, "sunday is neither a day"),
        ({"sunday": "sat: []"}, "sat has hours twice"),
        ({"sunday": "holiday: []"}, "holiday stands twice"),
        ({"sun: [], ": ""}, "no hours for sun"),
        ({"end": '"09:00"'}, "must end after they start"),
        ({"tz: local": "tz: lokal"}, "tz"),
        ({"supersedes: US-PA.hours.voice@2019": "superseded: x"}, "superseded: Extra inputs"),
        ({"supersedes: US-PA.hours.voice@2019": "supersedes: x"}, "supersedes names a rule"),
        ({"through": "holidays_valid_through: null"}, "need each other"),
        ({"through": "holidays_valid_through: 2027-11-30"}, "dates after 2027-11-30"),
        ({"2026-2027.csv": "2028.csv"}, "there is no holidays/US-PA.2028.csv"),
        ({"jurisdiction: US-PA": "jurisdiction: US-NJ"}, "it says US-NJ"),
        ({"kind: holiday": "kind: feast"}, "feast"),
        ({"rules:": "rules: ["}, "US-PA.yaml"),
    ],
)
def test_a_pack_with_a_mistake_stops_the_start_and_names_the_place(changes: dict[str, str], told: str) -> None:
    with pytest.raises(CannotStart) as refused:
        load(pennsylvania(**changes))

    assert refused.value.code == "bad_rule_pack"
    assert "US-PA" in refused.value.detail
    assert told in refused.value.detail


def test_a_pack_without_examples_is_refused() -> None:
    pack, _, _ = text("US.yaml").partition("tests:")

    with pytest.raises(CannotStart, match="tests"):
        load({"US.yaml": f"{pack}tests: []".encode()})


def test_the_hash_names_every_byte_of_law_also_the_dates() -> None:
    law = pennsylvania()
    one_date_less = law | {name: b"\n".join(t.splitlines()[:-1]) for name, t in law.items() if name.endswith(".csv")}

    assert load(law).pack_hash == load(dict(reversed(law.items()))).pack_hash
    assert load(law).pack_hash != load(one_date_less).pack_hash
    assert BOOK.pack_hash.startswith("sha256:")


def test_a_state_without_a_pack_is_under_federal_law_and_a_country_without_one_is_under_none() -> None:
    illinois = BOOK.binding("US-IL", "artificial_voice")

    assert illinois is not None
    assert [window.rule for window in illinois] == ["US.hours.voice"]
    assert BOOK.binding("MS", "artificial_voice") is None


def test_a_rule_for_recorded_voice_alone_does_not_bind_a_live_call() -> None:
    recorded_only = pennsylvania(**{"modality: [live, artificial_voice, prerecorded]": "modality: [prerecorded]"})

    book = load(recorded_only)

    assert [w.rule for w in book.binding("US-PA", "live") or ()] == ["US.hours.voice"]
    assert "US-PA.hours.voice" in [w.rule for w in book.binding("US-PA", "prerecorded") or ()]


def test_nothing_is_claimed_to_be_reviewed_that_no_lawyer_signed() -> None:
    for pack in BOOK.packs.values():
        assert (pack.reviewed.status == "reviewed") == (pack.reviewed.by is not None and pack.reviewed.on is not None)


@pytest.mark.parametrize("state", ["AL", "LA", "PA"])
def test_days_off_fall_where_the_calendar_puts_them(state: str) -> None:
    lines = [line for line in text(f"holidays/US-{state}.2026-2027.csv").splitlines() if not line.startswith("#")]
    named = {date.fromisoformat(row["date"]): row for row in csv.DictReader(lines)}

    assert {row["verified"] for row in named.values()} <= {"S1", "U"}
    assert list(named) == sorted(named)
    for year, thanksgiving in ((2026, date(2026, 11, 26)), (2027, date(2027, 11, 25))):
        assert "Thanksgiving" in named[thanksgiving]["name"]
        assert {date(year, 1, 1), date(year, 7, 4), date(year, 12, 25)} <= set(named)
    assert {date(2026, 7, 3), date(2027, 7, 5), date(2027, 12, 24), date(2027, 12, 31)} <= set(named)


@pytest.mark.parametrize("day", [date(2025, 12, 31), date(2028, 1, 1)])
def test_a_calendar_that_has_run_out_bars_instead_of_guessing(day: date) -> None:
    voice = next(window for window in BOOK.windows["US-LA"] if window.calendar)

    assert voice.on(day) == Shut("US-LA.holidays", "CALENDAR_EXPIRED")
    assert voice.on(date(2027, 12, 31) - timedelta(days=1)) is not None
