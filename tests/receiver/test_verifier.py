"""What is believed, and what is made of it. The vectors say most of it: see tests/vectors."""

import json
import sys
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.receiver.messages import OTHER_SECRET, SECRET, batch, body, cloud, envelope, event, ids, message, tombstone

from offhook_receiver import Rejected, Verifier
from offhook_receiver.older import PlainHex, TimestampedHex
from offhook_receiver.testing import signed

PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="


def rejection(verifier: Any, headers: dict[str, str], sent: bytes, now: float | None = None) -> Rejected:
    with pytest.raises(Rejected) as told:
        verifier.verify(headers, sent, now)
    return told.value


def test_a_genuine_message_is_its_event() -> None:
    (found,) = Verifier(SECRET).verify(*message(envelope("call_7", 3)))

    assert (found.id, found.type, found.subject, found.sequence) == ("evt_call_7_3", "call.updated", "call_7", 3)
    assert found.data == {"n": 3}
    assert not found.erased


def test_a_batch_is_its_events_in_their_order_and_an_empty_one_none() -> None:
    told = batch(envelope(sequence=2), envelope("lead_1"), envelope(sequence=1))

    assert ids(Verifier(SECRET).verify(*message(told))) == ["evt_call_1_2", "evt_lead_1_1", "evt_call_1_1"]
    assert Verifier(SECRET).verify(*message(batch())) == ()


def test_every_format_of_an_endpoint_is_read() -> None:
    thin = {name: value for name, value in envelope().items() if name != "data"}
    both = [cloud(envelope()), cloud(tombstone(sequence=2))]
    found = [Verifier(SECRET).verify(*message(told)) for told in (thin, cloud(envelope()), both)]

    assert [ids(events) for events in found] == [["evt_call_1_1"]] * 2 + [["evt_call_1_1", "evt_call_1_2"]]
    assert [event.erased for events in found for event in events] == [False, False, False, True]
    assert (found[0][0].data, found[1][0].data) == ({}, {"n": 1})


def test_a_tombstone_is_known_by_what_is_signed_and_not_by_its_header() -> None:
    headers, sent = message(envelope())

    (erased,) = Verifier(SECRET).verify(*message(tombstone()))
    (told,) = Verifier(SECRET).verify({**headers, "offhook-tombstone": "1"}, sent)

    assert (erased.erased, told.erased) == (True, False)


def test_an_erased_event_in_a_batch_is_one_among_others() -> None:
    told = Verifier(SECRET).verify(*message(batch(tombstone(), envelope(sequence=2))))

    assert [event.erased for event in told] == [True, False]


@pytest.mark.parametrize("key", [SECRET, OTHER_SECRET, PRIVATE])
def test_during_a_rotation_either_key_is_believed_of_either_kind(key: str) -> None:
    assert Verifier(SECRET, OTHER_SECRET, PUBLIC).verify(*message(envelope(), key))


@given(st.binary(), st.integers(0, 7), st.data())
def test_one_flipped_bit_of_the_body_is_seen(sent: bytes, bit: int, data: st.DataObject) -> None:
    headers = signed(sent + b"\0", SECRET, PRIVATE)
    forged = bytearray(sent + b"\0")
    forged[data.draw(st.integers(0, len(sent)))] ^= 1 << bit

    assert rejection(Verifier(SECRET, PUBLIC), headers, bytes(forged)).code == "bad_signature"


@given(st.text(st.characters(), min_size=1), st.text(st.characters(), min_size=1))
def test_no_header_breaks_the_verification(id: str, signatures: str) -> None:
    headers = {"webhook-id": id, "webhook-timestamp": "1", "webhook-signature": f"v1,{signatures} v1a,{signatures}"}

    assert rejection(Verifier(SECRET, PUBLIC), headers, b"{}", now=1).code == "bad_signature"


@given(st.text(st.characters(), min_size=1))
def test_no_header_breaks_the_older_ones(told: str) -> None:
    assert rejection(PlainHex("x", "a"), {"X": told}, b"{}").status == 401
    assert rejection(TimestampedHex("x", "a"), {"X": f"t=1,v1={told}"}, b"{}", now=1).code == "bad_signature"


@pytest.mark.parametrize(
    "told",
    [b"", b"[7]", b"null", b"7", b'"x"', b"\xff", b"{}", batch({}), b'{"object":"batch"}', batch(7)]  # type: ignore[arg-type]
    + [body({**envelope(), "sequence": sequence}) for sequence in (0, -1, "1", None, 1.5)]
    + [body({**envelope(), **wrong}) for wrong in ({"event_id": 7}, {"subject": "call_1"}, {"type": None})],
)  # fmt: skip
def test_what_is_signed_but_no_event_is_not_taken(told: bytes) -> None:
    rejected = rejection(Verifier(SECRET), *message(told))

    assert (rejected.code, rejected.status) == ("not_an_event", 422)


def test_a_longer_tolerance_is_a_choice() -> None:
    assert Verifier(SECRET, tolerance_s=900).verify(*message(envelope(), now=1_000_000), now=1_000_900)


def test_nothing_is_believed_without_a_key() -> None:
    for nobody in (lambda: Verifier(), lambda: PlainHex("x"), lambda: TimestampedHex("x", "")):
        with pytest.raises(ValueError, match="a verifier needs a"):
            nobody()


@pytest.mark.parametrize("key", ["", SECRET[6:], PRIVATE, "whsec_", "whsec_!", "whsec_c2hvcnQ=", "whpk_" + SECRET[6:]])
def test_what_is_no_key_is_told_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="key|base64") as told:
        Verifier(key)

    assert key[6:] == "" or key[6:] not in str(told.value)


def test_a_private_key_whose_halves_do_not_belong_together_signs_nothing() -> None:
    halves = b64decode(PRIVATE.removeprefix("whsk_"))
    patched = "whsk_" + b64encode(halves[:32] + halves[:32]).decode()

    with pytest.raises(ValueError, match="do not belong together"):
        signed(b"", patched)


def test_a_public_key_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)

    with pytest.raises(ImportError, match=r"pip install 'offhook-receiver\[ed25519\]'"):
        Verifier(PUBLIC)


def test_what_an_event_says_of_a_person_stands_in_no_repr() -> None:
    assert "Michael" not in repr(event(data={"name": "Michael"}))
    assert SECRET[6:] not in repr(vars(Verifier(SECRET)))


def test_an_event_of_a_batch_is_kept_as_json_of_its_own() -> None:
    (first, _) = Verifier(SECRET).verify(*message(batch(envelope(data={"ö": "📞"}), envelope(sequence=2))))

    assert json.loads(first.text) == first.body
