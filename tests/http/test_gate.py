from typing import Any

import pytest

from offhook import access
from offhook.db import Database, Tenant
from offhook.http.versions import API
from offhook.wiring import House


async def test_without_a_key_nothing_of_a_workspace_is_told(app: Any, client_of: Any) -> None:
    none = await client_of(app).get("/v1/things")
    unknown = await client_of(app, "ofk_test_" + "A" * 43).get("/v1/things")
    nonsense = await client_of(app, "hello").get("/v1/things")

    assert [(reply.status, reply.json["code"]) for reply in (none, unknown, nonsense)] == [
        (401, "no_api_key"),
        (401, "bad_api_key"),
        (401, "bad_api_key"),
    ]
    assert none.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("authorization", ["", "Bearer hello", "Basic bWU6bWU="])
async def test_without_a_key_that_could_be_one_not_a_byte_of_the_body_is_read(
    app: Any, client_of: Any, authorization: str
) -> None:
    headers = {"content_type": "multipart/form-data; boundary=b", "authorization": authorization}
    scope = client_of(app)._scope("POST", "/v1/things", b"", headers)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("it was read")

    await app(scope, receive, send)

    assert sent[0]["status"] == 401


async def test_every_path_of_the_api_asks_for_a_key(house: House, client_of: Any) -> None:
    stranger = client_of(house.app)
    paths = (await stranger.get("/openapi.json")).json["paths"]

    answers = {
        (await stranger.request(method.upper(), path.replace("{", "").replace("}", ""), {})).status
        for path, methods in paths.items()
        if path.startswith(API)
        for method in methods
    }

    assert answers == {401}


async def test_a_missing_scope_is_named(api: Any) -> None:
    reply = await api.get("/v1/whoami")

    assert (reply.status, reply.json["code"], reply.json["param"]) == (403, "missing_scope", "leads:read")


async def test_the_key_decides_the_environment(
    app: Any, database: Database, tenant: Tenant, live_tenant: Tenant, client_of: Any
) -> None:
    seen = []
    for one in (tenant, live_tenant):
        async with database.transaction(one) as tx:
            issued = await access.issue_key(tx, "A key", ["*"])
        seen.append((issued.shown[:9], (await client_of(app, issued.shown).get("/v1/whoami")).json["environment"]))

    assert seen == [("ofk_test_", "sandbox"), ("ofk_live_", "live")]


async def test_a_sandbox_key_that_poses_as_a_live_one_is_unknown(app: Any, key: str, client_of: Any) -> None:
    reply = await client_of(app, key.replace("ofk_test_", "ofk_live_")).get("/v1/things")

    assert reply.status == 401


async def test_every_answer_has_a_request_id_of_its_own(api: Any) -> None:
    ids = {(await api.get("/v1/things")).headers["x-request-id"] for _ in range(3)}

    assert len(ids) == 3


async def test_whoever_names_no_version_gets_the_newest(api: Any) -> None:
    reply = await api.get("/v1/things")

    assert (reply.status, reply.headers["offhook-version"]) == (200, "2026-11-01")


async def test_a_version_that_is_named_is_the_one_that_answers(api: Any) -> None:
    found = await api.get("/v1/things", offhook_version="2026-11-01")
    refused = await api.post("/v1/things", {}, offhook_version="2026-11-01")

    assert (found.status, refused.status) == (200, 422)
    assert {found.headers["offhook-version"], refused.headers["offhook-version"]} == {"2026-11-01"}


@pytest.mark.parametrize("path", ["/v1/things", "/api/integrations/providers"])
async def test_a_version_that_nobody_knows_is_answered_with_those_there_are(api: Any, path: str) -> None:
    reply = await api.get(path, offhook_version="2031-13-77")

    assert (reply.status, reply.json["code"], reply.json["param"]) == (400, "unknown_version", "Offhook-Version")
    assert "2026-11-01" in reply.json["detail"]
    assert "2031-13-77" not in reply.content.decode()
    assert reply.headers["offhook-version"] == "2026-11-01"
    assert (await api.get(reply.json["doc_url"])).status == 200


async def test_a_version_is_only_asked_of_the_api(app: Any, client_of: Any) -> None:
    reply = await client_of(app).get("/healthz", offhook_version="2031-13-77")

    assert (reply.status, reply.headers.get("offhook-version")) == (200, None)


async def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(api: Any, database: Database) -> None:
    await database.close()
    reply = await api.get("/v1/things")

    assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (503, "database_away", "1")


async def test_the_log_tells_the_route_and_neither_query_nor_path_nor_key(api: Any, key: str, capsys: Any) -> None:
    reply = await api.get("/v1/things/ext:LD-9938?phone=%2B13125550199")

    line = capsys.readouterr().out
    assert "/v1/things/{ref}" in line
    assert reply.headers["x-request-id"] in line
    assert "LD-9938" not in line
    assert "3125550199" not in line
    assert key not in line


async def test_alive_ready_and_counted_need_no_key(app: Any, database: Database, client_of: Any, api: Any) -> None:
    await api.get("/v1/things")
    stranger = client_of(app)

    assert (await stranger.get("/healthz")).status == 200
    assert (await stranger.get("/readyz")).json == {"status": "ok", "parts": {"database": "ok"}}
    metrics = (await stranger.get("/metrics")).content.decode()
    assert 'offhook_http_request_seconds_count{method="GET",route="/v1/things",status="200"}' in metrics
    await database.close()
    assert (await stranger.get("/readyz")).status == 503


async def test_the_openapi_document_tells_problems_keys_and_webhooks(app: Any, client_of: Any) -> None:
    document = (await client_of(app).get("/openapi.json")).json

    assert document["openapi"].startswith("3.1")
    assert "lead.accepted" in document["webhooks"]
    assert "Problem" in document["components"]["schemas"]
    assert "ThingIn" in document["components"]["schemas"]
    create = document["paths"]["/v1/things"]["post"]
    assert create["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
    assert {"$ref": "#/components/parameters/Version"} in create["parameters"]
    assert "Offhook-Version" in create["responses"]["201"]["headers"]
    assert document["components"]["parameters"]["Version"]["schema"]["enum"] == ["2026-11-01"]
