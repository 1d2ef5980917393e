"""Filters: asked once, at append, about the clear event; what nobody can decide is told and counted."""

from typing import Any

import pytest
from tests.webhooks.conftest import Receiver, Room
from tests.webhooks.owner import CALLER, PATH, a_call, api_of, happen, told

from offhook import ids
from offhook.db import Wakeups
from offhook.events import sample_of
from offhook.events.types import every_type
from offhook.webhooks import counts
from offhook.webhooks.endpoint_settings import HIDDEN as HIDDEN_PLACES


async def change(room: Room, endpoint: Any, wakeups: Wakeups, **body: Any) -> None:
    api = await api_of(room, wakeups)
    assert (await api.patch(f"{PATH}/{endpoint.shown['id']}", body)).status == 200


async def test_only_what_the_filter_holds_of_is_told(room: Room, receiver: Receiver, neighbour: Receiver) -> None:
    await room.endpoint(receiver.url, ["call.*"], filter="event.data.answered_by == 'human'")
    await room.endpoint(neighbour.url, ["call.*"])

    await happen(room, a_call(None, answered_by="human"), a_call(None, answered_by="voicemail"))

    assert [event["data"]["answered_by"] for event in told(receiver)] == ["human"]
    assert len(told(neighbour)) == 2
    assert len(await room.deliveries()) == 3


async def test_a_filter_sees_the_clear_event_and_its_endpoint_does_not(room: Room, receiver: Receiver) -> None:
    await room.endpoint(receiver.url, ["call.*"], filter="event.call.caller_id.startsWith('+1312')")
    person = await room.person()

    await happen(room, a_call(person), a_call(person, caller="+12125550100"))

    assert [event["call"]["caller_id"] for event in told(receiver)] == ["***0100"]


async def test_a_filter_knows_types_by_our_names_whatever_its_endpoint_calls_them(
    room: Room, receiver: Receiver
) -> None:
    await room.endpoint(receiver.url, ["call.*"], filter="event.type == 'call.ended'", event_names="snake")

    await happen(room, a_call(None), a_call(None, "call.ended"))

    assert [event["type"] for event in told(receiver)] == ["call_completed"]


async def test_what_a_filter_cannot_decide_is_told_and_counted(room: Room, receiver: Receiver) -> None:
    await room.endpoint(
        receiver.url, ["call.*"], filter="timestamp(event.data.answered_by) > timestamp('2026-01-01T00:00:00Z')"
    )
    before = counts.undecided._value.get()

    await happen(room, a_call(None))

    assert len(told(receiver)) == 1
    assert counts.undecided._value.get() == before + 1


async def test_what_an_event_lacks_does_not_hold(room: Room, receiver: Receiver) -> None:
    await room.endpoint(receiver.url, ["*"], filter="event.visitor.utm_source == 'google'")

    await room.happens()
    await happen(room, a_call(None))

    assert [event["type"] for event in told(receiver)] == ["call.answered"]


async def test_a_filter_is_asked_at_append_and_never_again(
    room: Room, worker: Room, receiver: Receiver, wakeups: Wakeups
) -> None:
    endpoint = await room.endpoint(receiver.url, ["call.*"], filter="event.data.answered_by == 'human'")
    async with room.database.transaction(room.tenant) as tx:
        await worker.log.append(tx, [a_call(None, answered_by="human"), a_call(None, answered_by="voicemail")])

    await change(room, endpoint, wakeups, filter="event.data.answered_by == 'voicemail'")
    await room.drain()

    assert [event["data"]["answered_by"] for event in told(receiver)] == ["human"]


async def test_a_test_reaches_its_endpoint_whatever_the_filter_says(room: Room, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url, ["call.*"], filter="event.type == 'call.ended'")

    await room.do(room.webhooks.endpoints.test, endpoint.id)
    await room.do(room.webhooks.endpoints.test, endpoint.id, "call.answered")
    await room.drain()

    assert sorted(event["type"] for event in told(receiver)) == ["call.answered", "webhook.test"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("event.type = 'call.ended'", "line 1, column 12"),
        ("true &&\n  evnt.type == 'x'", "line 2"),
        ("1 + 1", "line 1"),
    ],
)
async def test_a_filter_that_does_not_compile_is_refused_with_the_place(
    room: Room, receiver: Receiver, wakeups: Wakeups, text: str, place: str
) -> None:
    api = await api_of(room, wakeups)
    made = await api.post(PATH, {"url": receiver.url, "events": ["*"]})

    at_creation = await api.post(PATH, {"url": receiver.url, "events": ["*"], "filter": text})
    at_change = await api.patch(f"{PATH}/{made.json['id']}", {"filter": text})

    for refused in (at_creation, at_change):
        assert (refused.status, refused.json["code"], refused.json["param"]) == (422, "bad_filter", "filter")
        assert place in refused.json["detail"]


