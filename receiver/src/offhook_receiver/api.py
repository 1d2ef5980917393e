"""Asking Offhook what an endpoint should have got."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPMessage
from typing import IO, Any

from offhook_receiver import envelope
from offhook_receiver.envelope import Event

TIMEOUT_S = 10.0
_PAGE = 1000

Fetch = Callable[[str, Mapping[str, str]], bytes]
"""GET this URL with these headers; the body of a 200. Raises ApiFailed for anything else."""


class ApiFailed(Exception):
    """Offhook did not answer as it should. `code` is `http_<status>`, `unreachable` or `bad_answer`."""

    def __init__(self, code: str) -> None:
        super().__init__(
            f"{code}: the API did not tell the events; check its URL, the key's scope events:read, the endpoint's id"
        )
        self.code = code


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to wherever it points."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def fetch(url: str, headers: Mapping[str, str]) -> bytes:
    """The standard library's way; ten seconds at most for each read, no redirects."""
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310  # HubApi checked the scheme
    try:
        with _opener.open(request, timeout=TIMEOUT_S) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as refusal:
        with refusal:
            raise ApiFailed(f"http_{refusal.code}") from None
    except (OSError, HTTPException):
        raise ApiFailed("unreachable") from None


class HubApi:
    """Offhook's log, as one webhook endpoint should have heard it.

    `url` is that of the API, `key` an API key with the scope `events:read`, `endpoint` the endpoint's id (`whe_…`, or
    `ext:` and your own). The log leaves out what the endpoint does not listen to, so a gap that it does not fill is none.
    """

    def __init__(self, url: str, key: str, endpoint: str, fetch: Fetch = fetch) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("the URL of the API begins with https:// (or http:// on your own machine)")
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        self._endpoint = endpoint
        self._fetch = fetch

    def __repr__(self) -> str:
        return f"HubApi({self._url!r}, endpoint={self._endpoint!r})"

    def events_of(self, subject: str, after: int) -> list[Event]:
        """All that the endpoint should have got of this subject behind that sequence, in order. Raises ApiFailed."""
        asked = {"subject": subject, "after_sequence": after, "webhook_endpoint": self._endpoint, "limit": _PAGE}
        found, cursor = self._page(asked)
        while cursor is not None:
            more, cursor = self._page({**asked, "after": cursor})
            found += more
        return found

    def _page(self, asked: Mapping[str, Any]) -> tuple[list[Event], str | None]:
        answer = self._fetch(f"{self._url}/v1/events?{urllib.parse.urlencode(asked)}", self._headers)
        try:
            told = json.loads(answer)
            return [envelope.event_of(one) for one in told["data"]], told["next_cursor"] if told["has_more"] else None
        except (ValueError, TypeError, KeyError):
            raise ApiFailed("bad_answer") from None
