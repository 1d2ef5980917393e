"""As whom the PostgreSQL of our own runs.

PostgreSQL refuses root. For root it runs in a user namespace, where it bears another number but may do with files what
their owner may; where that is forbidden (most containers), or somebody's home is closed to it, as the owner of the
surrounding directory, or as nobody.
"""

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offhook.errors import CannotStart

_NOBODY = 65_534
_NAMESPACE = ("unshare", "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}", "--")


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Whoever runs its programs. `owner` owns its files, as seen from outside of a namespace."""

    owner: int
    prefix: tuple[str, ...] = ()

    def run(self, *command: str | Path, output: int = subprocess.DEVNULL, **environment: str) -> bool:
        """Whether the command could be run and succeeded. It sees nothing of our environment but PATH."""
        other = {"user": self.owner, "group": _NOBODY, "extra_groups": ()}
        identity: dict[str, Any] = {} if self.owner == os.geteuid() else other
        with suppress(OSError):
            done = subprocess.run(  # noqa: S603 - fixed programs, no shell
                [*self.prefix, *command],
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in the terminal is for us to handle
                **identity,
            )
            return bool(done.returncode == 0)
        return False

    def may_enter(self, path: Path) -> bool:
        """By trying, since permission bits do not tell of access lists, namespaces or security modules."""
        return self.run("test", "-x", path)

    def has_name(self) -> bool:
        """initdb insists on one; a container often runs under a bare number."""
        return self.run("id", "-un")

    def own(self, top: Path) -> None:
        """Hand over a file, or a directory with all that is in it; the top comes last, for it tells that all is done."""
        if top.stat().st_uid != self.owner:
            for path in (*top.rglob("*"), top):
                os.chown(path, self.owner, -1, follow_symlinks=False)


def choose_user(data_dir: Path, program: Path) -> ServerUser:
    """Who may enter both the data directory and the program. Raises CannotStart that says which way is closed to whom."""
    me, home, around = os.geteuid(), data_dir / "postgres", data_dir.parent.stat().st_uid
    candidates = [ServerUser(me, _NAMESPACE), *([ServerUser(around)] if around else []), ServerUser(_NOBODY)]
    if me != 0:
        return ServerUser(me) if ServerUser(me).has_name() else candidates[0]
    if home.exists() and (owner := home.stat().st_uid) != 0:
        candidates = [ServerUser(owner)]
    for user in candidates:
        if user.may_enter(data_dir) and user.may_enter(program) and user.has_name():
            return user
    ways = [*reversed(data_dir.parents), data_dir, *reversed(program.parents), program]
    closed = next((path for path in ways if not user.may_enter(path)), data_dir)
    raise CannotStart(
        "no_user_for_postgres",
        f"PostgreSQL refuses root, and user {user.owner} may not enter {closed}. Run `chmod o+x {closed}`, or run Offhook "
        "as a normal user, or set OFFHOOK_DATABASE_URL.",
    )
