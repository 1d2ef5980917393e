"""Credentials as the API takes them: `{"type": "none|basic|bearer|api_key|oauth2", …}`."""

from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from offhook.http import Wire
from offhook.webhooks.credentials import MASK, ApiKey, Basic, Bearer, ClientCredentials, NoCredentials
from offhook.webhooks.headers import NAME_CAP, VALUE_CAP, header_fault, value_fault


def _without(fault: Callable[[str], str | None], code: str) -> AfterValidator:
    def check(text: str) -> str:
        if why := fault(text):
            raise PydanticCustomError(code, "{why}", {"why": why})
        return text

    return AfterValidator(check)


def _name_fault(text: str) -> str | None:
    return "A user's name holds no colon, since that ends it (RFC 7617)." if ":" in text else _text_fault(text)


def _text_fault(text: str) -> str | None:
    return None if text.isprintable() else "Control characters and line breaks are not allowed here."


def _token_fault(text: str) -> str | None:
    return "A token holds no blank." if " " in text else value_fault(text)


def _stars_fault(text: str) -> str | None:
    # What was read is sent back, and would be kept as the secret.
    stars = "These stars stand for the secret that is kept. Send the secret, or leave authentication out to keep it."
    return stars if text == MASK else None


def _url_fault(text: str) -> str | None:
    return None if _is_url(text) else "This must be a URL that begins with https://, without credentials and fragment."


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    whole = parts.scheme in ("https", "http") and parts.netloc != "" and text.isprintable() and " " not in text
    return whole and "@" not in parts.netloc and "#" not in text


def _length(most: int, least: int = 1) -> StringConstraints:
    return StringConstraints(min_length=least, max_length=most)


_Secret = Field(repr=False)
_NoStars = _without(_stars_fault, "masked_secret")
_Header = Annotated[str, _length(NAME_CAP), _without(header_fault, "bad_header")]
_Value = Annotated[str, _length(VALUE_CAP), _without(value_fault, "bad_value"), _NoStars, _Secret]
_Token = Annotated[str, _length(VALUE_CAP), _without(_token_fault, "bad_value"), _NoStars, _Secret]
_Username = Annotated[str, _length(256), _without(_name_fault, "bad_value")]
_Password = Annotated[str, _length(1024), _without(_text_fault, "bad_value"), _NoStars, _Secret]
_Url = Annotated[str, _length(2048), _without(_url_fault, "bad_url"), _Secret]
# RFC 6749, appendix A: what ids, secrets and scopes are made of.
_Client = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[ -~]*$")]
_Scope = Annotated[str, StringConstraints(max_length=1024, pattern=r"^([!#-\[\]-~]+( [!#-\[\]-~]+)*)?$")]
_Audience = Annotated[str, _length(1024, 0), _without(_text_fault, "bad_value")]


class NoCredentialsIn(Wire):
    """The signature is enough."""

    type: Literal["none"]

    def settled(self) -> NoCredentials:
        return NoCredentials()


class BasicIn(Wire):
    """A user's name and password, RFC 7617."""

    type: Literal["basic"]
    username: _Username
    password: _Password

    def settled(self) -> Basic:
        return Basic(self.username, self.password)


class BearerIn(Wire):
    """A token that you renew yourself."""

    type: Literal["bearer"]
    token: _Token

    def settled(self) -> Bearer:
        return Bearer(self.token)


class ApiKeyIn(Wire):
    """A key in a header of your choice."""

    type: Literal["api_key"]
    header: _Header
    value: _Value

    def settled(self) -> ApiKey:
        return ApiKey(self.header, self.value)


class ClientCredentialsIn(Wire):
    """OAuth 2.0 client credentials: we get a token at `token_url` and renew it before it ends."""

    type: Literal["oauth2"]
    token_url: _Url
    client_id: _Client
    client_secret: Annotated[_Client, _NoStars, _Secret]
    scope: _Scope = ""
    audience: _Audience = ""
    client_auth: Literal["basic", "body"] = "basic"

    def settled(self) -> ClientCredentials:
        return ClientCredentials(
            self.token_url, self.client_id, self.client_secret, self.scope, self.audience, self.client_auth
        )


CredentialsIn = Annotated[
    NoCredentialsIn | BasicIn | BearerIn | ApiKeyIn | ClientCredentialsIn, Field(discriminator="type")
]
"""The field of a model of the API; `.settled()` of what it holds are the Credentials."""
