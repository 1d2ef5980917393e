"""An imported secret of another system keeps verifying: by verifiers as those systems document them, over the wire.

The verifiers here are written from their documentation and know nothing of ours; the endpoints are made by the very
requests that the contract shows.
"""

import base64
import hashlib
import hmac
import re
from typing import Any

import orjson
import pytest
from tests.docs.page import TEXT, Request, requests
from tests.webhooks.conftest import Received, Receiver, Room

from offhook.webhooks.wire import Rotation

_HTTP = {"host", "content-length", "accept", "accept-encoding"}


def shown(*wanted: str) -> Request:
    """The request on the page that holds these words."""
    (found,) = [one for one in requests() if not one.is_webhook and all(word.encode() in one.body for word in wanted)]
    return found


async def told_as_shown(room: Room, receiver: Receiver, request: Request) -> Received:
    """What comes to an endpoint that was made by this request, its URL and its events aside."""
    more: dict[str, Any] = {name: value for name, value in request.json.items() if name not in ("url", "events")}
    await room.endpoint(receiver.url, **more)
    await room.happens()
    await receiver.has(1)
    return receiver.received[0]


def svix_believes(secret: str, message: Received) -> bool:
    """The content is id, timestamp and body with dots between; the key the base64 behind `whsec_`; the header a list."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    id, timestamp, signatures = (message.headers[name] for name in names)
    content = f"{id}.{timestamp}.".encode() + message.body
    key = base64.b64decode(secret.split("_")[1])
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, one.split(",")[1]) for one in signatures.split(" "))


def stripe_believes(secret: str, message: Received) -> bool:
    """The header holds `t` and `v1`; the content is time and body with a dot between; the key the secret's whole text."""
    pairs = [pair.split("=", 1) for pair in message.headers["stripe-signature"].split(",")]
    content = dict(pairs)["t"].encode() + b"." + message.body
    expected = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(expected, value) for name, value in pairs if name == "v1")


def github_believes(secret: str, message: Received) -> bool:
    """The header is `sha256=` and the hex over the body; the key the secret's text."""
    expected = "sha256=" + hmac.new(secret.encode(), message.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, message.headers["x-hub-signature-256"])


async def test_an_imported_secret_of_svix_keeps_verifying(room: Room, receiver: Receiver) -> None:
    request = shown('"secret"', '"url"')

    message = await told_as_shown(room, receiver, request)

    assert svix_believes(request.json["secret"], message)
    assert not svix_believes("whsec_" + "A" * 32, message)


async def test_an_imported_secret_of_stripe_keeps_verifying(room: Room, receiver: Receiver) -> None:
    (secret,) = re.findall(r"Here for `(whsec_\w+)`", TEXT)

    message = await told_as_shown(room, receiver, shown("stripe-signature"))

    assert stripe_believes(secret, message)
    assert not stripe_believes(secret.swapcase(), message)


async def test_an_imported_secret_of_github_keeps_verifying(room: Room, receiver: Receiver) -> None:
    request = shown("x-hub-signature-256")

    message = await told_as_shown(room, receiver, request)

    assert github_believes(request.json["second_signature_key"], message)
    assert not github_believes("another", message)


async def test_a_secret_that_is_brought_later_verifies_and_so_does_the_one_before(
    room: Room, receiver: Receiver
) -> None:
    request = shown('"overlap_s"')
    endpoint = await room.endpoint(receiver.url)

    await room.do(room.webhooks.endpoints.rotate_secret, endpoint.id, Rotation.read(request.json))
    await room.happens()
    await receiver.has(1)

    assert svix_believes(request.json["secret"], receiver.received[0])
    assert svix_believes(endpoint.secret, receiver.received[0])


@pytest.mark.parametrize("style", ["svix", "stripe", "github"])
async def test_every_one_of_them_has_the_standard_signature_beside_it(
    room: Room, receiver: Receiver, style: str
) -> None:
    words = {"svix": ('"secret"', '"url"'), "stripe": ("stripe-signature",), "github": ("x-hub-signature-256",)}
    more = {name: value for name, value in shown(*words[style]).json.items() if name not in ("url", "events")}

    endpoint = await room.endpoint(receiver.url, **more)
    await room.happens()
    await receiver.has(1)

    assert svix_believes(endpoint.secret, receiver.received[0])


async def test_what_arrives_has_the_headers_and_the_fields_that_the_page_shows(room: Room, receiver: Receiver) -> None:
    example = next(one for one in requests() if one.line.startswith("POST /offhook"))

    await room.endpoint(receiver.url)
    await room.happens()
    await receiver.has(1)

    (message,) = receiver.received
    assert message.headers.keys() - _HTTP == example.headers.keys() - _HTTP
    assert list(orjson.loads(message.body)) == list(example.json)
