"""What a request is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered: a status, a JSON body (None: no body) and headers such as ETag."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The answer in bytes."""
        if self.body is None:
            return Response(status_code=self.status, headers=dict(self.headers))
        return Response(orjson.dumps(self.body), self.status, dict(self.headers), "application/json")
