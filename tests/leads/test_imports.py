import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journeys.stage import Stage, side_by_side
from tests.leads.sending import upload

from offhook.db import Tenant
from offhook.errors import Invalid
from offhook.jobs import queue
from offhook.leads.files import read_csv
from offhook.leads.imports import CHUNK
from offhook.wiring import House

ROOT = Path(__file__).parents[2]
MAPPING: dict[str, str | dict[str, Any]] = {
    "client_ref_id": "ref",
    "contact.phone": "phone",
    "consent.given_at": "consent_at",
    "consent.artificial_voice": {"constant": True},
}
HEAD = "ref,phone,consent_at"
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


def a_file(rows: int) -> bytes:
    """So many people, each with a reference and, as long as they last, a number of their own."""
    areas = (212, 215, 305, 404, 516, 585, 617, 704, 718, 803, 813, 917)
    lines = [f"R{n},+1{areas[n // 100]}55501{n % 100:02d},2026-11-20T15:02:11Z" for n in range(rows)]
    return "\n".join([HEAD, *lines]).encode()


@given(st.lists(st.tuples(CELL, CELL), max_size=20))
def test_whatever_a_file_holds_each_row_becomes_a_lead_with_its_cells(rows: list[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("ref", "phone"), *rows])

    leads = read_csv(file.getvalue().encode(), {"client_ref_id": "ref", "contact.phone": "phone"})

    assert leads == [{"client_ref_id": ref.strip(), "contact": {"phone": phone.strip()}} for ref, phone in rows]


def test_a_row_without_the_date_of_its_consent_tells_of_no_consent() -> None:
    with_, without = read_csv(f"{HEAD}\nA,1,2026-11-20T15:02:11Z\nB,2,".encode(), MAPPING)

    assert with_["consent"][0] == {
        "channel": "voice",
        "purpose": "marketing",
        "given_at": "2026-11-20T15:02:11Z",
        "artificial_voice": True,
    }
    assert "consent" not in without


def test_a_byte_order_mark_and_empty_lines_are_passed_over() -> None:
    (lead,) = read_csv(f"\ufeff{HEAD}\r\n\r\nA,1,\r\n\r\n".encode(), MAPPING)

    assert lead == {"client_ref_id": "A", "contact": {"phone": "1"}}


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


async def test_a_column_that_the_file_lacks_is_named_and_nothing_is_stored(api: Any, stage: Stage) -> None:
    answer = await upload(api, b"ref,telephone,consent_at\nA,+12125550101,\n", MAPPING)

    assert (answer.status, answer.json["code"]) == (422, "no_such_column")
    assert "phone" in answer.json["detail"]
    assert (await stage.get("/v1/leads"))["data"] == []


async def test_an_import_tells_what_became_of_its_rows_and_which_were_wrong(api: Any, stage: Stage) -> None:
    rows = [
        "A,+12125550101,2026-11-20T15:02:11Z",
        "B,+1312555,",
        "A,+12125550101,2026-11-20T15:02:11Z",
        "C,(212) 555-0101,",
    ]
    answer = await upload(api, "\n".join([HEAD, *rows]).encode(), MAPPING)

    await stage.settle()

    job = await stage.get(f"/v1/jobs/{answer.json['job_id']}")
    assert (answer.status, job["status"], job["done"], job["total"]) == (202, "done", 4, 4)
    assert (job["result"]["accepted"], job["result"]["duplicates"], job["result"]["rejected"]) == (1, 1, 1)
    assert job["result"]["problems"] == [{"row": 2, "code": "invalid_phone", "param": "contact.phone"}]


async def test_an_import_that_was_killed_half_way_goes_on_where_it_was(
    house: House, sandbox: Tenant, api: Any, stage: Stage
) -> None:
    rows = 2 * CHUNK + 10
    job_id = (await upload(api, a_file(rows), MAPPING)).json["job_id"]
    async with house.database.transaction(sandbox) as tx:
        (leased,) = await queue.lease(tx, await queue.take(tx, ["leads.import"], 1))
    await house.imports.take_in_next(leased)
    assert (await stage.get(f"/v1/jobs/{job_id}"))["done"] == CHUNK

    await lose_leases(house, sandbox)
    await house.runner.drain(sandbox)

    job = await stage.get(f"/v1/jobs/{job_id}")
    assert (job["status"], job["done"], job["result"]["accepted"]) == ("done", rows, rows)
    assert await stage.count("lead.accepted") == rows


async def test_two_workers_that_both_hold_an_import_count_every_row_once(
    house: House, sandbox: Tenant, api: Any, stage: Stage
) -> None:
    rows = 3 * CHUNK - 400
    job_id = (await upload(api, a_file(rows), MAPPING)).json["job_id"]
    async with house.database.transaction(sandbox) as tx:
        (leased,) = await queue.lease(tx, await queue.take(tx, ["leads.import"], 1))

    await side_by_side(lambda: house.imports.run(leased), lambda: house.imports.run(leased))

    job = await stage.get(f"/v1/jobs/{job_id}")
    assert (job["status"], job["done"], job["result"]["accepted"]) == ("done", rows, rows)


async def test_what_waits_to_be_imported_waits_sealed(house: House, sandbox: Tenant, api: Any) -> None:
    await upload(api, a_file(3), MAPPING)

    async with house.database.transaction(sandbox) as tx:
        ((rows,),) = await tx.rows("select rows from import_chunk")
    assert b"5550100" not in rows


async def test_the_export_of_ten_thousand_people_is_sorted_out_row_by_row(api: Any, stage: Stage) -> None:
    mapping = {
        "client_ref_id": "client_ref_id", "contact.first_name": "first_name", "contact.last_name": "last_name",
        "contact.phone": "phone", "contact.email": "email", "contact.address.city": "city",
        "contact.address.state": "state", "contact.address.postal_code": "postal_code",
        "visitor.gclid": "gclid", "consent.tier": {"constant": "written"}, "consent.given_at": "consent_at",
        "consent.evidence.ip": "consent_ip", "consent.artificial_voice": "consent_artificial_voice",
    }  # fmt: skip
    answer = await upload(api, (ROOT / "examples" / "leads-10k.csv").read_bytes(), mapping)

    await stage.house.runner.drain(stage.tenant)

    job = await stage.get(f"/v1/jobs/{answer.json['job_id']}")
    told = job["result"]
    assert (job["status"], job["done"]) == ("done", 10_270)
    assert (told["accepted"] + told["held"], told["rejected"], told["invalid"]) == (9_694, 356, 60)
    assert (told["duplicates"], told["payload_differs"]) == (160, 40)
    assert told["codes"] == {
        "CONSENT_NO_ARTIFICIAL_VOICE": 306, "DUPLICATE_PHONE": 35, "CONSENT_MISSING": 20, "invalid_phone": 60,
    }  # fmt: skip


async def lose_leases(house: House, tenant: Tenant) -> None:
    """As if every worker had been dead for a minute."""
    async with house.database.transaction(tenant) as tx:
        await tx.run("update job set leased_until = %(wall)s - interval '1 second'", {"wall": tx.wall})
