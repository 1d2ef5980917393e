"""How the owner of an endpoint wants to be told: each setting with its bounds and its default.

Stored as the JSON of what differs from the defaults, so that a default of ours that changes one day reaches whoever
never chose otherwise.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from offhook.expressions import Filter, NotAnExpression, compile_filter
from offhook.http import Wire
from offhook.webhooks.headers import header_fault
from offhook.webhooks.masks import Mask, Masks, unheard
from offhook.webhooks.rendering import OTHERWISE_NAMED, Format, Names, Rendering
from offhook.webhooks.schedule import DEFAULT, LONGEST_RETRY_AFTER, MOST_TRIES, Schedule
from offhook.webhooks.signing import SecondSignature

HIDDEN = ("call.caller_id", "call.dialed_number", "data.phone")
"""Every place that some event hides."""
_PATH = re.compile(r"(call|visitor|lead|data)(\.[A-Za-z0-9_-]+)*")


def _compiles(text: str) -> str:
    try:
        compile_filter(text)
    except NotAnExpression as why:
        raise PydanticCustomError("bad_filter", "{why}", {"why": str(why)}) from None
    return text


def _at_paths(masks: dict[str, Mask]) -> dict[str, Mask]:
    if not all(_PATH.fullmatch(place) for place in masks):
        raise PydanticCustomError(
            "bad_path", "Name places under call, visitor, lead or data, like call.caller_id or visitor.utm_source."
        )
    if found := unheard(masks):
        outer, inner = found
        raise PydanticCustomError(
            "masks_at_odds",
            "{inner} lies within {outer}, of which {mask} leaves nothing to mask; leave one of the two out, or mask each"
            " place within {outer} by itself.",
            {"inner": inner, "outer": outer, "mask": masks[outer]},
        )
    return masks


def _a_header_of_theirs(name: str) -> str:
    if fault := header_fault(name):
        raise PydanticCustomError("bad_header", "{why}", {"why": fault})
    return name.lower()


def _are_twice(headers: Mapping[Any, Any]) -> bool:
    return len({str(name).lower() for name in headers}) < len(headers)


def _each_once(headers: Any) -> Any:
    if isinstance(headers, Mapping) and _are_twice(headers):
        raise PydanticCustomError(
            "header_taken", "A header stands here twice, as the case of its letters makes no difference; leave one out."
        )
    return headers


def _named_by_theirs(headers: dict[str, str]) -> dict[str, str]:
    headers = {_a_header_of_theirs(name): value for name, value in headers.items()}
    if {"authorization", "cookie"} & headers.keys():
        raise PydanticCustomError("bad_header", "Credentials are shown to nobody; set them as authentication instead.")
    return headers


FilterText = Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_compiles)]
Masking = Annotated[
    dict[Annotated[str, StringConstraints(max_length=200)], Mask], Field(max_length=50), AfterValidator(_at_paths)
]
HeaderName = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_a_header_of_theirs)]
HeaderValue = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[\x20-\x7e]*$")]
Headers = Annotated[
    dict[str, HeaderValue], BeforeValidator(_each_once), Field(max_length=20), AfterValidator(_named_by_theirs)
]
_NAMES_SAID = (
    "`offhook` names types as the catalogue does, like call.answered; `snake` as call_answered, but for"
    f" {', '.join(f'{ours} → {theirs}' for ours, theirs in OTHERWISE_NAMED.items())}."
)


def _at_once_first(gaps: list[int]) -> list[int]:
    if gaps[0]:
        raise PydanticCustomError(
            "bad_first_gap",
            "The first try is made at once, so the first gap must be 0. Put a 0 before the waits that you want between tries,"
            " as in [0, 60, 300], and count the first try in `tries`.",
        )
    return gaps


class Retry(Wire):
    """The waits before each try in seconds (more tries repeat the last), and which 4xx are final.

    The first try is counted, and made at once: the first gap is 0.
    """

    gaps_s: Annotated[
        list[Annotated[int, Field(ge=0, le=int(LONGEST_RETRY_AFTER.total_seconds()))]],
        Field(min_length=1, max_length=MOST_TRIES),
        AfterValidator(_at_once_first),
    ] = [int(gap.total_seconds()) for gap in DEFAULT.gaps]
    tries: Annotated[int, Field(ge=1, le=MOST_TRIES)] = DEFAULT.tries
    final_statuses: Annotated[list[Annotated[int, Field(ge=400, le=499)]], Field(max_length=100)] = []


class SecondSignatureIn(Wire):
    """A signature beside the standard one, for receivers that cannot change: in which header, of which form.

    `timestamped_hex` is `t=<seconds>,v1=<hex>`, `plain_hex` the hex alone behind its `prefix`, like `sha256=`. A key of
    another system that begins with `whsec_` is decoded as Standard Webhooks says, unless `verbatim_key`: then every letter
    of it counts, as at Stripe.
    """

    header: HeaderName
    style: Literal["timestamped_hex", "plain_hex"]
    prefix: Annotated[str, StringConstraints(max_length=32)] = ""
    verbatim_key: bool = False

    @property
    def form(self) -> SecondSignature:
        return SecondSignature(self.header, self.style, self.prefix)

    @field_validator("prefix")
    @classmethod
    def _has_a_form(cls, prefix: str, info: ValidationInfo) -> str:
        if {"header", "style"} <= info.data.keys():
            try:
                SecondSignature(info.data["header"], info.data["style"], prefix)
            except ValueError as why:
                raise PydanticCustomError("bad_prefix", "{why}", {"why": f"{str(why).capitalize()}."}) from None
        return prefix


class Batching(Wire):
    """Several events in one request: so many at most, the first of them waiting so long at most."""

    max_events: Annotated[int, Field(ge=1, le=100)] = 100
    max_wait_ms: Annotated[int, Field(ge=0, le=1000)] = 1000


class EndpointSettings(Wire):
    """Every setting beside where and of what. All have defaults."""

    filter: FilterText | None = None
    format: Format = "envelope"
    event_names: Annotated[Names, Field(description=_NAMES_SAID)] = "offhook"
    masks: Masking = {}
    second_signature: SecondSignatureIn | None = None
    headers: Headers = {}
    retry: Retry = Retry()
    timeout_s: Annotated[int, Field(ge=1, le=30)] = 10
    disable_after_days: Annotated[int, Field(ge=1, le=30)] = 5
    rate_limit_per_s: Annotated[int, Field(ge=1, le=10_000)] | None = None
    max_in_flight: Annotated[int, Field(ge=1, le=256)] | None = None
    ordering: Literal["none", "per_subject"] = "none"
    batch: Batching | None = None

    @field_validator("batch")
    @classmethod
    def _fits_the_format(cls, batch: Batching | None, info: ValidationInfo) -> Batching | None:
        if batch and info.data.get("format") == "cloudevents_binary":
            raise PydanticCustomError(
                "bad_batch", "A CloudEvent in binary form stands alone; choose cloudevents_structured for batches."
            )
        return batch

    @property
    def needs_owner(self) -> bool:
        """Whether one process alone may send to it: what is bounded or ordered must be so over all processes."""
        return bool(self.rate_limit_per_s or self.max_in_flight or self.batch or self.ordering == "per_subject")

    @property
    def unmasked(self) -> frozenset[str]:
        """The places that it is told in clear where others see them masked."""
        return frozenset(place for place, mask in self.masks.items() if mask == "full")

    @property
    def asks_what_is_hidden(self) -> bool:
        """Whether its filter may look at what others see masked: by what gets through, its owner would learn it."""
        places = self.compiled.places if self.compiled else ()
        return any(_is_within(place, tuple(hidden.split("."))) for place in places for hidden in HIDDEN)

    @property
    def patience(self) -> timedelta:
        """How long it may go without a success before it is disabled."""
        return timedelta(days=self.disable_after_days)

    def different(self) -> dict[str, Any]:
        """What differs from the defaults, JSON-ready: what is stored."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def schedule(self) -> Schedule:
        return Schedule(tuple(timedelta(seconds=gap) for gap in self.retry.gaps_s), self.retry.tries)

    @property
    def rendering(self) -> Rendering:
        return Rendering(self.format, self.event_names, Masks.of(self.masks))

    @property
    def compiled(self) -> Filter | None:
        return compile_filter(self.filter) if self.filter else None


