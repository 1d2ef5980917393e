"""The event types as data: from the classes of the catalogue to JSON Schema, documentation and the OpenAPI webhooks."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from operator import itemgetter
from types import ModuleType
from typing import Any, get_type_hints
from uuid import UUID

from pydantic import TypeAdapter, create_model

from offhook import ids
from offhook.errors import Fault, Invalid, NotFound
from offhook.events import catalogue, globs
from offhook.events.fact import SCHEMA_VERSION, Fact, data_fields

_NULLABLE_OBJECT = {"type": ["object", "null"]}
_INSTANT = {"type": "string", "format": "date-time"}


@cache
def every_type() -> dict[str, type[Fact]]:
    """Each event type and its class, in alphabetical order."""
    modules = [
        importlib.import_module(m.name) for m in pkgutil.iter_modules(catalogue.__path__, f"{catalogue.__name__}.")
    ]
    facts = {fact.type: fact for module in modules for fact in _facts_in(module)}
    return dict(sorted(facts.items(), key=itemgetter(0)))


def fact_of(name: str) -> type[Fact]:
    """The class of an event type. Raises NotFound with the type that was probably meant."""
    found = every_type().get(name)
    if found is None:
        raise NotFound("no_such_event_type", f"There is no such event type.{_did_you_mean(name)}", param="type")
    return found


def check_glob(glob: str, param: str) -> None:
    """Raises Invalid `unknown_event_type` when no event type answers to the glob that came in `param`."""
    if (fault := globs.fault(glob, param, every_type())) is not None:
        raise Invalid([fault])


def shown_subject(subject_type: str, id: UUID) -> str:
    """The id of a subject as the world sees it."""
    prefix = _prefixes().get(subject_type)
    return ids.show(prefix, id) if prefix else str(id)


def read_subject(text: str, param: str) -> UUID:
    """The id of a subject as `shown_subject` shows it. Raises Invalid, naming the `param` that it came in."""
    prefix: Any = text.rpartition("_")[0]
    try:
        return ids.read(prefix, text)
    except ids.NotAnId:
        raise Invalid([Fault(param, "bad_id", "This is not an id, like lead_… or call_….")]) from None


def described(fact: type[Fact]) -> dict[str, Any]:
    """An event type as the API lists it."""
    return {
        "type": fact.type,
        "object": "event_type",
        "description": _said(fact),
        "subject_type": fact.subject_type,
        "kind": fact.kind,
        "schema_version": SCHEMA_VERSION,
        "example": fact.example,
    }


def schema(fact: type[Fact]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the whole envelope with this type's data."""
    subject = {"type": {"const": fact.subject_type}, "id": {"type": "string"}}
    properties: dict[str, Any] = {
        "event_id": {"type": "string"},
        "type": {"const": fact.type},
        "schema_version": {"type": "string"},
        "occurred_at": _INSTANT,
        "recorded_at": _INSTANT,
        "workspace_id": {"type": "string"},
        "environment": {"enum": ["live", "sandbox"]},
        "subject": {"type": "object", "properties": subject, "required": ["type", "id"]},
        "sequence": {"type": "integer", "minimum": 1},
        "transition": _NULLABLE_OBJECT,
        "kind": {"const": fact.kind},
        "actor": {"type": "object"},
        "correlation_id": {"type": ["string", "null"]},
        "causation_id": {"type": ["string", "null"]},
        "call": _NULLABLE_OBJECT,
        "visitor": _NULLABLE_OBJECT,
        "lead": _NULLABLE_OBJECT,
        "data": _data_schema(fact),
        "redactions": {"type": "array", "items": {"type": "string"}},
        "test": {"type": "boolean", "description": "Made up to be tried with; nothing happened."},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": fact.type,
        "description": _said(fact),
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def openapi_webhooks() -> dict[str, Any]:
    """The `webhooks` section of the OpenAPI document: what endpoints are sent, one entry for each type."""
    return {name: {"post": _webhook(fact)} for name, fact in every_type().items()}


def _webhook(fact: type[Fact]) -> dict[str, Any]:
    return {
        "operationId": f"webhook {fact.type}",
        "tags": [fact.type.partition(".")[0]],
        "summary": _said(fact),
        "requestBody": {"content": {"application/json": {"schema": schema(fact)}}},
        "responses": {"2XX": {"description": "Taken; the event is not sent again."}},
    }


def _data_schema(fact: type[Fact]) -> dict[str, Any]:
    hints = get_type_hints(fact)
    fields: dict[str, Any] = {name: (hints[name], ...) for name in data_fields(fact)}
    found = TypeAdapter(create_model(fact.__name__, **fields)).json_schema()
    return {**found, "examples": [fact.example]}


def _facts_in(module: ModuleType) -> Iterator[type[Fact]]:
    for named in vars(module).values():
        if isinstance(named, type) and issubclass(named, Fact) and "type" in vars(named):
            yield named


@cache
def _prefixes() -> dict[str, ids.Prefix]:
    return {fact.subject_type: fact.subject_prefix for fact in every_type().values()}


def _said(fact: type[Fact]) -> str:
    return " ".join((fact.__doc__ or "").split())


def _did_you_mean(name: str) -> str:
    near = difflib.get_close_matches(name, every_type(), n=1)
    return f" Did you mean {near[0]}?" if near else " GET /v1/event-types lists them."
