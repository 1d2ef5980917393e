import importlib.util
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.compliance import tz, zones
from offhook.compliance.zones import Location, Unresolvable, locate
from offhook.phone import NumberClass, Phone


def number(area_code: str) -> Phone:
    return Phone(f"+1{area_code}5550199", NumberClass.FICTITIOUS)


def place(area_code: str, state: str | None = None) -> Location:
    found = locate(number(area_code), state=state)
    assert isinstance(found, Location)
    return found


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("area_code", "clocks"),
    [
        ("312", {"America/Chicago"}),
        ("850", {"America/Chicago", "America/New_York"}),
        ("423", {"America/Chicago", "America/New_York"}),
        ("605", {"America/Chicago", "America/Denver"}),
        ("208", {"America/Boise", "America/Los_Angeles"}),
        ("928", {"America/Denver", "America/Phoenix"}),
        ("402", {"America/Chicago", "America/Denver"}),
        ("458", {"America/Boise", "America/Los_Angeles"}),
        ("906", {"America/Detroit", "America/Menominee"}),
        ("787", {"America/Puerto_Rico"}),
        ("671", {"Pacific/Guam"}),
    ],
)
def test_an_area_code_that_spans_zones_keeps_all_of_them(area_code: str, clocks: set[str]) -> None:
    assert set(place(area_code).zones) == clocks


@pytest.mark.parametrize(
    ("area_code", "jurisdictions"),
    [("312", ("US-IL",)), ("787", ("US-PR",)), ("416", ("CA-ON",)), ("902", ("CA-NS", "CA-PE")), ("664", ("MS",))],
)
def test_an_area_code_names_its_state_and_not_its_neighbours(area_code: str, jurisdictions: tuple[str, ...]) -> None:
    assert place(area_code).jurisdictions == jurisdictions


@pytest.mark.parametrize("state", ["IL", "il ", "US-IL", "Illinois", None, "", "  "])
def test_a_stated_state_that_agrees_with_the_area_code_changes_nothing(state: str | None) -> None:
    assert place("312", state) == Location(("America/Chicago",), ("US-IL",), conflict=False)


def test_a_stated_state_elsewhere_adds_its_law_and_its_clock_and_is_flagged() -> None:
    found = place("312", "PA")

    assert found == Location(("America/Chicago", "America/New_York"), ("US-IL", "US-PA"), conflict=True)


def test_a_state_nobody_knows_is_not_taken_for_the_area_codes() -> None:
    assert locate(number("312"), state="Illinoise") == Unresolvable("state")


@pytest.mark.parametrize("area_code", ["800", "833", "900", "500", "999"])
def test_a_number_tied_to_no_place_is_not_located(area_code: str) -> None:
    assert locate(number(area_code), state="IL") == Unresolvable("area_code")


def test_a_number_outside_north_america_is_not_located() -> None:
    assert locate(Phone("+442071838750", NumberClass.ORDINARY), state=None) == Unresolvable("area_code")


@given(st.sampled_from(sorted(map(str, zones._area_codes()))), st.sampled_from(sorted(zones._states())))
def test_what_a_lead_says_never_removes_what_its_area_code_says(area_code: str, state: str) -> None:
    silent, stated = place(area_code), place(area_code, state)

    assert {*silent.zones} <= {*stated.zones}
    assert {*silent.jurisdictions, state} == {*stated.jurisdictions}


def test_every_zone_in_the_tables_exists_in_the_pinned_time_zone_data() -> None:
    named = {zone for found in zones._area_codes().values() for zone in found.zones}
    named |= {zone for found in zones._states().values() for zone in found}

    assert all(tz.zone(zone).key == zone for zone in named)


def test_every_state_has_a_clock_and_every_area_code_a_place() -> None:
    assert len(zones._area_codes()) == 442
    assert all(found.zones and found.jurisdictions for found in zones._area_codes().values())
    assert sum(jurisdiction.startswith("US-") for jurisdiction in zones._states()) == 56
    assert all(zones._states().values())


def test_the_tables_are_what_their_sources_give() -> None:
    made = script("make_area_codes")

    area_codes = [
        (row["area_code"], row["country"], row["jurisdictions"], row["zones"]) for row in zones._table("area_codes.csv")
    ]
    states = [(row["jurisdiction"], row["name"], row["zones"]) for row in zones._table("states.csv")]

    assert area_codes == list(made.area_code_rows()), "run scripts/make_area_codes.py"
    assert states == list(made.state_rows()), "run scripts/make_area_codes.py"


@pytest.fixture
def a_system_with_stale_zones(tmp_path: Path) -> Iterator[None]:
    """Its files say that Edmonton keeps UTC."""
    stale = tmp_path / "America/Edmonton"
    stale.parent.mkdir()
    stale.write_bytes(files("tzdata").joinpath("zoneinfo", "UTC").read_bytes())
    zoneinfo.reset_tzpath([tmp_path])
    tz.zone.cache_clear()
    yield
    zoneinfo.reset_tzpath()


@pytest.mark.usefixtures("a_system_with_stale_zones")
def test_legal_time_comes_from_the_pinned_release_whatever_the_system_says() -> None:
    winter = datetime(2026, 12, 15, tzinfo=UTC)

    # Alberta has kept six hours since 2026; older releases say seven in winter.
    assert winter.astimezone(zoneinfo.ZoneInfo.no_cache("America/Edmonton")).utcoffset() == timedelta(0)
    assert winter.astimezone(tz.zone("America/Edmonton")).utcoffset() == timedelta(hours=-6)
    assert tz.tzdata_version() >= "2026f"


def test_a_zone_that_does_not_exist_is_refused() -> None:
    with pytest.raises(zoneinfo.ZoneInfoNotFoundError):
        tz.zone("Napakiak")
