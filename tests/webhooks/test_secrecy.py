"""Secrets: shown once, sealed at rest, and in no repr, log line or error."""

import base64
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from tests.conftest import Client
from tests.outbound.authority import Authority
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.owner import PATH, api_of

from offhook.db import Wakeups
from offhook.outbound import Outbound
from offhook.webhooks import letter, proving, store
from offhook.webhooks.parcel import Message, Parcel
from offhook.webhooks.rendering import USUAL_HEADERS, Rendered
from offhook.webhooks.rotation import Keys, Ring
from offhook.webhooks.signing import SecondKey, Secret
from offhook.webhooks.wire import EndpointChange, EndpointIn, Rotation

ACME = Authority("Acme").pair()
KEY = "whsec_" + base64.b64encode(b"the owner's very own key").decode()
PASSWORD, SECOND = "hunter2-and-more", "an old system's key"
SECRETS = [KEY.removeprefix("whsec_"), PASSWORD, SECOND, ACME.private_key.splitlines()[1]]
EVERYTHING: dict[str, Any] = {
    "secret": KEY,
    "ed25519": True,
    "second_signature": {"header": "x-signature", "style": "plain_hex"},
    "second_signature_key": SECOND,
    "authentication": {"type": "basic", "username": "anna", "password": PASSWORD},
}
TLS = {"certificate": ACME.certificate, "private_key": ACME.private_key}
NOW = datetime.now(UTC)


def leaks(*said: object) -> list[str]:
    text = " ".join(f"{one!r} {one!s}" for one in said)
    return [secret for secret in SECRETS if secret in text or secret.encode().hex() in text]


@pytest.fixture
async def api(room: Room, wakeups: Wakeups) -> Client:
    return await api_of(room, wakeups)


def test_no_value_of_the_room_shows_a_secret() -> None:
    body = EndpointIn.model_validate({"url": "https://a.example", "events": ["*"], **EVERYTHING, "tls": TLS})
    changes = {name: value for name, value in EVERYTHING.items() if name != "secret"}
    made = proving.made(body, NOW)
    rotation = Rotation(key="second_signature", secret=SECOND)
    ring = Ring(Secret.parse(KEY))

    assert SECOND in made.shown.values()
    assert not leaks(body, EndpointChange.model_validate({**changes, "tls": TLS}), rotation, made, made.proofs)
    assert not leaks(made.proofs.keys, made.proofs.credentials, made.proofs.identity, ring, Keys(ring))
    assert not leaks(SecondKey(SECOND), proving.rotated(made.proofs, body.settings, rotation, NOW))


async def test_what_the_lane_carries_shows_no_secret(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url, **EVERYTHING)
    endpoint = (await room.webhooks.directory.latest(room.tenant)).endpoints[told.id]
    parcel = a_parcel(room, endpoint.id)

    said = letter.write(endpoint, [parcel], NOW, proof=endpoint.proof, erased=())

    assert PASSWORD in base64.b64decode(said.headers["authorization"].partition(" ")[2]).decode()
    signed = said.headers["x-signature"]
    row = await room.do(store.find, told.id)
    assert not leaks(endpoint, endpoint.proofs, endpoint.signer_at(NOW), said, parcel, row, said.shown)
    assert signed not in repr(said)
    assert said.headers["authorization"] not in repr([said, endpoint])


def a_parcel(room: Room, endpoint: Any) -> Parcel:
    message = Message(
        endpoint, "evt_1", "lead.accepted", "lead", "lead_1", 1, NOW, None, None, Rendered(USUAL_HEADERS, b"{}")
    )
    return Parcel(room.tenant, endpoint, endpoint, message, NOW - NOW, 0.0)


async def test_a_secret_is_shown_once_and_stands_sealed_in_the_database(
    room: Room, api: Client, receiver: Receiver
) -> None:
    body = {"url": receiver.url, "events": ["lead.*"], **EVERYTHING}

    made = await api.post(PATH, body, Idempotency_Key="once")
    repeated = await api.post(PATH, body, Idempotency_Key="once")
    await room.happens()
    await room.drain()

    assert (made.json["secret"], made.json["second_signature_key"]) == (KEY, SECOND)
    assert repeated.json["secret"] == KEY  # the very answer that may have been lost on its way
    assert not leaks((await api.get(f"{PATH}/{made.json['id']}")).json, (await api.get(PATH)).json)
    for table in ("endpoint", "event", "idempotency", "try", "due", "delivery", "rendering"):
        (rows,) = await room.row(f"select coalesce(string_agg(t::text, '|'), '') from {table} t")
        assert (table, leaks(rows)) == (table, [])


async def test_no_log_line_of_a_delivery_that_fails_shows_a_secret(
    room: Room,
    api: Client,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver.says = [Says(500)]
    await api.post(PATH, {"url": receiver.url, "events": ["lead.*"], **EVERYTHING})
    await room.happens()
    await room.drain()

    async def fail(self: Outbound, url: str, body: bytes, headers: dict[str, str], **_: Any) -> Any:
        raise RuntimeError(f"{headers} {SECRETS}")

    monkeypatch.setattr(Outbound, "post", fail)
    await room.happens()
    await room.drain()

    lines = "".join(capsys.readouterr()) + caplog.text
    assert "carry_failed" in lines
    assert not leaks(lines)
    assert receiver.received[0].headers["authorization"] not in lines


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": f"{KEY}!"},
        {"second_signature_key": f"whsec_{SECOND}"},
        {"second_signature_key": SECOND * 40},
        {"authentication": {"type": "basic", "username": "a:b", "password": PASSWORD}},
        {"authentication": {"type": "basic", "username": "anna", "password": f"{PASSWORD}\n"}},
        {"authentication": {"type": "bearer", "token": f"{PASSWORD} {PASSWORD}"}},
        {"authentication": {"type": "bearer", "token": [PASSWORD]}},
        {"tls": {"certificate": ACME.private_key, "private_key": ACME.private_key}},
        {"tls": {"certificate": ACME.certificate, "private_key": ACME.private_key + "-"}},
    ],
)
async def test_an_error_repeats_no_secret(api: Client, receiver: Receiver, wrong: dict[str, Any]) -> None:
    body = {"url": receiver.url, "events": ["*"], **EVERYTHING, **wrong}

    refused = await api.post(PATH, body)

    assert refused.status == 422
    assert not leaks(refused.content.decode(), orjson.dumps(refused.json).decode())
