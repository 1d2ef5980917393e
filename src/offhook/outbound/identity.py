"""Who we are to a receiver, and whom we believe: a client certificate, a CA of the receiver's own, or both."""

import hashlib
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

Part = Literal["certificate", "private_key", "ca"]

_PEM_CAP = 65_536
_KEY_HEAD = "PRIVATE KEY-----"


class Trust(ssl.SSLContext):
    """A context that knows whether a handshake was begun with it: asyncio calls `wrap_bio` once TCP stands."""

    begun = False

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        self.begun = True
        return super().wrap_bio(*args, **kwargs)


class NotAnIdentity(ValueError):
    """`part` is what is wrong, `why` says how and what to do; it holds nothing of a key."""

    def __init__(self, part: Part, why: str) -> None:
        super().__init__(f"{part}: {why}")
        self.part: Part = part
        self.why = why


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """PEM texts, each "" when there is none. Made by `parse`; what `parse` let through before may be built straight.

    `certificate` is the client's own first, then its intermediates. With a `ca` only that CA is trusted, else the
    system's. Two of the same texts are equal, which costs no more than comparing a digest.
    """

    certificate: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    ca: str = field(default="", repr=False)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        parts = [hashlib.sha256(part.encode()).digest() for part in (self.certificate, self.private_key, self.ca)]
        object.__setattr__(self, "fingerprint", sys.intern(hashlib.sha256(b"".join(parts)).hexdigest()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @classmethod
    def parse(cls, certificate: str, private_key: str, ca: str, *, now: datetime) -> "Identity":
        """The identity of these PEM texts, "" for none. Raises NotAnIdentity when no connection could be made with it.

        Refused: what cannot be read, a certificate without its key or with another's, an encrypted key, what is not
        valid at `now`, a CA that is none, and what OpenSSL takes for too weak. Reads nothing and asks nobody.
        """
        certificate, private_key, ca = certificate.strip(), private_key.strip(), ca.strip()
        if not (certificate or private_key or ca):
            raise NotAnIdentity("certificate", "give a client certificate with its key, a CA, or both")
        if certificate or private_key:
            _check_client(certificate, private_key, now)
        if ca:
            _check_ca(ca, now)
        identity = cls(certificate, private_key, ca)
        identity.trust()
        return identity

    @property
    def subject(self) -> str:
        """Whom the client certificate names, else the first CA, as RFC 4514 writes it, like `CN=offhook,O=Acme`."""
        return _certificates("certificate", self.certificate or self.ca)[0].subject.rfc4514_string()

    @property
    def expires_at(self) -> datetime:
        """Until when it can work: the end of the client certificate or of the last valid CA, whichever is sooner."""
        ends = []
        if self.certificate:
            ends.append(_certificates("certificate", self.certificate)[0].not_valid_after_utc)
        if self.ca:
            ends.append(max(one.not_valid_after_utc for one in _certificates("ca", self.ca)))
        return min(ends)

    def trust(self, *, verified: bool = True) -> Trust:
        """A context for connections as this identity. Takes some 20 ms of CPU without a `ca`. Raises NotAnIdentity.

        Not `verified`: whoever answers is believed, so nothing may be sent.
        """
        trust = Trust(ssl.PROTOCOL_TLS_CLIENT)
        if not verified:
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        elif self.ca:
            _trust_only(trust, self.ca)
        else:
            trust.load_default_certs()
        if self.certificate:
            _show(trust, self.certificate, self.private_key)
        return trust


def _trust_only(trust: ssl.SSLContext, ca: str) -> None:
    trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate may be the CA that is believed
    try:
        trust.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError):
        raise NotAnIdentity("ca", "OpenSSL cannot read it; give certificates as PEM") from None


def _show(trust: ssl.SSLContext, certificate: str, private_key: str) -> None:
    with _fleeting(f"{certificate}\n{private_key}\n".encode()) as file:
        try:
            trust.load_cert_chain(file)
        except ssl.SSLError as why:
            reason = "the key is too small" if "TOO_SMALL" in (why.reason or "") else "its algorithm or strength"
            raise NotAnIdentity(
                "certificate", f"OpenSSL does not take it: {reason}; use EC P-256 or RSA 2048"
            ) from None


@contextmanager
def _fleeting(content: bytes) -> Iterator[str]:
    """A file that only this process can open, while it is needed: `ssl` loads a key from nothing else."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("identity", os.MFD_CLOEXEC), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as file:  # of mode 0600
            file.write(content)
            file.flush()
            yield file.name


def _check_client(certificate: str, private_key: str, now: datetime) -> None:
    if not certificate:
        raise NotAnIdentity("certificate", "missing; a private key is of no use without its certificate")
    if not private_key:
        raise NotAnIdentity("private_key", "missing; a client certificate cannot be shown without its key")
    own, *_ = _certificates("certificate", certificate)
    if _public_part(private_key) != own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise NotAnIdentity("private_key", "belongs to another certificate; the client's own comes first in the chain")
    _check_time("certificate", [own], now)


def _check_ca(ca: str, now: datetime) -> None:
    authorities = _certificates("ca", ca)
    if no_ca := next((one for one in authorities if not _may_sign(one)), None):
        name = no_ca.subject.rfc4514_string()
        raise NotAnIdentity("ca", f"{name} is no CA, since its basic constraints do not say so; give who signed it")
    _check_time("ca", authorities, now)


def _check_time(part: Part, certificates: Sequence[x509.Certificate], now: datetime) -> None:
    """One that is valid is enough: a bundle holds the old CA beside the new one."""
    if any(one.not_valid_before_utc <= now <= one.not_valid_after_utc for one in certificates):
        return
    end = max(one.not_valid_after_utc for one in certificates)
    if end < now:
        raise NotAnIdentity(part, f"expired on {end:%Y-%m-%d %H:%M} UTC; give its successor")
    start = min(one.not_valid_before_utc for one in certificates)
    raise NotAnIdentity(part, f"is not valid before {start:%Y-%m-%d %H:%M} UTC")


def _certificates(part: Part, pem: str) -> list[x509.Certificate]:
    if len(pem) > _PEM_CAP:
        raise NotAnIdentity(part, f"longer than {_PEM_CAP} characters")
    if _KEY_HEAD in pem:
        raise NotAnIdentity(part, "holds a private key, which belongs in a field of its own")
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise NotAnIdentity(part, "not PEM; it begins with -----BEGIN CERTIFICATE-----") from None


def _public_part(pem: str) -> bytes:
    if len(pem) > _PEM_CAP:
        raise NotAnIdentity("private_key", f"longer than {_PEM_CAP} characters")
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise NotAnIdentity("private_key", "encrypted; give it without a passphrase, it is sealed here") from None
    except (ValueError, UnsupportedAlgorithm):
        raise NotAnIdentity(
            "private_key", "not PEM of a private key; it begins with -----BEGIN PRIVATE KEY-----"
        ) from None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False
