"""Where SQL stands, and which room writes which table. What breaks a rule today is listed by name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.house.source import SRC, Source, sources

THE_STORE_IS_THE_ROOM = {"db", "jobs", "events"}
SQL_OUTSIDE_OF_STORES = {"upkeep.py"}
# A measurement heaps up in seconds what an endpoint that is down gathers in a day.
_HEAPED_UP = {("bench", "event"), ("bench", "delivery"), ("bench", "due")}
WRITTEN_BY_ANOTHER_ROOM: set[tuple[str, str]] = {("upkeep", "report_seen"), *_HEAPED_UP}
ARRAYS_AS_TEXT = {"bench/store.py"}

_SQL = re.compile(r"\b(select\s.+?\sfrom|insert\s+into|update\s+\w+(\s+\w+)?\s+set|delete\s+from)\s", re.DOTALL)
_WRITTEN = re.compile(r"(?:\binsert\s+into|\bdelete\s+from|(?<!for )(?<!no key )(?<!do )\bupdate)\s+(?!set\b)(\w+)")
_OWNED = re.compile(r"^-- owner: (\w+)\n(?:-- .*\n)*create table (\w+)", re.MULTILINE)
_SEED = re.compile(r"hashtextextended\(.+?, (\d+)\)")
_ARRAY_AS_TEXT = re.compile(r"\b(any|all|some|unnest|cardinality|array_position)\(\s*%(\(\w+\))?[st]")


def owners() -> dict[str, str]:
    """The room of each table, as the printed schema says."""
    schema = (SRC / "db" / "schema.sql").read_text(encoding="utf-8")
    owned = {table: room for room, table in _OWNED.findall(schema)}
    assert len(owned) == schema.count("\ncreate table ")
    return owned


def statements(source: Source) -> list[str]:
    return [text for text in source.strings if _SQL.search(text)]


def writes(source: Source) -> set[str]:
    """The tables that the file's statements change."""
    return {table for text in statements(source) for table in _WRITTEN.findall(text)} & owners().keys()


def test_sql_stands_in_stores_only() -> None:
    elsewhere = {
        source.name
        for source in sources()
        if statements(source) and not source.name.endswith("store.py") and source.room not in THE_STORE_IS_THE_ROOM
    }

    assert elsewhere - SQL_OUTSIDE_OF_STORES == set()


def test_every_table_is_written_by_the_room_that_owns_it() -> None:
    written = {(source.room, table) for source in sources() for table in writes(source)}

    strangers = {(room, table) for room, table in written if owners()[table] != room}

    assert strangers - WRITTEN_BY_ANOTHER_ROOM == set()
    assert owners().keys() - {table for _, table in written} == set()


def test_arrays_travel_to_the_database_as_bytes() -> None:
    as_text = {source.name for source in sources() if any(map(_ARRAY_AS_TEXT.search, source.strings))}

    assert as_text - ARRAYS_AS_TEXT == set()


def test_no_two_rooms_take_turns_by_the_same_number() -> None:
    """An advisory lock is known by a hash and its seed; where two rooms shared a seed, one might wait for the other."""
    rooms: dict[str, set[str]] = {}
    for source in sources():
        for seed in _SEED.findall(source.text):
            rooms.setdefault(seed, set()).add(source.name)
    assert rooms
    assert {seed: paths for seed, paths in rooms.items() if len(paths) > 1} == {}


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("insert into lead (id) values (1) on conflict do update set id = 2", {"lead"}),
        ("update lead l set status = 'x'", {"lead"}),
        ("delete from due where true returning id", {"due"}),
        ("with d as (insert into delivery (id) values (1)) delete from due", {"delivery", "due"}),
        ("select 1 from job for update skip locked", set()),
        ("select 1 from lead for no key update", set()),
    ],
)
def test_the_reader_of_statements_sees_which_tables_they_write(statement: str, tables: set[str]) -> None:
    assert set(_WRITTEN.findall(statement)) & owners().keys() == tables


@given(st.sampled_from(["any", "all", "unnest"]), st.sampled_from(["%s", "%(ids)s", "%(ids)s::uuid[]", "%t"]))
def test_the_reader_of_statements_sees_arrays_that_go_as_text(function: str, parameter: str) -> None:
    assert _ARRAY_AS_TEXT.search(f"select 1 where id = {function}({parameter})")
    assert not _ARRAY_AS_TEXT.search(f"select 1 where id = {function}(%(ids)b::uuid[])")
