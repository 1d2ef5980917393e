"""RFC 9457: every failure as `application/problem+json`, with a stable code and nothing of what was sent.

`Problem.of` turns whatever was raised into what is told. What nobody foresaw becomes a bare 500 whose request id leads
to the log, where its type and place stand; its text stands nowhere, for it may quote a person.
"""

import json
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from offhook import log
from offhook.errors import Conflict, Fault, Invalid, OffhookError, TooMany, Unauthenticated, Unavailable
from offhook.http.answer import Answer
from offhook.http.faults import (
    faults_of,
    malformed_json,
    malformed_utf8,
    nested_too_deeply,
    not_sent_as_json,
    number_too_long,
)

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request at hand: the answer, its problem and the log share it."""

_RETRY_S = 1
_HTTP_CODES = {
    404: ("no_such_path", "There is nothing at this path; /openapi.json lists what there is."),
    405: ("method_not_allowed", "This path does not take that method; the header Allow names those it takes."),
    413: ("body_too_large", "The body is larger than this installation takes; send it in parts."),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A failure as it is told: the members of RFC 9457 and ours, and the headers that belong to them."""

    status: int
    code: str
    title: str
    detail: str
    param: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, failure: BaseException, *, body_model: Any = None) -> "Problem":
        """What this failure is told as. `body_model` is what the body was read into, for the did-you-mean."""
        match failure:
            case OffhookError():
                return _ours(failure)
            case RequestValidationError():
                return _ours(_invalid(failure, body_model))
            case HTTPException():
                return _plain_http(failure)
            case ClientDisconnect():  # nobody reads this any more, and nothing failed
                return _plain_http(HTTPException(HTTPStatus.BAD_REQUEST))
            case psycopg.OperationalError():
                return _ours(Unavailable("database_away", "The database did not answer in time; try again."))
            case psycopg.IntegrityError() | psycopg.DataError():
                return _ours(_refused_by_the_schema(failure))
        return _ours(
            OffhookError("internal_error", "This was not foreseen. Report the request_id; it leads to the log.")
        )

    def body(self, request_id: str) -> dict[str, Any]:
        """The members, as JSON tells them."""
        page = f"/problems/{self.code}"
        return {
            "type": page,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "param": self.param,
            "request_id": request_id,
            "doc_url": page,
            **self.more,
        }


async def tell(request: Request, failure: Exception) -> Response:
    """FastAPI's exception handler for all that it handles itself."""
    body = getattr(request.scope.get("route"), "body_field", None)
    return problem(failure, body_model=body and body.field_info.annotation).response()


def problem(failure: BaseException, *, body_model: Any = None) -> Answer:
    """The answer to a failure, alone or as one result of a batch.

    A failure of ours is logged by type and place, so that the request id leads to it.
    """
    told = Problem.of(failure, body_model=body_model)
    if told.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.get("http").error(
            "request_failed",
            request_id=request_id.get(),
            error=type(failure).__name__,
            code=told.code,
            at=log.place_of(failure),
        )
    return Answer(
        told.status, told.body(request_id.get()), {**told.headers, "Content-Type": "application/problem+json"}
    )


def _ours(failure: OffhookError) -> Problem:
    more: dict[str, Any] = {}
    headers: dict[str, str] = {}
    status = failure.status
    match failure:
        case Invalid(faults=faults, http_status=http_status):
            status = http_status
            more["errors"] = [{"param": fault.param, "code": fault.code, "detail": fault.detail} for fault in faults]
        case Conflict(extra=extra):
            more.update(extra)
        case Unauthenticated():
            headers["WWW-Authenticate"] = "Bearer"
        case TooMany(retry_after_s=seconds):
            headers["Retry-After"] = str(seconds)
        case Unavailable():
            headers["Retry-After"] = str(_RETRY_S)
    return Problem(status, failure.code, failure.title, failure.detail, failure.param, more, headers)


def _invalid(failure: RequestValidationError, body_model: Any) -> Invalid:
    complaints = failure.errors()
    if complaints[0]["type"] == "json_invalid":
        at, why = complaints[0]["loc"][1], complaints[0]["ctx"]["error"]
        return Invalid([malformed_json(str(failure.body), int(at), why)], status=400)
    if isinstance(failure.body, bytes):
        return Invalid([not_sent_as_json()])
    faults = []
    for complaint in complaints:
        where, *place = complaint["loc"]
        faults += faults_of([{**complaint, "loc": place}], body_model if where == "body" else None)
    return Invalid(faults)


def _refused_by_the_schema(failure: psycopg.Error) -> OffhookError:
    """The rules that the database itself keeps, for rooms that leave them to it."""
    match failure:
        case psycopg.errors.UniqueViolation():
            param = "external_id" if "external_id" in (failure.diag.constraint_name or "") else None
            return Conflict("already_exists", "There is another with this name or external_id.", param=param)
        case psycopg.errors.ForeignKeyViolation():
            return Conflict("in_use", "Something else refers to it, or it refers to something that does not exist.")
        case psycopg.errors.NotNullViolation():
            return Invalid([Fault(failure.diag.column_name or "body", "not_null", "This field cannot be null.")])
    return Invalid([Fault("body", "bad_value", "A value is out of the range that can be stored.")])


def _plain_http(failure: HTTPException) -> Problem:
    cause = failure.__cause__
    if isinstance(cause, UnicodeDecodeError):
        return _ours(Invalid([malformed_utf8(cause.object, cause.start)], status=400))
    if isinstance(cause, RecursionError | json.JSONDecodeError):
        return _ours(Invalid([nested_too_deeply()], status=400))
    if isinstance(cause, ValueError):
        return _ours(Invalid([number_too_long()], status=400))
    status = failure.status_code
    code, detail = _HTTP_CODES.get(status, ("bad_request", "The request cannot be understood."))
    return Problem(status, code, HTTPStatus(status).phrase, detail, headers=failure.headers or {})
