"""How a call ended, in one of our words, and by whom."""

from dataclasses import replace

import pytest
from tests.calls.test_state import ANSWERED, HUNG_UP, a_call, being_transferred, end_of, said, told_of, types

from offhook.calls.call import Stop
from offhook.events import Actor
from offhook.providers.contract import Cause, Kind


def test_a_call_that_we_stopped_ends_for_our_reason() -> None:
    call, facts = told_of(replace(ANSWERED, stop=Stop("opt_out")), said(Kind.ENDED, 30, cause=Cause(party="consumer")))

    assert (end_of(call).reason, end_of(call).by) == ("opt_out", "us")
    assert {fact.actor for fact in facts} == {Actor("engine")}


def test_a_call_that_somebody_had_us_hang_up_ends_by_them_with_all_that_ends_with_it() -> None:
    call, facts = told_of(replace(being_transferred(ANSWERED), stop=HUNG_UP), said(Kind.ENDED, 50))

    assert (end_of(call).reason, end_of(call).by) == ("cancelled", "us")
    assert types(facts) == ["transfer.failed", "transfer.released", "call.ended", "call.finalized"]
    assert {fact.actor for fact in facts} == {Actor("api_key", "key_01k")}


def test_a_call_that_is_busy_before_its_hang_up_ends_by_the_platforms_word() -> None:
    _, facts = told_of(a_call(stop=HUNG_UP), said(Kind.BUSY, 5))

    assert {fact.actor for fact in facts} == {Actor("provider")}


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Cause(sip=404), "invalid_number"),
        (Cause(sip=603), "rejected"),
        (Cause(sip=403), "provider_error"),
        (Cause(sip=403, q850=21), "provider_error"),
        (Cause(q850=21), "rejected"),
        (Cause(sip=503), "carrier_error"),
        (Cause(reason="capacity"), "capacity"),
        (Cause(code="E-made-up"), "provider_error"),
    ],
)
def test_a_platforms_code_becomes_one_of_our_words_and_stays_beside_it(cause: Cause, reason: str) -> None:
    call, _ = told_of(a_call(), said(Kind.PLACED), said(Kind.ERROR, 2, cause=cause))

    assert (end_of(call).reason, end_of(call).detail) == (reason, cause.detail)


def test_a_platform_that_never_heard_of_the_call_ends_it() -> None:
    call, _ = told_of(a_call(), said(Kind.NOT_FOUND, 60, confidence="inferred"))

    assert end_of(call).reason == "provider_error"
