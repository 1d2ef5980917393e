"""Masks: an owner sees of a number what they asked for and may see, and the database shows it to nobody."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.conftest import a_workspace
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.owner import CALLER, DIALED, PATH, a_call, api_of, happen, last, told

from offhook import ids
from offhook.db import Wakeups
from offhook.events.envelope import revealed
from offhook.webhooks.masks import Mask, Masks, unheard

HIDDEN = {"call.caller_id": CALLER, "call.dialed_number": DIALED}
EVENT: dict[str, Any] = {
    "type": "call.answered",
    "call": {"caller_id": "***0100", "dialed_number": "***0199", "mode": "ai_first", "merge_fields": {"Product": "a"}},
    "visitor": {"utm_source": "google", "gclid": None},
    "lead": None,
    "data": {"post_dial_delay_ms": 9000},
    "redactions": ["call.caller_id", "call.dialed_number"],
}
PLACES = [
    *("call", "call.caller_id", "call.dialed_number", "call.merge_fields.Product", "call.missing", "visitor"),
    *("visitor.utm_source", "visitor.gclid", "lead", "lead.status", "data", "data.post_dial_delay_ms"),
]
masks = st.dictionaries(st.sampled_from(PLACES), st.sampled_from(["last4", "full", "hash", "absent"]))


def masked(wanted: dict[str, Mask]) -> dict[str, Any]:
    event = copy.deepcopy(EVENT)
    Masks.of(wanted).put_on(event, HIDDEN, lambda value: f"hash of {len(value)}")
    return event


def at(event: Any, place: str) -> Any:
    for name in place.split("."):
        event = event.get(name, "nothing") if isinstance(event, dict) else "nothing"
    return event


def is_within(place: str, other: str) -> bool:
    return f"{place}.".startswith(f"{other}.")


@pytest.mark.parametrize(
    ("mask", "seen"), [("last4", "***0100"), ("full", CALLER), ("hash", "hash of 12"), ("absent", "nothing")]
)
def test_a_mask_says_what_is_seen_of_its_place(mask: Mask, seen: str) -> None:
    event = masked({"call.caller_id": mask})

    assert at(event, "call.caller_id") == seen
    assert ("call.caller_id" in event["redactions"]) == (mask != "full")
    assert at(event, "call.dialed_number") == "***0199"


@given(masks)
def test_what_is_hidden_is_shown_in_full_alone(wanted: dict[str, Mask]) -> None:
    event = masked(wanted)

    for place, clear in HIDDEN.items():
        full = wanted.get(place, wanted.get("call")) == "full" and at(event, place) != "nothing"
        assert (clear in orjson.dumps(event).decode()) == full


@given(masks)
def test_redactions_name_each_place_that_is_not_as_it_was_and_no_other(wanted: dict[str, Mask]) -> None:
    event, clear = masked(wanted), revealed(orjson.dumps(EVENT), HIDDEN)

    differ = {place for place in PLACES if at(event, place) != at(clear, place)}
    named = set(event["redactions"])
    assert named <= differ
    assert all(any(is_within(place, each) or is_within(each, place) for each in named) for place in differ)
    assert not any(is_within(place, each) for place in named for each in named - {place})


@given(masks)
def test_every_mask_that_an_endpoint_may_have_does_what_it_does_alone(wanted: dict[str, Mask]) -> None:
    assume(unheard(wanted) is None)

    event = masked(wanted)

    for place, mask in wanted.items():
        if mask != "full":
            assert at(event, place) == at(masked({place: mask}), place)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"call": "absent", "call.caller_id": "full"}, ("call", "call.caller_id")),
        ({"data.a": "hash", "data": "full", "data.a.b": "absent"}, ("data.a", "data.a.b")),
        ({"call": "full", "call.caller_id": "absent"}, None),
        ({"visitor": "absent", "visitor.gclid": "absent"}, None),
        ({"lead": "absent", "leads.name": "full"}, None),
    ],
)
def test_a_mask_that_would_make_no_difference_is_found(wanted: dict[str, Mask], found: tuple[str, str] | None) -> None:
    assert unheard(wanted) == found


def test_a_mask_within_what_is_shown_in_full_goes_before_it_and_within_what_is_gone_nothing_is_told() -> None:
    shown = masked({"call": "full", "call.dialed_number": "last4"})
    gone = masked({"call": "absent", "call.caller_id": "full"})

    assert (at(shown, "call.caller_id"), at(shown, "call.dialed_number")) == (CALLER, "***0199")
    assert shown["redactions"] == ["call.dialed_number"]
    assert (at(gone, "call"), gone["redactions"]) == ("nothing", ["call"])


def test_what_has_no_last_four_characters_to_show_is_taken_out() -> None:
    event = masked({"data.post_dial_delay_ms": "last4", "visitor": "last4", "call.merge_fields.Product": "last4"})

    assert (at(event, "data.post_dial_delay_ms"), at(event, "visitor")) == ("nothing", "nothing")
    assert at(event, "call.merge_fields.Product") == "***"


async def test_whoever_asks_for_nothing_sees_the_last_four_digits(room: Room, receiver: Receiver) -> None:
    await room.endpoint(receiver.url, ["call.*"])

    await happen(room, a_call(await room.person()))

    request, event = last(receiver)
    assert (event["call"]["caller_id"], event["call"]["dialed_number"]) == ("***0100", "***0199")
    assert event["redactions"] == ["call.caller_id", "call.dialed_number"]
    assert b"555" not in request.body


async def test_each_endpoint_sees_by_its_own_masks(room: Room, receiver: Receiver, neighbour: Receiver) -> None:
    await room.endpoint(receiver.url, ["call.*"], masks={"call.caller_id": "full", "visitor": "absent"})
    await room.endpoint(neighbour.url, ["call.*"], masks={"call.caller_id": "hash", "visitor.gclid": "last4"})

    await happen(room, a_call(await room.person()))

    (_, full), (_, hashed) = last(receiver), last(neighbour)
    assert (full["call"]["caller_id"], full["redactions"]) == (CALLER, ["call.dialed_number", "visitor"])
    assert "visitor" not in full
    assert hashed["visitor"]["gclid"] == "***mple"
    assert hashed["redactions"] == ["call.caller_id", "call.dialed_number", "visitor.gclid"]


async def test_a_hash_is_equal_for_equal_values_and_says_nothing_to_another_tenant(
    room: Room, receiver: Receiver
) -> None:
    other = await a_workspace(room.database, "sandbox")
    for tenant in (room.tenant, other):
        await room.endpoint(receiver.url, ["call.*"], tenant, masks={"call.caller_id": "hash"})

    for caller in (CALLER, CALLER, "+13125550177"):
        await happen(room, a_call(None, caller=caller))
    await happen(room, a_call(None), tenant=other)

    first, again, another, elsewhere = [event["call"]["caller_id"] for event in told(receiver)]
    assert first == again
    assert len({first, another, elsewhere}) == 3
    assert len(first) == 32


@pytest.mark.parametrize("format", ["envelope", "cloudevents_binary", "cloudevents_structured"])
async def test_no_number_lies_in_clear_in_the_database_though_an_endpoint_is_told_it(
    room: Room, receiver: Receiver, format: str
) -> None:
    receiver.says = [Says(500, body=CALLER.encode())]
    every = {"call.caller_id": "full", "call.dialed_number": "full"}
    await room.endpoint(receiver.url, ["call.*"], masks=every, format=format)

    await happen(room, a_call(await room.person()))

    assert CALLER.encode() in receiver.received[0].body
    for table in ("event", "rendering", "try", "due", "delivery"):
        (rows,) = await room.row(f"select string_agg(t::text, '|') from {table} t")
        for number in (CALLER, DIALED):
            assert number not in rows
            assert number.encode().hex() not in rows


async def test_only_whose_key_may_read_numbers_may_have_them_told(
    room: Room, receiver: Receiver, wakeups: Wakeups
) -> None:
    body = {"url": receiver.url, "events": ["call.*"], "masks": {"call.caller_id": "full"}}
    plain = await api_of(room, wakeups, "webhooks:*")
    trusted = await api_of(room, wakeups, "webhooks:*", "leads:read-personal")

    refused, made = await plain.post(PATH, body), await trusted.post(PATH, body)

    assert (refused.status, refused.json["code"], refused.json["param"]) == (403, "missing_scope", "masks")
    assert "leads:read-personal" in refused.json["detail"]
    assert (made.status, made.json["masks"]) == (201, {"call.caller_id": "full"})


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"masks": {"call.dialed_number": "full"}}, 403),
        ({"masks": {"call": "full"}}, 403),
        ({"url": "https://192.0.2.1/"}, 403),
        ({"masks": {"call.caller_id": None}}, 200),
        ({"masks": None}, 200),
        ({"masks": {"visitor": "absent"}}, 200),
        ({"timeout_s": 5}, 200),
    ],
)
async def test_who_may_not_read_numbers_may_hide_them_but_not_have_more_told_or_elsewhere(
    room: Room, receiver: Receiver, wakeups: Wakeups, change: dict[str, Any], status: int
) -> None:
    endpoint = await room.endpoint(receiver.url, ["call.*"], masks={"call.caller_id": "full"})
    plain = await api_of(room, wakeups, "webhooks:*")

    if "url" in change:
        change = {"url": f"{receiver.url}/elsewhere"}
    assert (await plain.patch(f"{PATH}/{endpoint.shown['id']}", change)).status == status


async def test_a_batch_unmasks_by_no_other_rule(room: Room, receiver: Receiver, wakeups: Wakeups) -> None:
    operations = [
        {"op": "create", "body": {"url": receiver.url, "events": ["call.*"], "masks": {"call": "full"}}},
        {"op": "upsert", "id": "ext:crm", "body": {"url": receiver.url, "events": ["call.*"], "timeout_s": 3}},
        {"op": "upsert", "id": "ext:crm", "body": {"masks": {"call.caller_id": "full"}, "retry": {"tries": 2}}},
        {"op": "upsert", "id": "ext:crm", "body": {"masks": {"call.caller_id": "hash"}, "retry": {"tries": 3}}},
    ]
    api = await api_of(room, wakeups, "webhooks:*")

    results = (await api.post(f"{PATH}/batch", {"operations": operations})).json["results"]

    assert [one["status"] for one in results] == [403, 201, 403, 200]
    shown = (await api.get(f"{PATH}/ext:crm")).json
    assert (shown["masks"], shown["timeout_s"], shown["retry"]["tries"]) == ({"call.caller_id": "hash"}, 3, 3)


async def test_a_sample_is_told_by_the_masks_of_who_tests(room: Room, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url, ["lead.*"], masks={"call.caller_id": "full", "visitor": "absent"})

    delivery = await room.do(room.webhooks.endpoints.test, endpoint.id, "call.answered")
    await room.drain()

    _, event = last(receiver)
    assert (event["test"], event["call"]["caller_id"], "visitor" in event) == (True, CALLER, False)
    assert ids.show("dlv", delivery) == receiver.received[0].headers["offhook-delivery-id"]
