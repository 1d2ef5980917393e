from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.phone import NotAPhone, NumberClass, Phone, masked, parse

AREA_CODES = [f"{code:03}" for code in range(200, 1000)]
NANP = st.builds(
    lambda code, exchange, line: f"+1{code}{exchange}{line}",
    st.sampled_from(AREA_CODES),
    st.one_of(st.sampled_from(["555", "411", "311", "234", "055", "155"]), st.from_regex(r"[0-9]{3}", fullmatch=True)),
    st.one_of(st.sampled_from(["0100", "0199", "0200", "0099"]), st.from_regex(r"[0-9]{4}", fullmatch=True)),
)


def by_library(text: str) -> tuple[str, Any]:
    """What the library says, asked the long way."""
    number = phonenumbers.parse(text, "US")
    if not phonenumbers.is_possible_number(number):
        return "impossible", None
    if not phonenumbers.is_valid_number(number):
        return "invalid", None
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return e164, phonenumbers.number_type(number)


@given(NANP)
def test_the_quick_look_at_a_north_american_number_answers_as_the_library_does(text: str) -> None:
    expected, number_type = by_library(text)

    found = parse(text)

    if isinstance(found, NotAPhone):
        assert found.code == expected
        return
    assert found.e164 == expected
    geographic = {NumberClass.ORDINARY, NumberClass.FICTITIOUS, NumberClass.N11_OR_SHORT}
    assert (found.number_class in geographic) == (number_type in {0, 1, 2, 6})
    assert (found.number_class is NumberClass.TOLL_FREE) == (number_type == 3)


def test_no_area_code_is_judged_otherwise_than_by_the_library() -> None:
    texts = [f"+1{code}{rest}" for code in AREA_CODES for rest in ("5550100", "2345678", "9999999", "2001234")]

    found = {text: parse(text) for text in texts}

    assert {t: f.code if isinstance(f, NotAPhone) else f.e164 for t, f in found.items()} == {
        t: by_library(t)[0] for t in texts
    }


@pytest.mark.parametrize(
    "raw", ["+13125550199", "(312) 555-0199", "312.555.0199", "1 312 555 0199", " +1 312-555-0199 "]
)
def test_a_number_is_the_same_however_it_is_written(raw: str) -> None:
    assert parse(raw) == Phone("+13125550199", NumberClass.FICTITIOUS)


@pytest.mark.parametrize(
    ("raw", "number_class"),
    [
        ("+13122345678", NumberClass.ORDINARY),
        ("+13125550100", NumberClass.FICTITIOUS),
        ("+14165550199", NumberClass.FICTITIOUS),
        ("+13125550200", NumberClass.ORDINARY),
        ("+13129115555", NumberClass.N11_OR_SHORT),
        ("+18005550199", NumberClass.TOLL_FREE),
        ("+18332345678", NumberClass.TOLL_FREE),
        ("+19002345678", NumberClass.PREMIUM),
        ("+15002345678", NumberClass.PERSONAL),
        ("+442071838750", NumberClass.ORDINARY),
    ],
)
def test_a_number_says_which_kind_it_is(raw: str, number_class: NumberClass) -> None:
    found = parse(raw)

    assert isinstance(found, Phone)
    assert found.number_class is number_class


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", NotAPhone("unparsable")),
        ("call me", NotAPhone("unparsable")),
        ("+13125550199\n0", NotAPhone("unparsable")),
        ("+1312555", NotAPhone("impossible")),
        ("911", NotAPhone("impossible")),
        ("+131255501999", NotAPhone("impossible")),
        ("+11125550199", NotAPhone("invalid")),
        ("+13121550199", NotAPhone("invalid")),
    ],
)
def test_what_is_no_number_says_why(raw: str, why: NotAPhone) -> None:
    assert parse(raw) == why


@given(st.text())
def test_no_text_at_all_makes_reading_a_number_fail(raw: str) -> None:
    assert isinstance(parse(raw), Phone | NotAPhone)


def test_a_number_hides_all_but_its_last_four_digits_when_it_is_printed() -> None:
    phone = parse("+13122345678")

    assert masked("+13122345678") == "***5678"
    assert "312" not in f"{phone} {phone!r}"
    assert "***5678" in repr(phone)


def test_a_number_outside_north_america_has_no_area_code() -> None:
    british, american = parse("+442071838750"), parse("+13125550199")

    assert isinstance(british, Phone)
    assert isinstance(american, Phone)
    assert (british.area_code, american.area_code) == (None, "312")
