"""The rows of workspaces, environments and API keys."""

from datetime import timedelta

from offhook.db import Tx


async def insert_workspace(tx: Tx, name: str) -> None:
    await tx.run(
        "insert into workspace (id, name, created_at) values (%(ws)s, %(name)s, %(wall)s)",
        {**tx.keys, "name": name, "wall": tx.wall},
    )
    # Row-level security lets a transaction write its own environment only, so it becomes each in turn.
    for environment in ("live", "sandbox"):
        await tx.run("select set_config('offhook.environment', %(env)s, true)", {"env": environment})
        await tx.run(
            "insert into environment (workspace_id, environment) values (%(ws)s, %(env)s)",
            {**tx.keys, "env": environment},
        )
    await tx.run("select set_config('offhook.environment', %(env)s, true)", tx.keys)


async def set_clock_offset(tx: Tx, offset: timedelta) -> None:
    await tx.run(
        "update environment set clock_offset = %(offset)s where workspace_id = %(ws)s and environment = %(env)s",
        {**tx.keys, "offset": offset},
    )
