"""Settings as the API takes, keeps, patches and refuses them."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Client
from tests.outbound.authority import Authority
from tests.webhooks.conftest import Receiver, Room
from tests.webhooks.owner import PATH, api_of, happen, told

from offhook import ids
from offhook.db import Wakeups
from offhook.events.catalogue.leads import LeadCadencePaused
from offhook.webhooks.endpoint_settings import NAMES, EndpointSettings, patched, settings_of

SECOND = {"header": "X-Hub-Signature-256", "style": "plain_hex", "prefix": "sha256="}
FULL: dict[str, Any] = {
    "filter": "event.type == 'call.ended'",
    "format": "thin",
    "event_names": "snake",
    "masks": {"call.caller_id": "hash", "visitor": "absent"},
    "second_signature": {**SECOND, "header": "x-hub-signature-256", "verbatim_key": True},
    "headers": {"x-team": "crm", "x-site": "eu"},
    "retry": {"gaps_s": [0, 60], "tries": 50, "final_statuses": [404, 422]},
    "timeout_s": 30,
    "disable_after_days": 30,
    "rate_limit_per_s": 100,
    "max_in_flight": 8,
    "ordering": "per_subject",
    "batch": {"max_events": 10, "max_wait_ms": 50},
}
patches = st.fixed_dictionaries(
    {},
    optional={name: st.sampled_from([None, value]) for name, value in FULL.items()}
    | {
        "retry": st.sampled_from([None, {"tries": 3}, {"tries": None}, {"final_statuses": [400]}, {}]),
        "headers": st.sampled_from([None, {"X-Team": "b"}, {"x-TEAM": None}, {"X-More": "c"}, {}]),
        "batch": st.sampled_from([None, {"max_events": 2}, {"max_wait_ms": None}, {}]),
    },
)


@pytest.fixture
async def api(room: Room, wakeups: Wakeups) -> Client:
    return await api_of(room, wakeups)


async def made(api: Client, receiver: Receiver, **more: Any) -> Any:
    answer = await api.post(PATH, {"url": receiver.url, "events": ["lead.*"], **more})
    assert answer.status == 201, answer.json
    return answer.json


async def test_every_setting_is_shown_as_it_was_set_and_has_a_default(api: Client, receiver: Receiver) -> None:
    full, bare = await made(api, receiver, **FULL), await made(api, receiver)

    again = (await api.get(f"{PATH}/{full['id']}")).json
    assert {name: again[name] for name in NAMES} == FULL
    assert {name: bare[name] for name in NAMES} == EndpointSettings().model_dump(mode="json")
    assert set(FULL) == set(NAMES)


@given(patches, patches)
def test_a_patch_of_settings_is_a_merge_patch_and_what_is_kept_reads_back(first: Any, second: Any) -> None:
    settings = patched(EndpointSettings.model_validate(FULL).different(), first)
    settings = patched(settings.different(), second)

    expected = settings_of(merge(merge(FULL, first), second))
    assert settings == expected == settings_of(settings.different())


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, as it stands there, with the names of headers in lower case."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        name = name.lower()
        if value is None:
            target.pop(name, None)
        else:
            target[name] = merge(target.get(name), value)
    return target


async def test_a_patch_touches_what_it_names_and_null_brings_a_default_back(api: Client, receiver: Receiver) -> None:
    endpoint = await made(api, receiver, **FULL)
    path = f"{PATH}/{endpoint['id']}"

    nested = await api.patch(path, {"retry": {"tries": 3}, "masks": {"visitor": None}, "headers": {"X-Team": "sales"}})
    cleared = await api.patch(path, {"retry": {"gaps_s": None}, "filter": None, "batch": None, "masks": None})

    assert nested.json["retry"] == {"gaps_s": [0, 60], "tries": 3, "final_statuses": [404, 422]}
    assert (nested.json["masks"], nested.json["headers"]) == (
        {"call.caller_id": "hash"},
        {"x-team": "sales", "x-site": "eu"},
    )
    assert cleared.json["retry"]["gaps_s"] == [0, 60, 300, 3600, 7200, 14400, 28800, 32040]
    assert (cleared.json["filter"], cleared.json["batch"], cleared.json["masks"]) == (None, None, {})


async def test_a_change_raises_the_version_and_no_change_does_not(api: Client, receiver: Receiver) -> None:
    endpoint = await made(api, receiver)
    path = f"{PATH}/{endpoint['id']}"

    changed = await api.patch(path, {"timeout_s": 3}, If_Match='"1"')
    same = await api.patch(path, {"timeout_s": 3, "headers": {}}, If_Match='"2"')
    stale = await api.patch(path, {"timeout_s": 4}, If_Match='"1"')
    tried = await api.patch(f"{path}?dry_run=true", {"timeout_s": 9})

    assert (changed.json["version"], changed.headers["etag"]) == (2, '"2"')
    assert (same.json["version"], stale.status) == (2, 412)
    assert (tried.json["timeout_s"], (await api.get(path)).json["timeout_s"]) == (9, 3)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"timeout_s": 3, "description": "CRM", "retry": {"tries": 2}}, ["description", "retry", "timeout_s"]),
        ({"ed25519": True, "timeout_s": 10}, ["ed25519"]),
        ({"authentication": {"type": "bearer", "token": "abc"}}, ["authentication"]),
        ({"authentication": {"type": "none"}, "headers": {"x-a": "1"}}, ["headers"]),
        ({"second_signature": SECOND}, ["second_signature", "second_signature_key"]),
    ],
)
async def test_the_event_of_a_change_names_what_changed(
    api: Client, room: Room, receiver: Receiver, neighbour: Receiver, change: dict[str, Any], names: list[str]
) -> None:
    endpoint = await made(api, receiver)
    await room.endpoint(neighbour.url, ["webhook_endpoint.updated"])

    assert (await api.patch(f"{PATH}/{endpoint['id']}", change)).status == 200
    await room.drain()

    assert [event["data"]["changed"] for event in told(neighbour)] == [names]


async def test_a_new_key_of_the_second_signature_is_told_by_name(
    api: Client, room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    endpoint = await made(api, receiver, second_signature=SECOND)
    await room.endpoint(neighbour.url, ["webhook_endpoint.updated"])

    await api.patch(f"{PATH}/{endpoint['id']}", {"second_signature_key": "of the CRM"})
    await room.drain()

    assert [event["data"]["changed"] for event in told(neighbour)] == [["second_signature_key"]]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"filtr": "true"}, "filtr", "unknown_field"),
    ({"retry": {"trys": 3}}, "retry.trys", "unknown_field"),
    ({"retry": {"tries": 0}}, "retry.tries", "out_of_range"),
    ({"retry": {"tries": 51}}, "retry.tries", "out_of_range"),
    ({"retry": {"gaps_s": []}}, "retry.gaps_s", "too_short"),
    ({"retry": {"gaps_s": [60, 300]}}, "retry.gaps_s", "bad_first_gap"),
    ({"retry": {"gaps_s": [0, 86_401]}}, "retry.gaps_s.1", "out_of_range"),
    ({"retry": {"final_statuses": [500]}}, "retry.final_statuses.0", "out_of_range"),
    ({"timeout_s": 0}, "timeout_s", "out_of_range"),
    ({"timeout_s": 31}, "timeout_s", "out_of_range"),
    ({"disable_after_days": 31}, "disable_after_days", "out_of_range"),
    ({"format": "xml"}, "format", "not_one_of"),
    ({"event_names": "camel"}, "event_names", "not_one_of"),
    ({"masks": {"call.caller_id": "some"}}, "masks.(a key)", "not_one_of"),
    ({"masks": {"subject.id": "absent"}}, "masks", "bad_path"),
    ({"masks": {"call": "absent", "call.caller_id": "full"}}, "masks", "masks_at_odds"),
    ({"headers": {"webhook-id": "x"}}, "headers", "bad_header"),
    ({"headers": {"CE-Type": "x"}}, "headers", "bad_header"),
    ({"headers": {"Authorization": "x"}}, "headers", "bad_header"),
    ({"headers": {"X-A": "1", "x-a": "2"}}, "headers", "header_taken"),
    ({"headers": {"x-a": "a\r\nHost: b"}}, "headers.(a key)", "bad_format"),
    (
        {"headers": {"x-sig": "1"}, "second_signature": {**SECOND, "header": "X-Sig"}},
        "second_signature.header",
        "header_taken",
    ),
    ({"second_signature": {**SECOND, "style": "timestamped_hex"}}, "second_signature.prefix", "bad_prefix"),
    ({"second_signature": {**SECOND, "prefix": "a,b"}}, "second_signature.prefix", "bad_prefix"),
    ({"second_signature": {**SECOND, "header": "offhook-x"}}, "second_signature.header", "bad_header"),
    ({"second_signature": {**SECOND, "header": "ce-id"}}, "second_signature.header", "bad_header"),
    ({"second_signature_key": "abc"}, "second_signature_key", "needs_second_signature"),
    ({"batch": {"max_events": 101}}, "batch.max_events", "out_of_range"),
    ({"batch": {}, "format": "cloudevents_binary"}, "batch", "bad_batch"),
    ({"ordering": "always"}, "ordering", "not_one_of"),
    ({"filter": ""}, "filter", "too_short"),
    ({"url": "https://169.254.169.254/"}, "url", "url_refused"),
    ({"tls": {}}, "tls.certificate", "bad_certificate"),
    ({"tls": {"ca": Authority("Acme").certificate}}, "tls", "needs_https"),
]


@pytest.mark.parametrize(("sent", "param", "code"), REFUSED, ids=lambda value: str(value)[:40])
async def test_what_cannot_be_set_is_refused_where_it_stands_with_a_cure_at_creation_and_at_change(
    api: Client, receiver: Receiver, sent: dict[str, Any], param: str, code: str
) -> None:
    endpoint = await made(api, receiver)

    at_creation = await api.post(PATH, {"url": receiver.url, "events": ["*"], **sent})
    at_change = await api.patch(f"{PATH}/{endpoint['id']}", sent)

    for refused in (at_creation, at_change):
        assert (refused.status, refused.json["param"], refused.json["code"]) == (422, param, code)
        assert len(refused.json["detail"]) > 20
    assert (await api.get(f"{PATH}/{endpoint['id']}")).json["version"] == 1


async def test_what_fits_alone_is_refused_where_it_does_not_fit_what_is_set(api: Client, receiver: Receiver) -> None:
    key = {"type": "api_key", "header": "X-Api-Key", "value": "abc"}
    endpoint = await made(api, receiver, authentication=key, batch={}, second_signature=SECOND)
    path = f"{PATH}/{endpoint['id']}"

    header = await api.patch(path, {"headers": {"x-api-key": "mine"}})
    second = await api.patch(path, {"headers": {"X-HUB-Signature-256": "mine"}})
    format = await api.patch(path, {"format": "cloudevents_binary"})

    assert (header.json["code"], header.json["param"]) == ("header_taken", "authentication.header")
    assert (second.json["code"], second.json["param"]) == ("header_taken", "second_signature.header")
    assert (format.json["code"], format.json["param"]) == ("bad_batch", "batch")


async def test_custom_headers_go_with_every_request_in_every_format(room: Room, receiver: Receiver) -> None:
    for format in ("envelope", "cloudevents_binary"):
        await room.endpoint(receiver.url, ["lead.*"], headers={"X-Team": "crm"}, format=format)

    await happen(room, LeadCadencePaused(subject_id=ids.new(), reason="api_key"))

    assert receiver.ids("x-team") == ["crm", "crm"]
    (shown, _) = [one["tries"][0]["request_headers"] for one in await room.deliveries()]
    assert shown["x-team"] == "crm"
    assert shown["webhook-signature"] == "v1,***"


async def test_a_batch_makes_and_changes_endpoints_with_their_settings(api: Client, receiver: Receiver) -> None:
    body = {"url": receiver.url, "events": ["lead.*"]}
    operations = [
        {"op": "upsert", "id": "ext:a", "body": {**body, "format": "thin", "retry": {"tries": 2}}},
        {"op": "upsert", "id": "ext:a", "body": {"retry": {"final_statuses": [404]}}},
        {"op": "create", "body": {**body, "filter": "event.type =="}},
        {"op": "create", "body": {**body, "url": "https://169.254.169.254/"}},
        {"op": "update", "id": "ext:a", "body": {"timeout_s": 99}},
    ]

    results = (await api.post(f"{PATH}/batch", {"operations": operations})).json["results"]

    assert [one["status"] for one in results] == [201, 200, 422, 422, 422]
    assert [one["problem"]["param"] for one in results[2:]] == ["filter", "url", "timeout_s"]
    shown = (await api.get(f"{PATH}/ext:a")).json
    assert (shown["format"], shown["retry"]["tries"], shown["retry"]["final_statuses"]) == ("thin", 2, [404])


async def test_the_database_keeps_what_differs_from_the_defaults_alone(room: Room, receiver: Receiver) -> None:
    await room.endpoint(receiver.url, timeout_s=10, retry={"tries": 8, "final_statuses": [404]}, batch={})

    (stored,) = await room.row("select settings::text from endpoint")

    assert orjson.loads(stored) == {"retry": {"final_statuses": [404]}, "batch": {}}
