import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tests.journeys.stage import Stage, side_by_side
from tests.leads.sending import as_json

from offhook import access
from offhook.db import Tenant
from offhook.leads import LeadIn
from offhook.wiring import House

ALead = Callable[..., LeadIn]
NDJSON = "application/x-ndjson"


def ndjson(*lines: Any) -> bytes:
    return b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines)


def creating(*bodies: Any) -> dict[str, Any]:
    return {"operations": [{"op": "create", "body": body} for body in bodies]}


async def with_scopes(house: House, tenant: Tenant, client_of: Any, *scopes: str) -> Any:
    """A member whose key bears these scopes alone."""
    async with house.database.transaction(tenant) as tx:
        key = await access.issue_key(tx, "Member", scopes)
    return client_of(house.app, key.shown)


async def test_a_new_lead_is_201_and_the_same_again_is_200_with_the_first_one(api: Any, a_lead: ALead) -> None:
    lead = as_json(a_lead(client_ref_id="LD-1"))

    first, again = await api.post("/v1/leads", lead), await api.post("/v1/leads", lead)

    assert (first.status, again.status) == (201, 200)
    assert again.json == {**first.json, "duplicate": True}
    assert set(first.json) == {
        *("id", "object", "client_ref_id", "status", "duplicate", "payload_differs", "next_attempt_at", "created_at"),
        "preflight",
    }


async def test_the_answer_to_a_lead_holds_no_contact(api: Any, a_lead: ALead) -> None:
    answer = await api.post("/v1/leads", as_json(a_lead(phone="+12125550101")))

    assert b"Michael" not in answer.content
    assert b"5550101" not in answer.content


async def test_a_request_repeated_under_its_idempotency_key_gets_the_same_answer(api: Any, a_lead: ALead) -> None:
    lead = as_json(a_lead())

    first = await api.post("/v1/leads", lead, Idempotency_Key="k")
    again = await api.post("/v1/leads", lead, Idempotency_Key="k")

    assert (again.status, again.json) == (201, first.json)


async def test_a_lead_sent_many_times_at_the_same_moment_under_different_keys_is_one_lead(
    api: Any, a_lead: ALead
) -> None:
    lead = as_json(a_lead())

    answers = await side_by_side(*[lambda n=n: api.post("/v1/leads", lead, Idempotency_Key=f"k{n}") for n in range(8)])

    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    assert len({answer.json["id"] for answer in answers}) == 1


@pytest.mark.parametrize("lines", [True, False], ids=["NDJSON", "JSON"])
async def test_a_batch_answers_every_lead_in_order_whatever_became_of_it(api: Any, a_lead: ALead, lines: bool) -> None:
    good, no_number = as_json(a_lead(client_ref_id="LD-1")), {"client_ref_id": "LD-2", "contact": {"phone": "+1312555"}}
    leads = [good, no_number, {"client_ref_id": "LD-3"}, good]
    content, kind = (ndjson(*leads), NDJSON) if lines else (orjson.dumps(creating(*leads)), "application/json")

    answer = await api.request("POST", "/v1/leads/batch", content=content, Content_Type=kind)

    assert answer.status == 200
    assert [(one["index"], one["status"]) for one in answer.json["results"]] == [(0, 201), (1, 422), (2, 422), (3, 200)]
    assert [one["body"].get("code") for one in answer.json["results"]] == [None, "invalid_phone", "missing", None]


@pytest.mark.parametrize("wrong", [{"phone": "+1312555"}, {"phone": 5}], ids=["no number", "no lead"])
async def test_an_atomic_batch_with_a_bad_lead_stores_nothing_and_answers_each(
    api: Any, a_lead: ALead, stage: Stage, wrong: dict[str, Any]
) -> None:
    leads = [as_json(a_lead()), {"client_ref_id": "LD-bad", "contact": wrong}, as_json(a_lead(consent=[]))]

    answer = await stage.post("/v1/leads/batch", {**creating(*leads), "atomic": True}, 200)

    assert [(one["status"], one["body"]["code"]) for one in answer["results"]][::2] == [(424, "rolled_back")] * 2
    assert answer["results"][1]["status"] == 422
    assert ((await stage.get("/v1/leads"))["data"], await stage.events("lead.*")) == ([], [])


