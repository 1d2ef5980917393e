import csv
import io
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.leads.test_imports import HEAD, MAPPING

from offhook.errors import Invalid
from offhook.http.wire import DEEPEST
from offhook.leads import files
from offhook.leads.chunks import CHUNK, CHUNK_BYTES, Chunks
from offhook.leads.files import LINE_MOST, FieldMapping, Line

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)
NAMES: FieldMapping = {"client_ref_id": "ref", "contact.phone": "phone"}
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
)
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELL, inner, max_size=3))


def read_csv(content: bytes, mapping: FieldMapping) -> list[Line]:
    return list(files.read_csv(io.BytesIO(content), mapping))


def read_ndjson(content: bytes, mapping: FieldMapping | None) -> list[Line]:
    return list(files.read_ndjson(io.BytesIO(content), mapping))


def bodies(lines: list[Line]) -> list[Any]:
    return [line.body for line in lines]


def is_utf8(content: bytes) -> bool:
    return content.decode(errors="ignore").encode() == content


@given(st.lists(st.tuples(CELL, CELL), max_size=20))
def test_whatever_a_file_holds_each_row_becomes_a_lead_with_its_cells(rows: list[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("ref", "phone"), *rows])

    lines = read_csv(file.getvalue().encode(), NAMES)

    assert [line.number for line in lines] == [n for n in range(1, len(rows) + 1)]
    assert [line.body for line in lines] == [
        {"client_ref_id": ref.strip(), "contact": {"phone": phone.strip()}} for ref, phone in rows
    ]


def test_a_row_without_the_date_of_its_consent_tells_of_no_consent() -> None:
    with_, without = bodies(read_csv(f"{HEAD}\nA,1,2026-11-20T15:02:11Z\nB,2,".encode(), MAPPING))

    assert with_["consent"][0] == {
        "channel": "voice",
        "purpose": "marketing",
        "given_at": "2026-11-20T15:02:11Z",
        "artificial_voice": True,
    }
    assert "consent" not in without


def test_a_byte_order_mark_and_empty_lines_are_passed_over() -> None:
    (line,) = read_csv(f"\ufeff{HEAD}\r\n\r\nA,1,\r\n\r\n".encode(), MAPPING)

    assert line == Line(2, {"client_ref_id": "A", "contact": {"phone": "1"}})


@pytest.mark.parametrize(
    ("content", "mapping", "code", "told"),
    [
        (b"ref,phone\n", MAPPING, "no_such_column", "consent_at"),
        (b"ref\n", {"client_ref_id": "ref"}, "missing", "contact.phone"),
        (
            b"ref,phone\n",
            {"client_ref_id": "ref", "contact.phone": "phone", "contact.fax": "ref"},
            "unknown_field",
            "fax",
        ),
        (b"ref\n", {"client_ref_id": "ref", "contact.phone": {"column": 1}}, "wrong_type", "constant"),
        (b"", MAPPING, "no_such_column", "ref"),
        (
            b"ref,phone\n",
            {**NAMES, "metadata.a": "ref", "metadata.a.b": "ref"},
            "overlapping_fields",
            "metadata.a",
        ),
        (b"ref,phone\n", {**NAMES, "metadata.": "ref"}, "unknown_field", "metadata."),
        (b"ref,phone\n", {**NAMES, "metadata.a": {"constant": {"b": 1}}}, "wrong_type", "plain"),
        (f"{HEAD}\nA,1,\nB,J\xf6rg,\n".encode("latin-1"), MAPPING, "not_utf8", "Line 3"),
        (f"{HEAD}\nA,1,\nB,2\n".encode(), MAPPING, "bad_row", "Row 2"),
        (f'{HEAD}\nA,"1,\n'.encode(), MAPPING, "bad_csv", "Line"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(
    content: bytes, mapping: dict[str, Any], code: str, told: str
) -> None:
    with pytest.raises(Invalid) as refused:
        read_csv(content, mapping)

    assert refused.value.code == code
    assert told in refused.value.detail


def test_a_file_without_a_head_is_refused_without_telling_whom_it_names() -> None:
    with pytest.raises(Invalid) as refused:
        read_csv(b"LD-1,+12125550101,Michael\n", NAMES)

    assert all("Michael" not in fault.detail and "5550101" not in fault.detail for fault in refused.value.faults)


@given(st.lists(st.none() | st.dictionaries(CELL, JSON, max_size=4), max_size=10))
def test_whatever_the_lines_hold_each_is_a_lead_with_its_number(leads: list[dict[str, Any] | None]) -> None:
    file = b"\n".join(b"" if lead is None else orjson.dumps(lead) for lead in leads)

    lines = read_ndjson(file, None)

    assert lines == [Line(n, lead) for n, lead in enumerate(leads, start=1) if lead is not None]


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_whatever_bytes_come_every_line_is_told_or_the_file_refused_and_what_is_told_can_be_kept(
    raw: list[bytes],
) -> None:
    file = b"\n".join(raw)
    if not is_utf8(file):
        with pytest.raises(Invalid, match="not_utf8"):
            read_ndjson(file, None)
        return

    lines = read_ndjson(file, None)

    assert all((line.body is None) == (line.fault is not None) for line in lines)
    assert orjson.dumps([(line.number, line.body, line.fault) for line in lines])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"client_ref_id": ', "malformed_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"a": "' + b"x" * LINE_MOST + b'"}', "line_too_long"),
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "nested_too_deep"),
        (b'{"a": ' + b"[" * DEEPEST + b"]" * DEEPEST + b"}", "nested_too_deep"),
        (b"[" * 5000 + b"]" * 5000, "malformed_json"),
        (b'{"a": ["\\u0000"]}', "unstorable_text"),
        (b'{"a": "\\ud800"}', "malformed_json"),
    ],
)
def test_a_line_that_holds_no_lead_says_why_and_its_neighbours_are_read(line: bytes, code: str) -> None:
    lines = read_ndjson(b'\xef\xbb\xbf{"n": 1}\r\n\n' + line + b'\n{"n": 2}', None)

    assert lines == [Line(1, {"n": 1}), Line(3, None, code), Line(4, {"n": 2})]


