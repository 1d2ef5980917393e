"""Authentication: a receiver's gateway gets what it asks for, and nobody else sees it."""

import base64
import hashlib
import hmac
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook
from tests.conftest import Client
from tests.outbound.authority import Authority, serving
from tests.outbound.receivers import OK, answering, receiving
from tests.webhooks.conftest import Received, Receiver, Room, Says
from tests.webhooks.owner import PATH, api_of

from offhook.db import Wakeups

SECRET = "hunter2-and-more"
ACME = Authority("Acme")
BASIC = "Basic " + base64.b64encode(f"anna:{SECRET}".encode()).decode()
STATIC: list[tuple[dict[str, str], str, str]] = [
    ({"type": "basic", "username": "anna", "password": SECRET}, "authorization", BASIC),
    ({"type": "bearer", "token": SECRET}, "authorization", f"Bearer {SECRET}"),
    ({"type": "api_key", "header": "X-Api-Key", "value": SECRET}, "x-api-key", SECRET),
]


@pytest.fixture
async def api(room: Room, wakeups: Wakeups) -> Client:
    return await api_of(room, wakeups)


def oauth(server: Receiver, **more: Any) -> dict[str, Any]:
    return {"type": "oauth2", "token_url": server.url, "client_id": "offhook", "client_secret": SECRET, **more}


def grants(token: str) -> Says:
    return Says(body=orjson.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 3600}))


async def settle(room: Room) -> None:
    while await room.drain():
        pass


def by_hand(key: str, message: bytes) -> str:
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(("sent", "header", "value"), STATIC, ids=[one["type"] for one, _, _ in STATIC])
async def test_the_receiver_gets_the_credentials_and_everybody_else_stars(
    room: Room, api: Client, receiver: Receiver, sent: dict[str, str], header: str, value: str
) -> None:
    receiver.says = [Says(500)]
    endpoint = await room.endpoint(receiver.url, authentication=sent)

    await room.happens()
    await room.drain()

    assert receiver.ids(header) == [value]
    shown = (await api.get(f"{PATH}/{endpoint.shown['id']}")).json
    assert shown["authentication"].items() <= {**sent, **dict.fromkeys(("password", "token", "value"), "***")}.items()
    (delivery,) = await room.deliveries()
    assert orjson.dumps([endpoint.shown, shown, delivery]).decode().count(SECRET) == 0
    requested = {name.lower(): text for name, text in delivery["tries"][0]["request_headers"].items()}
    assert requested[header] == "***"


async def test_credentials_are_replaced_as_a_whole_and_taken_away_by_null(
    room: Room, api: Client, receiver: Receiver
) -> None:
    endpoint = await room.endpoint(receiver.url, authentication=STATIC[0][0])
    path = f"{PATH}/{endpoint.shown['id']}"

    changes: list[dict[str, Any]] = [{}, {"authentication": STATIC[1][0]}, {"authentication": None}]
    for change in changes:
        assert (await api.patch(path, change)).status == 200
        await room.happens()
        await room.drain()

    sent = [one.headers.get("authorization") for one in receiver.received]
    assert sent == [BASIC, f"Bearer {SECRET}", None]


@pytest.mark.parametrize("sent", [one for one, _, _ in STATIC] + [oauth(Receiver())], ids=lambda one: one["type"])
async def test_the_stars_that_are_shown_are_not_taken_for_a_secret(
    room: Room, api: Client, receiver: Receiver, neighbour: Receiver, sent: dict[str, str]
) -> None:
    real = {**sent, **({"token_url": neighbour.url} if "token_url" in sent else {})}
    endpoint = await room.endpoint(receiver.url, authentication=real)
    path = f"{PATH}/{endpoint.shown['id']}"

    refused = await api.patch(path, {"authentication": (await api.get(path)).json["authentication"]})

    assert (refused.status, refused.json["code"]) == (422, "masked_secret")
    assert "leave authentication out" in refused.json["detail"]


