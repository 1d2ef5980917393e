"""Renderings: each endpoint gets events in its format and by its names, the same bytes on every try of every process."""

import re
from datetime import datetime
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from tests.webhooks.conftest import Received, Receiver, Room, Says
from tests.webhooks.owner import CALLER, a_call, happen, last, told

from offhook.events import sample_of
from offhook.events.types import every_type
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.masks import Masks
from offhook.webhooks.rendering import OTHERWISE_NAMED, Format, Rendered, Rendering, named

FORMATS = ["envelope", "cloudevents_binary", "cloudevents_structured", "thin"]
CLOUD_EVENTS = FORMATS[1:3]
THIN = {
    *("event_id", "type", "schema_version", "occurred_at", "workspace_id", "environment", "subject", "sequence"),
    *("correlation_id", "causation_id", "test"),
}
renderings = st.builds(
    Rendering,
    st.sampled_from(FORMATS),
    st.sampled_from(["offhook", "snake"]),
    st.builds(Masks, st.sampled_from([(), (("visitor", "absent"),), (("visitor", "hash"),), (("call", "absent"),)])),
)


def context_of(format: str, request: Received) -> dict[str, str]:
    """The attributes of a CloudEvent as its reader finds them, by the HTTP binding 1.0."""
    if format == "cloudevents_structured":
        assert request.headers["content-type"].partition(";")[0] == "application/cloudevents+json"
        structured = orjson.loads(request.body)
        return {name: value for name, value in structured.items() if name not in ("data", "data_base64")}
    found = {name[3:]: value for name, value in request.headers.items() if name.startswith("ce-")}
    return {**found, "datacontenttype": request.headers["content-type"]}


def check_cloud_event(context: dict[str, str]) -> None:
    """What CloudEvents 1.0 demands of the context of every event."""
    assert context["specversion"] == "1.0"
    assert all(context[required] for required in ("id", "source", "type"))
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in context)
    assert all(isinstance(value, str) and value for value in context.values())
    # Section 3.1.3.2 of the HTTP binding: anything else would have to be percent-encoded in a header.
    assert all(re.fullmatch(r"[!#$&-~]+", value) for value in context.values())
    assert datetime.fromisoformat(context["time"]).tzinfo
    assert context["datacontenttype"] == "application/json"


def test_every_type_with_a_name_of_its_own_is_one_that_happens() -> None:
    assert OTHERWISE_NAMED.keys() <= every_type().keys()


@pytest.mark.parametrize("format", CLOUD_EVENTS)
async def test_a_cloud_event_is_one_by_the_specification_and_is_signed(
    room: Room, receiver: Receiver, format: str
) -> None:
    endpoint = await room.endpoint(receiver.url, ["call.*"], format=format)

    await happen(room, a_call(await room.person()))

    request, body = last(receiver)
    context = context_of(format, request)
    check_cloud_event(context)
    event = body["data"] if format == "cloudevents_structured" else body
    read = from_http_event(HTTPMessage(request.headers, request.body))
    assert (read.get_id(), read.get_type(), read.get_data()) == (context["id"], context["type"], event)
    assert read.get_extension("sequence") == f"{event['sequence']:012}"
    assert (context["id"], context["type"]) == (event["event_id"], f"io.offhook.{event['type']}")
    assert context["subject"] == f"call/{event['subject']['id']}"
    Webhook(endpoint.secret).verify(request.body, request.headers)


@pytest.mark.parametrize("type", sorted(every_type()))
@pytest.mark.parametrize("format", CLOUD_EVENTS)
def test_every_type_of_event_can_be_a_cloud_event(format: Format, type: str) -> None:
    fact = sample_of(type)
    envelope = {
        **{"event_id": "evt_1", "type": type, "occurred_at": "2026-11-21T17:03:34.000Z", "sequence": 7},
        **{"workspace_id": "ws_1", "environment": "live", "correlation_id": fact.story.correlation},
        "subject": {"type": fact.subject_type, "id": "lead_1"},
    }

    rendered = Rendering(format).render(orjson.dumps(envelope), {}, str)

    check_cloud_event(context_of(format, Received(rendered.headers, rendered.body)))


async def test_thin_tells_ids_alone(room: Room, receiver: Receiver) -> None:
    await room.endpoint(receiver.url, ["call.*"], format="thin", masks={"call": "full"})

    await happen(room, a_call(await room.person()))

    request, body = last(receiver)
    assert body.keys() == THIN
    assert CALLER[-4:].encode() not in request.body
    assert body["event_id"] == request.headers["webhook-id"]