async def test_an_atomic_batch_of_good_leads_is_taken_in(a_lead: ALead, stage: Stage) -> None:
    leads = [as_json(a_lead()), as_json(a_lead(consent=[]))]

    answer = await stage.post("/v1/leads/batch", {**creating(*leads, leads[0]), "atomic": True}, 200)

    assert [(one["status"], one["body"]["status"]) for one in answer["results"]] == [
        (201, "scheduled"),
        (201, "rejected"),
        (200, "scheduled"),
    ]


async def test_any_character_may_be_escaped_in_a_line(api: Any, a_lead: ALead, stage: Stage) -> None:
    leads = [as_json(a_lead(client_ref_id=ref, merge_fields={"mood": "😀"})) for ref in ("LD-1", "LD-2")]
    content = "\n".join(json.dumps(lead, ensure_ascii=True) for lead in leads).encode()

    answer = await api.request("POST", "/v1/leads/batch", content=content, Content_Type=NDJSON)

    assert b"\\ud83d\\ude00" in content
    assert [one["status"] for one in answer.json["results"]] == [201, 201]
    assert (await stage.lead("ext:LD-2"))["merge_fields"] == {"mood": "😀"}


@pytest.mark.parametrize("text", ["\\u0000", "\\ud83d"], ids=["NUL", "half a pair"])
async def test_a_text_that_cannot_be_stored_is_refused_by_its_line(api: Any, a_lead: ALead, text: str) -> None:
    content = ndjson(as_json(a_lead()), b'{"client_ref_id": "' + text.encode() + b'"}')

    answer = await api.request("POST", "/v1/leads/batch", content=content, Content_Type=NDJSON)

    assert (answer.status, answer.json["code"], answer.json["param"]) == (422, "unstorable_text", "line 2")


@pytest.mark.parametrize("text", [b'"\\ud800"', b"1" * 5000, b"NaN"], ids=["half a pair", "5,000 digits", "NaN"])
async def test_what_no_reader_of_json_may_keep_is_refused_whatever_the_body_is_called(api: Any, text: bytes) -> None:
    body = b'{"operations": [{"op": "create", "body": {"client_ref_id": "a", "metadata": {"x": ' + text + b"}}}]}"

    answer = await api.request("POST", "/v1/leads/batch", content=body, Content_Type="text/plain")

    assert (answer.status, answer.json["code"], answer.json["param"]) == (400, "malformed_json", "body")


async def test_a_line_that_is_not_json_is_named_and_nothing_of_its_batch_is_stored(
    api: Any, a_lead: ALead, stage: Stage
) -> None:
    content = ndjson(as_json(a_lead()), b"", b'{"client_ref_id": ', as_json(a_lead()))

    answer = await api.request("POST", "/v1/leads/batch", content=content, Content_Type=NDJSON)

    assert (answer.status, answer.json["code"]) == (400, "malformed_json")
    assert answer.json["param"] == "line 3"
    assert (await stage.get("/v1/leads"))["data"] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing"),
        ({"operations": {}}, "wrong_type"),
        ([], "wrong_type"),
        ({**creating(), "atomik": True}, "unknown_field"),
        ({**creating(), "atomic": "perhaps"}, "wrong_type"),
        ({"operations": [{"op": "delete", "body": {}}]}, "bad_operation"),
        ({"operations": ["create"]}, "bad_operation"),
        (creating(*[{}] * 1001), "too_many"),
    ],
)
async def test_a_batch_that_is_not_understood_says_why(api: Any, body: Any, code: str) -> None:
    answer = await api.post("/v1/leads/batch", body)

    assert (answer.status, answer.json["code"]) == (422, code)


