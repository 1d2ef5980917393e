"""Many post-backs in one request."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.journeys.stage import NO_ANSWER, Stage, side_by_side

from offhook.db import Tx
from offhook.leads import LeadIn
from offhook.sync import PostBacks

Lead = Callable[..., LeadIn]


async def batch(stage: Stage, *bodies: dict[str, Any], op: str = "create", atomic: bool = False) -> list[Any]:
    """The results of these post-backs in one request."""
    operations = [{"op": op, "body": body} for body in bodies]
    answer = await stage.post("/v1/postbacks/batch", {"operations": operations, "atomic": atomic}, 200)
    assert [result["index"] for result in answer["results"]] == list(range(len(bodies)))
    return list(answer["results"])


async def test_many_words_in_one_request_are_each_answered_as_if_they_came_alone(stage: Stage, a_lead: Lead) -> None:
    first, second = await stage.send(a_lead(), a_lead())
    sold = {"type": "conversion", "lead_id": first, "external_ref": "CRM-7"}

    results = await batch(
        stage, sold, {"type": "dnc", "lead_id": second}, sold, {"type": "conversion", "client_ref_id": "LD-late"}
    )

    assert [result["status"] for result in results] == [201, 201, 200, 202]
    assert results[2]["body"] == {**results[0]["body"], "duplicate": True}
    assert [await stage.status(lead) for lead in (first, second)] == ["converted", "dnc"]


async def test_a_bad_word_among_many_harms_no_other(stage: Stage, a_lead: Lead) -> None:
    first, stopped, last = await stage.send(a_lead(), a_lead(), a_lead())
    await stage.post("/v1/postbacks", {"type": "dnc", "lead_id": stopped})

    results = await batch(
        stage,
        {"type": "conversion", "lead_id": first},
        {"type": "applause", "lead_id": first},
        {"type": "reconnect", "lead_id": stopped},
        {"type": "conversion", "phone": "12"},
        {"type": "conversion", "lead_id": last},
    )

    assert [result["status"] for result in results] == [201, 422, 409, 422, 201]
    assert [results[n]["problem"]["code"] for n in (2, 3)] == ["suppressed", "invalid_phone"]
    assert [await stage.status(lead) for lead in (first, stopped, last)] == ["converted", "dnc", "converted"]


async def test_an_atomic_batch_with_a_bad_word_changes_nothing(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())

    results = await batch(stage, {"type": "conversion", "lead_id": lead}, {"type": "applause"}, atomic=True)

    assert [result["status"] for result in results] == [424, 422]
    assert (await stage.status(lead), await stage.count("lead.converted")) == ("scheduled", 0)


async def test_a_post_back_is_neither_changed_nor_deleted(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())

    (result,) = await batch(stage, {"type": "conversion", "lead_id": lead}, op="update")

    assert (result["status"], result["problem"]["errors"][0]["code"]) == (422, "bad_operation")
    assert await stage.status(lead) == "scheduled"


async def test_a_batch_in_which_a_statement_takes_too_long_is_undone_and_told_as_slow(
    stage: Stage, a_lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await stage.send(a_lead(), a_lead())
    do = PostBacks.take

    async def dawdle(self: PostBacks, tx: Tx, *args: Any) -> Any:
        if await tx.row("select 1 from lead where status = 'converted'"):
            await tx.run("set local statement_timeout = '20ms'")
            await tx.run("select pg_sleep(10)")
        return await do(self, tx, *args)

    monkeypatch.setattr(PostBacks, "take", dawdle)
    operations = [{"op": "create", "body": {"type": "conversion", "lead_id": lead}} for lead in (first, second)]

    answer = await stage.post("/v1/postbacks/batch", {"operations": operations}, 503)

    assert answer["code"] == "database_slow"
    assert [await stage.status(lead) for lead in (first, second)] == ["scheduled"] * 2


async def test_a_batch_of_more_than_a_thousand_is_refused(stage: Stage) -> None:
    operations = [{"op": "create", "body": {"type": "dnc", "phone": NO_ANSWER}}] * 1001

    await stage.post("/v1/postbacks/batch", {"operations": operations}, 422)

    assert await stage.count("suppression.added") == 0


async def test_batches_about_the_same_leads_in_another_order_do_not_embrace(stage: Stage, a_lead: Lead) -> None:
    leads = await stage.send(*(a_lead() for _ in range(20)))
    words = [{"type": "conversion", "lead_id": lead, "external_ref": f"CRM-{lead}"} for lead in leads]

    answers = await side_by_side(
        *[lambda order=order: batch(stage, *order) for order in (words, words[::-1], words[7:] + words[:7])],
        *[lambda: stage.house.dispatcher.drain(stage.tenant)] * 2,
    )

    assert {result["status"] for results in answers[:3] for result in results} == {200, 201}
    assert await stage.count("lead.converted") == 20
