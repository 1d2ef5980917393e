import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tests.journeys.stage import TRANSFERRED, Stage, side_by_side
from tests.leads.sending import as_json
from tests.leads.whole_life import Person, files_that_say, live_through, rows_that_say
from tests.webhooks.conftest import Receiver

from offhook.db.testing import Template
from offhook.leads import LeadIn
from offhook.privacy import KeyRing

ALead = Callable[..., LeadIn]
PERSONAL = ("external_id", "client_ref_id", "contact", "consent", "visitor", "merge_fields", "metadata")


@pytest.fixture
async def receiver() -> Any:
    async with Receiver().running() as receiver:
        yield receiver


async def test_an_erased_lead_is_shown_with_nulls_and_when_it_was_erased(stage: Stage, a_lead: ALead) -> None:
    (lead,) = await stage.send(a_lead())

    erased = await stage.post(f"/v1/leads/{lead}/erase")

    shown = await stage.lead(lead)
    assert {name: shown[name] for name in PERSONAL} == dict.fromkeys(PERSONAL)
    assert (shown["status"], shown["erased_at"]) == ("erased", erased["erased_at"])
    assert shown["next_attempt_at"] is None


async def test_the_reference_of_an_erased_lead_answers_erased_and_never_revives_the_person(
    stage: Stage, a_lead: ALead
) -> None:
    lead = as_json(a_lead(client_ref_id="LD-1"))
    made = await stage.post("/v1/leads", lead)
    await stage.post("/v1/leads/ext:LD-1/erase")

    again = await stage.post("/v1/leads", lead, status=200)

    assert (again["id"], again["status"], again["duplicate"]) == (made["id"], "erased", True)
    assert (await stage.lead(made["id"]))["contact"] is None


async def test_erasing_also_suppresses_the_number_unless_one_asks_it_not_to(stage: Stage, a_lead: ALead) -> None:
    await stage.send(a_lead(client_ref_id="A", phone="+12125550101"), a_lead(client_ref_id="B", phone="+12125550102"))

    await stage.post("/v1/leads/ext:A/erase")
    await stage.post("/v1/leads/ext:B/erase", {"suppress": False})

    checked = [await stage.post("/v1/leads/check", as_json(a_lead(phone=f"+1212555010{n}"))) for n in (1, 2)]
    assert [one["codes"] for one in checked] == [["DNC_INTERNAL"], []]


async def test_asking_again_suppresses_the_number_that_the_first_erasure_left(stage: Stage, a_lead: ALead) -> None:
    await stage.send(a_lead(client_ref_id="A", phone="+12125550101"))
    await stage.post("/v1/leads/ext:A/erase", {"suppress": False})

    await stage.post("/v1/leads/ext:A/erase")

    checked = await stage.post("/v1/leads/check", as_json(a_lead(phone="+12125550101")))
    assert checked["codes"] == ["DNC_INTERNAL"]


async def test_erasing_twice_answers_with_the_first_receipt(stage: Stage, a_lead: ALead) -> None:
    (lead,) = await stage.send(a_lead())
    first = await stage.post(f"/v1/leads/{lead}/erase")

    await stage.passes(minutes=1)

    assert await stage.post(f"/v1/leads/{lead}/erase", {"reason": "retention"}) == first
    assert await stage.count("lead.erased") == 1


async def test_erasures_asked_for_at_the_same_moment_leave_one_receipt(stage: Stage, a_lead: ALead) -> None:
    (lead,) = await stage.send(a_lead())

    answers = await side_by_side(*[lambda: stage.post(f"/v1/leads/{lead}/erase", None, 200)] * 6)

    assert answers == [answers[0]] * 6
    assert await stage.count("lead.erased") == 1


