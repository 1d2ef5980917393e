"""Events about campaigns: when dialing began, paused and ended."""

from dataclasses import dataclass
from typing import ClassVar

from offhook import ids
from offhook.events.fact import Fact, Transition


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFact(Fact):
    subject_type: ClassVar[str] = "campaign"
    subject_prefix: ClassVar[ids.Prefix] = "cmp"
    example: ClassVar = {"name": "Solar, Midwest"}

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignStarted(CampaignFact):
    """The campaign dials its leads from now on."""

    type: ClassVar[str] = "campaign.started"
    example_transition: ClassVar = Transition("status", "draft", "running", "start")


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPaused(CampaignFact):
    """No new dial begins; calls under way go on."""

    type: ClassVar[str] = "campaign.paused"
    example_transition: ClassVar = Transition("status", "running", "paused", "pause")


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResumed(CampaignFact):
    """The campaign dials again."""

    type: ClassVar[str] = "campaign.resumed"
    example_transition: ClassVar = Transition("status", "paused", "running", "resume")


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignCancelled(CampaignFact):
    """The campaign is over for good."""

    type: ClassVar[str] = "campaign.cancelled"
    example_transition: ClassVar = Transition("status", "running", "cancelled", "cancel")


_BY_VERB: dict[str, type[CampaignFact]] = {
    "start": CampaignStarted,
    "pause": CampaignPaused,
    "resume": CampaignResumed,
    "cancel": CampaignCancelled,
}


def status_fact(verb: str) -> type[CampaignFact]:
    """The fact that this verb leaves behind."""
    return _BY_VERB[verb]
