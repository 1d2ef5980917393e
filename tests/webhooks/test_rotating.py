"""Rotation: a receiver changes over when it likes, and is told until when it can."""

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError
from tests.conftest import Client
from tests.webhooks.conftest import Received, Receiver, Room
from tests.webhooks.owner import PATH, api_of, last

from offhook.db import Wakeups
from offhook.webhooks import store
from offhook.webhooks.proofs import Proofs
from offhook.webhooks.signing import Genuine, Secret, Signer
from offhook.webhooks.wire import endpoint_shown

DAY_S = 86_400
OWN = "whsec_" + base64.b64encode(b"o" * 32).decode()


@pytest.fixture
async def api(room: Room, wakeups: Wakeups) -> Client:
    return await api_of(room, wakeups)


async def rotate(api: Client, endpoint: Any, **body: Any) -> Any:
    answer = await api.post(f"{PATH}/{endpoint.shown['id']}/rotate-secret", body)
    assert answer.status == 200, answer.json
    return answer.json


async def next_request(room: Room, receiver: Receiver) -> Received:
    await room.happens()
    await room.drain()
    return receiver.received[-1]


def signatures(request: Received, version: str) -> list[str]:
    offered = [one.split(",", 1) for one in request.headers["webhook-signature"].split()]
    return [spelt for name, spelt in offered if name == version]


