"""How we prove ourselves to a receiver beside the signature: what its gateway asks of every caller. Pure."""

import base64
from dataclasses import dataclass, field, fields
from typing import Any, Literal

MASK = "***"


@dataclass(frozen=True, slots=True)
class NoCredentials:
    """The signature is enough."""


@dataclass(frozen=True, slots=True)
class Basic:
    """RFC 7617. The user's name holds no colon, which ends it."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bearer:
    """RFC 6750, with a token that somebody else renews."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key in a header of the receiver's choice."""

    header: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth 2.0, RFC 6749 section 4.4: a token of the receiver's own server, got and renewed by `tokens`.

    `scope` and `audience` are not asked for when empty. `client_auth` says whether id and secret stand in a Basic
    header or in the form, RFC 6749 section 2.3.1.
    """

    token_url: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    audience: str = ""
    client_auth: Literal["basic", "body"] = "basic"


Static = NoCredentials | Basic | Bearer | ApiKey
Credentials = Static | ClientCredentials

_KINDS: dict[str, type[Credentials]] = {
    "none": NoCredentials,
    "basic": Basic,
    "bearer": Bearer,
    "api_key": ApiKey,
    "oauth2": ClientCredentials,
}
_TYPES = {kind: name for name, kind in _KINDS.items()}
_SECRET = frozenset({"password", "token", "value", "client_secret"})


class NotCredentials(ValueError):
    """What was sealed as credentials holds none; `str()` of it shows nothing of what it holds."""


def headers_of(credentials: Static) -> dict[str, str]:
    """The headers that prove us, with secrets in clear. A token of OAuth 2.0 goes as `Bearer`."""
    match credentials:
        case NoCredentials():
            return {}
        case Basic(username, password):
            return {"authorization": basic(username, password)}
        case Bearer(token):
            return {"authorization": f"Bearer {token}"}
        case ApiKey(header, value):
            return {header: value}


def basic(username: str, password: str) -> str:
    """The value of a Basic `authorization`, in UTF-8."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def packed(credentials: Credentials) -> dict[str, str]:
    """JSON-ready, with secrets in clear: to be sealed, and never shown. `unpacked` reads it."""
    settings = {each.name: getattr(credentials, each.name) for each in fields(credentials)}
    return {"type": _TYPES[type(credentials)], **settings}


def unpacked(told: dict[str, Any]) -> Credentials:
    """What `packed` told. Raises NotCredentials."""
    settings = dict(told)
    kind = _KINDS.get(settings.pop("type", ""))
    if kind is None or not all(isinstance(value, str) for value in settings.values()):
        raise NotCredentials("what was sealed as credentials is of no known type")
    try:
        return kind(**settings)
    except TypeError:
        raise NotCredentials(
            f"what was sealed as credentials lacks a field of {kind.__name__}, or has others"
        ) from None


def shown(credentials: Credentials) -> dict[str, str]:
    """As the API shows them: their type and settings, `***` for a secret."""
    return {name: MASK if name in _SECRET else value for name, value in packed(credentials).items()}
