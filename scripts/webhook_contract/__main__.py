"""Writes docs/webhook-contract.md: the sentences from webhook-contract.md.in, the facts from the code.

`{{name}}` in the sentences is a fact. Run by `make docs`; with `--print` it only shows what it would write.
"""

import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import examples
import facts
import signatures

TARGET = Path(__file__).parents[2] / "docs" / "webhook-contract.md"
TEMPLATE = Path(__file__).with_name("webhook-contract.md.in")
_PLACE = re.compile(r"\{\{([\w.]+)\}\}")


def parts() -> dict[str, Callable[[], str]]:
    """What is too long for a sentence, by its name."""
    started, paused = examples.campaign("campaign.started", "campaign.paused")
    call = examples.envelope("call.ended", 9)
    minute = timedelta(minutes=1)
    return {
        "catalogue": facts.catalogue,
        "schedule": facts.schedule,
        "answers": facts.answers,
        "example.envelope": lambda: examples.request([call]),
        "example.cloudevents_binary": lambda: examples.request([started], format="cloudevents_binary"),
        "example.cloudevents_structured": lambda: examples.request([started], format="cloudevents_structured"),
        "example.thin": lambda: examples.request([call], format="thin"),
        "example.batch": lambda: examples.request([started, paused], batch=True, format="thin"),
        "example.tombstone": lambda: examples.request([call], erased=True, tries=1, late=minute),
        "signature.v1": signatures.standard,
        "signature.v1a": signatures.ed25519,
        "signature.timestamped_hex": signatures.timestamped_hex,
        "signature.plain_hex": signatures.plain_hex,
        "from.svix": lambda: examples.call("/v1/webhook-endpoints", examples.from_svix()),
        "from.stripe": lambda: examples.call("/v1/webhook-endpoints", examples.from_stripe()),
        "from.stripe.key": examples.how_stripes_key_is_meant,
        "from.github": lambda: examples.call("/v1/webhook-endpoints", examples.from_github()),
        "key.example": lambda: examples.SECRET,
        "key.stripe": lambda: examples.STRIPE_SECRET,
        "key.github": lambda: examples.GITHUB_SECRET,
    }


def written() -> str:
    """The contract. Raises KeyError for a place that no fact has, ValueError for a part that no place wants."""
    known = {name: make() for name, make in parts().items()}
    template = TEMPLATE.read_text(encoding="utf-8")
    if unused := known.keys() - set(_PLACE.findall(template)):
        raise ValueError(f"{TEMPLATE.name} has no place for {', '.join(sorted(unused))}")
    known |= facts.singles()
    return _PLACE.sub(lambda place: known[place[1]], template)


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(written())
    else:
        TARGET.write_text(written(), encoding="utf-8")
