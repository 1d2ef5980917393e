"""The API as one ASGI application: the rooms' routers behind the gate, and the paths that are about the process itself."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from offhook import access, metrics
from offhook.db import Database
from offhook.errors import NotFound, OffhookError
from offhook.events.types import openapi_webhooks
from offhook.http.docs import docs_router
from offhook.http.limits import Limits
from offhook.http.middleware import Gate
from offhook.http.openapi import completed
from offhook.http.problems import tell
from offhook.http.straight import ways_of
from offhook.settings import Settings

Ready = Callable[[], Awaitable[Mapping[str, str]]]
IMPORT_PATH = "/v1/leads/import"


def build_app(
    settings: Settings,
    authenticator: access.Authenticator,
    database: Database,
    routers: Sequence[APIRouter],
    ready: Ready,
) -> FastAPI:
    """The application. `ready` says per part `ok` or what is wrong; all must be ok for /readyz to be 200."""
    app = FastAPI(title="Offhook", version=version("offhook"), redirect_slashes=False, docs_url=None, redoc_url=None)
    app.add_middleware(
        Gate,
        authenticate=authenticator,
        limits=Limits(access.leases_of(database)),
        max_body_bytes=settings.max_body_bytes,
        body_limits={IMPORT_PATH: settings.max_import_bytes},
        ways=ways_of(routers),
    )
    for failure in (OffhookError, RequestValidationError, HTTPException):
        app.add_exception_handler(failure, tell)
    app.include_router(_about_the_process(ready))
    app.include_router(docs_router())
    for router in routers:
        app.include_router(router)
    _complete_openapi(app)
    return app


def _about_the_process(ready: Ready) -> APIRouter:
    api = APIRouter(include_in_schema=False)

    @api.get("/healthz")
    async def alive() -> dict[str, str]:
        return {"status": "ok"}

    @api.get("/readyz")
    async def is_ready() -> Response:
        parts = dict(await ready())
        well = all(state == "ok" for state in parts.values())
        body = {"status": "ok" if well else "not_ready", "parts": parts}
        return Response(orjson.dumps(body), 200 if well else 503, media_type="application/json")

    @api.get("/metrics")
    async def counted() -> Response:
        return Response(metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})

    @api.get("/problems/{code}")
    async def explained(code: str) -> Response:
        return Response(_page_of(code), media_type="text/markdown; charset=utf-8")

    return api


def _page_of(code: str) -> str:
    """What a problem's code means. Raises NotFound for a code that the page does not hold."""
    _, *sections = (files("offhook.http") / "problems.md").read_text(encoding="utf-8").split("\n## ")
    for section in sections:
        if section.partition("\n")[0] == code:
            return f"# {section}"
    raise NotFound(
        "no_such_problem", "No page explains this code; the detail of the problem says it all.", param="code"
    )


def _complete_openapi(app: FastAPI) -> None:
    plain = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = completed(plain(), openapi_webhooks())
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]  # the way that FastAPI documents
