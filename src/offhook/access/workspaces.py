"""Workspaces: a customer of the installation, born with its two environments, `live` and `sandbox`."""

from datetime import timedelta

from offhook.access import store
from offhook.db import EngineTx, Tx


async def create_workspace(tx: Tx, name: str) -> None:
    """Make the workspace that `tx` is of, with both its environments.

    `tx` belongs to a tenant that does not exist yet: `database.transaction(Tenant(ids.new(), "live"))`.
    """
    await store.insert_workspace(tx, name)


async def any_workspace(tx: EngineTx) -> bool:
    """Whether the installation has a workspace yet."""
    return await store.any_workspace(tx)


async def set_clock(tx: Tx, offset: timedelta) -> None:
    """Set how far the sandbox's clock is ahead of the real one, from the next transaction on.

    The live environment's clock cannot be moved: the database refuses.
    """
    await store.set_clock_offset(tx, offset)
