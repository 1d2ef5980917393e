"""The stage of every journey."""

from tests.journeys.stage import stage

__all__ = ["stage"]