def believes(secret: str, request: Received) -> bool:
    try:
        Webhook(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


def believes_publicly(public: str, request: Received) -> bool:
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
    for one in signatures(request, "v1a"):
        try:
            key.verify(base64.b64decode(one), head.encode() + request.body)
        except InvalidSignature:
            continue
        return True
    return False


async def test_both_secrets_sign_during_the_overlap_in_every_process(
    room: Room, worker: Room, api: Client, receiver: Receiver
) -> None:
    endpoint = await room.endpoint(receiver.url)
    rotated = await rotate(api, endpoint)

    for process in (room, worker):
        request = await next_request(process, receiver)
        assert believes(endpoint.secret, request)
        assert believes(rotated["secret"], request)
        assert len(signatures(request, "v1")) == 2


async def test_without_an_overlap_the_old_secret_ends_at_once(room: Room, api: Client, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url)
    rotated = await rotate(api, endpoint, overlap_s=0)

    request = await next_request(room, receiver)

    assert (believes(endpoint.secret, request), believes(rotated["secret"], request)) == (False, True)
    assert rotated["retiring_keys"] == []


async def test_after_the_overlap_the_new_secret_signs_alone(room: Room, api: Client, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    rotated = await rotate(api, told, overlap_s=DAY_S)
    until = datetime.fromisoformat(rotated["retiring_keys"][0]["expires_at"])
    endpoint = (await room.webhooks.directory.latest(room.tenant)).endpoints[told.id]

    signed = {
        at: endpoint.signer_at(at).headers("msg_1", int(at.timestamp()), b"{}")["webhook-signature"]
        for at in (until - timedelta(seconds=1), until + timedelta(seconds=1))
    }

    old, new = (Signer([Secret.parse(secret)]) for secret in (told.secret, rotated["secret"]))
    verdicts = [
        [isinstance(one.verify("msg_1", str(int(at.timestamp())), spelt, b"{}", at), Genuine) for one in (old, new)]
        for at, spelt in signed.items()
    ]
    assert verdicts == [[True, True], [False, True]]


async def test_a_secret_of_ones_own_goes_on_verifying(room: Room, api: Client, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url)

    rotated = await rotate(api, endpoint, secret=OWN)

    assert rotated["secret"] == OWN
    assert believes(OWN, await next_request(room, receiver))


async def test_an_ed25519_key_rotates_and_its_public_half_is_shown(room: Room, api: Client, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url, ed25519=True)

    rotated = await rotate(api, endpoint, key="ed25519")

    request = await next_request(room, receiver)
    old, new = endpoint.shown["ed25519_public_key"], rotated["ed25519_public_key"]
    assert old != new
    assert believes_publicly(old, request)
    assert believes_publicly(new, request)
    assert [one["key"] for one in rotated["retiring_keys"]] == ["ed25519"]


async def test_a_second_signature_bears_one_for_each_key_while_it_rotates(
    room: Room, api: Client, receiver: Receiver
) -> None:
    second = {"header": "X-Signature", "style": "timestamped_hex", "verbatim_key": True}
    endpoint = await room.endpoint(receiver.url, second_signature=second, second_signature_key="whsec_of!one")

    rotated = await rotate(api, endpoint, key="second_signature", secret="whsec_of!another")
    request = await next_request(room, receiver)

    assert rotated["second_signature_key"] == "whsec_of!another"
    assert request.headers["x-signature"].count("v1=") == 2


@pytest.mark.parametrize(
    ("body", "lasts_s"),
    [({}, DAY_S), ({"overlap_s": 7 * DAY_S}, 7 * DAY_S), ({"overlap_s": 0}, None), ({"key": "ed25519"}, DAY_S)],
)
async def test_the_event_says_which_key_it_was_and_until_when_the_old_one_signs(
    room: Room, api: Client, receiver: Receiver, neighbour: Receiver, body: dict[str, Any], lasts_s: int | None
) -> None:
    endpoint = await room.endpoint(receiver.url, ed25519=True)
    await room.endpoint(neighbour.url, ["webhook_endpoint.secret_rotated"])

    rotated = await rotate(api, endpoint, **body)
    await room.drain()

    data = last(neighbour)[1]["data"]
    assert data["key"] == body.get("key", "secret")
    shown = [one["expires_at"] for one in rotated["retiring_keys"]]
    assert [data["old_key_expires_at"]] == (shown if lasts_s else [None])
    if lasts_s:
        left = datetime.fromisoformat(data["old_key_expires_at"]) - datetime.fromisoformat(rotated["updated_at"])
        assert abs(left - timedelta(seconds=lasts_s)) < timedelta(hours=1)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"overlap_s": 7 * DAY_S + 1}, 422, "overlap_s"),
        ({"overlap_s": -1}, 422, "overlap_s"),
        ({"key": "private"}, 422, "key"),
        ({"secret": "whsec_short"}, 422, "secret"),
        ({"key": "ed25519"}, 409, "key"),
        ({"key": "second_signature"}, 409, "key"),
    ],
)
async def test_a_rotation_that_cannot_be_is_refused_and_changes_nothing(
    room: Room, api: Client, receiver: Receiver, body: dict[str, Any], status: int, param: str
) -> None:
    endpoint = await room.endpoint(receiver.url)

    refused = await api.post(f"{PATH}/{endpoint.shown['id']}/rotate-secret", body)

    assert (refused.status, refused.json["param"]) == (status, param)
    assert len(signatures(await next_request(room, receiver), "v1")) == 1


async def test_a_key_that_is_over_is_not_shown_any_more(room: Room, api: Client, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    rotated = await rotate(api, told, overlap_s=DAY_S)
    until = datetime.fromisoformat(rotated["retiring_keys"][0]["expires_at"])
    row = await room.do(store.find, told.id)
    proofs = Proofs.open(room.vault, row.id, row.secret)

    instant = timedelta(milliseconds=1)
    shown = [endpoint_shown(row, proofs, at)["retiring_keys"] for at in (until - instant, until + instant)]

    assert shown == [rotated["retiring_keys"], []]


async def test_a_try_shows_as_many_signatures_as_it_bore(room: Room, api: Client, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url)
    await next_request(room, receiver)
    await rotate(api, endpoint)
    await next_request(room, receiver)

    tries = [one["tries"][0]["request_headers"] for one in await room.deliveries()]

    assert [one["webhook-signature"] for one in tries] == ["v1,*** v1,***", "v1,***"]
