"""The SQL of a reset."""

from offhook.db import Tx


async def forget(tx: Tx) -> None:
    """Empty the sandbox of all that happened in it; what was set up (campaigns, targets, endpoints, keys) stays."""
    await tx.run("select forget_sandbox()")
