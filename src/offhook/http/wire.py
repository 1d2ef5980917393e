"""What every model on the wire has in common."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from offhook.errors import Invalid
from offhook.http.faults import faults_of

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)

Instant = Annotated[AwareDatetime, Field(ge=EARLIEST, lt=LATEST)]
"""An instant of this century, with its offset. Every one that comes in is such a one: near the ends of the calendar a
zone, a gap or the driver that reads it back would step over them."""

DEEPEST = 32
_SPOILED = {
    "nested_too_deep": f"This is nested too deep; at most {DEEPEST} arrays and objects may stand in one another.",
    "unstorable_text": "A text in it holds NUL (\\u0000); leave it out.",
    "out_of_range": "A number in it is not finite, or of more than 64 bits; send a long number as text.",
}


def spoiled(value: Any) -> str | None:
    """The code of why this decoded JSON cannot be kept, or not be told again; None where it can."""
    left = [(value, 1)]
    while left:
        one, depth = left.pop()
        if depth > DEEPEST:
            return "nested_too_deep"
        match one:
            case str() if "\0" in one:
                return "unstorable_text"
            # Some readers of JSON make a float of a whole number that is too long: both are told alike.
            case int() | float() if not -(2**63) <= one < 2**64:
                return "out_of_range"
            case list():
                left += [(item, depth + 1) for item in one]
            case dict():
                left += [(item, depth + 1) for pair in one.items() for item in pair]
    return None


def _keepable(value: Any) -> Any:
    if code := spoiled(value):
        raise PydanticCustomError(code, "{why}", {"why": _SPOILED[code]})
    return value


Keepable = AfterValidator(_keepable)
"""Of a field whose inside is the customer's own JSON: whatever is taken can be kept and told again."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Metadata = Annotated[dict[Name, Any], Field(max_length=50), Keepable]
"""What the customer notes on an object, in their own JSON."""


def is_ndjson(content_type: str) -> bool:
    """Whether a body of this type is JSON line by line."""
    kind = content_type.partition(";")[0].lower()
    return "ndjson" in kind or "jsonl" in kind


class Wire(BaseModel):
    """A body as the API takes it: an unknown field is an error, not something to ignore.

    A validator of a room names its own rule with PydanticCustomError(code, detail); the text of a bare ValueError is
    told to nobody, for it may quote the value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """The model in this decoded JSON. Raises Invalid with every wrong place at once."""
        try:
            return cls.model_validate(value)
        except ValidationError as wrong:
            raise Invalid(faults_of(wrong.errors(include_url=False), cls)) from None
