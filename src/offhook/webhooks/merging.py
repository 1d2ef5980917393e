"""A JSON merge patch of plain fields: what is absent stays, what is null goes back to the default of creation."""

from collections.abc import Collection
from typing import Any

from offhook.errors import Fault, Invalid
from offhook.http import Wire


def merged(create: type[Wire], change: Wire, sent: Collection[str]) -> dict[str, Any]:
    """The `sent` fields with their new values. Raises Invalid for a null where creation needs a value."""
    new = {name: getattr(change, name) for name in sent}
    cleared = {name: create.model_fields[name] for name, value in new.items() if value is None}
    detail = "This field cannot be null; leave it out, and it stays as it is."
    if faults := [Fault(name, "not_null", detail) for name, field in sorted(cleared.items()) if field.is_required()]:
        raise Invalid(faults)
    return new | {name: field.get_default(call_default_factory=True) for name, field in cleared.items()}
