"""What a key may do: a closed list, so that a misspelt scope is an error and not a key that mysteriously may nothing."""

import difflib
from collections.abc import Sequence

from offhook.errors import Fault, Forbidden, Invalid
from offhook.http import Caller

SCOPES = {
    "access": ("read", "write"),
    "calls": ("read", "write"),
    "campaigns": ("read", "write"),
    "events": ("read",),
    "jobs": ("read",),
    "leads": ("read", "read-personal", "write", "erase"),
    "providers": ("read", "write"),
    "routing": ("read", "write"),
    "sandbox": ("read", "write"),
    "sync": ("read", "write"),
    "webhooks": ("read", "write"),
}
ALL = ("*", *(f"{room}:{deed}" for room, deeds in SCOPES.items() for deed in ("*", *deeds)))


def check_scopes(scopes: Sequence[str]) -> None:
    """Raises Invalid `unknown_scope` naming every scope that does not exist, with the one probably meant."""
    faults = [Fault(f"scopes.{n}", "unknown_scope", _advice(s)) for n, s in enumerate(scopes) if s not in ALL]
    if faults:
        raise Invalid(faults)


def check_may_grant(who: Caller, scopes: Sequence[str]) -> None:
    """Raises Forbidden when a key would give away what it does not have."""
    beyond = [scope for scope in scopes if not who.may(scope)]
    if beyond:
        detail = f"A key can only give scopes that it has; this one lacks {', '.join(beyond)}."
        raise Forbidden("cannot_grant", detail, param="scopes")


def _advice(scope: str) -> str:
    near = difflib.get_close_matches(scope, ALL, n=1)
    return f"There is no such scope. Did you mean {near[0]}?" if near else f"There are: {', '.join(ALL)}."
