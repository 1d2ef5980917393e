"""Bodies that an endpoint reads for itself."""

import json
from typing import Any, TypeVar

import orjson
from fastapi import Request

from offhook.errors import Invalid
from offhook.http.faults import (
    malformed_json,
    malformed_utf8,
    missing,
    nested_too_deeply,
    not_sent_as_json,
    number_too_long,
)
from offhook.http.wire import Wire

Body = TypeVar("Body", bound=Wire)


async def sent(request: Request, model: type[Body]) -> Body:
    """The body of the request, read into its model. Raises Invalid: it is not JSON, or every wrong place at once."""
    content = await request.body()
    if not content:
        raise Invalid([missing()])
    kind = request.headers.get("content-type", "").partition(";")[0].rstrip().lower()
    if not (kind.startswith("application/") and kind.endswith(("/json", "+json"))):
        raise Invalid([not_sent_as_json()])
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = _read_as_routes_do(content, "body")
    return model.read(value)


def json_of(content: bytes, where: str = "body") -> Any:
    """The JSON in these bytes, which are the `where` of a request. Raises Invalid, a 400, that says where it ends to be JSON."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as wrong:
        _read_as_routes_do(content, where)  # refuses nearly all of it, in the words that are told everywhere
        fault = malformed_json(content.decode(errors="replace"), wrong.pos, wrong.msg, where)
        raise Invalid([fault], status=400) from None


def _read_as_routes_do(content: bytes, where: str) -> Any:
    """What FastAPI's reader makes of it: that one takes NaN and half characters, for others to refuse by their place."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as wrong:
        fault = malformed_json(wrong.doc, wrong.pos, wrong.msg, where)
    except UnicodeDecodeError as garbled:
        fault = malformed_utf8(content, garbled.start, where)
    except RecursionError:
        fault = nested_too_deeply(where)
    except ValueError:
        fault = number_too_long(where)
    raise Invalid([fault], status=400)
