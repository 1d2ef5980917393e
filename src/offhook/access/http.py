"""`/v1/api-keys`."""

from fastapi import APIRouter

from offhook.access.authenticator import Authenticator
from offhook.access.keys import ApiKeys, KeyChange, KeyIn
from offhook.access.scopes import check_may_grant
from offhook.http import Caller, Door, Wire
from offhook.http.resources import resource_router


def router(door: Door, authenticator: Authenticator) -> APIRouter:
    """The routes of API keys. A key is shown once, in the answer to its creation."""
    return resource_router(door, ApiKeys(authenticator), allow=_may_grant)


def _may_grant(who: Caller, body: Wire) -> None:
    if isinstance(body, KeyIn | KeyChange) and body.scopes is not None:
        check_may_grant(who, body.scopes)