async def test_names_are_snake_where_that_is_wished(room: Room, receiver: Receiver, neighbour: Receiver) -> None:
    await room.endpoint(receiver.url, ["call.*"], event_names="snake")
    await room.endpoint(neighbour.url, ["call.*"], event_names="snake", format="cloudevents_binary")

    await happen(room, a_call(None), a_call(None, "call.ended"))

    assert [event["type"] for event in told(receiver)] == ["call_answered", "call_completed"]
    assert neighbour.ids("ce-type") == ["io.offhook.call_answered", "io.offhook.call_completed"]


def test_no_two_types_have_the_same_snake_name() -> None:
    names = [named(type, "snake") for type in every_type()]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


def test_every_name_that_is_not_the_types_own_in_snake_case_is_documented() -> None:
    said = EndpointSettings.model_json_schema()["properties"]["event_names"]["description"]

    own = {type: type.replace(".", "_") for type in every_type()}
    otherwise = {f"{type} → {named(type, 'snake')}" for type in own if named(type, "snake") != own[type]}
    assert set(re.findall(r"[a-z_.]+ → [a-z_]+", said)) == otherwise
    assert "call.ended → call_completed" in otherwise


@pytest.mark.parametrize("format", FORMATS)
async def test_a_retry_of_another_process_bears_the_very_same_bytes(
    room: Room, worker: Room, receiver: Receiver, clock: Any, format: str
) -> None:
    receiver.says = [Says(500), Says(200)]
    masks = {"call.caller_id": "full", "call.dialed_number": "hash"}
    await room.endpoint(receiver.url, ["call.*"], format=format, event_names="snake", masks=masks)

    await happen(room, a_call(await room.person()))
    await clock.to(await room.next_due())
    await worker.drain()

    first, again = receiver.received
    assert (again.body, again.headers["webhook-id"]) == (first.body, first.headers["webhook-id"])
    same = [name for name in first.headers if name.startswith(("ce-", "content-"))]
    assert [again.headers[name] for name in same] == [first.headers[name] for name in same]
    assert again.headers["offhook-try"] == "1"


async def test_what_is_sent_is_by_the_settings_of_when_it_happened(
    room: Room, worker: Room, receiver: Receiver
) -> None:
    endpoint = await room.endpoint(receiver.url, ["call.*"], format="thin")
    async with room.database.transaction(room.tenant) as tx:
        await worker.log.append(tx, [a_call(await room.person())])

    change = room.webhooks.endpoints.Change(format="cloudevents_structured")
    await room.do(room.webhooks.endpoints.change, endpoint.id, change, frozenset({"format"}), None)
    await room.drain()

    assert last(receiver)[1].keys() == THIN


async def test_endpoints_that_want_the_same_share_one_rendering_and_the_usual_one_is_kept_in_the_log_alone(
    room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    for url in (receiver.url, neighbour.url):
        await room.endpoint(url, ["call.*"], format="thin", masks={"visitor": "absent"})
        await room.endpoint(url, ["call.*"])

    await happen(room, a_call(await room.person()))

    assert await room.row("select count(*) from rendering") == (1,)
    assert sorted(one.body for one in receiver.received) == sorted(one.body for one in neighbour.received)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("by_worker", [False, True])
async def test_an_erased_persons_event_is_a_tombstone_in_the_endpoints_format(
    room: Room, worker: Room, receiver: Receiver, format: str, by_worker: bool
) -> None:
    await room.endpoint(receiver.url, ["call.*"], format=format, event_names="snake", masks={"call": "full"})
    person = await room.person()
    async with room.database.transaction(room.tenant) as tx:
        await (worker if by_worker else room).log.append(tx, [a_call(person)])
        await room.vault.shred(tx, person, reason="request", kept=[])
    await room.drain()

    request, body = last(receiver)
    event = body["data"] if format == "cloudevents_structured" else body
    assert (event["type"], event["data"]) == ("call_answered", {"erased": True})
    assert (request.headers["offhook-tombstone"], event["event_id"]) == ("1", request.headers["webhook-id"])
    assert "call" not in event
    if format in CLOUD_EVENTS:
        check_cloud_event(context_of(format, request))


@given(renderings, renderings)
def test_renderings_share_a_word_only_when_they_are_the_same(one: Rendering, other: Rendering) -> None:
    assert (one.word == other.word) == (one == other)
    assert (one.word is None) == (one == Rendering())


@given(st.dictionaries(st.text(min_size=1), st.text()), st.binary())
def test_what_is_sealed_of_a_rendering_reads_back(headers: dict[str, str], body: bytes) -> None:
    rendered = Rendered(headers, body)

    assert Rendered.unpack(rendered.pack()) == rendered
