"""A certificate authority of a test, and servers that want to see its certificates."""

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

PEM = serialization.Encoding.PEM
DAY = timedelta(days=1)
Key = CertificateIssuerPrivateKeyTypes


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM texts."""

    certificate: str
    private_key: str


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


class Authority:
    """Signs certificates for clients and servers. `parent` makes it an intermediate."""

    def __init__(self, name: str, parent: "Authority | None" = None, *, days: float = 30) -> None:
        self.key: Key = ec.generate_private_key(ec.SECP256R1())
        self.name = named(name)
        issuer = parent or self
        self.certificate = issuer.sign(self.name, self.key, ca=True, days=days)

    def sign(
        self, subject: x509.Name, key: Key, *, ca: bool = False, days: float = 1, since: datetime | None = None
    ) -> str:
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(since or now - 60 * DAY)
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
        )
        if not ca:
            places = [x509.DNSName("receiver.example"), x509.IPAddress(ip_address("127.0.0.1"))]
            built = built.add_extension(x509.SubjectAlternativeName(places), critical=False)
        return built.sign(self.key, hashes.SHA256()).public_bytes(PEM).decode()

    def pair(self, name: str = "client", *, key: Key | None = None, days: float = 1, since_days: float = -60) -> Pair:
        """A certificate of this authority, valid from `since_days` to `days` from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        return Pair(self.sign(named(name), key, days=days, since=datetime.now(UTC) + since_days * DAY), key_pem(key))


def key_pem(key: Key, passphrase: bytes | None = None) -> str:
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, how).decode()


def serving(own: Pair, *, clients_of: Authority | None = None) -> ssl.SSLContext:
    """A server's context with this certificate, which wants one of `clients_of` from who calls."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(own.certificate + own.private_key)
        file.flush()
        context.load_cert_chain(file.name)
    if clients_of:
        context.load_verify_locations(cadata=clients_of.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
