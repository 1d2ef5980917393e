"""The CRM says that somebody must not be called any more."""

from collections.abc import Callable

from tests.journeys.stage import BUSY, NO_ANSWER, Stage
from tests.sync.test_heard_stops import hear

from offhook.leads import LeadIn
from offhook.providers.contract import Kind

Lead = Callable[..., LeadIn]
EMAIL = "michael@example.org"


async def test_a_dnc_of_a_caller_whom_nobody_knows_binds_their_number(stage: Stage, a_lead: Lead) -> None:
    call = await hear(stage, "theirs", Kind.INBOUND_RINGING, Kind.ANSWERED)

    told = await stage.post("/v1/postbacks", {"type": "dnc", "call_id": call})

    assert told["applied"]
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    assert (await stage.lead(lead))["preflight"]["codes"] == ["DNC_INTERNAL"]


async def test_a_dnc_of_a_call_that_nobody_knows_waits_for_nobody(stage: Stage) -> None:
    told = await stage.post("/v1/postbacks", {"type": "dnc", "call_id": "call_01jd0000000000000000000000"})

    assert (told["applied"], told["reason"]) == (False, "unknown_lead")


async def test_a_dnc_binds_the_address_of_the_lead_too(stage: Stage, a_lead: Lead) -> None:
    one, other = await stage.send(*(a_lead(contact={"phone": phone, "email": EMAIL}) for phone in (NO_ANSWER, BUSY)))

    await stage.post("/v1/postbacks", {"type": "dnc", "lead_id": one})
    await stage.passes(days=2)

    assert {found["kind"] for found in (await stage.get("/v1/suppressions"))["data"]} == {"phone", "email"}
    assert await stage.calls(other) == []
