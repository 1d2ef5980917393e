"""The contract in writing says what the code does, and everything that it shows works."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import jsonschema_rs
import pytest
import standardwebhooks.webhooks as official
from tests.conftest import Client
from tests.docs.page import CONTRACT, ROOT, TEXT, Request, anchors, blocks, links, requests

from offhook.events.types import every_type, schema
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.letter import Heading
from offhook.webhooks.masks import Mask
from offhook.webhooks.rendering import named
from offhook.wiring import Credentials, House
from offhook_receiver import Rejected, Verifier
from offhook_receiver.older import PlainHex, TimestampedHex

WEBHOOKS = [one for one in requests() if one.is_webhook]
CALLS = [one for one in requests() if not one.is_webhook]


def test_the_page_is_what_the_code_says_today() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "webhook_contract"), "--print"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout == TEXT, "the code says something else by now: run `make docs` and read what changed"


def told(body: Any) -> Iterator[dict[str, Any]]:
    """The events in a body: one, those of a batch, those inside CloudEvents."""
    for one in body["events"] if "events" in body else [body]:
        yield one["data"] if "specversion" in one else one


EVENTS = [event for one in WEBHOOKS if one.line for event in told(one.json)]


def test_the_page_shows_every_shape() -> None:
    shapes = ["ce-id" if "ce-id" in one.headers else ",".join(list(one.json)[:2]) for one in WEBHOOKS if one.line]
    data = [event.get("data") for event in EVENTS]

    assert sorted(shapes) == ["ce-id", *["event_id,type"] * 3, "object,batch_id", "specversion,id"]
    assert data.count(None) == 3, "thin, alone and twice in a batch"
    assert data.count({"erased": True}) == 1


@pytest.mark.parametrize("event", [event for event in EVENTS if "actor" in event], ids=lambda event: event["type"])
def test_an_envelope_on_the_page_is_of_its_types_schema(event: dict[str, Any]) -> None:
    validator = jsonschema_rs.validator_for(schema(every_type()[event["type"]]), validate_formats=True)

    assert [fault.message for fault in validator.iter_errors(event)] == []


def test_the_tombstone_on_the_page_is_what_is_left_of_the_envelope_on_it() -> None:
    whole = next(event for event in EVENTS if "actor" in event)
    left = next(event for event in EVENTS if event.get("data") == {"erased": True})

    assert {**whole, **left, "data": whole["data"]} == whole


@pytest.fixture
async def owner(house: House, acme: Credentials, client_of: Any, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Acme's live half at the API, with the endpoint that the page calls `ext:crm`; every name is a public address."""

    async def public(_: str) -> list[str]:
        return ["8.8.8.8"]

    monkeypatch.setattr(house.outbound, "_resolve", public)
    owner: Client = client_of(house.app, acme.live_key)
    crm = {"url": "https://crm.example.com/", "events": ["*"], "external_id": "crm"}
    made = await owner.post("/v1/webhook-endpoints", crm)
    assert made.status == 201
    return owner


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.line} {sorted(call.json)}")
async def test_a_request_on_the_page_is_taken_by_the_api(call: Request, owner: Client) -> None:
    _, path, _ = call.line.split(" ")

    told = await owner.post(path, call.json)

    assert told.status in (200, 201, 202), told.json


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"events": ["call.exploded"]}, "unknown_event_type"),
        ({"second_signature": {"header": "webhook-signature", "style": "plain_hex"}}, "bad_header"),
        ({"url": "https://10.0.0.1/hooks"}, "url_refused"),
    ],
    ids=["type", "header", "url"],
)
async def test_what_the_api_would_refuse_could_not_stand_on_the_page(
    wrong: dict[str, Any], code: str, owner: Client
) -> None:
    call = next(one for one in CALLS if "second_signature" in one.json)

    told = await owner.post("/v1/webhook-endpoints", {**call.json, **wrong})

    assert (told.status, told.json["errors"][0]["code"]) == (422, code)


def verifier_of(webhook: Request) -> Verifier | TimestampedHex | PlainHex:
    if "x-signature" in webhook.headers:
        return TimestampedHex("x-signature", webhook.key)
    if "x-hub-signature-256" in webhook.headers:
        return PlainHex("x-hub-signature-256", webhook.key, prefix="sha256=")
    return Verifier(webhook.key)


def then(webhook: Request) -> int:
    """When it was signed."""
    spelt = webhook.headers.get("webhook-timestamp") or re.findall(r"t=(\d+)", str(webhook.headers))
    return int(spelt if isinstance(spelt, str) else [*spelt, "0"][0])


def believed(webhook: Request, body: bytes) -> bool:
    """Whether the receiver kit believes it; what is genuine and no event of ours is believed too."""
    try:
        verifier_of(webhook).verify(webhook.headers, body, now=then(webhook))
    except Rejected as rejected:
        return rejected.code == "not_an_event"
    return True


@pytest.mark.parametrize("webhook", WEBHOOKS, ids=str)
def test_a_signature_on_the_page_is_believed_and_only_for_its_body(webhook: Request) -> None:
    assert believed(webhook, webhook.body)
    assert not believed(webhook, webhook.body + b" ")


@pytest.mark.parametrize("webhook", [one for one in WEBHOOKS if one.key.startswith("whsec_")], ids=str)
def test_the_official_library_believes_what_the_page_shows(webhook: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Then":
            return cls.fromtimestamp(then(webhook), tz)

    monkeypatch.setattr(official, "datetime", Then)

    assert official.Webhook(webhook.key).verify(webhook.body, webhook.headers) == webhook.json


@pytest.mark.parametrize("lines", blocks("python"))
def test_the_lines_that_recompute_a_signature_come_to_the_same(lines: str) -> None:
    exec(compile(lines, str(CONTRACT), "exec"), {})

    spoiled = lines.replace("Größe", "Masse").replace("2432232314", "1")
    assert spoiled != lines
    with pytest.raises(Exception, match="^$|assert"):
        exec(compile(spoiled, str(CONTRACT), "exec"), {})


def test_every_link_within_the_house_leads_somewhere() -> None:
    inside = [link for link in links() if not link.startswith("https://")]

    assert {link for link in inside if link.startswith("#")} == {f"#{anchor}" for anchor in anchors()}
    assert [link for link in inside if not link.startswith("#") and not (CONTRACT.parent / link).exists()] == []


def test_every_event_type_is_told_with_its_two_names_and_its_data() -> None:
    rows = {row.split("`")[1]: row for row in TEXT.splitlines() if re.match(r"\| `[a-z_]+\.[a-z_]+`<br>", row)}

    assert rows.keys() == every_type().keys()
    for type, fact in every_type().items():
        assert f"`{named(type, 'snake')}`" in rows[type]
        assert all(f"`{name}` " in rows[type] for name in fact.example)


def test_every_field_header_setting_and_mask_is_explained() -> None:
    heading = Heading("evt", 0, UUID(int=0), 0, replay=True, tombstone=True, out_of_order=True)
    fields = schema(every_type()["call.ended"])["properties"]
    words = {*fields, *EndpointSettings.model_fields, *get_args(Mask)}

    unsaid = {word for word in words if f"`{word}`" not in TEXT and f"`{word}:" not in TEXT}
    unsaid |= {name for name in heading.headers("v1,") if f"`{name}" not in TEXT}

    assert unsaid == set()


def test_nothing_is_left_to_be_filled_in() -> None:
    assert "{{" not in TEXT
    assert "None" not in TEXT
