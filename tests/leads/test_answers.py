"""What is kept of answers, so that a request repeated under its key gets the same one, says nothing of an erased person."""

from typing import Any
from uuid import UUID

from tests.journeys.stage import Stage
from tests.leads.sending import as_json
from tests.leads.whole_life import NOBODY_LISTENS, Person, word

from offhook import ids
from offhook.privacy import PersonKey


async def kept(stage: Stage) -> list[tuple[UUID | None, bytes | None]]:
    """Of every answer that is kept: whose it is, and what can be read of it today."""
    vault = stage.house.vault
    async with stage.house.database.transaction(stage.tenant) as tx:
        rows = await tx.rows("select key_tag, person_id, answer from idempotency")
        keys = await vault.keys(tx, [person for _, person, _ in rows if person])
        read: list[tuple[UUID | None, bytes | None]] = []
        for tag, person, sealed in rows:
            key = keys[person] if person else None
            if sealed is None or (person and not key):
                read.append((person, None))
            else:
                opened = key.open(sealed, tag) if isinstance(key, PersonKey) else vault.open_own(sealed, tag)
                read.append((person, opened))
    return read


async def keyed(stage: Stage, path: str, body: Any = None) -> Any:
    return await stage.post(path, body, Idempotency_Key=word())


async def do_everything(stage: Stage, person: Person) -> str:
    """Every sort of keyed request that speaks of the person; the lead's id."""
    await keyed(stage, "/v1/webhook-endpoints", {"url": NOBODY_LISTENS, "events": ["*"]})
    lead = (await keyed(stage, "/v1/leads", as_json(person.lead)))["id"]
    await keyed(stage, "/v1/leads", as_json(person.lead))
    for verb, body in (("pause", None), ("resume", None), ("callback", {"at": "2026-11-24T15:00:00Z"})):
        await keyed(stage, f"/v1/leads/{lead}/{verb}", body)
    call = (await keyed(stage, "/v1/calls", {"lead_id": lead}))["id"]
    await keyed(stage, f"/v1/calls/{call}/hangup")
    await stage.passes(minutes=1)
    await keyed(stage, f"/v1/calls/{call}/disposition", {"code": "sold"})
    said = {"code": "sold", "note": person.note}
    await keyed(stage, "/v1/postbacks", {"type": "disposition", "client_ref_id": person.ref, "data": said})
    await keyed(stage, "/v1/postbacks", {"type": "conversion", "phone": person.phone, "external_ref": person.ref})
    stop = {"channel": "email", "email": f"{person.email}@example.com", "evidence": {"text": person.note}}
    await keyed(stage, "/v1/opt-outs", stop)
    await keyed(stage, "/v1/opt-outs", {"channel": "sms", "phone": person.phone})
    return str(lead)


def says(text: bytes, person: Person) -> list[str]:
    """What the text says of who it is, the last digits of the number included."""
    return [one for one in [*person.said, f"***{person.phone[-4:]}"] if one.encode() in text]


async def test_an_answer_holds_no_name_number_or_address_and_what_it_holds_of_a_person_bears_their_seal(
    stage: Stage,
) -> None:
    person = Person.new()
    lead = ids.read("lead", await do_everything(stage, person))

    answers = await kept(stage)

    of_the_person = [text for whose, text in answers if whose == lead]
    of_nobody = [text for whose, text in answers if whose is None]
    assert (len(of_the_person), len(of_nobody)) == (8, 5)
    assert {word for text in of_the_person for word in says(text or b"", person)} == {person.ref, "***0149"}
    assert {word for text in of_nobody for word in says(text or b"", person)} == set()


async def test_nothing_can_be_read_of_an_erased_persons_answers_and_asking_again_is_answered_anew(
    stage: Stage,
) -> None:
    person = Person.new()
    lead = await do_everything(stage, person)
    erased = await keyed(stage, f"/v1/leads/{lead}/erase")

    answers = await kept(stage)

    assert {text for whose, text in answers if whose} == {None}
    assert {word for _, text in answers for word in says(text or b"", person)} == set()
    again = await stage.post(f"/v1/leads/{lead}/erase", None, 200, Idempotency_Key=word())
    assert again == erased


async def test_a_lead_sent_again_under_its_key_after_its_erasure_is_told_as_erased_and_not_revived(
    stage: Stage,
) -> None:
    body = as_json(Person.new().lead)
    made = await stage.post("/v1/leads", body, 201, Idempotency_Key="k")
    same = await stage.post("/v1/leads", body, 201, Idempotency_Key="k")
    await stage.post(f"/v1/leads/{made['id']}/erase")

    again = [await stage.post("/v1/leads", body, 200, Idempotency_Key="k") for _ in range(2)]
    other = await stage.api.post("/v1/leads", {**body, "client_ref_id": word()}, Idempotency_Key="k")

    assert same == made
    assert [(one["status"], one["duplicate"]) for one in again] == [("erased", True)] * 2
    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")
    assert all(not text for whose, text in await kept(stage) if whose)


async def test_an_answer_can_be_told_again_after_the_erasure_of_somebody_else(stage: Stage) -> None:
    one, other = Person.new(), Person(word(), word(), word(), word(), word(), word(), phone="+12075550148")
    made = await stage.post("/v1/leads", as_json(one.lead), Idempotency_Key="k")
    gone = await stage.post("/v1/leads", as_json(other.lead))
    await stage.post(f"/v1/leads/{gone['id']}/erase")

    assert await stage.post("/v1/leads", as_json(one.lead), 201, Idempotency_Key="k") == made


async def test_a_batch_sent_again_under_its_key_is_answered_the_same_and_keeps_nobodys_name(stage: Stage) -> None:
    one, other = Person.new(), Person(word(), word(), word(), word(), word(), word(), phone="+12075550148")
    operations = [{"op": "create", "body": as_json(person.lead)} for person in (one, other, one)]
    operations.append({"op": "create", "body": {**as_json(one.lead), "unheard_of": 1}})

    made = await stage.post("/v1/leads/batch", {"operations": operations}, 200, Idempotency_Key="k")
    again = await stage.post("/v1/leads/batch", {"operations": operations}, 200, Idempotency_Key="k")

    assert again == made
    assert [result["status"] for result in made["results"]] == [201, 201, 200, 422]
    assert [result["body"].get("client_ref_id") for result in made["results"]] == [one.ref, other.ref, one.ref, None]
    ((whose, text),) = await kept(stage)
    assert (whose, [*says(text or b"", one), *says(text or b"", other)]) == (None, [])


async def test_a_check_sent_again_under_its_key_is_answered_the_same(stage: Stage) -> None:
    person = Person.new()

    first = await stage.post("/v1/leads/check", as_json(person.lead), 200, Idempotency_Key="k")
    await stage.post("/v1/leads", as_json(person.lead), 201)

    assert await stage.post("/v1/leads/check", as_json(person.lead), 200, Idempotency_Key="k") == first
    assert await stage.post("/v1/leads/check", as_json(person.lead), 200, Idempotency_Key="l") != first