def seen_anew(
    before: EndpointSettings, after: EndpointSettings, *, moved: bool = False
) -> Literal["masks", "filter"] | None:
    """By which setting this change tells more of what is hidden, or, as the endpoint `moved`, tells it to somebody else."""
    if after.unmasked - before.unmasked or (moved and after.unmasked):
        return "masks"
    return "filter" if after.asks_what_is_hidden and (moved or before.filter != after.filter) else None


def _is_within(place: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one of the two holds the other, or both are one."""
    return all(mine == theirs for mine, theirs in zip(place, other, strict=False))


NAMES = tuple(EndpointSettings.model_fields)


def patched(stored: Mapping[str, Any], sent: Mapping[str, Any]) -> EndpointSettings:
    """The stored settings after a JSON merge patch (RFC 7396): null takes one back to its default. Raises Invalid."""
    return EndpointSettings.read(_merged(_at_its_word(stored), _with_names_as_stored(sent)))


def changed_settings(before: EndpointSettings, after: EndpointSettings) -> list[str]:
    """The names of the settings that differ."""
    return [name for name in NAMES if getattr(before, name) != getattr(after, name)]


def _with_names_as_stored(sent: Mapping[str, Any]) -> Mapping[str, Any]:
    headers = sent.get("headers")
    if not isinstance(headers, Mapping) or _are_twice(headers):
        return sent
    return {**sent, "headers": {name.lower(): value for name, value in headers.items()}}


def _merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    after = dict(before)
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, Mapping):
            known = after.get(name)
            after[name] = _merged(known if isinstance(known, Mapping) else {}, value)
        else:
            after[name] = value
    return after


def settings_of(stored: Mapping[str, Any]) -> EndpointSettings:
    """The settings that are stored so. Few differ, so they are read once."""
    return _read(orjson.dumps(stored, option=orjson.OPT_SORT_KEYS))


@lru_cache(10_000)
def _read(stored: bytes) -> EndpointSettings:
    return EndpointSettings.model_validate(_at_its_word(orjson.loads(stored)))


def _at_its_word(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """As it was always done: a first gap other than 0 was taken once, and never waited for."""
    match stored:
        case {"retry": {"gaps_s": [first, *others]} as retry} if first:
            return {**stored, "retry": {**retry, "gaps_s": [0, *others]}}
    return stored
