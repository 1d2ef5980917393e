"""Words of the CRM that come before their lead, or along with it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.journeys.stage import NO_ANSWER, Stage, side_by_side, until_waiting
from tests.sync.test_postbacks import causes, post_back

from offhook import ids
from offhook.events import Actor
from offhook.leads import LeadIn
from offhook.sync.wire import PostBackIn

Lead = Callable[..., LeadIn]
DISPOSITION = PostBackIn(type="disposition", client_ref_id="LD-late")


async def test_what_came_before_its_lead_is_told_with_the_key_that_posted_it(stage: Stage, a_lead: Lead) -> None:
    await post_back(stage, "conversion", 202, client_ref_id="LD-late")

    await stage.send(a_lead(client_ref_id="LD-late"))

    (converted,) = await stage.events("lead.converted")
    assert converted["actor"] == await stage.key()


@pytest.mark.parametrize(
    ("type", "told"),
    [
        ("conversion", {"lead.converted": "lead.accepted", "lead.cadence_completed": "lead.converted"}),
        ("dnc", {"lead.dnc_added": "lead.accepted", "suppression.added": "lead.dnc_added",
                 "lead.cadence_completed": "lead.dnc_added"}),
        ("reconnect", {"lead.reconnect_requested": "lead.accepted", "lead.scheduled": "lead.accepted"}),
    ],
)  # fmt: skip
async def test_what_came_before_its_lead_follows_from_the_lead_that_came(
    stage: Stage, a_lead: Lead, type: str, told: dict[str, str]
) -> None:
    await post_back(stage, type, 202, client_ref_id="LD-late")

    await stage.send(a_lead(client_ref_id="LD-late"))

    assert await causes(stage, await stage.key()) == told


@pytest.mark.parametrize(
    "by",
    [
        {"client_ref_id": "LD-unknown"},
        {"lead_id": ids.show("lead", ids.new())},
        {"call_id": ids.show("call", ids.new())},
        {"phone": NO_ANSWER},
    ],
    ids=lambda by: next(iter(by)),
)
async def test_a_word_about_a_lead_that_is_not_here_is_taken_and_not_applied(stage: Stage, by: dict[str, str]) -> None:
    told = await post_back(stage, "conversion", 202, **by)

    assert (told["applied"], told["reason"]) == (False, "unknown_lead")


async def test_what_came_before_its_lead_is_applied_when_the_lead_comes(stage: Stage, a_lead: Lead) -> None:
    said = {"client_ref_id": "LD-late", "external_ref": "CRM-7"}
    await post_back(stage, "conversion", 202, **said)
    await stage.passes(days=29)

    (lead,) = await stage.send(a_lead(client_ref_id="LD-late"))
    await stage.passes(days=2)

    assert await stage.status(lead) == "converted"
    assert await stage.calls(lead) == []
    assert (await post_back(stage, "conversion", 200, **said))["applied"]


async def test_what_came_more_than_30_days_before_its_lead_is_forgotten(stage: Stage, a_lead: Lead) -> None:
    await post_back(stage, "conversion", 202, client_ref_id="LD-late")
    await stage.passes(days=31)

    (lead,) = await stage.send(a_lead(client_ref_id="LD-late"))

    assert await stage.status(lead) == "scheduled"


async def test_what_waited_30_days_in_vain_is_nowhere_kept(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(client_ref_id="LD-here"))
    await post_back(stage, "conversion", client_ref_id="LD-here")
    await post_back(stage, "reconnect", 202, client_ref_id="LD-early", external_ref="CRM-1")
    await stage.passes(days=29)
    await post_back(stage, "reconnect", 202, client_ref_id="LD-late", external_ref="CRM-2")
    await stage.house.upkeep.once()
    at_29_days = await kept(stage)

    await stage.passes(days=1, minutes=1)
    await stage.house.upkeep.once()

    assert (at_29_days, await kept(stage)) == ([False, True, True], [False, True])
    again = await post_back(stage, "reconnect", 202, client_ref_id="LD-early", external_ref="CRM-1")
    assert not again["duplicate"]


async def test_what_waits_elsewhere_is_kept_by_its_own_clock(stage: Stage, client_of: Any) -> None:
    theirs = await stage.house.new_workspace("Stranger")
    said = {"type": "conversion", "client_ref_id": "LD-late", "external_ref": "CRM-7"}
    neighbour = client_of(stage.house.app, theirs.test_key)
    await neighbour.post("/v1/postbacks", said)
    await stage.passes(days=31)

    await stage.house.upkeep.once()

    assert (await neighbour.post("/v1/postbacks", said)).json["duplicate"]


async def kept(stage: Stage) -> list[bool]:
    """Each post-back there is, the oldest first: whether it waits with what was said."""
    async with stage.house.database.transaction(stage.tenant) as tx:
        return [row[0] for row in await tx.rows("select content is not null from postback order by created_at, id")]


async def test_a_word_that_cannot_be_obeyed_does_not_keep_its_lead_out(stage: Stage, a_lead: Lead) -> None:
    await post_back(stage, "disposition", 202, client_ref_id="LD-late")
    unheard_of = PostBackIn.model_construct(**{**DISPOSITION.model_dump(), "type": "applause"})
    async with stage.house.database.transaction(stage.tenant) as tx:
        await stage.house.post_backs.take(tx, unheard_of, Actor("api_key"))

    (lead,) = await stage.send(a_lead(client_ref_id="LD-late", phone=NO_ANSWER))
    await stage.passes(minutes=5)

    assert len(await stage.calls(lead)) == 1


async def test_a_do_not_call_word_before_its_lead_keeps_the_lead_from_being_called(stage: Stage, a_lead: Lead) -> None:
    await post_back(stage, "dnc", 202, client_ref_id="LD-late")

    (lead,) = await stage.send(a_lead(client_ref_id="LD-late"))
    await stage.passes(days=2)

    assert await stage.status(lead) == "dnc"
    assert await stage.calls(lead) == []


async def test_a_word_that_comes_while_its_lead_comes_waits_for_it_and_is_obeyed(stage: Stage, a_lead: Lead) -> None:
    async with stage.house.database.transaction(stage.tenant) as tx:
        await stage.house.leads.ingest(tx, [a_lead(client_ref_id="LD-now")])
        told = asyncio.create_task(post_back(stage, "dnc", client_ref_id="LD-now"))
        await until_waiting(stage.house.database)

    assert (await told)["applied"]
    assert await stage.status("ext:LD-now") == "dnc"


async def test_a_lead_that_comes_while_a_word_about_it_comes_waits_for_the_word_and_obeys(
    stage: Stage, a_lead: Lead
) -> None:
    said = PostBackIn(type="dnc", client_ref_id="LD-now")
    async with stage.house.database.transaction(stage.tenant) as tx:
        assert (await stage.house.post_backs.take(tx, said, Actor("api_key")))[0] == 202
        came = asyncio.create_task(stage.send(a_lead(), a_lead(client_ref_id="LD-now")))
        await until_waiting(stage.house.database)
    await came

    assert await stage.status("ext:LD-now") == "dnc"


async def test_words_and_leads_that_come_at_the_same_moment_always_meet(stage: Stage, a_lead: Lead) -> None:
    leads = [a_lead() for _ in range(40)]
    words = [{"op": "create", "body": {"type": "dnc", "client_ref_id": lead.client_ref_id}} for lead in leads]

    await side_by_side(
        *[
            lambda part=part: stage.post("/v1/postbacks/batch", {"operations": part})
            for part in (words[:20], words[:19:-1])
        ],
        *[lambda part=part: stage.send(*part) for part in (leads[30:], leads[10:30][::-1], leads[:10])],
    )

    assert {await stage.status(f"ext:{lead.client_ref_id}") for lead in leads} == {"dnc"}


async def test_a_do_not_call_word_before_its_lead_holds_also_when_the_lead_is_rejected(
    stage: Stage, a_lead: Lead
) -> None:
    (other,) = await stage.send(a_lead(phone=NO_ANSWER))
    await post_back(stage, "dnc", 202, client_ref_id="LD-late")

    await stage.send(a_lead(client_ref_id="LD-late", phone=NO_ANSWER))
    await stage.passes(days=2)

    assert await stage.calls() == []
    assert "DNC_INTERNAL" in await stage.blockers(other)


async def test_what_waits_for_its_lead_is_not_readable_in_the_database(stage: Stage) -> None:
    await post_back(stage, "reconnect", 202, client_ref_id="LD-late", data={"note": "Michael of Elm Street"})

    async with stage.house.database.transaction(stage.tenant) as tx:
        (row,) = await tx.rows("select content, row_to_json(p)::text from postback p")

    assert b"Michael" not in row[0]
    assert not any(word in row[1] for word in ("Michael", "LD-late"))
