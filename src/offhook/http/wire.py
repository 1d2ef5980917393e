"""What every model on the wire has in common."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from offhook.errors import Invalid
from offhook.http.faults import faults_of

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)

Instant = Annotated[AwareDatetime, Field(ge=EARLIEST, lt=LATEST)]
"""An instant of this century, with its offset. Every one that comes in is such a one: near the ends of the calendar a
zone, a gap or the driver that reads it back would step over them."""


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
