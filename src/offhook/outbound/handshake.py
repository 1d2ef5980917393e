"""One TLS handshake on a socket that stands: what was agreed, whom the other side names, or why not. Sends nothing else."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography import x509

from offhook.outbound.wire import is_refusal_of_client, reason_of

TlsTrouble = Literal[
    "certificate_expired",
    "certificate_not_yet_valid",
    "certificate_self_signed",
    "certificate_of_unknown_ca",
    "certificate_of_another_name",
    "certificate_weak",
    "certificate_not_accepted",
    "client_certificate_refused",
    "not_tls",
    "no_common_protocol",
    "hung_up",
    "timeout",
    "handshake_failed",
]

_HEARS_OUT_S = 0.25
"""TLS 1.3 is done before the server has seen our certificate: its refusal comes after, if it comes."""

_VERIFY_CODES: dict[int, TlsTrouble] = {  # X509_V_ERR_… of OpenSSL
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    18: "certificate_self_signed",
    19: "certificate_of_unknown_ca",
    20: "certificate_of_unknown_ca",
    21: "certificate_of_unknown_ca",
    2: "certificate_of_unknown_ca",
    62: "certificate_of_another_name",
    64: "certificate_of_another_name",
    66: "certificate_weak",
    67: "certificate_weak",
    68: "certificate_weak",
}
_REASONS: dict[str, TlsTrouble] = {
    "WRONG_VERSION_NUMBER": "not_tls",
    "HTTP_REQUEST": "not_tls",
    "RECORD_LAYER_FAILURE": "not_tls",
    "UNSUPPORTED_PROTOCOL": "no_common_protocol",
    "TLSV1_ALERT_PROTOCOL_VERSION": "no_common_protocol",
    "NO_PROTOCOLS_AVAILABLE": "no_common_protocol",
    "DH_KEY_TOO_SMALL": "certificate_weak",
    "EE_KEY_TOO_SMALL": "certificate_weak",
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate of a receiver's chain says of itself. `names` are its DNS names and addresses."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shaken:
    """The handshake was done: the chain as the receiver sent it, its own certificate first."""

    version: str
    cipher: str
    chain: tuple[Certificate, ...]


async def shake(sock: socket.socket, trust: ssl.SSLContext, host: str, within_s: float) -> Shaken | TlsTrouble:
    """Shake hands as a client, then hear for a moment whether the other side takes it back. Raises nothing."""
    try:
        shaking = _Shaking(sock, trust, host)
        async with asyncio.timeout(within_s):
            await shaking.run()
        await shaking.hear_out()
    except TimeoutError:
        return "timeout"
    except (ssl.SSLError, OSError, ValueError) as error:
        return trouble_of(error)
    return shaking.agreed()


def trouble_of(error: Exception) -> TlsTrouble:
    """The kind of a failed handshake. Pure."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_CODES.get(error.verify_code, "certificate_not_accepted")
    if isinstance(error, ssl.SSLEOFError) or not isinstance(error, ssl.SSLError):
        return "hung_up" if isinstance(error, OSError) else "handshake_failed"
    if is_refusal_of_client(error):
        return "client_certificate_refused"
    return _REASONS.get(reason_of(error), "handshake_failed")


class _Shaking:
    def __init__(self, sock: socket.socket, trust: ssl.SSLContext, host: str) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trust.wrap_bio(self._incoming, self._outgoing, server_hostname=host.rstrip("."))

    async def run(self) -> None:
        done = False
        while not done:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            finally:
                await self._flush()
            if not done:
                await self._receive()

    async def hear_out(self) -> None:
        try:
            async with asyncio.timeout(_HEARS_OUT_S):
                while await self._receive():
                    try:
                        self._tls.read(1)
                    except ssl.SSLWantReadError:
                        continue
        except (TimeoutError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return

    def agreed(self) -> Shaken:
        cipher = self._tls.cipher()
        return Shaken(self._tls.version() or "", cipher[0] if cipher else "", _chain(self._tls))

    async def _flush(self) -> None:
        if data := self._outgoing.read():  # also the alert that says why we leave
            await asyncio.get_running_loop().sock_sendall(self._sock, data)

    async def _receive(self) -> bool:
        data = await asyncio.get_running_loop().sock_recv(self._sock, 16_384)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)


def _chain(tls: ssl.SSLObject) -> tuple[Certificate, ...]:
    # Python 3.13 has this by a public name; before, only the object within has it.
    ask = getattr(tls, "get_unverified_chain", None) or getattr(
        getattr(tls, "_sslobj", None), "get_unverified_chain", None
    )
    if ask is None:
        own = tls.getpeercert(binary_form=True)
        return tuple(filter(None, [_read(own)])) if own else ()
    found = (one if isinstance(one, bytes) else ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in ask() or ())
    return tuple(filter(None, map(_read, found)))


def _read(der: bytes) -> Certificate | None:
    try:
        one = x509.load_der_x509_certificate(der)
        subject, issuer = one.subject.rfc4514_string(), one.issuer.rfc4514_string()
        return Certificate(subject, issuer, one.not_valid_before_utc, one.not_valid_after_utc, _names(one))
    except ValueError:
        return None  # OpenSSL reads more than is well-formed


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = extension.get_values_for_type(x509.DNSName)
    return (*names, *map(str, extension.get_values_for_type(x509.IPAddress)))
