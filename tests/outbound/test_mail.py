"""Handing in mail: the password goes where nobody can read along, or nowhere."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from tests.outbound.authority import Authority, serving

from offhook.outbound import mail
from offhook.outbound.mail import MailServer, NotSent, Sent


class PostOffice:
    """A mail server with a door for logins. `heard` are the passwords that were told to it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.taken = 0

    async def open(self, tls: ssl.SSLContext | None = None) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            lambda: SMTP(self, tls_context=tls, authenticator=self.login, auth_require_tls=False), "127.0.0.1", 0
        )

    def login(self, _server: Any, _session: Any, _envelope: Any, _how: str, told: LoginPassword) -> AuthResult:
        self.heard.append(told.password)
        return AuthResult(success=True)

    async def handle_DATA(self, _server: Any, _session: Any, _envelope: Any) -> str:
        self.taken += 1
        return "250 taken"


@pytest.fixture
def office() -> PostOffice:
    return PostOffice()


@pytest.fixture
async def plain(office: PostOffice) -> AsyncIterator[MailServer]:
    """It offers no TLS."""
    server = await office.open()
    yield _at(server)
    server.close()


@pytest.fixture
async def offering(office: PostOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MailServer]:
    """It offers TLS, with a certificate of an authority that this machine trusts."""
    authority = Authority("The operator's")
    (tmp_path / "trusted.pem").write_text(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    server = await office.open(serving(authority.pair("127.0.0.1")))
    yield _at(server)
    server.close()


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every server is another machine."""
    monkeypatch.setattr(mail, "_is_loopback", lambda _: False)


def _at(server: asyncio.Server) -> MailServer:
    return MailServer.parse(f"smtp://someone:s3cret@127.0.0.1:{server.sockets[0].getsockname()[1]}", "a@example.com")


async def hand_in(server: MailServer) -> Sent | NotSent:
    return await server.send(["b@example.com"], "Subject", "Text")


@pytest.mark.usefixtures("far")
async def test_a_password_is_not_told_where_anybody_could_read_it(office: PostOffice, plain: MailServer) -> None:
    told = await hand_in(plain)

    assert isinstance(told, NotSent)
    assert told.code == "mail_no_tls"
    assert "smtps://" in told.text
    assert (office.heard, office.taken) == ([], 0)


@pytest.mark.usefixtures("far")
async def test_a_password_goes_over_tls_where_it_is_offered(office: PostOffice, offering: MailServer) -> None:
    assert await hand_in(offering) == Sent()

    assert (office.heard, office.taken) == ([b"s3cret"], 1)


async def test_a_password_goes_to_this_very_machine_without_tls(office: PostOffice, plain: MailServer) -> None:
    assert await hand_in(plain) == Sent()

    assert (office.heard, office.taken) == ([b"s3cret"], 1)


@pytest.mark.usefixtures("far")
async def test_who_has_no_password_needs_no_tls(office: PostOffice, plain: MailServer) -> None:
    assert await hand_in(replace(plain, username=None, password=None)) == Sent()

    assert (office.heard, office.taken) == ([], 1)


async def test_a_certificate_that_nobody_trusts_is_told_so(
    office: PostOffice, offering: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    told = await hand_in(offering)

    assert isinstance(told, NotSent)
    assert told.code == "mail_tls"
    assert office.heard == []


@pytest.mark.parametrize(
    ("address", "itself"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("10.0.0.1", False), ("::2", False)],
)
def test_this_very_machine_is_told_from_its_neighbours(address: str, itself: bool) -> None:
    assert mail._is_loopback(address) is itself
