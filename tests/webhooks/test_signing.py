"""Signatures: as the specification has them, as the official library reads them, and not to be forged."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from offhook.webhooks.signing import TOLERANCE, Genuine, NotASecret, NotGenuine, Secret, Signer

# The specification's own example.
SPELT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
THEN = datetime.fromtimestamp(TIMESTAMP, UTC)

keys = st.binary(min_size=24, max_size=64).map(Secret)
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


def test_the_specifications_example_is_signed_as_printed() -> None:
    assert Signer([Secret.parse(SPELT)]).sign(ID, TIMESTAMP, BODY) == SIGNATURE


@given(keys, ids, st.integers(0, 2**33), st.text())
def test_the_official_library_signs_the_same(secret: Secret, message_id: str, timestamp: int, body: str) -> None:
    official = Webhook(secret.reveal()).sign(message_id, datetime.fromtimestamp(timestamp, UTC), body)

    assert Signer([secret]).sign(message_id, timestamp, body.encode()) == official


@given(keys, keys, ids.map(str.strip).filter(bool), st.text())
def test_the_official_library_accepts_either_secret_during_a_rotation(
    new: Secret, old: Secret, message_id: str, body: str
) -> None:
    now = int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": Signer([new, old]).sign(message_id, now, body.encode()),
    }

    for secret in (new, old):
        Webhook(secret.reveal()).verify(body, headers, json_parse=False)


@given(keys, keys, ids, st.binary())
def test_what_any_of_our_secrets_signed_is_genuine(new: Secret, old: Secret, message_id: str, body: bytes) -> None:
    signed = Signer([old]).sign(message_id, TIMESTAMP, body)

    assert Signer([new, old]).verify(message_id, str(TIMESTAMP), signed, body, THEN) == Genuine()


@given(st.binary(), st.integers(0, 7), st.data())
def test_one_flipped_bit_of_the_body_is_seen(body: bytes, bit: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body)))
    forged = bytearray(body + b"\0")
    forged[at] ^= 1 << bit
    signer = Signer([Secret.parse(SPELT)])

    verdict = signer.verify(ID, str(TIMESTAMP), signer.sign(ID, TIMESTAMP, body + b"\0"), bytes(forged), THEN)

    assert verdict == NotGenuine("bad_signature")


@given(st.text(), st.text())
def test_no_header_text_breaks_the_verification(message_id: str, signatures: str) -> None:
    verdict = Signer([Secret.parse(SPELT)]).verify(message_id[:40], str(TIMESTAMP), signatures, BODY, THEN)

    assert verdict == NotGenuine("bad_signature")


@pytest.mark.parametrize(
    "signatures", ["", "v1,", "v1", "v1a,x", "\udcff", f"v2{SIGNATURE[2:]}", SIGNATURE[3:], SIGNATURE[:-2]]
)
def test_what_only_resembles_a_signature_is_not_one(signatures: str) -> None:
    verdict = Signer([Secret.parse(SPELT)]).verify(ID, str(TIMESTAMP), signatures, BODY, THEN)

    assert verdict == NotGenuine("bad_signature")


def test_signatures_of_other_versions_beside_ours_do_no_harm() -> None:
    verdict = Signer([Secret.parse(SPELT)]).verify(ID, str(TIMESTAMP), f"v1a,xyz junk {SIGNATURE}", BODY, THEN)

    assert verdict == Genuine()


@pytest.mark.parametrize(
    ("late_by", "verdict"),
    [
        (TOLERANCE, Genuine()),
        (-TOLERANCE, Genuine()),
        (TOLERANCE + timedelta(seconds=1), NotGenuine("stale")),
        (-TOLERANCE - timedelta(seconds=1), NotGenuine("early")),
    ],
)
def test_a_genuine_message_counts_for_five_minutes_either_way(
    late_by: timedelta, verdict: Genuine | NotGenuine
) -> None:
    assert Signer([Secret.parse(SPELT)]).verify(ID, str(TIMESTAMP), SIGNATURE, BODY, THEN + late_by) == verdict


@pytest.mark.parametrize("timestamp", ["", "now", "-1", "1614265330.0", " 1614265330", "١٦١٤٢٦٥٣٣٠", "9" * 400])
def test_a_timestamp_is_a_plain_number_of_seconds(timestamp: str) -> None:
    verdict = Signer([Secret.parse(SPELT)]).verify(ID, timestamp, SIGNATURE, BODY, THEN)

    assert verdict == NotGenuine("bad_timestamp")


@given(keys)
def test_a_secret_reads_back_as_it_was_shown_with_its_padding_or_without(secret: Secret) -> None:
    assert Secret.parse(secret.reveal()) == secret
    assert Secret.parse(secret.reveal().rstrip("=")) == secret


def test_a_new_secret_holds_32_random_bytes_and_no_two_are_alike() -> None:
    assert len({Secret.new().key for _ in range(100)}) == 100
    assert len(Secret.new().key) == 32
    assert Secret.new().reveal().startswith("whsec_")


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsk_" + "A" * 43, SPELT[6:], SPELT + "!", "whsec_c2hvcnQ=", "whsec_" + "A" * 100]
)
def test_what_is_not_a_secret_is_told_without_showing_it(text: str) -> None:
    with pytest.raises(NotASecret) as told:
        Secret.parse(text)

    assert text[6:] not in str(told.value) or not text[6:]


def test_a_secret_never_stands_in_a_repr() -> None:
    secret = Secret.parse(SPELT)

    assert repr(secret) == "Secret()"
    assert SPELT[6:] not in repr(Signer([secret]))


def test_nothing_leaves_unsigned() -> None:
    with pytest.raises(ValueError, match="needs a secret"):
        Signer([])
