"""Who may: workspaces, their two environments, and the API keys that open them."""

from offhook.access.workspaces import create_workspace, set_clock

__all__ = ["create_workspace", "set_clock"]
