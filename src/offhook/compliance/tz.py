"""The clocks of places, read from the pinned `tzdata` wheel and from nowhere else.

`zoneinfo.ZoneInfo(key)` prefers the files of the operating system, which may be a year old: a stock Debian 12 of
November 2026 is an hour wrong in British Columbia, Alberta and Manitoba. So legal time never asks it, and what the
rest of the process does with `zoneinfo` does not matter here.
"""

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@cache
def tzdata_version() -> str:
    """The IANA release that legal time is computed with, like `2026f`."""
    with files("tzdata").joinpath("zoneinfo", "tzdata.zi").open(encoding="utf-8") as source:
        return source.readline().removeprefix("# version ").strip()


@cache
def zone(key: str) -> ZoneInfo:
    """The clock of an IANA zone. Raises ZoneInfoNotFoundError for a name that the pinned release does not know."""
    if key not in known_zones():
        raise ZoneInfoNotFoundError(f"{key} is not a zone of tzdata {tzdata_version()}")
    with files("tzdata").joinpath("zoneinfo", *key.split("/")).open("rb") as compiled:
        return ZoneInfo.from_file(compiled, key=key)


@cache
def known_zones() -> frozenset[str]:
    """Every zone name of the pinned release."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())
