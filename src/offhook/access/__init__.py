"""Who may: workspaces, their two environments, and the API keys that open them.

A key belongs to one environment and bears scopes from a closed list, a rate and a burst. It is shown once; its hash is
stored. Changing or revoking one is broadcast and counts at once, at the latest a second later.
"""

from offhook.access.authenticator import Authenticator
from offhook.access.keys import IssuedKey, issue_key
from offhook.access.rates import leases_of
from offhook.access.store import is_live
from offhook.access.workspaces import any_workspace, create_workspace, set_clock

__all__ = [
    "Authenticator",
    "IssuedKey",
    "any_workspace",
    "create_workspace",
    "is_live",
    "issue_key",
    "leases_of",
    "set_clock",
]
