"""Signatures: the hub, the receiver kit and the official library all come to what the vectors say."""

from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks.webhooks as official
from tests.vectors.cases import Case, every

from offhook.webhooks.signing import Genuine, SecondKey, SecondSignature, Secret, Signer, SigningKey
from offhook_receiver import Rejected, Verifier
from offhook_receiver.older import PlainHex, TimestampedHex
from offhook_receiver.testing import signed


def is_standard(case: Case) -> bool:
    return case.get("scheme", "standard") in ("standard", "v1", "v1a")


def is_v1(case: Case) -> bool:
    return is_standard(case) and all(key.startswith("whsec_") for key in case["keys"])


def is_readable_by_the_hub(case: Case) -> bool:
    """It is handed the three headers by name, by whoever found them."""
    return is_v1(case) and len([name for name in case["headers"] if name.startswith("webhook-")]) == 3


def is_for_the_official_library(case: Case) -> bool:
    return is_v1(case) and len(case["keys"]) == 1


def verifier_of(case: Case) -> Verifier | TimestampedHex | PlainHex:
    match case.get("scheme"):
        case "timestamped_hex":
            return TimestampedHex(case["header"], *case["keys"], verbatim=case.get("verbatim", False))
        case "plain_hex":
            return PlainHex(case["header"], *case["keys"], prefix=case["prefix"])
    return Verifier(*case["keys"])


def kits_outcome(case: Case) -> str:
    """Whether the kit believes it; what is signed and no event is believed, and then not taken."""
    try:
        verifier_of(case).verify(case["headers"], case["body"].encode(), case["now"])
    except Rejected as rejected:
        return "genuine" if rejected.code == "not_an_event" else rejected.code
    return "genuine"


@every("sign.json", only=is_standard)
def test_the_kit_signs_as_the_vectors_say(case: Case) -> None:
    headers = signed(case["body"].encode(), *case["keys"], id=case["id"], now=int(case["timestamp"]))

    assert headers["webhook-signature"] == case["signature"]


@every("sign.json", only=is_v1)
def test_the_hub_signs_as_the_vectors_say(case: Case) -> None:
    signer = Signer([Secret.parse(key) for key in case["keys"]])

    assert signer.sign(case["id"], int(case["timestamp"]), case["body"].encode()) == case["signature"]


@every("sign.json", only=lambda case: case["scheme"] == "v1a")
def test_the_hub_signs_with_ed25519_as_the_vectors_say(case: Case) -> None:
    signing_keys = [SigningKey.parse(key) for key in case["keys"]]

    signed = Signer([Secret.new()], signing_keys).sign(case["id"], int(case["timestamp"]), case["body"].encode())

    assert signed.partition(" ")[2] == case["signature"]
    assert [key.public for key in signing_keys] == case["public_keys"]


@every("sign.json", only=lambda case: not is_standard(case))
def test_the_hub_signs_a_second_time_as_the_vectors_say(case: Case) -> None:
    second = SecondSignature("X-Old-Signature", case["scheme"], case.get("prefix", ""))
    keys = [SecondKey.parse(key, verbatim=case.get("verbatim", False)) for key in case["keys"]]

    headers = Signer([Secret.new()], (), second, keys).headers(
        "evt", int(case.get("timestamp", 0)), case["body"].encode()
    )

    assert headers["X-Old-Signature"] == case["signature"]


@every("sign.json", only=is_for_the_official_library)
def test_the_official_library_signs_as_the_vectors_say(case: Case) -> None:
    then = datetime.fromtimestamp(int(case["timestamp"]), UTC)

    assert official.Webhook(case["keys"][0]).sign(case["id"], then, case["body"]) == case["signature"]


@every("sign.json")
def test_the_kit_believes_whatever_the_vectors_sign_and_nothing_that_differs_by_a_byte(case: Case) -> None:
    headers = {"x-old-signature": case["signature"]}
    if is_standard(case):
        names = ("id", "timestamp", "signature")
        headers = {f"webhook-{name}": case[name] for name in names}
    believed = {**case, "keys": case.get("public_keys", case["keys"]), "header": "X-Old-Signature", "headers": headers}
    believed["now"] = int(case.get("timestamp", 0))

    assert kits_outcome(believed) == "genuine"
    assert kits_outcome({**believed, "body": case["body"] + "\0"}) == "bad_signature"


@every("verify.json")
def test_the_kit_believes_as_the_vectors_say(case: Case) -> None:
    assert kits_outcome(case) == case["outcome"]


@every("verify.json", only=is_readable_by_the_hub)
def test_the_hub_believes_as_the_vectors_say(case: Case) -> None:
    id, timestamp, signatures = (case["headers"][f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    now = datetime.fromtimestamp(case["now"], UTC)

    signer = Signer([Secret.parse(key) for key in case["keys"]])
    verdict = signer.verify(id, timestamp, signatures, case["body"].encode(), now)

    # The hub does not tell an empty header from a wrong one; neither is believed.
    expected = "bad_signature" if case["outcome"] == "missing_header" else case["outcome"]
    assert ("genuine" if isinstance(verdict, Genuine) else verdict.code) == expected


@every("verify.json", only=lambda case: is_for_the_official_library(case) and "official_libraries" not in case)
def test_the_official_library_believes_as_the_vectors_say(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Then":
            return cls.fromtimestamp(case["now"], tz)

    monkeypatch.setattr(official, "datetime", Then)
    try:
        official.Webhook(case["keys"][0]).verify(case["body"], case["headers"], json_parse=False)
    except official.WebhookVerificationError:
        assert case["outcome"] != "genuine"
    else:
        assert case["outcome"] == "genuine"
