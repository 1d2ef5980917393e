"""Bodies that an endpoint reads for itself."""

import json
from typing import Any, TypeVar

import orjson
from fastapi import Request

from offhook.errors import Invalid
from offhook.http.faults import malformed_json, malformed_utf8, missing, nested_too_deeply, not_sent_as_json
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
    return model.read(json_of(content))


def json_of(content: bytes, where: str = "body") -> Any:
    """The JSON in these bytes. Raises Invalid, a 400, that says where in `where` it ends to be JSON."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return _read_slowly(content, where)


def _read_slowly(content: bytes, where: str) -> Any:
    """What routes take that leave their body to FastAPI: not-a-number too, which is then refused by its place."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as wrong:
        fault = malformed_json(wrong.doc, wrong.pos, wrong.msg, where)
    except UnicodeDecodeError as garbled:
        fault = malformed_utf8(content, garbled.start, where)
    except RecursionError:
        fault = nested_too_deeply(where)
    raise Invalid([fault], status=400)
