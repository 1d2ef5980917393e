from pathlib import Path
from typing import Any

import pytest
from tests.journeys.stage import Stage, side_by_side
from tests.leads.sending import upload

from offhook import ids
from offhook.db import Tenant
from offhook.jobs import queue
from offhook.leads.chunks import CHUNK
from offhook.leads.ingest import Raced
from offhook.wiring import House

ROOT = Path(__file__).parents[2]
MAPPING: dict[str, str | dict[str, Any]] = {
    "client_ref_id": "ref",
    "contact.phone": "phone",
    "consent.given_at": "consent_at",
    "consent.artificial_voice": {"constant": True},
}
HEAD = "ref,phone,consent_at"


def a_file(rows: int) -> bytes:
    """So many people, each with a reference and, as long as they last, a number of their own."""
    areas = (212, 215, 305, 404, 516, 585, 617, 704, 718, 803, 813, 917)
    lines = [f"R{n},+1{areas[n // 100]}55501{n % 100:02d},2026-11-20T15:02:11Z" for n in range(rows)]
    return "\n".join([HEAD, *lines]).encode()


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


async def test_the_same_key_imports_the_same_file_once_and_refuses_another_of_the_same_length(
    api: Any, stage: Stage
) -> None:
    first = await upload(api, a_file(2), MAPPING, Idempotency_Key="k")
    again = await upload(api, a_file(2), MAPPING, Idempotency_Key="k")
    other_file = await upload(api, a_file(2).replace(b"R1,", b"X1,"), MAPPING, Idempotency_Key="k")
    other_mapping = await upload(api, a_file(2), {**MAPPING, "contact.email": "ref"}, Idempotency_Key="k")

    assert (first.status, again.status, again.json) == (202, 202, first.json)
    assert [(one.status, one.json["code"]) for one in (other_file, other_mapping)] == [
        (422, "idempotency_mismatch")
    ] * 2


NDJSON_LINES = b"\n".join(
    [
        b'{"client_ref_id": "A", "contact": {"phone": "+12125550101"}, "consent": [{"channel": "voice",'
        b' "artificial_voice": true, "given_at": "2026-11-20T15:02:11Z"}], "metadata": {"crm": [1]}}',
        b"",
        b'{"client_ref_id": "B"',
        b'["C"]',
        b'{"client_ref_id": "D", "contact": {"phone": "+1312555"}}',
        b'{"client_ref_id": "E", "contact": {"phone": "+12125550102", "Michael": "red"}}',
        b'{"client_ref_id": "F", "contact": {"phone": "+12125550103"}, "visitor": {"michael@example.org": 5}}',
    ]
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("leads.txt", "application/x-ndjson; charset=utf-8"), ("LEADS.NDJSON", ""), ("leads.jsonl", "text/plain")],
)
async def test_lines_of_bare_leads_are_taken_in_and_bad_ones_told_by_their_number(
    api: Any, stage: Stage, name: str, kind: str
) -> None:
    answer = await upload(api, NDJSON_LINES, name=name, kind=kind)

    await stage.settle()

    job = await stage.get(f"/v1/jobs/{answer.json['job_id']}")
    assert (answer.status, job["status"], job["done"], job["total"]) == (202, "done", 6, 6)
    assert (job["result"]["accepted"], job["result"]["invalid"]) == (1, 5)
    assert job["result"]["problems"] == [
        {"row": 3, "code": "malformed_json", "param": None},
        {"row": 4, "code": "not_an_object", "param": None},
        {"row": 5, "code": "invalid_phone", "param": "contact.phone"},
        {"row": 6, "code": "unknown_field", "param": "contact.(a key)"},
        {"row": 7, "code": "wrong_type", "param": "visitor.(a key)"},
    ]
    assert (await stage.get("/v1/leads/ext:A"))["metadata"] == {"crm": [1]}


async def test_lines_of_another_shape_are_taken_in_by_a_mapping(api: Any, stage: Stage) -> None:
    line = b'{"id": "A", "person": {"phones": ["+12125550101"]}, "agreed": "2026-11-20T15:02:11Z"}'
    mapping = {
        "client_ref_id": "id",
        "contact.phone": "person.phones.0",
        "consent.given_at": "agreed",
        "consent.artificial_voice": {"constant": True},
    }

    await upload(api, line, mapping, name="leads.ndjson")
    await stage.settle()

    assert (await stage.get("/v1/leads/ext:A"))["contact"]["phone"] == "+12125550101"


async def test_a_csv_file_needs_a_mapping(api: Any) -> None:
    answer = await upload(api, a_file(1))

    assert (answer.status, answer.json["code"], answer.json["param"]) == (422, "missing", "mapping")


async def test_a_file_of_lines_that_is_not_utf8_is_refused_and_nothing_is_stored(api: Any, stage: Stage) -> None:
    answer = await upload(api, NDJSON_LINES + b'\n{"client_ref_id": "J\xf6rg"}', name="leads.ndjson")

    assert (answer.status, answer.json["code"]) == (422, "not_utf8")
    assert "Line 8" in answer.json["detail"]
    await stage.settle()
    assert (await stage.get("/v1/leads"))["data"] == []