def test_a_line_that_is_not_utf8_refuses_the_file_and_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        read_ndjson(b'{}\n{"name": "J\xf6rg"}\n', None)

    assert (refused.value.code, "Line 2" in refused.value.detail) == ("not_utf8", True)


def test_a_mapping_finds_what_stands_anywhere_in_a_line() -> None:
    line = {"id": "A", "person": {"phones": ["1", " 2 "], "name": None}, "deep": {"er": {"x": 1}}, "at": "2026"}
    mapping: FieldMapping = {
        "client_ref_id": "id", "contact.phone": "person.phones.1", "contact.first_name": "person.name",
        "contact.last_name": "person.phones.7.x", "metadata.x": "deep.er", "visitor.gclid": "id.nothing",
        "consent.given_at": "at", "consent.tier": {"constant": "written"},
    }  # fmt: skip

    assert bodies(read_ndjson(orjson.dumps(line), mapping)) == [
        {
            "client_ref_id": "A",
            "contact": {"phone": "2"},
            "metadata": {"x": {"x": 1}},
            "consent": [{"channel": "voice", "purpose": "marketing", "given_at": "2026", "tier": "written"}],
        }
    ]


@given(JSON, st.lists(st.text(st.characters(codec="ascii"), max_size=4) | st.just("0"), min_size=1, max_size=4))
def test_no_path_is_too_strange_to_be_looked_for(value: Any, steps: list[str]) -> None:
    mapping: FieldMapping = {**NAMES, "metadata.x": ".".join(steps)}

    (line,) = read_ndjson(orjson.dumps({"ref": "A", "phone": "1", "0": value}), mapping)

    assert line.body is not None


def test_a_mapping_of_lines_must_say_what_holds_the_reference_and_the_number() -> None:
    with pytest.raises(Invalid) as refused:
        read_ndjson(b"{}", {"contact.fax": "x"})

    assert [fault.param for fault in refused.value.faults] == [
        "mapping.client_ref_id",
        "mapping.contact.phone",
        "mapping.contact.fax",
    ]


def test_a_file_is_read_no_further_than_its_rows_are_asked_for() -> None:
    rows = io.BytesIO(f"{HEAD}\n".encode() + b"A,1,2026-11-20T15:02:11Z\n" * 50_000)
    lines = io.BytesIO(b'{"client_ref_id": "A"}\n' * 50_000)

    next(files.read_csv(rows, MAPPING))
    next(files.read_ndjson(lines, None))

    assert rows.tell() < 2**16
    assert lines.tell() < 2**16


@pytest.mark.parametrize("row", [b"A," + b"1" * 100_000, b'A,"' + b"1\n" * 50_000 + b'","' + b"2\n" * 50_000 + b'"'])
def test_a_row_that_never_ends_is_not_read_to_its_end(row: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        read_csv(b"ref,phone\n" + b",".join([row] * 20), NAMES)

    assert refused.value.code == "line_too_long"


def test_a_file_may_end_its_lines_as_any_system_does() -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        (line,) = read_csv(b"ref,phone" + end + b"A,1" + end, NAMES)
        assert line == Line(1, {"client_ref_id": "A", "contact": {"phone": "1"}})


@given(st.lists(st.integers(0, 2 * CHUNK_BYTES // 3), max_size=8), st.integers(0, 2 * CHUNK))
def test_chunks_hold_every_line_once_and_fit_into_memory(long: list[int], short: int) -> None:
    lines = [Line(n, {"text": "x" * length}) for n, length in enumerate([*long, *[0] * short])]

    with Chunks(iter(lines)) as chunks:
        read = list(chunks)
        assert list(chunks) == read

    assert [Line(*row) for chunk in read for row in orjson.loads(chunk)] == lines
    assert chunks.rows == len(lines)
    assert all(len(orjson.loads(chunk)) <= CHUNK for chunk in read)
    assert all(len(chunk) <= CHUNK_BYTES + 2 * CHUNK_BYTES // 3 + 50 * CHUNK for chunk in read)
