"""What is signed goes over the wire as it was signed, and only where it was judged to go."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.outbound.receivers import OK, answering, going_out, receiving

from offhook.outbound import Answer, NoAnswer, Reach, Request
from offhook.outbound.s3 import AccessKey, Store, signed

LOOPBACK = Reach(True, ())
KEY = AccessKey("AKIA", "s3cret")


def a_put(endpoint: str, key: str = "date=2026-11-22/a b+c.ndjson") -> Request:
    return Store("eu-central-1", "bucket", endpoint).put(key, b"{}\n", "application/x-ndjson", 5)


async def test_a_path_goes_over_the_wire_as_it_was_signed() -> None:
    async with going_out() as outbound, receiving(answering(OK)) as receiver:
        request = signed(a_put(f"http://127.0.0.1:{receiver.port}/base/"), KEY, "eu-central-1")
        answer = await outbound.send(request, LOOPBACK)

    assert isinstance(answer, Answer)
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /base/bucket/date%3D2026-11-22/a%20b%2Bc.ndjson HTTP/1.1\r\n")
    assert body == b"{}\n"


async def test_a_store_out_of_reach_gets_nothing() -> None:
    async with going_out() as outbound, receiving(answering(OK)) as receiver:
        answer = await outbound.send(a_put(f"http://127.0.0.1:{receiver.port}"), Reach(False, ()))

    assert isinstance(answer, NoAnswer)
    assert answer.code == "refused_url"
    assert receiver.requests == []


@pytest.mark.parametrize("path", ["", "x", "/a b", "/a\r\nx: y", "/a?b", "/a#b", "/%zz", "/é", "//evil\n"])
def test_a_path_that_would_be_more_than_a_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="encoded already"):
        replace(a_put("https://store.example"), path=path)


@given(st.text(min_size=1))
def test_every_key_becomes_a_path(key: str) -> None:
    request = a_put("https://store.example", key)

    assert request.url == "https://store.example"
    assert request.path
    assert request.path.startswith("/bucket/")


@pytest.mark.parametrize(
    ("bucket", "url", "path"),
    [
        ("my-bucket", "https://my-bucket.s3.eu-central-1.amazonaws.com", "/key"),
        ("my.bucket", "https://s3.eu-central-1.amazonaws.com", "/my.bucket/key"),
    ],
)
def test_at_aws_a_bucket_has_a_name_of_its_own_where_a_certificate_has_it(bucket: str, url: str, path: str) -> None:
    request = Store("eu-central-1", bucket).put("key", b"", "text/plain", 5)

    assert (request.url, request.path) == (url, path)


def test_the_signature_tells_who_and_nothing_secret() -> None:
    request = signed(a_put("https://store.example"), KEY, "eu-central-1")

    assert "Credential=AKIA/" in request.headers["Authorization"]
    assert "/eu-central-1/s3/aws4_request" in request.headers["Authorization"]
    assert "s3cret" not in f"{request}{request.headers}{KEY}"
