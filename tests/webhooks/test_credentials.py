"""Credentials: what a receiver's gateway asks for, kept sealed, and shown as stars."""

import base64
from dataclasses import fields
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from offhook.errors import Invalid
from offhook.http import Wire
from offhook.webhooks.credentials import (
    ApiKey,
    Basic,
    Bearer,
    ClientCredentials,
    Credentials,
    NoCredentials,
    NotCredentials,
    headers_of,
    packed,
    shown,
    unpacked,
)
from offhook.webhooks.credentials_wire import CredentialsIn

SECRET = "hunter2"
EVERY_TYPE: list[Credentials] = [
    NoCredentials(),
    Basic("anna", SECRET),
    Bearer(SECRET),
    ApiKey("X-Api-Key", SECRET),
    ClientCredentials("https://login.example/token", "offhook", SECRET, "hooks", "crm", "body"),
]
SENT: dict[str, dict[str, Any]] = {
    "none": {},
    "basic": {"username": "anna", "password": SECRET},
    "bearer": {"token": SECRET},
    "api_key": {"header": "X-Api-Key", "value": SECRET},
    "oauth2": {
        "token_url": "https://login.example/token",
        "client_id": "offhook",
        "client_secret": SECRET,
        "scope": "hooks",
        "audience": "crm",
        "client_auth": "body",
    },
}

texts = st.text(st.characters(codec="utf-8"))
every_credentials = st.one_of(
    st.just(NoCredentials()),
    st.builds(Basic, texts, texts),
    st.builds(Bearer, texts),
    st.builds(ApiKey, texts, texts),
    st.builds(ClientCredentials, texts, texts, texts, texts, texts, st.sampled_from(["basic", "body"])),
)


class Body(Wire):
    """A body that holds credentials."""

    credentials: CredentialsIn


def read(kind: str, **changes: Any) -> Credentials:
    return Body.read({"credentials": {"type": kind, **SENT[kind], **changes}}).credentials.settled()


@given(every_credentials)
def test_credentials_read_back_as_they_were_packed(credentials: Credentials) -> None:
    assert unpacked(orjson.loads(orjson.dumps(packed(credentials)))) == credentials


def test_there_is_an_example_of_every_type() -> None:
    assert {type(one) for one in EVERY_TYPE} == set(get_args(Credentials))


@pytest.mark.parametrize("credentials", EVERY_TYPE, ids=lambda one: type(one).__name__)
def test_a_secret_is_neither_printed_nor_shown(credentials: Credentials) -> None:
    assert SECRET not in repr(credentials)
    assert SECRET not in str(shown(credentials))
    secret = {each.name for each in fields(credentials) if not each.repr} - {"token_url"}
    assert {name for name, value in shown(credentials).items() if value == "***"} == secret


def test_all_else_is_shown_with_the_type() -> None:
    assert [shown(one) for one in EVERY_TYPE] == [
        {"type": "none"},
        {"type": "basic", "username": "anna", "password": "***"},
        {"type": "bearer", "token": "***"},
        {"type": "api_key", "header": "X-Api-Key", "value": "***"},
        {"type": "oauth2", **SENT["oauth2"], "client_secret": "***"},
    ]


@given(st.text(st.characters(codec="utf-8", exclude_characters=":")), texts)
def test_a_receiver_reads_name_and_password_out_of_the_basic_header(username: str, password: str) -> None:
    header = headers_of(Basic(username, password))["authorization"]

    scheme, _, spelt = header.partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(spelt).decode().partition(":") == (username, ":", password)


def test_the_static_ones_prove_us_by_one_header_or_none() -> None:
    assert headers_of(NoCredentials()) == {}
    assert headers_of(Bearer("t0k3n")) == {"authorization": "Bearer t0k3n"}
    assert headers_of(ApiKey("X-Api-Key", "k")) == {"X-Api-Key": "k"}
    # The example of RFC 7617.
    assert headers_of(Basic("Aladdin", "open sesame")) == {"authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}


@pytest.mark.parametrize(
    "told",
    [{}, {"type": "hunter2"}, {"type": "bearer"}, {"type": "bearer", "hunter2": ""}, {"type": "bearer", "token": 7}],
)
def test_what_holds_no_credentials_is_told_without_showing_it(told: dict[str, Any]) -> None:
    with pytest.raises(NotCredentials) as refused:
        unpacked(told)

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("expected", EVERY_TYPE, ids=lambda one: type(one).__name__)
def test_every_type_can_be_sent(expected: Credentials) -> None:
    assert read(packed(expected)["type"]) == expected


@pytest.mark.parametrize(
    ("kind", "field", "value", "code"),
    [
        ("basic", "username", "an:na", "bad_value"),
        ("basic", "username", "", "too_short"),
        ("basic", "username", "anna\n", "bad_value"),
        ("basic", "password", "hunter2\n", "bad_value"),
        ("basic", "password", "x" * 1025, "too_long"),
        ("bearer", "token", "two words", "bad_value"),
        ("bearer", "token", "hunter2\r\nHost: x", "bad_value"),
        ("bearer", "token", "", "too_short"),
        ("api_key", "header", "Webhook-Signature", "bad_header"),
        ("api_key", "header", "content-length", "bad_header"),
        ("api_key", "header", "X Key", "bad_header"),
        ("api_key", "value", "kéy", "bad_value"),
        ("api_key", "value", "x" * 4097, "too_long"),
        ("oauth2", "token_url", "ftp://login.example", "bad_url"),
        ("oauth2", "token_url", "https://", "bad_url"),
        ("oauth2", "token_url", "https://[login", "bad_url"),
        ("oauth2", "token_url", "https://a:b@login.example", "bad_url"),
        ("oauth2", "token_url", "https://login.example/#a", "bad_url"),
        ("oauth2", "token_url", "https://login.example/a b", "bad_url"),
        ("oauth2", "client_id", "é", "bad_format"),
        ("oauth2", "client_secret", "hunter2\n", "bad_format"),
        ("oauth2", "scope", 'a "b"', "bad_format"),
        ("oauth2", "scope", "a  b", "bad_format"),
        ("oauth2", "audience", "a\nb", "bad_value"),
        ("oauth2", "client_auth", "header", "not_one_of"),
    ],
)
def test_what_no_request_could_bear_is_refused_where_it_stands(kind: str, field: str, value: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(kind, **{field: value})

    (fault,) = refused.value.faults
    assert (fault.param, fault.code) == (f"credentials.{field}", code)
    assert SECRET not in fault.detail


@pytest.mark.parametrize("kind", [kind for kind in SENT if kind != "none"])
def test_a_secret_is_not_printed_with_the_body_that_brings_it(kind: str) -> None:
    body = Body.model_validate({"credentials": {"type": kind, **SENT[kind]}})

    assert SECRET not in repr(body)


def test_a_field_of_another_type_is_not_ignored() -> None:
    with pytest.raises(ValidationError, match="password"):
        Body.model_validate({"credentials": {"type": "bearer", "token": "t", "password": "p"}})
