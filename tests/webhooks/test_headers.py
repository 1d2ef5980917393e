"""Which headers of a request its receiver may choose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.webhooks.headers import NAME_CAP, VALUE_CAP, header_fault, value_fault

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
OTHERS = "".join(chr(code) for code in range(256) if chr(code) not in TOKEN)


@pytest.mark.parametrize("name", ["X-Api-Key", "authorization", "Svix-Signature", "x_key", "a" * NAME_CAP])
def test_an_ordinary_header_may_be_chosen(name: str) -> None:
    assert header_fault(name) is None


@pytest.mark.parametrize(
    "name",
    "webhook-id Webhook-Signature WEBHOOK-X offhook-try Offhook-Anything Host content-length Content-Type "
    "transfer-encoding connection Keep-Alive user-agent TE trailer upgrade expect Proxy-Authorization date".split(),
)
def test_what_carries_the_message_or_speaks_for_us_may_not_be_chosen(name: str) -> None:
    assert header_fault(name) is not None


@given(st.text(st.sampled_from(TOKEN)), st.sampled_from(OTHERS), st.text(st.sampled_from(TOKEN)))
def test_a_name_with_one_wrong_character_is_refused_without_repeating_it(before: str, wrong: str, after: str) -> None:
    fault = header_fault(f"x-{before}{wrong}{after}")

    assert fault is not None
    assert f"x-{before}{wrong}{after}" not in fault


@pytest.mark.parametrize("name", ["", "a" * (NAME_CAP + 1), "ключ"])
def test_a_name_is_a_short_token(name: str) -> None:
    assert header_fault(name) is not None


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=50))
def test_visible_text_is_a_value_when_no_blank_stands_around_it(text: str) -> None:
    assert (value_fault(text) is None) == (text == text.strip())


@pytest.mark.parametrize("value", ["", "a\nb", "a\r\nHost: b", "a\n", "a\tb", "a\0", "é", "a" * (VALUE_CAP + 1)])
def test_a_value_cannot_begin_another_header(value: str) -> None:
    assert value_fault(value) is not None
