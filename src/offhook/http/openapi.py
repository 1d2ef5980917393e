"""What FastAPI cannot know about the API: how failures are told, how one shows who one is and which version one speaks,
and what endpoints are sent."""

from collections.abc import Iterator
from typing import Any

from offhook.http.versions import API, HEADER, KNOWN, NEWEST

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457, application/problem+json.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable; the one to program against."},
        "param": {"type": ["string", "null"]},
        "request_id": {"type": "string"},
        "doc_url": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "Every wrong place of the request at once.",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("param", "code", "detail")},
                "required": ["param", "code", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code", "param", "request_id", "doc_url"],
}
_VERSION = {"type": "string", "enum": list(KNOWN), "default": NEWEST}
_ASKED = {
    "name": HEADER,
    "in": "header",
    "description": "Pins the shapes of the answer; without it, the newest.",
    "schema": _VERSION,
}
_SPOKEN = {"description": "The version of the API in which this is answered.", "schema": _VERSION}
_SPEAKS = {HEADER: {"$ref": "#/components/headers/Version"}}


def completed(document: dict[str, Any], webhooks: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with problems in place of FastAPI's own errors, the bearer key, versions and the webhooks."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    problem = {"description": "It was refused, or failed.", "headers": _SPEAKS, "content": content}
    components |= {
        "responses": {"Problem": problem},
        "parameters": {"Version": _ASKED},
        "headers": {"Version": _SPOKEN},
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "ofk_live_… or ofk_test_…"}},
    }
    for path, operation in _operations(document):
        responses = operation.setdefault("responses", {})
        responses.pop("422", None)
        if path.startswith(API):
            operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/Version"})
            for response in responses.values():
                response["headers"] = {**response.get("headers", {}), **_SPEAKS}
        responses["default"] = {"$ref": "#/components/responses/Problem"}
    return {**document, "security": [{"key": []}], "webhooks": webhooks}


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document.get("paths", {}).items():
        yield from ((path, operation) for operation in operations.values() if isinstance(operation, dict))
