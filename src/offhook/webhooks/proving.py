"""From what the API was sent to what an endpoint is proved with: made, changed, rotated. Pure but for fresh keys."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from offhook.errors import Conflict, Fault, Invalid
from offhook.outbound.identity import Identity, NotAnIdentity
from offhook.webhooks.credentials import NoCredentials
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.proofs import Proofs
from offhook.webhooks.rotation import Keys, Ring, rotate
from offhook.webhooks.signing import NotASecret, SecondKey, Secret, SigningKey
from offhook.webhooks.wire import EndpointChange, EndpointIn, Rotation, TlsIn


@dataclass(frozen=True, slots=True)
class Proved:
    """What an endpoint is proved with, and what its owner is shown of it, this once."""

    proofs: Proofs
    shown: dict[str, str]


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


def rotated(proofs: Proofs, settings: EndpointSettings, body: Rotation, now: datetime) -> Proved:
    """The proofs with a new key, the old one signing beside it for a while. Raises Invalid, or Conflict without that key."""
    overlap, keys = timedelta(seconds=body.overlap_s), proofs.keys
    try:
        match body.key:
            case "secret":
                secret = Secret.parse(body.secret) if body.secret else Secret.new()
                after = replace(keys, secrets=rotate(keys.secrets, secret, now, overlap))
                return Proved(replace(proofs, keys=after), {"secret": secret.reveal()})
            case "ed25519":
                if keys.signing_keys is None:
                    raise _no_such_key("Set ed25519 to true first.")
                key = SigningKey.parse(body.secret) if body.secret else SigningKey.new()
                after = replace(keys, signing_keys=rotate(keys.signing_keys, key, now, overlap))
                return Proved(replace(proofs, keys=after), {"ed25519_public_key": key.public})
            case "second_signature":
                if keys.second is None or settings.second_signature is None:
                    raise _no_such_key("Set second_signature first.")
                second = SecondKey.parse(body.secret) if body.secret else SecondKey.new()
                after = replace(keys, second=rotate(keys.second, second, now, overlap))
                return Proved(replace(proofs, keys=after), {"second_signature_key": second.reveal()})
    except NotASecret as why:
        raise Invalid([Fault("secret", "bad_secret", f"This is no such key: {why}.")]) from None


def _second_key(proofs: Proofs, settings: EndpointSettings, brought: str | None) -> Proved:
    """The proofs with a key for the second signature where the settings want one, and none where they do not."""
    if settings.second_signature is None:
        if brought is not None:
            detail = "A key for a second signature needs second_signature: which header it goes in, and its style."
            raise Invalid([Fault("second_signature_key", "needs_second_signature", detail)])
        return Proved(replace(proofs, keys=replace(proofs.keys, second=None)), {})
    if proofs.keys.second is not None and brought is None:
        return Proved(proofs, {})
    key = SecondKey.parse(brought) if brought else SecondKey.new()
    keys = replace(proofs.keys, second=Ring(key))
    return Proved(replace(proofs, keys=keys), {"second_signature_key": key.reveal()})


def _identity(tls: TlsIn | None, now: datetime) -> Identity | None:
    if tls is None:
        return None
    try:
        return Identity.parse(tls.certificate, tls.private_key, tls.ca, now=now)
    except NotAnIdentity as why:
        raise Invalid([Fault(f"tls.{why.part}", "bad_certificate", f"It cannot be used: {why.why}.")]) from None


def _no_such_key(cure: str) -> Conflict:
    return Conflict("no_such_key", f"The endpoint does not sign with such a key. {cure}", param="key")