@pytest.mark.parametrize("depth", [40, 300, 900])
async def test_a_lead_that_is_nested_too_deep_is_refused_and_not_stumbled_over(api: Any, depth: int) -> None:
    lead = b'{"client_ref_id": "A", "contact": {"phone": "+12125550101"}, "metadata": {"a": '
    content = lead + b"[" * depth + b"]" * depth + b"}}"

    answer = await api.request("POST", "/v1/leads", content=content, Content_Type="application/json")

    assert (answer.status, answer.json["code"]) == (422, "nested_too_deep")


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


async def chunks(house: House, tenant: Tenant) -> int:
    """How many chunks wait to be imported."""
    async with house.database.transaction(tenant) as tx:
        row = await tx.row("select count(*)::int from import_chunk")
    return int(row[0]) if row else 0


async def test_an_import_that_fails_again_and_again_is_given_up_and_nothing_of_it_waits(
    house: House, sandbox: Tenant, api: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = (await upload(api, a_file(CHUNK + 10), MAPPING)).json["job_id"]
    ingest, calls = house.leads.ingest, 0

    async def fail_after_the_first(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise RuntimeError("+12125550100")
        return await ingest(*args)

    monkeypatch.setattr(house.leads, "ingest", fail_after_the_first)
    await stage.settle()
    waiting = await chunks(house, sandbox)
    await stage.passes(minutes=15)

    job = await stage.get(f"/v1/jobs/{job_id}")
    assert (waiting, await chunks(house, sandbox)) == (1, 0)
    assert (job["status"], job["done"], job["total"], job["result"]["accepted"]) == ("failed", CHUNK, CHUNK + 10, CHUNK)


async def test_a_race_for_a_lead_is_no_failure_of_the_import(
    house: House, api: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = (await upload(api, a_file(3), MAPPING)).json["job_id"]
    ingest, races = house.leads.ingest, [True, True]

    async def race_twice(*args: Any) -> Any:
        if races and races.pop():
            raise Raced("raced", "Another request took the same reference.")
        return await ingest(*args)

    monkeypatch.setattr(house.leads, "ingest", race_twice)
    await stage.house.runner.drain(stage.tenant)

    assert (await stage.get(f"/v1/jobs/{job_id}"))["status"] == "done"


async def test_what_waits_for_an_import_that_is_gone_is_forgotten_by_the_upkeep(
    house: House, sandbox: Tenant, api: Any, stage: Stage
) -> None:
    kept = (await upload(api, a_file(4), MAPPING)).json["job_id"]
    gone = (await upload(api, a_file(5), MAPPING)).json["job_id"]
    async with house.database.transaction(sandbox) as tx:
        await tx.run("delete from job where id = %(id)s", {"id": ids.read("job", gone)})

    await house.upkeep.once()

    assert await chunks(house, sandbox) == 1
    assert [(await stage.get(f"/v1/jobs/{one}"))["status"] for one in (kept, gone)] == ["queued", "failed"]


async def test_nothing_waits_to_be_imported_for_longer_than_a_day_and_the_import_says_that_it_failed(
    house: House, sandbox: Tenant, api: Any, stage: Stage
) -> None:
    job_id = (await upload(api, a_file(3), MAPPING)).json["job_id"]
    async with house.database.transaction(sandbox) as tx:
        await tx.run("update import_chunk set written_at = written_at - interval '24 hours'")

    await house.upkeep.once()
    await stage.settle()

    assert await chunks(house, sandbox) == 0
    assert (await stage.get(f"/v1/jobs/{job_id}"))["status"] == "failed"
    assert (await stage.get("/v1/leads"))["data"] == []


async def test_a_stop_that_comes_while_a_row_waits_holds_when_it_is_taken_in(api: Any, stage: Stage) -> None:
    await upload(api, a_file(1), MAPPING)
    await stage.post("/v1/opt-outs", {"channel": "sms", "phone": "+12125550100"})

    await stage.passes(days=1)

    assert (await stage.lead("ext:R0"))["preflight"]["codes"] == ["DNC_INTERNAL"]
    assert await stage.calls() == []


async def test_a_row_that_waits_does_not_revive_a_person_who_is_erased_meanwhile(
    api: Any, stage: Stage, a_lead: Any
) -> None:
    (lead,) = await stage.send(a_lead(client_ref_id="R0", phone="+12125550100"))
    answer = await upload(api, a_file(1), MAPPING)
    await stage.post(f"/v1/leads/{lead}/erase", {"suppress": False})

    await stage.settle()

    assert (await stage.get(f"/v1/jobs/{answer.json['job_id']}"))["result"]["duplicates"] == 1
    assert (await stage.lead(lead))["contact"] is None
