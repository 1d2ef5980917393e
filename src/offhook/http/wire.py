"""What every model on the wire has in common."""

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """A body as the API takes it: an unknown field is an error, not something to ignore."""

    model_config = ConfigDict(extra="forbid", frozen=True)
