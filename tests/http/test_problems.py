from typing import Any

import pytest

PHONE = "+13125550199"


async def test_every_wrong_place_of_a_request_is_told_at_once(api: Any) -> None:
    reply = await api.post("/v1/things", {"nme": "x", "colour": {"red": 300}, "external_id": 7})

    assert reply.status == 422
    assert reply.headers["content-type"] == "application/problem+json"
    faults = {(fault["param"], fault["code"]) for fault in reply.json["errors"]}
    assert faults == {
        ("name", "missing"),
        ("nme", "unknown_field"),
        ("colour.red", "out_of_range"),
        ("external_id", "wrong_type"),
    }


async def test_a_misspelt_field_is_answered_with_the_one_meant(api: Any) -> None:
    reply = await api.post("/v1/things", {"name": "x", "colour": {"rde": 1}})

    assert reply.json["code"] == "unknown_field"
    assert reply.json["param"] == "colour.rde"
    assert "Did you mean red?" in reply.json["detail"]


async def test_a_problem_has_all_its_members_and_the_id_of_its_request(api: Any) -> None:
    reply = await api.get("/v1/things/nonsense")

    problem = reply.json
    assert set(problem) == {"type", "title", "status", "detail", "code", "param", "request_id", "doc_url"}
    assert problem["status"] == reply.status == 404
    assert problem["request_id"] == reply.headers["x-request-id"]
    assert problem["request_id"].startswith("req_")


@pytest.mark.parametrize(
    ("sent", "place"),
    [
        (b'{"name":\n "x",}', "line 2, column 6"),
        (b'{"name": "\xff"}', "not UTF-8: line 1, byte 11"),
        (b"[" * 2000 + b"]" * 2000, "nested too deeply"),
    ],
)
async def test_what_is_not_json_is_told_by_line_and_column(api: Any, sent: bytes, place: str) -> None:
    reply = await api.request("POST", "/v1/things", content=sent)

    assert (reply.status, reply.json["code"]) == (400, "malformed_json")
    assert place in reply.json["detail"]


async def test_no_value_that_was_sent_comes_back(api: Any) -> None:
    replies = [
        await api.post("/v1/things", {"name": PHONE * 9, "colour": PHONE, PHONE: PHONE}),
        await api.post("/v1/things", {"name": PHONE, "colour": {"red": PHONE}}),
        await api.get(f"/v1/things?limit={PHONE}"),
        await api.get(f"/v1/things/{PHONE}"),
    ]

    assert [reply.status for reply in replies] == [422, 422, 422, 404]
    assert not any(PHONE.encode() in reply.content for reply in replies)


async def test_what_nobody_foresaw_is_a_500_that_says_nothing_of_it(api: Any, capsys: Any) -> None:
    reply = await api.post("/v1/things", {"name": "unforeseen"})

    assert (reply.status, reply.json["code"]) == (500, "internal_error")
    assert b"Michael" not in reply.content
    logged = capsys.readouterr().out
    assert "RuntimeError" in logged
    assert reply.json["request_id"] in logged
    assert "Michael" not in logged


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/v1/nothing", 404, "no_such_path"), ("PUT", "/v1/things", 405, "method_not_allowed")],
)
async def test_a_wrong_path_or_method_is_a_problem_too(
    api: Any, method: str, path: str, status: int, code: str
) -> None:
    reply = await api.request(method, path)

    assert (reply.status, reply.json["code"]) == (status, code)


async def test_a_body_over_the_limit_is_refused_whether_its_length_is_declared_or_not(api: Any) -> None:
    long = b'{"name": "' + b"x" * 5000 + b'"}'
    declared = await api.request("POST", "/v1/things", content=long)
    undeclared = await api.request("POST", "/v1/things", content=long, content_length="")

    assert (declared.status, declared.json["code"]) == (413, "body_too_large")
    assert (undeclared.status, undeclared.json["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud800", "\\uDFFF"])
async def test_a_text_that_cannot_be_stored_is_refused(api: Any, escape: str) -> None:
    reply = await api.request("POST", "/v1/things", content=f'{{"name": "a{escape}"}}'.encode())

    assert (reply.status, reply.json["code"]) == (422, "unstorable_text")


@pytest.mark.parametrize("text", ["\\\\u0000", "\\ud83d\\ude00"])
async def test_a_text_that_only_looks_unstorable_is_taken(api: Any, text: str) -> None:
    reply = await api.request("POST", "/v1/things", content=f'{{"name": "{text}"}}'.encode())

    assert reply.status == 201


async def test_a_second_object_with_the_same_external_id_is_a_conflict(api: Any) -> None:
    await api.post("/v1/things", {"name": "a", "external_id": "A"})
    reply = await api.post("/v1/things", {"name": "b", "external_id": "A"})

    assert (reply.status, reply.json["code"], reply.json["param"]) == (409, "already_exists", "external_id")


async def test_the_page_of_a_problem_explains_it(api: Any) -> None:
    problem = (await api.post("/v1/things", {})).json

    page = await api.get(problem["doc_url"])
    unknown = await api.get("/problems/nothing_of_the_kind")

    assert page.content.decode().startswith("# missing")
    assert unknown.status == 404