async def test_an_erased_lead_is_never_dialed(stage: Stage, a_lead: ALead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.post(f"/v1/leads/{lead}/erase", {"suppress": False})

    await stage.passes(days=2)

    assert await stage.calls(lead) == []
    assert await stage.count("call.started") == 0


async def test_the_receipt_names_what_is_kept_and_its_signature_holds(stage: Stage, a_lead: ALead, house: Any) -> None:
    (lead,) = await stage.send(a_lead())

    receipt = (await stage.post(f"/v1/leads/{lead}/erase"))["receipt"]

    public_key = KeyRing.open(house.settings.key_ring_file).public_key
    document = base64.b64decode(receipt["document"])
    Ed25519PublicKey.from_public_bytes(public_key).verify(base64.b64decode(receipt["signature"]), document)
    assert orjson.loads(document)["kept"] == [
        "client_ref_id as a keyed hash",
        "number, consent and opt-outs under the evidence key",
        "the suppression's keyed hash",
    ]
    assert "no earlier than" in orjson.loads(document)["irrecoverable_when"]


@pytest.mark.parametrize("seconds", [0, 15])
async def test_who_erases_a_lead_is_named_in_every_event_of_it(stage: Stage, a_lead: ALead, seconds: int) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(seconds=seconds)

    await stage.post(f"/v1/leads/{lead}/erase")
    await stage.passes(minutes=1)

    told = [*await stage.events("lead.erased"), *await stage.events("suppression.added")]
    assert [event["actor"] for event in told] == [await stage.key()] * 2


async def test_who_has_a_lead_erased_by_retention_is_named_however_long_it_waits(
    stage: Stage, a_lead: ALead, receiver: Receiver
) -> None:
    made = await stage.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["lead.*"]})
    await stage.post(f"/v1/webhook-endpoints/{made['id']}/disable")
    (lead,) = await stage.send(a_lead())

    await stage.post(f"/v1/leads/{lead}/erase", {"reason": "retention"}, 202)
    (over,) = await stage.events("lead.cadence_completed")
    await stage.passes(days=3)

    (erased,) = await stage.events("lead.erased")
    assert [over["actor"], erased["actor"]] == [await stage.key()] * 2


async def test_an_erasure_waits_for_the_hang_up_of_the_open_call(stage: Stage, a_lead: ALead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(seconds=15)
    assert (await stage.calls(lead))[0]["status"] != "ended"

    pending = await stage.post(f"/v1/leads/{lead}/erase", status=202)
    await stage.passes(minutes=1)

    assert (pending["status"], pending["receipt"]) == ("pending", None)
    (call,) = await stage.calls(lead)
    assert (call["status"], await stage.status(lead)) == ("ended", "erased")
    assert (await stage.post(f"/v1/leads/{lead}/erase"))["receipt"] is not None


async def test_events_that_waited_for_their_endpoint_arrive_as_tombstones(
    stage: Stage, a_lead: ALead, receiver: Receiver
) -> None:
    await stage.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["lead.accepted", "lead.erased"]})
    (lead,) = await stage.send(a_lead())
    (accepted,) = await stage.events("lead.accepted")

    await stage.post(f"/v1/leads/{lead}/erase")
    await stage.settle()

    buried, told = sorted(receiver.received, key=lambda one: orjson.loads(one.body)["sequence"])
    assert (buried.headers["webhook-id"], buried.headers["offhook-tombstone"]) == (accepted["event_id"], "1")
    assert orjson.loads(buried.body)["data"] == {"erased": True}
    assert b"Michael" not in buried.body
    assert orjson.loads(told.body)["type"] == "lead.erased"
    assert "offhook-tombstone" not in told.headers


async def test_the_events_of_an_erased_lead_keep_their_place_and_say_nothing_of_the_person(
    stage: Stage, a_lead: ALead
) -> None:
    (lead,) = await stage.send(a_lead(client_ref_id="LD-1"))
    before = (await stage.get(f"/v1/events?subject={lead}"))["data"]

    await stage.post(f"/v1/leads/{lead}/erase")

    after = (await stage.get(f"/v1/events?subject={lead}"))["data"]
    assert [event["sequence"] for event in after] == list(range(1, len(after) + 1))
    assert [event["event_id"] for event in after][: len(before)] == [event["event_id"] for event in before]
    assert "LD-1" in str(before)
    assert "LD-1" not in str(after)


async def test_no_row_of_any_table_says_in_clear_who_a_person_is_before_and_after_erasure(
    stage: Stage, template: Template, database_url: str
) -> None:
    person = Person.new()
    lead = await live_through(stage, person)

    with template.admin_of(database_url) as admin:
        before = rows_that_say(admin, person.said)
        await stage.post(f"/v1/leads/{lead}/erase")

        assert before == rows_that_say(admin, person.said) == []
        assert rows_that_say(admin, ["plainly told"]) == ["endpoint: plainly told"]


async def test_no_file_of_the_server_says_in_clear_who_a_person_is_before_and_after_erasure(
    stage: Stage, template: Template, database_url: str
) -> None:
    if not (folder := template.data_directory):
        pytest.skip("the server's files are not on this machine")
    person = Person.new()
    lead = await live_through(stage, person)

    with template.admin_of(database_url) as admin:
        before = files_that_say(admin, folder, person.said)
        await stage.post(f"/v1/leads/{lead}/erase")

        assert before == files_that_say(admin, folder, person.said) == []
        assert files_that_say(admin, folder, ["plainly told"])
