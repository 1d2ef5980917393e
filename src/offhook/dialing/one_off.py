"""A dial asked for by name: the same gate, out of turn. A number without a lead becomes an ad-hoc lead first."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from offhook import ids
from offhook.db import Tx
from offhook.dialing import store
from offhook.dialing.store import CampaignRow
from offhook.dialing.verbs import Verbs, not_allowed
from offhook.errors import Conflict, Fault, Invalid
from offhook.http import Answer
from offhook.leads import Lead, Leads, People
from offhook.leads.ingest import Refused, read_lead
from offhook.providers import OneOff

Show = Callable[[Tx, UUID], Awaitable[dict[str, Any]]]


class OneOffs:
    """Dials once. One per process, built in wiring."""

    def __init__(self, leads: Leads, people: People, verbs: Verbs, show: Show) -> None:
        self._leads = leads
        self._people = people
        self._verbs = verbs
        self._show = show

    async def dial(self, tx: Tx, asked: OneOff) -> Answer:
        """Commit to one dial: 202 and the call. Raises Conflict `not_allowed` with every code, or `capacity_exceeded`."""
        lead = await self._lead(tx, asked)
        campaign = await _in_turn(tx, asked.campaign_id or lead.row.campaign_id)
        call = await self._verbs.dial_now(tx, lead, _as_asked(campaign, asked), asked.by)
        return Answer(202, await self._show(tx, call))

    async def _lead(self, tx: Tx, asked: OneOff) -> Lead:
        if asked.lead_id:
            return await self._people.find(tx, ids.show("lead", asked.lead_id))
        if asked.client_ref_id:
            return await self._people.find(tx, f"ext:{asked.client_ref_id}")
        return await self._ad_hoc(tx, asked)

    async def _ad_hoc(self, tx: Tx, asked: OneOff) -> Lead:
        body = {
            "client_ref_id": asked.reference,
            "campaign_id": ids.show("cmp", asked.campaign_id) if asked.campaign_id else None,
            "contact": {"phone": asked.to},
            "consent": asked.consent,
            "merge_fields": asked.merge_fields,
        }
        read = read_lead(body)
        answer = read if isinstance(read, Refused) else (await self._leads.ingest(tx, [read]))[0]
        if isinstance(answer, Refused):
            raise answer.error
        blocks = [check for check in answer.body["preflight"]["checks"] if check["result"] == "block"]
        if blocks:
            raise not_allowed([{"code": check["code"], "rule": check["rule"]} for check in blocks])
        return await self._people.find(tx, answer.body["id"])


async def _in_turn(tx: Tx, campaign_id: UUID) -> CampaignRow:
    """The campaign as it stands once nobody is changing or dispatching it; nobody begins to before the commit."""
    await store.lock_campaign(tx, campaign_id)
    campaigns = await store.campaigns(tx, by_id=[campaign_id])
    if not campaigns:
        raise Invalid([Fault("campaign_id", "no_such_campaign", "There is no campaign with this id.")])
    return campaigns[0]


def _as_asked(campaign: CampaignRow, asked: OneOff) -> CampaignRow:
    """The campaign with what this one dial overrides."""
    if campaign.status != "running":
        raise Conflict("campaign_not_running", f"The campaign is {campaign.status}; start it first.")
    return replace(
        campaign,
        provider_account_id=asked.account_id or campaign.provider_account_id,
        caller_id=asked.caller_id or campaign.caller_id,
        mode=asked.mode or campaign.mode,
    )
