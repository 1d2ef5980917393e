"""From what the API was sent to what an endpoint is proved with: made, changed, rotated. Pure but for fresh keys."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from offhook.errors import Conflict, Fault, Invalid
from offhook.outbound.identity import Identity, NotAnIdentity
from offhook.webhooks.credentials import ApiKey, ClientCredentials, NoCredentials, headers_of
from offhook.webhooks.endpoint_settings import EndpointSettings, SecondSignatureIn
from offhook.webhooks.proofs import Proofs
from offhook.webhooks.rotation import K, Keys, Ring, rotate
from offhook.webhooks.signing import NotASecret, SecondKey, Secret, SigningKey
from offhook.webhooks.wire import EndpointChange, EndpointIn, Rotation, TlsIn


@dataclass(frozen=True, slots=True)
class Proved:
    """What an endpoint is proved with, and what its owner is shown of it, this once."""

    proofs: Proofs
    shown: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rotated:
    """The keys after a rotation, what of them is shown, this once, and until when the old one signs (None: no more)."""

    keys: Keys
    shown: dict[str, str] = field(repr=False)
    old_expires_at: datetime | None


def made(body: EndpointIn, now: datetime) -> Proved:
    """The proofs of a new endpoint. Raises Invalid for a certificate that cannot be used."""
    secret = Secret.parse(body.secret) if body.secret else Secret.new()
    proofs = Proofs(
        Keys(Ring(secret), Ring(SigningKey.new()) if body.ed25519 else None),
        body.authentication.settled() if body.authentication else NoCredentials(),
        _identity(body.tls, now),
    )
    proved = _second_key(proofs, body.settings, body.second_signature_key)
    return Proved(proved.proofs, {"secret": secret.reveal(), **proved.shown})


def changed(
    proofs: Proofs, settings: EndpointSettings, body: EndpointChange, sent: frozenset[str], now: datetime
) -> Proved:
    """The proofs after this change. Raises Invalid."""
    keys = proofs.keys
    if "ed25519" in sent and bool(body.ed25519) != (keys.signing_keys is not None):
        keys = replace(keys, signing_keys=Ring(SigningKey.new()) if body.ed25519 else None)
    after = replace(proofs, keys=keys)
    if "authentication" in sent:
        after = replace(after, credentials=body.authentication.settled() if body.authentication else NoCredentials())
    if "tls" in sent:
        after = replace(after, identity=_identity(body.tls, now))
    return _second_key(after, settings, body.second_signature_key)


def rotated(proofs: Proofs, settings: EndpointSettings, body: Rotation, now: datetime) -> Rotated:
    """The proofs with a new key, the old one signing beside it for a while. Raises Invalid, or Conflict without that key."""
    overlap, keys = timedelta(seconds=body.overlap_s), proofs.keys
    try:
        match body.key:
            case "secret":
                secret = Secret.parse(body.secret) if body.secret else Secret.new()
                secrets = rotate(keys.secrets, secret, now, overlap)
                until = _signs_until(secrets, keys.secrets.newest)
                return Rotated(replace(keys, secrets=secrets), {"secret": secret.reveal()}, until)
            case "ed25519":
                if keys.signing_keys is None:
                    raise _no_such_key("Set ed25519 to true first.")
                key = SigningKey.parse(body.secret) if body.secret else SigningKey.new()
                signing_keys = rotate(keys.signing_keys, key, now, overlap)
                until = _signs_until(signing_keys, keys.signing_keys.newest)
                return Rotated(replace(keys, signing_keys=signing_keys), {"ed25519_public_key": key.public}, until)
            case "second_signature":
                if keys.second is None or settings.second_signature is None:
                    raise _no_such_key("Set second_signature first.")
                new = _key_of(settings.second_signature, body.secret)
                second = rotate(keys.second, new, now, overlap)
                until = _signs_until(second, keys.second.newest)
                return Rotated(replace(keys, second=second), {"second_signature_key": new.reveal()}, until)
    except NotASecret as why:
        raise Invalid([Fault("secret", "bad_secret", f"This is no such key: {why}.")]) from None


def unfit(url: str, settings: EndpointSettings, proofs: Proofs) -> list[Fault]:
    """What of an endpoint cannot go together, each fault where it is set."""
    second, credentials, taken = settings.second_signature, proofs.credentials, set(settings.headers)
    faults = []
    if second and second.header in taken:
        faults.append(_taken("second_signature.header"))
    taken |= {second.header} if second else set()
    theirs = {"authorization"} if isinstance(credentials, ClientCredentials) else headers_of(credentials).keys()
    if taken & {name.lower() for name in theirs}:
        faults.append(_taken("authentication.header" if isinstance(credentials, ApiKey) else "authentication"))
    if proofs.identity and url.lower().startswith("http:"):
        detail = "A certificate is shown, and a CA believed, on https only. Give an https:// URL, or leave tls out."
        faults.append(Fault("tls", "needs_https", detail))
    return faults


def astray(before: str, after: str, proofs: Proofs, sent: frozenset[str]) -> list[Fault]:
    """A fault when the URL would take credentials to a host that their owner has not given them for."""
    moved = _origin(before) != _origin(after)
    if not moved or "authentication" in sent or isinstance(proofs.credentials, NoCredentials):
        return []
    detail = (
        "The URL leads to another host, which would be shown the credentials. Send authentication with it, or null."
    )
    return [Fault("authentication", "needed_with_url", detail)]


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", url  # nobody knows where it leads, so it is no host that was given credentials
    return parts.scheme.lower(), parts.netloc.lower()


def _taken(param: str) -> Fault:
    detail = (
        "Another setting has this header: headers, second_signature or authentication. Choose another name for one."
    )
    return Fault(param, "header_taken", detail)


def _signs_until(ring: Ring[K], old: K) -> datetime | None:
    return next((one.expires_at for one in ring.retiring if one.key == old), None)


def _second_key(proofs: Proofs, settings: EndpointSettings, brought: str | None) -> Proved:
    """The proofs with a key for the second signature where the settings want one, and none where they do not."""
    signature, ring = settings.second_signature, proofs.keys.second
    if signature is None:
        if brought is not None:
            detail = "A key for a second signature needs second_signature: which header it goes in, and its style."
            raise Invalid([Fault("second_signature_key", "needs_second_signature", detail)])
        return Proved(replace(proofs, keys=replace(proofs.keys, second=None)), {})
    if ring is not None and brought is None:
        if ring.newest.verbatim == signature.verbatim_key:
            return Proved(proofs, {})
        read_anew = _checked_key(signature, ring.newest.text, "second_signature.verbatim_key")
        return Proved(replace(proofs, keys=replace(proofs.keys, second=replace(ring, newest=read_anew))), {})
    key = _checked_key(signature, brought, "second_signature_key")
    return Proved(replace(proofs, keys=replace(proofs.keys, second=Ring(key))), {"second_signature_key": key.reveal()})


def _checked_key(signature: SecondSignatureIn, text: str | None, param: str) -> SecondKey:
    try:
        return _key_of(signature, text)
    except NotASecret as why:
        cure = "" if signature.verbatim_key else " Where every letter of it counts, set second_signature.verbatim_key."
        raise Invalid([Fault(param, "bad_secret", f"This is no such key: {why}.{cure}")]) from None


def _key_of(signature: SecondSignatureIn, text: str | None) -> SecondKey:
    text = SecondKey.new().text if text is None else text
    return SecondKey.parse(text, verbatim=signature.verbatim_key)


def _identity(tls: TlsIn | None, now: datetime) -> Identity | None:
    if tls is None:
        return None
    try:
        return Identity.parse(tls.certificate, tls.private_key, tls.ca, now=now)
    except NotAnIdentity as why:
        raise Invalid([Fault(f"tls.{why.part}", "bad_certificate", f"It cannot be used: {why.why}.")]) from None


def _no_such_key(cure: str) -> Conflict:
    return Conflict("no_such_key", f"The endpoint does not sign with such a key. {cure}", param="key")