async def test_every_wrong_field_is_told_at_once_and_no_value_is_repeated(api: Any) -> None:
    lead = {"client_ref_id": "", "contact": {"first_name": "Michael", "phome": "+12125550101"}, "consent": [{}]}

    answer = await api.post("/v1/leads", lead)

    assert answer.status == 422
    assert {error["param"] for error in answer.json["errors"]} >= {"client_ref_id", "contact.phone", "contact.phome"}
    assert b"Michael" not in answer.content


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "red"},
        {"client_ref_id": ""},
        {"consent": [{"channel": "fax"}]},
        {"visitor": {"michael@example.org": 5}},
        {"metadata": {"iccid": 89014103211118510720}},
        {"consent": [{"channel": "voice", "given_at": "0001-01-01T00:00:00+01:00"}]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_lead_is_refused_alike_alone_and_in_a_batch(api: Any, a_lead: ALead, wrong: dict[str, Any]) -> None:
    lead = json.dumps({**as_json(a_lead()), **wrong})
    batch = '{"operations": [{"op": "create", "body": ' + lead + "}]}"

    alone = await api.request("POST", "/v1/leads", content=lead.encode(), Content_Type="application/json")
    many = await api.request("POST", "/v1/leads/batch", content=batch.encode(), Content_Type="application/json")

    (told,) = many.json["results"]
    assert (alone.status, alone.json["errors"]) == (422, told["body"]["errors"])
    assert b"michael@" not in many.content


async def test_a_lead_is_found_by_its_id_and_by_its_reference(api: Any, a_lead: ALead, stage: Stage) -> None:
    made = await stage.post("/v1/leads", as_json(a_lead(client_ref_id="LD-1")))

    assert await stage.get(f"/v1/leads/{made['id']}") == await stage.get("/v1/leads/ext:LD-1")
    assert (await api.get("/v1/leads/ext:LD-2")).status == 404


async def test_what_is_personal_is_shown_only_to_a_key_that_may_read_personal_data(
    house: House, sandbox: Tenant, client_of: Any, stage: Stage, a_lead: ALead
) -> None:
    evidence = {"url": "https://forms.example/michael", "ip": "203.0.113.7"}
    sent = as_json(a_lead(phone="+12125550101"))
    sent["consent"] = [{**one, "evidence": evidence} for one in sent["consent"]]
    sent |= {"visitor": {"gclid": "michael-1"}, "merge_fields": {"pet": "Rex"}, "metadata": {"note": "Call Michael"}}
    made = await stage.post("/v1/leads", sent)
    member = await with_scopes(house, sandbox, client_of, "leads:read")

    whole = await stage.lead(made["id"])
    for reply in (await member.get(f"/v1/leads/{made['id']}"), await member.get("/v1/leads")):
        shown = reply.json["data"][0] if "data" in reply.json else reply.json
        assert shown["contact"] == {"phone": "***0101"}
        assert (shown["visitor"], shown["merge_fields"], shown["metadata"]) == ({}, {}, {})
        assert shown["consent"] == [{**one, "evidence": None} for one in whole["consent"]]
        for word in (b"ichael", b"Rex", b"203.0.113.7"):
            assert word not in reply.content

    assert whole["contact"]["first_name"] == "Michael"
    assert whole["consent"][0]["evidence"].items() >= evidence.items()
    assert [whole[name] for name in ("visitor", "merge_fields", "metadata")] == [
        sent[name] for name in ("visitor", "merge_fields", "metadata")
    ]


async def test_a_stranger_finds_none_of_our_leads(house: House, client_of: Any, stage: Stage, a_lead: ALead) -> None:
    made = await stage.post("/v1/leads", as_json(a_lead(client_ref_id="LD-1")))
    stranger = client_of(house.app, (await house.new_workspace("Stranger")).test_key)

    for ref in (made["id"], "ext:LD-1"):
        assert (await stranger.get(f"/v1/leads/{ref}")).status == 404
    assert (await stranger.get("/v1/leads")).json["data"] == []


async def test_leads_are_listed_page_by_page_each_once(stage: Stage, a_lead: ALead) -> None:
    made = {(await stage.post("/v1/leads", as_json(a_lead())))["id"] for _ in range(5)}

    first = await stage.get("/v1/leads?limit=3")
    second = await stage.get(f"/v1/leads?limit=3&after={first['next_cursor']}")

    assert [len(page["data"]) for page in (first, second)] == [3, 2]
    assert {lead["id"] for page in (first, second) for lead in page["data"]} == made
    assert (first["has_more"], second["has_more"]) == (True, False)


async def test_leads_are_listed_by_their_status(stage: Stage, a_lead: ALead) -> None:
    await stage.post("/v1/leads", as_json(a_lead()))
    rejected = await stage.post("/v1/leads", as_json(a_lead(consent=[])))

    found = await stage.get("/v1/leads?status=rejected")

    assert [lead["id"] for lead in found["data"]] == [rejected["id"]]
