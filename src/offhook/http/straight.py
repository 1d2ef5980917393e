"""Straight ways: for the few paths whose requests come by the thousand a second.

What a framework does around an endpoint, its layers, routing, dependencies and the body that it reads for a model, costs
several times what such an endpoint costs itself. So the gate calls it, and it reads its own body. It stands among the
routes as well, which is where its place in the OpenAPI document comes from.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from offhook.http.door import Caller, admitted, caller
from offhook.http.wire import Wire

Endpoint = Callable[[Request, Caller], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Way:
    """From the gate to one endpoint. Whatever it raises is the gate's to tell."""

    path: str
    caller_scope: str
    endpoint: Endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        request = Request(scope, receive)
        response = await self.endpoint(request, await admitted(request, self.caller_scope))
        await response(scope, receive, send)


Ways = dict[tuple[str, str], Way]
"""By method and path."""


class StraightRouter(APIRouter):
    """A router, some of whose paths the gate may take by a straight way."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.ways: Ways = {}

    def straight(
        self, method: str, path: str, scope: str, body: type[Wire], **documented: Any
    ) -> Callable[[Endpoint], Endpoint]:
        """Adds the endpoint for callers who bear `scope`. It reads `body` itself (`bodies.sent`).

        The path has no parameters. Dependencies of the router are not asked on the way. The schema of `body` comes into
        the OpenAPI document by a route that takes it as well.
        """
        taken = {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}
        described = {"requestBody": {"required": True, "content": {"application/json": taken}}}

        def add(endpoint: Endpoint) -> Endpoint:
            async def routed(request: Request, who: Annotated[Caller, caller(scope)]) -> Response:
                return await endpoint(request, who)

            routed.__name__ = getattr(endpoint, "__name__", path)
            self.add_api_route(path, routed, methods=[method], openapi_extra=described, **documented)
            self.ways[method, self.prefix + path] = Way(self.prefix + path, scope, endpoint)
            return endpoint

        return add


def ways_of(routers: Iterable[APIRouter]) -> Ways:
    """All straight ways of these routers."""
    return {key: way for router in routers if isinstance(router, StraightRouter) for key, way in router.ways.items()}
