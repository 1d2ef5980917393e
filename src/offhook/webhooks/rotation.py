"""The keys of one endpoint, and how one takes another's place. Pure.

    newest ──rotate──▶ retiring ──its overlap is over, or three newer ones──▶ gone

While a key retires, every message is signed with it too, so the receiver changes over at any time of the overlap. The
newest never ends: there is no moment without a key.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import orjson

from offhook.webhooks.signing import SecondKey, SecondSignature, Secret, Signer, SigningKey

LONGEST_OVERLAP = timedelta(days=7)
USUAL_OVERLAP = timedelta(hours=24)
MOST_LIVE = 3

K = TypeVar("K")
Spelt = dict[str, Any]


class NotKeys(ValueError):
    """The bytes are no endpoint's keys; `str()` of it shows nothing of them."""


@dataclass(frozen=True, slots=True)
class Retiring(Generic[K]):
    """A key that a newer one replaced; it signs before `expires_at` and not from then on."""

    key: K
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Ring(Generic[K]):
    """The keys of one kind, `retiring` from the newest to the oldest."""

    newest: K
    retiring: tuple[Retiring[K], ...] = ()


def rotate(ring: Ring[K], new: K, now: datetime, overlap: timedelta = USUAL_OVERLAP) -> Ring[K]:
    """The ring with `new` as its newest; the one before it signs for `overlap` yet, at once no more when that is zero.

    What is over is forgotten, and the oldest too where more than three would live. A key that is the newest already
    stays it, and one that was retiring is the newest again. Raises ValueError for an overlap not of 0 to 7 days.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise ValueError(f"the overlap is 0 to {LONGEST_OVERLAP.days} days")
    retiring = (Retiring(ring.newest, now + overlap), *ring.retiring)
    live = [one for one in retiring if one.expires_at > now and one.key != new]
    return Ring(new, tuple(live[: MOST_LIVE - 1]))


def usable(ring: Ring[K], now: datetime) -> tuple[K, ...]:
    """The keys to sign with and to believe at `now`, the newest first."""
    return (ring.newest, *[one.key for one in ring.retiring if one.expires_at > now])


@dataclass(frozen=True, slots=True)
class Keys:
    """Every key of one endpoint. None: it does not sign in this way."""

    secrets: Ring[Secret]
    signing_keys: Ring[SigningKey] | None = None
    second: Ring[SecondKey] | None = None

    @classmethod
    def new(cls) -> "Keys":
        """A fresh secret, and nothing beside it."""
        return cls(Ring(Secret.new()))

    def signer(self, now: datetime, second: SecondSignature | None = None) -> Signer:
        """Signs with what is usable at `now`; right until `changes_at`. Raises ValueError for a second one without keys."""
        signing_keys = usable(self.signing_keys, now) if self.signing_keys else ()
        second_keys = usable(self.second, now) if self.second and second else ()
        return Signer(usable(self.secrets, now), signing_keys, second, second_keys)

    def changes_at(self, now: datetime) -> datetime | None:
        """When the next key is over; None: none retires."""
        rings: list[Ring[Any]] = [ring for ring in (self.secrets, self.signing_keys, self.second) if ring]
        return min((one.expires_at for ring in rings for one in ring.retiring if one.expires_at > now), default=None)

    def to_json(self) -> bytes:
        """All of it, secrets in clear: to be sealed, and never shown."""
        return orjson.dumps(
            {
                "secrets": list(_told(self.secrets, lambda key: {"key": key.reveal()})),
                "signing_keys": list(_told(self.signing_keys, lambda key: {"key": key.reveal()})),
                "second": list(_told(self.second, lambda key: {"key": key.text, "verbatim": key.verbatim})),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> "Keys":
        """What `to_json` told. Raises NotKeys."""
        try:
            told = orjson.loads(data)
            secrets = _read(told["secrets"], lambda spelt: Secret.parse(spelt["key"]))
            if secrets is not None:
                return cls(
                    secrets,
                    _read(told["signing_keys"], lambda spelt: SigningKey.parse(spelt["key"])),
                    _read(told["second"], lambda spelt: SecondKey.parse(spelt["key"], verbatim=spelt["verbatim"])),
                )
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # the exception holds what could not be read, which may be a secret
        raise NotKeys("what was sealed as the keys of an endpoint does not hold them")


def _told(ring: Ring[K] | None, spell: Callable[[K], Spelt]) -> Iterator[Spelt]:
    if ring is not None:
        yield spell(ring.newest)
        for one in ring.retiring:
            yield {**spell(one.key), "expires_at": one.expires_at.isoformat()}


def _read(told: list[Spelt], parse: Callable[[Spelt], K]) -> Ring[K] | None:
    if not told:
        return None
    newest, *rest = told
    return Ring(parse(newest), tuple(Retiring(parse(one), datetime.fromisoformat(one["expires_at"])) for one in rest))
