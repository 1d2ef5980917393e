"""The diagnosis of a receiver: each way in which one can fail is found and told with its cure."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.outbound.authority import Authority, Pair, key_pem, serving
from tests.outbound.receivers import OK, Play, Receiver, answering, going_out, listening, names, receiving, refusing

from offhook.outbound import Outbound, Reach, Request
from offhook.outbound.diagnose import Diagnosis, diagnose
from offhook.outbound.findings import skew_of
from offhook.outbound.handshake import trouble_of
from offhook.outbound.identity import Identity

LOOPBACK = Reach(plain_http_loopback=True, allowed_networks=())
NOW = datetime.now(UTC)
ACME = Authority("Acme CA")
TRUSTING = Identity(ca=ACME.certificate)


def at(receiver: Receiver, host: str = "127.0.0.1", scheme: str = "https") -> str:
    return f"{scheme}://{host}:{receiver.port}/hook"


async def look(
    outbound: Outbound, url: str, identity: Identity | None = TRUSTING, *, timeout_s: float = 5, **headers: str
) -> Diagnosis:
    return await diagnose(outbound, Request("POST", url, b"{}", headers, timeout_s), LOOPBACK, identity=identity)


@asynccontextmanager
async def going(**known: str) -> AsyncIterator[Outbound]:
    async with going_out(names(**known)) as outbound:
        yield outbound


def codes(diagnosis: Diagnosis) -> list[str]:
    assert all(one.detail.endswith(".") and one.cure.endswith(".") for one in diagnosis.findings)
    return [one.code for one in diagnosis.findings]


async def test_a_receiver_in_order_has_every_step_and_no_finding() -> None:
    said = OK.replace(b"X-Seen", f"Date: {format_datetime(datetime.now(UTC), usegmt=True)}\r\nX-Seen".encode())
    async with going(receiver="127.0.0.1") as outbound, receiving(answering(said), serving(ACME.pair(days=90))) as one:
        found = await look(outbound, at(one, "receiver.example"))

    assert codes(found) == []
    assert found.name
    assert [(seen.address, seen.refused) for seen in found.name.addresses] == [("127.0.0.1", None)]
    assert found.address == "127.0.0.1"
    assert found.http
    assert (found.http.status, found.http.version, found.http.headers["x-seen"]) == (200, "1.1", "yes")
    assert found.skew
    assert abs(found.skew.ahead_s) < 30
    assert len(one.requests) == 1


async def test_the_chain_of_a_receiver_is_shown_with_its_names_and_dates() -> None:
    async with going() as outbound, receiving(answering(OK), serving(ACME.pair("hooks", days=90))) as receiver:
        tls = (await look(outbound, at(receiver))).tls

    assert tls
    assert (tls.verified, tls.version) == (True, "TLSv1.3")
    assert tls.cipher.startswith("TLS_")
    assert [(one.subject, one.issuer) for one in tls.chain] == [("CN=hooks", "CN=Acme CA")]
    assert set(tls.chain[0].names) == {"receiver.example", "127.0.0.1"}
    assert (tls.chain[0].not_after - NOW).days in (89, 90)


UNTRUSTED = {
    "certificate_expired": (ACME.pair(days=-3), "127.0.0.1", TRUSTING),
    "certificate_not_yet_valid": (ACME.pair(since_days=0.5), "127.0.0.1", TRUSTING),
    "certificate_of_unknown_ca": (ACME.pair(), "127.0.0.1", None),
    "certificate_of_another_name": (ACME.pair(), "another.example", TRUSTING),
}


@pytest.mark.parametrize("code", UNTRUSTED)
async def test_a_certificate_that_is_not_accepted_is_shown_and_nothing_is_sent(code: str) -> None:
    pair, host, identity = UNTRUSTED[code]
    async with going(another="127.0.0.1") as outbound, receiving(answering(OK), serving(pair)) as receiver:
        found = await look(outbound, at(receiver, host), identity)

    assert codes(found) == [code]
    assert found.tls
    assert (found.tls.verified, found.http) == (False, None)
    assert [one.subject for one in found.tls.chain] == ["CN=client"]
    assert receiver.requests == []


async def test_a_certificate_that_signed_itself_is_told_as_such() -> None:
    alone = Authority("alone")
    pair = Pair(alone.certificate, key_pem(alone.key))
    async with going() as outbound, receiving(answering(OK), serving(pair)) as receiver:
        assert codes(await look(outbound, at(receiver))) == ["certificate_self_signed"]


@pytest.mark.parametrize(("shown", "code"), [(False, "wanted"), (True, "refused")])
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_receiver_that_wants_another_client_certificate_says_so(
    shown: bool, code: str, newest: ssl.TLSVersion
) -> None:
    tls = serving(ACME.pair(), clients_of=ACME)
    tls.maximum_version = newest
    stranger = Authority("Other CA").pair(days=90)
    as_stranger = Identity(stranger.certificate, stranger.private_key, ACME.certificate)
    async with going() as outbound, refusing(tls) as receiver:
        found = await look(outbound, at(receiver), as_stranger if shown else TRUSTING)

    assert codes(found) == [f"client_certificate_{code}"]
    assert found.http is None


async def test_plain_http_has_no_tls_step_and_an_identity_does_not_go_there() -> None:
    async with going() as outbound, receiving(answering(OK)) as receiver:
        found = await look(outbound, at(receiver, scheme="http"), None)
        refused = await look(outbound, at(receiver, scheme="http"), TRUSTING)

    assert (found.tls, codes(found)) == (None, [])
    assert (codes(refused), len(receiver.requests)) == (["identity_without_tls"], 1)


async def test_a_port_that_speaks_no_tls_is_told_as_such() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        while await reader.read(1024):
            pass
        writer.close()

    async with listening(greet) as port, going() as outbound:
        assert codes(await look(outbound, f"https://127.0.0.1:{port}/")) == ["not_tls"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://user@example.com/", "url_refused"),
        ("https://gone.example/", "dns"),
        ("https://mixed.example/", "refused_address"),
        ("https://169.254.169.254/", "url_refused"),
        ("https://silent.example:9/", "url_refused"),
    ],
)
async def test_what_is_out_of_reach_is_told_and_not_connected_to(url: str, code: str) -> None:
    async with going(mixed="127.0.0.1 10.0.0.1") as outbound:
        found = await look(outbound, url)

    assert codes(found) == [code]
    assert found.address is None


async def test_every_address_is_shown_with_its_verdict() -> None:
    async with going(mixed="127.0.0.1 10.0.0.1 ::1") as outbound:
        found = await look(outbound, "https://mixed.example/")

    assert found.name
    refused = {one.address: one.refused for one in found.name.addresses}
    assert (refused["127.0.0.1"], refused["::1"]) == (None, None)
    assert "private" in (refused["10.0.0.1"] or "")


async def test_a_closed_port_is_told_and_so_is_an_address_that_alone_is_silent() -> None:
    async with going(both="127.0.0.2 127.0.0.1") as outbound, receiving(answering(OK)) as receiver:
        some = await look(outbound, at(receiver, "both.example", "http"), None)
    async with going() as outbound:
        none = await look(outbound, at(receiver, scheme="http"), None)

    assert (codes(some), some.address) == (["address_silent"], "127.0.0.1")
    assert some.name
    assert [one.lost for one in some.name.addresses] == ["connect_refused", None]
    assert codes(none) == ["connect_refused"]


async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("play", "code"),
    [
        (answering(OK.replace(b"200 OK", b"404 Not Found")), "not_2xx"),
        (answering(OK.replace(b"200 OK", b"302 Found")), "redirect"),
        (answering(OK.replace(b"200 OK", b"401 No")), "not_2xx"),
        (answering(b"SSH-2.0-OpenSSH\r\n\r\n"), "protocol"),
        (answering(b""), "timeout"),
        (break_off, "reset"),
    ],
)
async def test_an_answer_that_is_no_success_is_told(play: Play, code: str) -> None:
    async with going() as outbound, receiving(play) as receiver:
        assert codes(await look(outbound, at(receiver, scheme="http"), None, timeout_s=0.2)) == [code]


async def test_a_header_that_cannot_be_sent_is_a_finding() -> None:
    async with going() as outbound, receiving(answering(OK)) as receiver:
        assert codes(await look(outbound, at(receiver, scheme="http"), None, Bad="a\r\nb")) == ["bad_header"]


async def test_an_old_http_and_a_clock_that_is_off_are_told() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    said = f"HTTP/1.0 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()
    async with going() as outbound, receiving(answering(said)) as receiver:
        found = await look(outbound, at(receiver, scheme="http"), None)

    assert codes(found) == ["clock_skew"]
    assert found.http
    assert found.http.version == "1.0"
    assert found.skew
    assert 570 < found.skew.ahead_s < 630


async def test_what_ends_soon_is_told_while_there_is_time() -> None:
    client = ACME.pair("offhook", days=3)
    ours = Identity(client.certificate, client.private_key, ACME.certificate)
    async with going() as outbound, receiving(answering(OK), serving(ACME.pair(days=3))) as receiver:
        found = await look(outbound, at(receiver), ours)

    assert codes(found) == ["identity_ends_soon", "certificate_ends_soon"]
    assert found.http


async def test_an_identity_that_cannot_be_used_is_a_finding() -> None:
    async with going() as outbound, receiving(answering(OK), serving(ACME.pair())) as receiver:
        assert codes(await look(outbound, at(receiver), Identity("hello", "hidden"))) == ["identity_unusable"]


async def test_a_system_that_trusts_the_receiver_needs_no_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "system.pem").write_text(ACME.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    async with going() as outbound, receiving(answering(OK), serving(ACME.pair(days=90))) as receiver:
        assert codes(await look(outbound, at(receiver), None)) == []


@given(st.floats(-1e6, 1e6), st.floats(0, 30))
def test_the_skew_of_a_clock_lies_within_what_is_said(ahead_s: float, trip_s: float) -> None:
    sent = datetime(2026, 6, 1, 12, tzinfo=UTC)
    received = sent + timedelta(seconds=trip_s)
    theirs = sent + timedelta(seconds=ahead_s + trip_s / 2)

    skew = skew_of(format_datetime(theirs, usegmt=True), sent, received)

    assert skew
    assert abs(skew.ahead_s - ahead_s) <= skew.within_s + 1e-3


@given(st.text(max_size=40) | st.none())
def test_a_date_of_any_kind_is_read_or_is_none(date: str | None) -> None:
    skew = skew_of(date, NOW, NOW)

    assert skew is None or skew.within_s == 0.5


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (ConnectionResetError(), "hung_up"),
        (ssl.SSLEOFError(8, "EOF"), "hung_up"),
        (ssl.SSLError(1, "odd"), "handshake_failed"),
    ]
    + [(ValueError(), "handshake_failed")],
)
def test_every_failure_of_a_handshake_has_a_name(error: Exception, trouble: str) -> None:
    assert trouble_of(error) == trouble
