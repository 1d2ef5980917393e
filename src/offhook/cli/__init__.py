"""The command `offhook`, for people and for scripts.

Exit codes: 0 done, 1 it failed, 2 it was asked wrongly or the installation is not fit for it. A failure is one line on
standard error, `offhook: what happened, and how to mend it`; the traceback is shown with OFFHOOK_LOG_LEVEL=debug.
"""

import os
import sys
import traceback

from offhook.cli.commands import app
from offhook.errors import CannotStart, Invalid, OffhookError

__all__ = ["main"]


def main() -> None:
    """Do what the command line says, and exit."""
    try:
        app(prog_name="offhook")
    except Invalid as failure:
        _give_up(failure, " ".join(f"{fault.param}: {fault.detail}" for fault in failure.faults), 2)
    except OffhookError as failure:
        _give_up(failure, failure.detail, 2 if isinstance(failure, CannotStart) else 1)
    except Exception as failure:
        _give_up(failure, f"{type(failure).__name__} was not foreseen. OFFHOOK_LOG_LEVEL=debug shows where.", 1)


def _give_up(failure: Exception, told: str, code: int) -> None:
    if os.environ.get("OFFHOOK_LOG_LEVEL", "").lower() == "debug":
        traceback.print_exception(failure)
    sys.stderr.write(f"offhook: {told}\n")
    sys.exit(code)
