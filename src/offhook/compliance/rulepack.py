"""A rule pack as a lawyer reads it: one YAML file per jurisdiction, one class per part of it.

A key that is not known is an error, never silence: a misspelt `sun` would otherwise be a Sunday without a rule.
Whoever signs a pack edits `reviewed` and nothing else.
"""

from collections.abc import Mapping
from datetime import date, time
from typing import Annotated, Any, Literal

import yaml
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Modality = Literal["live", "artificial_voice", "prerecorded"]
Verified = Literal["P", "S2", "S1", "U"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAY = "holiday"

WallSpan = tuple[time, time]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cite(_Part):
    """Where it is written. `verified`: P the law's own text was read, S2 and S1 secondary sources, U unverified."""

    text: str
    url: str | None = None
    quote: str | None = None
    sha256: str | None = None
    seen: date | None = None
    verified: Verified


class Reviewed(_Part):
    by: str | None
    role: str
    on: date | None
    expires: date | None
    status: Literal["unreviewed", "reviewed"]


class Applies(_Part):
    """Whom a rule binds. Only `modality` is asked today; a rule narrowed by the rest binds all, which is stricter."""

    modality: Annotated[tuple[Modality, ...], Field(min_length=1)]
    purpose: tuple[Literal["telemarketing"], ...]
    line: tuple[Literal["any"], ...]
    party: tuple[Literal["consumer", "business"], ...]


class Effective(_Part):
    """The local days [from, to) on which a rule is law; null is open."""

    from_: date | None = Field(alias="from")
    to: date | None


def _spans_by_day(raw: Any) -> dict[str, WallSpan | None]:
    if not isinstance(raw, Mapping):
        raise ValueError('days must map days to hours, like {mon-sat: ["09:00", "19:00"], sun: []}')
    spans: dict[str, WallSpan | None] = {}
    for key, hours in raw.items():
        for day in _days(str(key)):
            if day in spans:
                raise ValueError(f"{day} has hours twice")
            spans[day] = _span(hours)
    if missing := [day for day in DAYS if day not in spans]:
        raise ValueError(f"no hours for {', '.join(missing)}; a day without calls is written []")
    return spans


def _days(key: str) -> tuple[str, ...]:
    first, _, last = key.partition("-")
    if key == HOLIDAY:
        return (HOLIDAY,)
    if first not in DAYS or (last or first) not in DAYS:
        raise ValueError(f"{key} is neither a day (mon … sun), nor days (mon-sat), nor holiday")
    return DAYS[DAYS.index(first) : DAYS.index(last or first) + 1]


def _span(hours: Any) -> WallSpan | None:
    if hours == []:
        return None
    try:
        start, end = map(time.fromisoformat, hours)
    except (TypeError, ValueError):
        raise ValueError(f'hours are ["HH:MM", "HH:MM"] or [], not {hours}') from None
    if start >= end:
        raise ValueError(f"hours must end after they start, not {hours}")
    return start, end


class WindowRule(_Part):
    """The local hours [start, end) in which a call may begin, by day. Days with None have no such hours."""

    kind: Literal["window"]
    id: str
    applies: Applies
    effective: Effective
    tz: Literal["local"]
    days: Annotated[dict[str, WallSpan | None], BeforeValidator(_spans_by_day)]
    # Never asked: an exemption needs evidence and counsel's word, and to ignore one is only stricter.
    exempt_if: tuple[str, ...] = ()
    cite: Cite
    supersedes: str | None = None


class HolidayRule(_Part):
    """Which table of dates `holiday` in this pack means."""

    kind: Literal["holiday"]
    id: str
    dates_ref: str
    cite: Cite


class Example(_Part):
    """What the pack must answer at an instant. Without a zone, every zone of the jurisdiction must agree."""

    at: AwareDatetime
    zone: str | None = None
    modality: Modality = "artificial_voice"
    expect: Annotated[str, Field(pattern=r"^(allow|deny:[A-Z_0-9]+)$")]


class Pack(_Part):
    """One jurisdiction's rules."""

    format: Literal["offhook.rulepack/1"] = Field(alias="schema")
    jurisdiction: Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z]{2})?$")]
    revision: str
    reviewed: Reviewed
    holidays_valid_through: date | None
    rules: Annotated[tuple[Annotated[WindowRule | HolidayRule, Field(discriminator="kind")], ...], Field(min_length=1)]
    tests: Annotated[tuple[Example, ...], Field(min_length=1)]

    @property
    def windows(self) -> tuple[WindowRule, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, WindowRule))

    @property
    def calendar(self) -> HolidayRule | None:
        return next((rule for rule in self.rules if isinstance(rule, HolidayRule)), None)

    @model_validator(mode="after")
    def _holds_together(self) -> "Pack":
        ids = [rule.id for rule in self.rules]
        if len(set(ids)) < len(ids):
            raise ValueError("two rules have the same id")
        if not all(rule.supersedes in {None, *ids} for rule in self.windows):
            raise ValueError("supersedes names a rule that is not in the pack")
        if sum(isinstance(rule, HolidayRule) for rule in self.rules) > 1:
            raise ValueError("a pack has one table of holidays")
        if (self.calendar is None) != (self.holidays_valid_through is None):
            raise ValueError("a holiday rule and holidays_valid_through need each other")
        if self.calendar is None and any(HOLIDAY in rule.days for rule in self.windows):
            raise ValueError("hours for holidays need a rule of kind holiday")
        return self


class _PlainLoader(yaml.SafeLoader):
    """YAML in which only null is special: `on` is a key and 2026-10-18 a text; and no key may stand twice."""

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in forms if tag == "tag:yaml.org,2002:null"]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read(text: str) -> Pack:
    """The pack that the YAML text writes down. Raises yaml.YAMLError or pydantic's ValidationError."""
    return Pack.model_validate(yaml.load(text, Loader=_PlainLoader))  # noqa: S506  a SafeLoader, only plainer
