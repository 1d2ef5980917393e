"""From pydantic's complaints to ours: a stable code, a dotted place, a cure, and never the value that was sent."""

import difflib
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core.core_schema import ErrorType

from offhook.errors import Fault

_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_PYDANTICS_OWN = frozenset(get_args(ErrorType))
_CODES = {
    "missing": ("missing", "This field is required."),
    "extra_forbidden": ("unknown_field", "There is no such field."),
    "union_tag_not_found": ("missing", "The field that tells the kinds apart is required."),
    "union_tag_invalid": ("not_one_of", "There is no such kind."),
    "frozen_field": ("read_only", "This field cannot be set."),
    "string_pattern_mismatch": ("bad_format", "This does not have the form that the field asks for."),
    "finite_number": ("out_of_range", "The number must be finite."),
    "int_parsing_size": ("out_of_range", "The number is too large."),
    "int_from_float": ("wrong_type", "This must be a whole number."),
    "datetime_object_invalid": ("bad_format", "This is no instant of RFC 3339."),
    "multiple_of": ("out_of_range", "The number does not fit the step of the field."),
    "timezone_aware": ("bad_format", "The instant needs its offset from UTC, like 2026-11-21T17:03:22Z."),
}
_BOUNDS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
_SIGNS = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
_TYPES = {
    "string": "a string",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "list": "an array",
    "tuple": "an array",
    "set": "an array",
    "dict": "an object",
    "model": "an object",
    "datetime": "an instant, like 2026-11-21T17:03:22Z",
    "date": "a date, like 2026-11-21",
    "time": "a time of day, like 09:30",
    "timedelta": "a duration in seconds or ISO 8601",
    "uuid": "a UUID",
    "url": "a URL",
    "bytes": "a string",
    "none": "null",
}


def faults_of(complaints: Iterable[Mapping[str, Any]], model: Any = None) -> list[Fault]:
    """One fault for each complaint. With the `model` that was read, an unknown field gets its did-you-mean."""
    return [_fault(complaint, model) for complaint in complaints]


def malformed_json(text: str, at: int, why: str, where: str = "body") -> Fault:
    """The fault of a body, or of another text, that is not JSON; `at` counts characters from its beginning."""
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return Fault(where, "malformed_json", f"The {where} is not JSON: line {line}, column {column}: {why}.")


def malformed_utf8(body: bytes, at: int, where: str = "body") -> Fault:
    """The fault of a body, or of another text, that is not UTF-8; `at` counts bytes."""
    line, column = body.count(b"\n", 0, at) + 1, at - body.rfind(b"\n", 0, at)
    return Fault(where, "malformed_json", f"The {where} is not UTF-8: line {line}, byte {column} of the line.")


def number_too_long(where: str = "body") -> Fault:
    """The fault of a JSON text with a number of thousands of digits."""
    return Fault(where, "malformed_json", f"The {where} holds a number that is too long to be read; send it as text.")


def missing(where: str = "body") -> Fault:
    """The fault of what is not there."""
    return Fault(where, *_CODES["missing"])


def not_sent_as_json() -> Fault:
    """The fault of a body whose type is another, whatever it holds."""
    return Fault("body", "wrong_type", "Send JSON, with Content-Type: application/json.")


def nested_too_deeply(where: str = "body") -> Fault:
    """The fault of a JSON text that no reader can follow."""
    return Fault(where, "malformed_json", f"The {where} is not JSON: it is nested too deeply.")


def _fault(complaint: Mapping[str, Any], model: Any) -> Fault:
    place: Sequence[str | int] = complaint["loc"]
    kind, context = complaint["type"], complaint.get("ctx") or {}
    steps, parent = _walk(place, model)
    code, detail = _told(kind, context, complaint.get("msg", ""))
    if kind == "extra_forbidden":
        detail = f"There is no such field.{_did_you_mean(str(place[-1]), parent)}"
    return Fault(".".join(steps) or "body", code, detail)


def _told(kind: str, context: Mapping[str, Any], message: str) -> tuple[str, str]:
    if kind in _CODES:
        return _CODES[kind]
    if kind in ("literal_error", "enum"):
        return "not_one_of", f"This must be one of: {context.get('expected', '')}."
    if bound := _BOUNDS.get(kind):
        return "out_of_range", f"This must be {_SIGNS[bound]} {context.get(bound)}."
    if kind in ("string_too_short", "too_short"):
        return "too_short", f"This needs at least {context.get('min_length')}."
    if kind in ("string_too_long", "too_long"):
        return "too_long", f"This may have at most {context.get('max_length')}."
    if kind.endswith(("_type", "_parsing", "_from_date_parsing", "_attributes_type")):
        return (
            "wrong_type",
            f"This must be {_TYPES.get(kind.replace('time_delta', 'timedelta').partition('_')[0], 'of another type')}.",
        )
    return _told_by_a_room(kind, message)


def _told_by_a_room(kind: str, message: str) -> tuple[str, str]:
    # Only a PydanticCustomError of ours gets here with a code that pydantic does not know; pydantic's own messages,
    # and those of a ValueError, may quote what was sent.
    return (kind, message) if kind not in _PYDANTICS_OWN else ("invalid", "This value is not valid.")


def _walk(place: Sequence[str | int], model: Any) -> tuple[list[str], Any]:
    """The place as the sender sees it, and the annotation of what holds its last step (None: not known)."""
    steps: list[str] = []
    here, parent = model, model
    for step in place:
        here = _bare(here)
        if (member := _member(here, step)) is not None:  # a step that names a kind of a union is not in the JSON
            here = member
            continue
        parent, here = here, _inner(here, step)
        steps.append(_nameable(step, parent))
    return steps, parent


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        real = [part for part in get_args(annotation) if part is not type(None)]
        return _bare(real[0]) if len(real) == 1 else annotation
    return annotation


def _member(annotation: Any, step: str | int) -> Any:
    if get_origin(annotation) not in (Union, types.UnionType):
        return None
    for part in map(_bare, get_args(annotation)):
        if getattr(part, "__name__", None) == step or step in _tags(part):
            return part
    return None


def _tags(part: Any) -> set[Any]:
    if not (isinstance(part, type) and issubclass(part, BaseModel)):
        return set()
    return {tag for field in part.model_fields.values() for tag in _literals(field.annotation)}


def _literals(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if str(get_origin(annotation)) == "typing.Literal" else ()


def _inner(annotation: Any, step: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = next((f for name, f in annotation.model_fields.items() if step in (name, f.alias)), None)
        return field.annotation if field else None
    arguments = get_args(annotation)
    return arguments[-1] if arguments and arguments[-1] is not Ellipsis else (arguments[0] if arguments else None)


def _nameable(step: str | int, parent: Any) -> str:
    # The keys of a free object, and keys that cannot name a field, may be values: a number, an address.
    may_be_told = isinstance(step, int) or (get_origin(parent) is not dict and _FIELD_NAME.fullmatch(step))
    return str(step) if may_be_told else "(a key)"


def _did_you_mean(name: str, parent: Any) -> str:
    if not (isinstance(parent, type) and issubclass(parent, BaseModel)):
        return ""
    known = [field.alias or name for name, field in parent.model_fields.items()]
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]}?" if near else f" There are: {', '.join(known)}."