async def test_one_token_serves_many_deliveries(room: Room, receiver: Receiver, neighbour: Receiver) -> None:
    neighbour.says = [grants("first")]
    await room.endpoint(receiver.url, authentication=oauth(neighbour, scope="hooks"))

    await room.happens(20)
    await settle(room)
    await room.happens(5)
    await settle(room)

    assert receiver.ids("authorization") == ["Bearer first"] * 25
    (asked,) = neighbour.received
    assert asked.body == b"grant_type=client_credentials&scope=hooks"


async def test_a_401_gets_another_token_at_once_and_one_for_all(
    room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    neighbour.says = [grants("first"), grants("second")]
    receiver.says = [Says(401), Says(200)]
    await room.endpoint(receiver.url, authentication=oauth(neighbour))

    await room.happens()
    await settle(room)
    await room.happens(10)
    await settle(room)

    assert receiver.ids("authorization") == ["Bearer first"] + ["Bearer second"] * 11
    assert len(neighbour.received) == 2


async def test_a_401_gets_another_token_even_where_there_is_one_try_or_401_is_final(
    room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    neighbour.says = [grants("first"), grants("second")]
    receiver.says = [Says(401), Says(200)]
    await room.endpoint(receiver.url, authentication=oauth(neighbour), retry={"tries": 1, "final_statuses": [401]})

    await room.happens()
    await settle(room)

    assert receiver.ids("authorization") == ["Bearer first", "Bearer second"]


async def test_a_401_to_a_fresh_token_waits_for_the_schedule(
    room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    neighbour.says, receiver.says = [grants("first"), grants("second")], [Says(401)]
    await room.endpoint(receiver.url, authentication=oauth(neighbour))

    await room.happens()
    await settle(room)

    assert receiver.ids("authorization") == ["Bearer first", "Bearer second"]
    (delivery,) = await room.deliveries()
    assert (delivery["status"], delivery["tries_made"]) == ("retrying", 2)


async def test_without_a_token_nothing_is_sent_and_the_try_says_why(
    room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    neighbour.says = [Says(400, body=b'{"error": "invalid_client"}')]
    await room.endpoint(receiver.url, authentication=oauth(neighbour))

    await room.happens()
    await settle(room)

    (delivery,) = await room.deliveries()
    assert (receiver.received, delivery["tries"][0]["error"]["code"]) == ([], "token_refused")
    assert "invalid_client" in delivery["tries"][0]["error"]["text"]


async def test_the_url_of_tokens_is_judged_as_the_endpoints_own(
    room: Room, api: Client, receiver: Receiver, neighbour: Receiver
) -> None:
    body = {"url": receiver.url, "events": ["*"]}
    inside = {**oauth(neighbour), "token_url": "https://169.254.169.254/token"}

    made = await api.post(PATH, {**body, "authentication": oauth(neighbour)})
    refused = await api.post(PATH, {**body, "authentication": inside})
    changed = await api.patch(f"{PATH}/{made.json['id']}", {"authentication": inside})
    operation = {"op": "create", "body": {**body, "authentication": inside}}
    batch = await api.post(f"{PATH}/batch", {"operations": [operation]})

    allowed = {"verdict": "allowed", "address": "127.0.0.1"}
    assert made.json["ssrf"] == {**allowed, "token_url": allowed}
    for answer in (refused.json, changed.json, batch.json["results"][0]["problem"]):
        assert (answer["code"], answer["param"]) == ("url_refused", "authentication.token_url")


async def test_a_receiver_that_wants_our_certificate_gets_it_and_is_believed_by_its_own_ca(room: Room) -> None:
    client, server = ACME.pair(), ACME.pair("server")
    tls = {"certificate": client.certificate, "private_key": client.private_key, "ca": ACME.certificate}
    async with receiving(answering(OK), serving(server, clients_of=ACME)) as receiver:
        url = f"https://127.0.0.1:{receiver.port}/hook"
        endpoint = await room.endpoint(url, tls=tls)
        await room.endpoint(url)

        await room.happens()
        await room.drain()

        assert len(receiver.requests) == 1
    assert (endpoint.shown["tls"]["subject"], endpoint.shown["tls"]["own_ca"]) == ("CN=client", True)
    assert client.private_key not in orjson.dumps(endpoint.shown).decode()
    failed = [one["tries"][0]["error"]["code"] for one in await room.deliveries() if one["status"] != "delivered"]
    assert failed == ["tls"]


@pytest.mark.parametrize("key", ["", "whsec_" + base64.b64encode(b"k" * 32).decode()])
async def test_ed25519_signs_beside_the_secret_and_the_public_key_is_shown(
    room: Room, receiver: Receiver, key: str
) -> None:
    brought: dict[str, Any] = {"secret": key} if key else {}
    endpoint = await room.endpoint(receiver.url, ed25519=True, **brought)

    await room.happens()
    await room.drain()

    (request,) = receiver.received
    signed = dict(one.split(",", 1) for one in request.headers["webhook-signature"].split())
    public = Ed25519PublicKey.from_public_bytes(
        base64.b64decode(endpoint.shown["ed25519_public_key"].removeprefix("whpk_"))
    )
    head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
    public.verify(base64.b64decode(signed["v1a"]), head.encode() + request.body)
    Webhook(key or endpoint.secret).verify(request.body, request.headers)


def stripe(request: Received, key: str) -> str:
    timestamp = request.headers["webhook-timestamp"]
    return f"t={timestamp},v1={by_hand(key, timestamp.encode() + b'.' + request.body)}"


def github(request: Received, key: str) -> str:
    return f"sha256={by_hand(key, request.body)}"


@pytest.mark.parametrize(
    ("second", "key", "expected"),
    [
        ({"header": "Stripe-Signature", "style": "timestamped_hex", "verbatim_key": True}, "whsec_of!Stripe", stripe),
        ({"header": "Stripe-Signature", "style": "timestamped_hex"}, "", stripe),
        ({"header": "X-Hub-Signature-256", "style": "plain_hex", "prefix": "sha256="}, "of GitHub", github),
    ],
)
async def test_a_receiver_that_cannot_change_gets_the_signature_it_knows(
    room: Room, receiver: Receiver, second: dict[str, Any], key: str, expected: Any
) -> None:
    brought: dict[str, Any] = {"second_signature_key": key} if key else {}
    endpoint = await room.endpoint(receiver.url, second_signature=second, **brought)

    await room.happens()
    await room.drain()

    (request,) = receiver.received
    key = key or endpoint.shown["second_signature_key"]
    assert request.headers[second["header"].lower()] == expected(request, key)
    Webhook(endpoint.secret).verify(request.body, request.headers)


async def test_a_key_that_begins_like_ours_and_is_none_is_told_how_to_be_taken(
    room: Room, api: Client, receiver: Receiver
) -> None:
    second = {"header": "Stripe-Signature", "style": "timestamped_hex"}
    body = {"url": receiver.url, "events": ["*"], "second_signature_key": "whsec_of!Stripe"}

    refused = await api.post(PATH, {**body, "second_signature": second})
    made = await api.post(PATH, {**body, "second_signature": {**second, "verbatim_key": True}})
    change = {"second_signature": {"verbatim_key": False}}
    changed = await api.patch(f"{PATH}/{made.json['id']}", change)

    assert (refused.json["code"], refused.json["param"]) == ("bad_secret", "second_signature_key")
    assert "second_signature.verbatim_key" in refused.json["detail"]
    assert made.json["second_signature_key"] == "whsec_of!Stripe"
    assert (changed.json["code"], changed.json["param"]) == ("bad_secret", "second_signature.verbatim_key")


async def test_how_an_imported_key_is_read_can_be_changed(room: Room, api: Client, receiver: Receiver) -> None:
    key = "whsec_" + base64.b64encode(b"k" * 32).decode()
    second = {"header": "Stripe-Signature", "style": "timestamped_hex"}
    endpoint = await room.endpoint(receiver.url, second_signature=second, second_signature_key=key)

    for change in ({}, {"second_signature": {"verbatim_key": True}}):
        assert (await api.patch(f"{PATH}/{endpoint.shown['id']}", change)).status == 200
        await room.happens()
        await room.drain()

    decoded, verbatim = receiver.received
    assert decoded.headers["stripe-signature"] == stripe(decoded, "k" * 32)
    assert verbatim.headers["stripe-signature"] == stripe(verbatim, key)
