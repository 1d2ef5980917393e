"""What FastAPI cannot know about the API: how failures are told, how one shows who one is, and what endpoints are sent."""

from collections.abc import Iterator
from typing import Any

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


def completed(document: dict[str, Any], webhooks: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with problems in place of FastAPI's own errors, the bearer key, and the webhooks section."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    components["responses"] = {"Problem": {"description": "It was refused, or failed.", "content": content}}
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "ofk_live_… or ofk_test_…"}
    }
    for operation in _operations(document):
        responses = operation.setdefault("responses", {})
        responses.pop("422", None)
        responses["default"] = {"$ref": "#/components/responses/Problem"}
    return {**document, "security": [{"key": []}], "webhooks": webhooks}


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document.get("paths", {}).values():
        yield from (operation for operation in path.values() if isinstance(operation, dict))
