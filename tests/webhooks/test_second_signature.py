"""A second signature beside ours, for receivers that can read only what another system sent them."""

import hashlib
import hmac
import re
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.webhooks.signing import NotASecret, SecondKey, SecondSignature, Secret, Signer

TIMESTAMPED = SecondSignature("Old-Signature", "timestamped_hex")
PLAIN = SecondSignature("X-Hub-Signature-256", "plain_hex", "sha256=")
SECRET = Secret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=100).filter(
    lambda text: not text.startswith("whsec_")
)
second_keys = texts.map(SecondKey.parse)


def by_hand(key: bytes, message: bytes) -> str:
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def test_the_example_in_githubs_documentation_is_signed_as_printed() -> None:
    signer = Signer([SECRET], second=PLAIN, second_keys=[SecondKey.parse("It's a Secret to Everybody")])

    signed = signer.headers("msg_1", 1, b"Hello, World!")

    printed = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signed["X-Hub-Signature-256"] == f"sha256={printed}"


@given(texts, texts, st.integers(0, 2**33), st.binary())
def test_a_timestamped_signature_covers_the_time_and_the_body_by_each_key(
    new: str, old: str, timestamp: int, body: bytes
) -> None:
    signer = Signer([SECRET], second=TIMESTAMPED, second_keys=[SecondKey.parse(new), SecondKey.parse(old)])

    signed = signer.headers("msg_1", timestamp, body)["Old-Signature"]

    message = f"{timestamp}.".encode() + body
    assert signed == f"t={timestamp},v1={by_hand(new.encode(), message)},v1={by_hand(old.encode(), message)}"


@given(texts, texts, st.binary())
def test_a_plain_signature_covers_the_body_by_each_key(new: str, old: str, body: bytes) -> None:
    second = SecondSignature("X-Signature", "plain_hex")

    signed = Signer([SECRET], (), second, [SecondKey.parse(new), SecondKey.parse(old)]).headers("msg_1", 1, body)

    assert signed["X-Signature"] == f"{by_hand(new.encode(), body)}, {by_hand(old.encode(), body)}"


@given(second_keys, st.sampled_from([TIMESTAMPED, PLAIN]), st.binary())
def test_the_second_signature_changes_nothing_of_the_first(
    key: SecondKey, second: SecondSignature, body: bytes
) -> None:
    alone, beside = Signer([SECRET]), Signer([SECRET], second=second, second_keys=[key])

    signed = beside.headers("msg_1", 1, body)

    assert signed.pop(second.header) != ""
    assert signed == alone.headers("msg_1", 1, body) == {"webhook-signature": alone.sign("msg_1", 1, body)}


def test_a_standard_secret_is_decoded_unless_every_letter_of_it_is_meant() -> None:
    spelt = SECRET.reveal()

    assert SecondKey.parse(spelt).key == SECRET.key
    assert SecondKey.parse(spelt, verbatim=True).key == spelt.encode()


@given(texts, st.booleans())
def test_a_key_reads_back_as_it_was_given(text: str, verbatim: bool) -> None:
    key = SecondKey.parse(text, verbatim=verbatim)

    assert SecondKey.parse(key.reveal(), verbatim=verbatim) == key
    assert key.key == text.encode()


def test_a_new_key_is_plain_text_and_no_two_are_alike() -> None:
    fresh = [SecondKey.new().reveal() for _ in range(100)]

    assert len(set(fresh)) == 100
    assert all(re.fullmatch(r"[\w-]{43}", text) for text in fresh)


@pytest.mark.parametrize(
    "text", ["", "x" * 513, "é" * 257, "half a \udcff", "whsec_", "whsec_c2hvcnQ=", "whsec_no key"]
)
def test_what_cannot_be_a_key_is_told_without_showing_it(text: str) -> None:
    with pytest.raises(NotASecret) as told:
        SecondKey.parse(text)

    assert text not in str(told.value).removesuffix("whsec_ is not base64") or not text


def test_a_key_never_stands_in_a_repr() -> None:
    key = SecondKey.parse("hunter2")

    assert "hunter2" not in f"{key!r} {Signer([SECRET], second=PLAIN, second_keys=[key])!r}"


@pytest.mark.parametrize(
    ("header", "style", "prefix"),
    [
        ("webhook-signature", "plain_hex", ""),
        ("Host", "plain_hex", ""),
        ("X Signature", "plain_hex", ""),
        ("X-Signature", "timestamped_hex", "sha256="),
        ("X-Signature", "plain_hex", "a,b"),
        ("X-Signature", "plain_hex", "a b"),
        ("X-Signature", "plain_hex", "a\n"),
        ("X-Signature", "plain_hex", "x" * 33),
    ],
)
def test_a_second_signature_that_no_header_can_bear_cannot_be_made(
    header: str, style: Literal["timestamped_hex", "plain_hex"], prefix: str
) -> None:
    with pytest.raises(ValueError, match=r"[Hh]eader|prefix"):
        SecondSignature(header, style, prefix)


def test_a_second_signature_has_a_key_and_its_key_a_signature() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        Signer([SECRET], second=PLAIN)
    with pytest.raises(ValueError, match="needs a key"):
        Signer([SECRET], second_keys=[SecondKey.new()])
