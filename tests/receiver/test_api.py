"""Asking Offhook for what is missing: page by page, never past a redirect, and no answer is an event by mistake."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.receiver.messages import envelope, ids

from offhook_receiver.api import ApiFailed, HubApi, fetch

KEY = "ofk_test_secret"


def page(*told: Any, next_cursor: str | None = None) -> bytes:
    return json.dumps({"data": told, "has_more": next_cursor is not None, "next_cursor": next_cursor}).encode()


class Pages:
    """Answers in turn, and remembers what was asked."""

    def __init__(self, *answers: bytes) -> None:
        self.asked: list[dict[str, list[str]]] = []
        self._answers = list(answers)

    def __call__(self, url: str, headers: Mapping[str, str]) -> bytes:
        assert headers["Authorization"] == f"Bearer {KEY}"
        self.asked.append(parse_qs(urlsplit(url).query))
        return self._answers.pop(0)


def test_every_page_is_read() -> None:
    pages = Pages(page(envelope(sequence=4), envelope(sequence=5), next_cursor="c1="), page(envelope(sequence=6)))

    found = HubApi("https://offhook.test/", KEY, "ext:my crm", pages).events_of("call_1", 3)

    assert ids(found) == ["evt_call_1_4", "evt_call_1_5", "evt_call_1_6"]
    first = {"subject": ["call_1"], "after_sequence": ["3"], "webhook_endpoint": ["ext:my crm"], "limit": ["1000"]}
    assert pages.asked == [first, {**first, "after": ["c1="]}]


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b"<html>", page({}), page(7), page({**envelope(), "sequence": 0})]
)
def test_an_answer_that_is_no_list_of_events_is_a_failure(answer: bytes) -> None:
    with pytest.raises(ApiFailed) as told:
        HubApi("https://offhook.test", KEY, "whe_1", Pages(answer)).events_of("call_1", 0)

    assert told.value.code == "bad_answer"


def test_the_key_stands_in_no_repr() -> None:
    assert "secret" not in repr(HubApi("https://offhook.test", KEY, "whe_1"))


@pytest.mark.parametrize("url", ["", "offhook.test", "file:///etc/passwd", "ftp://offhook.test"])
def test_a_url_that_is_none_of_an_api_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        HubApi(url, KEY, "whe_1")


class Handler(BaseHTTPRequestHandler):
    """`/moved` redirects to `/told`, which tells the key it was asked with; all else is 404."""

    def do_GET(self) -> None:
        status = {"/moved": 302, "/told": 200}.get(self.path, 404)
        told = self.headers["Authorization"].encode()
        self.send_response(status)
        self.send_header("Location", "/told")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_standard_library_fetches(url: str) -> None:
    assert fetch(f"{url}/told", {"Authorization": "Bearer x"}) == b"Bearer x"


@pytest.mark.parametrize(("path", "code"), [("/moved", "http_302"), ("/nowhere", "http_404")])
def test_a_refusal_is_told_by_its_status_and_a_redirect_is_not_followed(url: str, path: str, code: str) -> None:
    with pytest.raises(ApiFailed) as told:
        fetch(f"{url}{path}", {"Authorization": "Bearer x"})

    assert told.value.code == code


def test_nobody_there_is_a_failure_with_a_code() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_port

    with pytest.raises(ApiFailed) as told:
        fetch(f"http://127.0.0.1:{port}/", {})

    assert told.value.code == "unreachable"
