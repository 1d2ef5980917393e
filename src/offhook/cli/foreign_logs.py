"""What libraries log, told in our log's form and without their arguments, which may quote a URL, a body or a person."""

import asyncio
import logging

from offhook import log


def retell() -> None:
    """From now on, what a library warns of is a line of ours. Idempotent."""
    logging.root.handlers = [_Retelling(logging.WARNING)]


class _Retelling(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        failure = record.exc_info[1] if record.exc_info else None
        if isinstance(failure, asyncio.CancelledError):
            return  # a request that a stop has cut off
        if str(record.msg).startswith("error ignored terminating"):
            return  # what follows a statement that failed among others: its own error is raised
        more = {"error": type(failure).__name__, "at": log.place_of(failure)} if failure else {}
        # The template alone: `error connecting in %r: %s`.
        log.get(record.name).warning("library_warning", said=str(record.msg).strip(), **more)
