"""A straight way must be told apart from a route by nobody but a stopwatch."""

from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from offhook import access
from offhook.app import build_app
from offhook.db import Database
from offhook.http import Answer, Caller, Door
from offhook.http.bodies import sent
from offhook.http.resources import resource_router
from offhook.http.straight import StraightRouter, Way
from offhook.settings import load

from .conftest import ThingIn, Things


@pytest.fixture
def app(database: Database, door: Door, authenticator: access.Authenticator, things: Things) -> FastAPI:
    """Things are made by a route at one path and by a straight way at another."""
    quick = StraightRouter(prefix="/v1/quick", tags=["quick"])

    @quick.straight("POST", "/things", "routing:write", ThingIn, status_code=201)
    async def create(request: Request, who: Caller) -> Response:
        assert isinstance(request.scope["route"], Way)
        thing = await sent(request, ThingIn)
        if thing.name == "unforeseen":
            raise RuntimeError("the secret of Michael")
        return Answer(201, {"name": thing.name}).response()

    async def ready() -> dict[str, str]:
        return {}

    settings = load({"max_body_bytes": 8192}, environ={})
    return build_app(settings, authenticator, database, [resource_router(door, things), quick], ready)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b'{"name": "a"}', "application/json"),
        (b'{"name": "a"}', "application/json; charset=utf-8"),
        (b'{"name": "a"}', "application/things+json"),
        (b'{"name": "a"}', "text/plain"),
        (b'{"name": "a"}', "application/x-www-form-urlencoded"),
        (b'{"name": "a"}', ""),
        (b'{"name": ""}', "application/json"),
        (b'{"name": 7, "colour": {"red": -1, "green": 2}}', "application/json"),
        (b"", "application/json"),
        (b"", ""),
        (b'{"name": ' + b"1" * 5000 + b"}", "application/json"),
        (b'{"name": "\\ud800"}', "application/JSON"),
        (b"{}", "application/json"),
        (b"[]", "application/json"),
        (b'{"name":\n "x",}', "application/json"),
        (b'{"name": "\xff"}', "application/json"),
        (b"[" * 2000 + b"]" * 2000, "application/json"),
        (b'{"name": "\\u0000"}', "application/json"),
        (b'{"name": "\\ud800"}', "application/json"),
        (b'{"name": "' + b"x" * 9000 + b'"}', "application/json"),
        (b'{"name": "unforeseen"}', "application/json"),
    ],
)
async def test_whatever_is_sent_is_answered_as_a_route_answers_it(api: Any, content: bytes, content_type: str) -> None:
    straight = await api.request("POST", "/v1/quick/things", content=content, content_type=content_type)
    routed = await api.request("POST", "/v1/things", content=content, content_type=content_type)

    assert _told(straight) == _told(routed)


async def test_nobody_passes_without_a_key_or_its_scope(
    app: Any, database: Database, tenant: Any, client_of: Any
) -> None:
    async with database.transaction(tenant) as tx:
        narrow = (await access.issue_key(tx, "Narrow", ["leads:read"])).shown

    nobody = await client_of(app).post("/v1/quick/things", {"name": "a"})
    reader = await client_of(app, narrow).post("/v1/quick/things", {"name": "a"})

    assert (nobody.status, nobody.json["code"]) == (401, "no_api_key")
    assert (reader.status, reader.json["code"], reader.json["param"]) == (403, "missing_scope", "routing:write")


async def test_another_method_of_the_path_finds_the_routes(api: Any) -> None:
    assert (await api.get("/v1/quick/things")).status == 405


async def test_the_answer_bears_the_headers_of_every_answer(api: Any) -> None:
    headers = (await api.post("/v1/quick/things", {"name": "a"})).headers

    assert {"x-request-id", "offhook-version", "ratelimit-remaining", "content-length"} <= headers.keys()


async def test_it_is_measured_by_its_path(api: Any, client_of: Any, app: Any) -> None:
    async def count() -> float:
        lines = (await client_of(app).get("/metrics")).content.decode().splitlines()
        ours = [one for one in lines if "_count{" in one and 'route="/v1/quick/things",status="201"' in one]
        return sum(float(one.rpartition(" ")[2]) for one in ours)

    before = await count()
    await api.post("/v1/quick/things", {"name": "a"})

    assert await count() == before + 1


async def test_the_openapi_document_tells_its_body(app: Any, client_of: Any) -> None:
    document = (await client_of(app).get("/openapi.json")).json

    straight, routed = (document["paths"][path]["post"] for path in ("/v1/quick/things", "/v1/things"))
    assert straight["requestBody"]["content"] == routed["requestBody"]["content"]
    assert straight["requestBody"]["required"]
    (taken,) = straight["requestBody"]["content"].values()
    assert taken["schema"]["$ref"].rpartition("/")[2] in document["components"]["schemas"]


async def test_somebody_who_hangs_up_is_no_failure_of_ours(app: Any, key: str, client_of: Any, capsys: Any) -> None:
    told: list[Any] = []

    async def hang_up() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told.append(message)

    scope = client_of(app, key)._scope("POST", "/v1/quick/things", b"{", {})
    await app(scope, hang_up, send)

    assert told[0]["status"] == 400
    assert "request_failed" not in capsys.readouterr().out


def _told(reply: Any) -> Any:
    """What is told, but for what differs between any two answers."""
    return reply.status if reply.status == 201 else {**reply.json, "request_id": None}