async def test_the_log_tells_what_a_filtered_endpoint_should_have_got(
    room: Room, receiver: Receiver, wakeups: Wakeups
) -> None:
    filter = f"event.call.caller_id == '{CALLER}'"
    endpoint = await room.endpoint(receiver.url, ["call.*"], filter=filter, external_id="crm")
    person = await room.person()
    for caller in (CALLER, "+12125550100", CALLER):
        await happen(room, a_call(person, caller=caller))
    api = await api_of(room, wakeups, "events:read")

    first = (await api.get(f"/v1/events?webhook_endpoint={endpoint.shown['id']}&limit=1")).json
    rest = (await api.get(f"/v1/events?webhook_endpoint=ext:crm&after={first['next_cursor']}")).json

    listed = [event["event_id"] for event in first["data"] + rest["data"]]
    assert listed == [event["event_id"] for event in told(receiver)]
    assert (len(listed), rest["has_more"]) == (2, False)


async def test_the_log_lists_what_a_filter_cannot_decide_and_nothing_about_the_endpoint_itself(
    room: Room, receiver: Receiver, wakeups: Wakeups
) -> None:
    undecided = "timestamp(event.data.answered_by) > timestamp('2026-01-01T00:00:00Z')"
    await room.endpoint(receiver.url, ["*"], filter=undecided, external_id="crm")
    await happen(room, a_call(None))
    before = counts.undecided._value.get()
    api = await api_of(room, wakeups, "events:read")

    listed = (await api.get("/v1/events?webhook_endpoint=ext:crm")).json["data"]

    assert [event["event_id"] for event in listed] == receiver.ids()
    assert counts.undecided._value.get() == before


async def test_the_log_lists_what_was_for_one_endpoint_alone_under_no_other(
    room: Room, receiver: Receiver, neighbour: Receiver, wakeups: Wakeups
) -> None:
    tested = await room.endpoint(receiver.url, ["call.*"], filter="false")
    other = await room.endpoint(neighbour.url, ["*"])
    await room.do(room.webhooks.endpoints.test, tested.id, "lead.accepted")
    await room.drain()
    api = await api_of(room, wakeups, "events:read")

    async def listed(endpoint: Any) -> list[str]:
        path = f"/v1/events?webhook_endpoint={endpoint.shown['id']}&type=lead.*"
        return [event["event_id"] for event in (await api.get(path)).json["data"]]

    assert await listed(tested) == receiver.ids() != []
    assert await listed(other) == neighbour.ids() == []


async def test_a_stranger_asks_in_vain_what_an_endpoint_should_have_got(
    room: Room, receiver: Receiver, wakeups: Wakeups, stranger: Any
) -> None:
    endpoint = await room.endpoint(receiver.url, ["call.*"], filter="true")
    api = await api_of(room, wakeups, "events:read", tenant=stranger)

    assert (await api.get(f"/v1/events?webhook_endpoint={endpoint.shown['id']}")).status == 404
    assert (await api.get(f"/v1/events?webhook_endpoint={ids.show('whe', ids.new())}")).status == 404


HIDDEN = [
    "event.call.caller_id.startsWith('+1312')",
    "event['call']['dialed_number'] == 'x'",
    "event.data.phone == 'x'",
    "string(event.data[event.type]) == 'x'",
    "event == {}",
]


@pytest.mark.parametrize("filter", HIDDEN)
async def test_a_filter_asks_about_numbers_only_for_who_may_read_them(
    room: Room, receiver: Receiver, wakeups: Wakeups, filter: str
) -> None:
    plain = await api_of(room, wakeups, "webhooks:*", "events:read")
    trusted = await api_of(room, wakeups, "webhooks:*", "leads:read-personal")
    made = await plain.post(PATH, {"url": receiver.url, "events": ["*"], "filter": "event.data.answered_by == 'x'"})

    for refused in (
        await plain.post(PATH, {"url": receiver.url, "events": ["*"], "filter": filter}),
        await plain.patch(f"{PATH}/{made.json['id']}", {"filter": filter}),
    ):
        assert (refused.status, refused.json["code"], refused.json["param"]) == (403, "missing_scope", "filter")
        assert "leads:read-personal" in refused.json["detail"]
    assert (await trusted.patch(f"{PATH}/{made.json['id']}", {"filter": filter})).status == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"url": "/elsewhere"}, 403),
        ({"filter": f"{HIDDEN[0]} || true"}, 403),
        ({"filter": HIDDEN[0], "timeout_s": 5}, 200),
        ({"filter": None, "url": "/elsewhere"}, 200),
    ],
)
async def test_who_may_not_read_numbers_may_not_have_them_chosen_otherwise_or_elsewhere(
    room: Room, receiver: Receiver, wakeups: Wakeups, change: dict[str, Any], status: int
) -> None:
    endpoint = await room.endpoint(receiver.url, ["call.*"], filter=HIDDEN[0])
    plain = await api_of(room, wakeups, "webhooks:*")

    if "url" in change:
        change = {**change, "url": receiver.url + change["url"]}
    assert (await plain.patch(f"{PATH}/{endpoint.shown['id']}", change)).status == status


def test_every_place_that_an_event_hides_is_kept_from_who_may_not_read_it() -> None:
    hidden = {place for type in every_type() for place in sample_of(type).story.hidden}

    assert hidden == set(HIDDEN_PLACES)
