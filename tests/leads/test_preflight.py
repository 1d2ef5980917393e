from collections.abc import Callable
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journeys.stage import Stage
from tests.leads.sending import as_json

from offhook.db import Tenant
from offhook.leads import LeadIn
from offhook.leads.ingest import Stored
from offhook.leads.preflight import CheckResult, Preflight

ALead = Callable[..., LeadIn]
INSTANTS = st.datetimes(timezones=st.just(UTC))
CHECKS = st.builds(
    CheckResult,
    st.just("a check"),
    st.sampled_from(["pass", "block", "warn", "defer"]),
    st.sampled_from(["CODE_A", "CODE_B", None]),
    until=st.none() | INSTANTS,
)
VOICE = {"channel": "voice", "given_at": "2026-11-20T15:02:11Z"}
COVERED = {**VOICE, "artificial_voice": True}


@given(st.lists(CHECKS))
def test_any_block_rejects_else_any_deferral_holds_else_it_is_accepted(checks: list[CheckResult]) -> None:
    results = [check.result for check in checks]

    decision = Preflight(tuple(checks)).decision

    assert (decision == "reject") == ("block" in results)
    assert (decision == "hold") == ("defer" in results and "block" not in results)


@given(st.lists(CHECKS))
def test_a_lead_is_held_until_the_last_deferral_ends_or_until_nobody_knows_when(checks: list[CheckResult]) -> None:
    ends = [check.until for check in checks if check.result == "defer"]

    until = Preflight(tuple(checks)).hold_until

    assert (until is None) == (ends == [] or None in ends)
    assert until is None or all(end is not None and end <= until for end in ends)


@given(st.lists(CHECKS))
def test_every_code_of_a_check_that_did_not_pass_is_told(checks: list[CheckResult]) -> None:
    assert Preflight(tuple(checks)).codes == [c.code for c in checks if c.result != "pass" and c.code]


async def test_all_failing_codes_are_told_at_once(ingest: Any, a_lead: ALead, stage: Stage) -> None:
    await stage.post("/v1/opt-outs", {"channel": "sms", "phone": "+13122345678"})

    (answer,) = await ingest(a_lead(phone="+13122345678", consent=[]))

    assert isinstance(answer, Stored)
    assert answer.body["status"] == "rejected"
    assert answer.body["preflight"]["codes"] == ["NUMBER_NOT_FICTITIOUS", "DNC_INTERNAL", "CONSENT_MISSING"]
    assert len(answer.body["preflight"]["checks"]) == 7


@pytest.mark.parametrize(
    ("environment", "phone", "code"),
    [
        ("sandbox", "+12125550100", None),
        ("sandbox", "+12122345678", "NUMBER_NOT_FICTITIOUS"),
        ("sandbox", "+18002345678", "NUMBER_NOT_FICTITIOUS"),
        ("live", "+12122345678", None),
        ("live", "+12125550100", "NUMBER_FICTITIOUS"),
        ("live", "+18002345678", "NUMBER_CLASS_DENIED"),
        ("live", "+19002345678", "NUMBER_CLASS_DENIED"),
        ("live", "+12129112345", "NUMBER_CLASS_DENIED"),
    ],
)
async def test_the_sandbox_takes_fictitious_numbers_only_and_live_only_a_persons_own_line(
    ingest: Any, a_lead: ALead, sandbox: Tenant, live: Tenant, environment: str, phone: str, code: str | None
) -> None:
    tenant = live if environment == "live" else sandbox

    (answer,) = await ingest(a_lead(phone=phone), tenant=tenant)

    number = answer.body["preflight"]["checks"][0]
    assert (number["result"], number["code"]) == ("block" if code else "pass", code)


@pytest.mark.parametrize(
    ("consent", "code"),
    [
        ([], "CONSENT_MISSING"),
        ([{**COVERED, "channel": "sms"}], "CONSENT_MISSING"),
        ([VOICE], "CONSENT_NO_ARTIFICIAL_VOICE"),
        ([VOICE, COVERED], None),
    ],
)
async def test_nobody_is_called_by_an_artificial_voice_without_their_consent_to_it(
    ingest: Any, a_lead: ALead, consent: list[Any], code: str | None
) -> None:
    (answer,) = await ingest(a_lead(consent=consent))

    assert answer.body["preflight"]["codes"] == ([code] if code else [])
    assert (answer.body["status"] == "rejected") == (code is not None)


async def test_a_second_lead_with_a_number_is_rejected_however_the_number_is_written(
    ingest: Any, a_lead: ALead
) -> None:
    first, second = await ingest(a_lead(phone="+12125550101"), a_lead(phone="(212) 555-0101"))
    (third,) = await ingest(a_lead(phone="212.555.0101"))

    assert first.body["status"] == "scheduled"
    assert second.body["preflight"]["codes"] == third.body["preflight"]["codes"] == ["DUPLICATE_PHONE"]


async def test_a_rejected_lead_does_not_hold_its_number(ingest: Any, a_lead: ALead) -> None:
    rejected, accepted = await ingest(a_lead(phone="+12125550101", consent=[]), a_lead(phone="+12125550101"))

    assert rejected.body["status"] == "rejected"
    assert accepted.body["status"] == "scheduled"


async def test_a_lead_at_night_is_held_until_the_hour_is_legal(ingest: Any, a_lead: ALead, stage: Stage) -> None:
    await stage.at("2026-11-21T06:30Z")  # 22:30 in Los Angeles

    (answer,) = await ingest(a_lead(phone="+12135550101"))

    assert answer.body["preflight"]["decision"] == "hold"
    assert answer.body["preflight"]["hold_until"] == "2026-11-21T16:00:00.000Z"


async def test_a_lead_of_a_campaign_that_has_not_started_waits_for_its_start(
    ingest: Any, a_lead: ALead, live: Tenant
) -> None:
    (answer,) = await ingest(a_lead(phone="+12122345678"), tenant=live)

    assert "CAMPAIGN_PAUSED" in answer.body["preflight"]["codes"]
    assert answer.body["preflight"]["decision"] == "hold"
    assert answer.body["preflight"]["hold_until"] is None


async def test_a_lead_for_a_campaign_that_does_not_exist_is_refused(api: Any, a_lead: ALead) -> None:
    answer = await api.post("/v1/leads", {**as_json(a_lead()), "campaign_id": "cmp_nobody"})

    assert (answer.status, answer.json["code"]) == (422, "no_such_campaign")


async def test_checking_a_lead_tells_its_matrix_and_stores_nothing(api: Any, a_lead: ALead, stage: Stage) -> None:
    lead = as_json(a_lead(consent=[]))

    checked = await stage.post("/v1/leads/check", lead)

    assert (checked["decision"], checked["codes"]) == ("reject", ["CONSENT_MISSING"])
    assert (await api.get(f"/v1/leads/ext:{lead['client_ref_id']}")).status == 404
