"""Structured logs. A line bears ids, codes and durations; never a name, a number, an address, a body or a key."""

import logging
import sys
import traceback
from pathlib import Path

import structlog


def configure(level: str, form: str) -> None:
    """Send every line to standard error, as text for people or JSON for machines."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def get(room: str) -> structlog.stdlib.BoundLogger:
    """The logger of a room; its name stands in every line."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(room=room)
    return logger


def place_of(failure: BaseException) -> str:
    """Where it was raised (`vault.py:117`): all that a log may tell of an unforeseen exception beside its type."""
    frames = traceback.extract_tb(failure.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
