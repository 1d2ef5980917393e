"""Signatures: as the specification has them, as the official library reads them, and not to be forged."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from offhook.webhooks.signing import TOLERANCE, Genuine, NotASecret, NotGenuine, Secret, Signer, SigningKey

# The specification's own example.
SPELT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
THEN = datetime.fromtimestamp(TIMESTAMP, UTC)

# A pair that other implementations sign the same message with.
SPELT_KEY = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
SPELT_PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
SIGNATURE_A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="

keys = st.binary(min_size=24, max_size=64).map(Secret)
signing_keys = st.binary(min_size=32, max_size=32).map(SigningKey)
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


def test_the_pair_that_others_sign_with_signs_the_same_here() -> None:
    key = SigningKey.parse(SPELT_KEY)

    signed = Signer([Secret.parse(SPELT)], [key]).sign(ID, TIMESTAMP, BODY)

    assert signed == f"{SIGNATURE} {SIGNATURE_A}"
    assert key.public == SPELT_PUBLIC


@given(keys, signing_keys, signing_keys, ids, st.binary())
def test_whoever_has_the_public_key_alone_can_verify(
    secret: Secret, new: SigningKey, old: SigningKey, message_id: str, body: bytes
) -> None:
    signed = Signer([secret], [new, old]).sign(message_id, TIMESTAMP, body).split()

    for key, signature in zip((new, old), signed[1:], strict=True):
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public.removeprefix("whpk_")))
        raw = base64.b64decode(signature.removeprefix("v1a,"))
        public.verify(raw, f"{message_id}.{TIMESTAMP}.".encode() + body)  # raises where it is not genuine


@given(keys, keys, signing_keys, signing_keys, st.text())
def test_the_official_library_reads_past_the_signatures_that_it_does_not_know(
    new: Secret, old: Secret, key: SigningKey, older: SigningKey, body: str
) -> None:
    now = int(datetime.now(UTC).timestamp())
    signed = Signer([new, old], [key, older]).headers("msg_1", now, body.encode())

    for secret in (new, old):
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), **signed}
        Webhook(secret.reveal()).verify(body, headers, json_parse=False)


@given(keys, keys, signing_keys, signing_keys, st.binary())
def test_an_asymmetric_signature_is_genuine_by_itself_while_its_key_is_kept(
    ours: Secret, theirs: Secret, new: SigningKey, old: SigningKey, body: bytes
) -> None:
    signed = Signer([theirs], [old]).sign(ID, TIMESTAMP, body).split()[1]

    def verdict(signer: Signer) -> Genuine | NotGenuine:
        return signer.verify(ID, str(TIMESTAMP), signed, body, THEN)

    assert verdict(Signer([ours], [new, old])) == Genuine()
    assert verdict(Signer([ours], [new] if new != old else [])) == NotGenuine("bad_signature")
    assert verdict(Signer([ours])) == NotGenuine("bad_signature")


@pytest.mark.parametrize(
    "signature", ["v1a,", "v1a,!", "v1a,AAAA", "v1a,\udcff", SIGNATURE_A[:-4], "v1," + SIGNATURE_A[4:]]
)
def test_what_only_resembles_an_asymmetric_signature_is_not_one(signature: str) -> None:
    signer = Signer([Secret.new()], [SigningKey.parse(SPELT_KEY)])

    assert signer.verify(ID, str(TIMESTAMP), signature, BODY, THEN) == NotGenuine("bad_signature")


def test_a_header_stuffed_with_asymmetric_signatures_is_not_worked_through() -> None:
    signer = Signer([Secret.new()], [SigningKey.parse(SPELT_KEY)])
    junk = " ".join(["v1a," + "A" * 86 + "=="] * 8)

    assert signer.verify(ID, str(TIMESTAMP), f"{junk[:-91]} {SIGNATURE_A}", BODY, THEN) == Genuine()
    assert signer.verify(ID, str(TIMESTAMP), f"{junk} {SIGNATURE_A}", BODY, THEN) == NotGenuine("bad_signature")


@given(signing_keys)
def test_a_signing_key_reads_back_as_it_was_shown(key: SigningKey) -> None:
    assert SigningKey.parse(key.reveal()) == key
    assert SigningKey.parse(key.reveal().rstrip("=")) == key


def test_no_two_new_signing_keys_are_alike() -> None:
    assert len({SigningKey.new().reveal() for _ in range(100)}) == 100


@given(signing_keys, signing_keys)
def test_a_signing_key_with_somebody_elses_public_half_is_refused(key: SigningKey, other: SigningKey) -> None:
    halves = base64.b64encode(key.seed + base64.b64decode(other.public.removeprefix("whpk_"))).decode()

    if key == other:
        assert SigningKey.parse(f"whsk_{halves}") == key
    else:
        with pytest.raises(NotASecret, match="do not belong together"):
            SigningKey.parse(f"whsk_{halves}")


@pytest.mark.parametrize("text", ["", "whsk_", SPELT, SPELT_KEY[5:], SPELT_KEY[:48], SPELT_KEY + "!", SPELT_PUBLIC])
def test_what_is_not_a_signing_key_is_told_without_showing_it(text: str) -> None:
    with pytest.raises(NotASecret) as told:
        SigningKey.parse(text)

    assert text[5:] not in str(told.value) or not text[5:]


def test_a_secret_never_stands_in_a_repr() -> None:
    secret = Secret.parse(SPELT)

    assert repr(secret) == "Secret()"
    assert repr(SigningKey.parse(SPELT_KEY)) == "SigningKey()"
    assert SPELT[6:] not in repr(Signer([secret]))


def test_nothing_leaves_unsigned() -> None:
    with pytest.raises(ValueError, match="needs a secret"):
        Signer([])
