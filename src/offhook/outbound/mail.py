"""E-mail by the operator's own server (SMTP, RFC 5321). To a user's address, never to a user's server."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import make_msgid
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

import aiosmtplib

_TIMEOUT_S = 20.0
_NO_TLS = "the mail server offers no TLS, so the password was not told; let it offer STARTTLS, or write smtps:// for its TLS port"
_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Sent:
    """The server took it for every address."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """It did not go, or not to everybody: `code` for machines, `text` in plain words and without an address."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in. `smtps` speaks TLS from the start, `smtp` as soon as the server offers it.

    A password goes over TLS only, or to this very machine.
    """

    host: str
    port: int
    implicit_tls: bool
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sender: str = "offhook@localhost"

    @classmethod
    def parse(cls, url: str, sender: str) -> "MailServer":
        """The server that `smtp[s]://user:password@host:port` names. Raises ValueError when it names none."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("a mail server is written as smtp://host:587 or smtps://user:password@host:465")
        return cls(
            parts.hostname,
            parts.port or _PORTS[parts.scheme],
            parts.scheme == "smtps",
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            sender,
        )

    async def send(self, to: Sequence[str], subject: str, text: str) -> Sent | NotSent:
        """Hand a message in, in 20 seconds at most. Never raises for what the network or the server does."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self.sender, ", ".join(to), subject
        message["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._connected() as client:
                if self.username is not None:
                    if not _is_private(client):
                        return NotSent("mail_no_tls", _NO_TLS)
                    await client.login(self.username, self.password or "")
                refused, _ = await client.send_message(message)
        except aiosmtplib.SMTPAuthenticationError:
            return NotSent("mail_login", "the mail server did not accept user and password")
        except aiosmtplib.SMTPRecipientsRefused:
            return NotSent("mail_address", "the mail server refused every address")
        except aiosmtplib.SMTPResponseException as why:
            return NotSent(f"mail_{why.code}", f"the mail server answered {why.code}")
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as why:
            if isinstance(why, ssl.SSLError) or isinstance(why.__cause__, ssl.SSLError):
                return NotSent(
                    "mail_tls", "the mail server's certificate is not valid here, or it speaks no TLS that we do"
                )
            return NotSent("mail_unreachable", "the mail server did not answer in time")
        return NotSent("mail_address", "the mail server refused some addresses") if refused else Sent()

    def _connected(self) -> aiosmtplib.SMTP:
        """It takes TLS wherever it is offered; who is on the way can make that nowhere, so a login looks first."""
        return aiosmtplib.SMTP(hostname=self.host, port=self.port, use_tls=self.implicit_tls, timeout=_TIMEOUT_S)


def _is_private(client: aiosmtplib.SMTP) -> bool:
    """Whether nobody on the way can read along: by TLS, or since there is no way."""
    if client.get_transport_info("sslcontext") is not None:
        return True
    peer = client.get_transport_info("peername")
    return peer is not None and _is_loopback(peer[0])


def _is_loopback(address: str) -> bool:
    return ip_address(address).is_loopback
