"""The SQL of calls, their legs, their transfers and the reports already seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, LiteralString, cast
from uuid import UUID

import orjson

from offhook.calls.call import NOTHING_TOLD, About, Call, End, Handover, Status, Stop, Told
from offhook.db import EngineTx, Tx
from offhook.events import Actor

_COLUMNS = (
    "id, direction, mode, status, person_id, lead_id, campaign_id, attempt_id, provider_account_id, platform_ref, number_tag, story,"
    " state::text, stop_requested_at, placing_until, started_at, ended_at, updated_at, version"
)
_TIMES = ("placed_at", "ringing_at", "answered_at")
_PROGRESS = (
    "answered_by", "voice_detected", "qualified", "opt_out", "transferred", "late_answer", "disposition", "troubles", "stop",
    *_TIMES, "transfer", "end",
)  # fmt: skip
_FIXED = ("provider", "attempt_n", "ring_timeout_s", "max_duration_s")


@dataclass(frozen=True, slots=True)
class Row:
    """A call as it is stored: `story` is what is personal, still sealed; `state` the plain rest as JSON."""

    id: UUID
    direction: Literal["outbound", "inbound"]
    mode: str
    status: Status
    person_id: UUID
    lead_id: UUID | None
    campaign_id: UUID | None
    attempt_id: UUID | None
    account_id: UUID
    platform_ref: str | None
    number_tag: bytes = field(repr=False)
    story: bytes | None = field(repr=False)
    state: str
    stop_requested_at: datetime | None
    placing_until: datetime | None
    started_at: datetime
    ended_at: datetime | None
    updated_at: datetime
    version: int

    def call(self, told: Told = NOTHING_TOLD) -> Call:
        """The call as a value, with what was sealed where somebody opened it."""
        state = orjson.loads(self.state)
        about = About(
            id=self.id,
            direction=self.direction,
            person_id=self.person_id,
            lead_id=self.lead_id,
            campaign_id=self.campaign_id,
            attempt_id=self.attempt_id,
            account_id=self.account_id,
            number_tag=self.number_tag,
            started_at=self.started_at,
            **{name: state[name] for name in _FIXED},
        )
        return Call(
            about=about,
            told=told,
            mode=self.mode,
            status=self.status,
            platform_ref=self.platform_ref,
            stop_requested_at=self.stop_requested_at,
            ended_at=self.ended_at,
            updated_at=self.updated_at,
            version=self.version,
            **_progress(state),
        )


def _progress(state: dict[str, Any]) -> dict[str, Any]:
    progress = {name: state[name] for name in _PROGRESS if name in state}
    for name in _TIMES:
        progress[name] = _instant(progress.get(name))
    progress["troubles"] = tuple(progress.get("troubles") or ())
    if transfer := progress.get("transfer"):
        progress["transfer"] = Handover(**{name: _typed(name, value) for name, value in transfer.items()})
    if stop := progress.get("stop"):
        progress["stop"] = Stop(stop["reason"], Actor(**stop["by"]) if stop["by"] else None)
    if end := progress.get("end"):
        progress["end"] = End(**end)
    return progress


def _typed(name: str, value: Any) -> Any:
    if name.endswith("_at"):
        return _instant(value)
    return UUID(value) if name in ("id", "target_id") else value


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _state(call: Call) -> str:
    plain = {name: getattr(call.about, name) for name in _FIXED}
    usual = {field.name: field.default for field in fields(Call)}
    for name in _PROGRESS:
        if (value := getattr(call, name)) != usual[name]:
            plain[name] = value
    return orjson.dumps(plain).decode()


async def insert(tx: Tx, calls: Sequence[tuple[Call, bytes]], placing_until: datetime | None) -> set[UUID]:
    """Store new calls with their sealed stories and who is on them; the ids of those that were not there before."""
    rows = await tx.rows(
        "with c as (insert into call (workspace_id, environment, id, direction, mode, status, person_id, lead_id, campaign_id, attempt_id,"
        " provider_account_id, platform_ref, number_tag, story, state, placing_until, started_at, updated_at)"
        " select %(ws)s, %(env)s, id, direction, mode, status, person, lead, campaign, attempt, account, ref, tag, story, state::jsonb,"
        " %(placing_until)s, started_at, %(now)s"
        " from unnest(%(id)b::uuid[], %(direction)b::text[], %(mode)b::text[], %(status)b::text[], %(person)b::uuid[], %(lead)b::uuid[],"
        " %(campaign)b::uuid[], %(attempt)b::uuid[], %(account)b::uuid[], %(ref)b::text[], %(tag)b::bytea[], %(story)b::bytea[],"
        " %(state)b::text[], %(started_at)b::timestamptz[])"
        " t(id, direction, mode, status, person, lead, campaign, attempt, account, ref, tag, story, state, started_at)"
        f" on conflict (workspace_id, environment, id) do nothing returning id), l as ({_LEGS} where leg_call in (select id from c))"
        " select id from c",
        {
            **tx.keys,
            **_legs([call for call, _ in calls]),
            "now": tx.now,
            "placing_until": placing_until,
            "id": [call.id for call, _ in calls],
            "direction": [call.about.direction for call, _ in calls],
            "mode": [call.mode for call, _ in calls],
            "status": [call.status for call, _ in calls],
            "person": [call.about.person_id for call, _ in calls],
            "lead": [call.about.lead_id for call, _ in calls],
            "campaign": [call.about.campaign_id for call, _ in calls],
            "attempt": [call.about.attempt_id for call, _ in calls],
            "account": [call.about.account_id for call, _ in calls],
            "ref": [call.platform_ref for call, _ in calls],
            "tag": [call.about.number_tag for call, _ in calls],
            "story": [story for _, story in calls],
            "state": [_state(call) for call, _ in calls],
            "started_at": [call.about.started_at for call, _ in calls],
        },
    )
    return {row[0] for row in rows}


async def lock(tx: Tx, calls: Sequence[UUID]) -> list[Row]:
    """The rows, held until the end of the transaction; taken in id order, so that two reports never embrace."""
    rows = await tx.rows(
        f"select {_COLUMNS} from call where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[])"
        " order by id for no key update",
        {**tx.keys, "ids": list(calls)},
    )
    return [Row(*row) for row in rows]


async def read(tx: Tx, calls: Sequence[UUID]) -> list[Row]:
    rows = await tx.rows(
        f"select {_COLUMNS} from call where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[])",
        {**tx.keys, "ids": list(calls)},
    )
    return [Row(*row) for row in rows]


_OPEN: LiteralString = (
    "(select * from call where workspace_id = %(ws)s and environment = %(env)s and ended_at is null offset 0) open"
)


async def page(tx: Tx, lead: UUID | None, status: str | None, before: UUID | None, limit: int) -> list[Row]:
    """Calls, the latest first; `before` is the last one of the page before."""
    # What has not ended is found among what has not, however many have: nearly all of a day's calls are over.
    found = "call" if status in (None, "ended") else _OPEN
    rows = await tx.rows(
        f"select {_COLUMNS} from {found} where workspace_id = %(ws)s and environment = %(env)s"
        " and (%(lead)s::uuid is null or lead_id = %(lead)s) and (%(status)s::text is null or status = %(status)s)"
        " and (%(before)s::uuid is null or (started_at, id) < (select started_at, id from call"
        "  where workspace_id = %(ws)s and environment = %(env)s and id = %(before)s))"
        " order by started_at desc, id desc limit %(limit)s",
        {**tx.keys, "lead": lead, "status": status, "before": before, "limit": limit},
    )
    return [Row(*row) for row in rows]


async def named_by(tx: Tx, account: UUID, refs: Sequence[str]) -> dict[str, UUID]:
    """Our ids of calls by the ids that this account's platform gave them."""
    rows = await tx.rows(
        "select platform_ref, id from call where workspace_id = %(ws)s and environment = %(env)s and provider_account_id = %(account)s"
        " and platform_ref = any(%(refs)b::text[])",
        {**tx.keys, "account": account, "refs": list(refs)},
    )
    return dict(cast(list[tuple[str, UUID]], rows))


async def save(
    tx: Tx, calls: Sequence[Call], *, with_legs: Sequence[Call] = (), with_transfer: Sequence[Call] = ()
) -> None:
    """Write how far these locked calls have come; who is on those `with_legs`, and the present transfer of those `with_transfer`.

    A call that is not `requested` any more is being placed by nobody.
    """
    changed = await tx.count(
        _SAVES[bool(with_legs), bool(with_transfer)],
        {
            **tx.keys,
            **_legs(with_legs),
            **_transfers(with_transfer),
            "now": tx.now,
            "id": [call.id for call in calls],
            "status": [call.status for call in calls],
            "mode": [call.mode for call in calls],
            "ref": [call.platform_ref for call in calls],
            "state": [_state(call) for call in calls],
            "ended_at": [call.ended_at for call in calls],
        },
    )
    assert changed == len(calls), "a call that ended was about to be reopened"


_SAVE: LiteralString = (
    "update call c set status = x.status, mode = x.mode, platform_ref = x.ref, state = x.state::jsonb, ended_at = x.ended_at,"
    " placing_until = case when x.status = 'requested' then c.placing_until end, updated_at = %(now)s, version = c.version + 1"
    " from unnest(%(id)b::uuid[], %(status)b::text[], %(mode)b::text[], %(ref)b::text[], %(state)b::text[], %(ended_at)b::timestamptz[])"
    " x(id, status, mode, ref, state, ended_at)"
    " where c.workspace_id = %(ws)s and c.environment = %(env)s and c.id = x.id and (c.status <> 'ended' or x.status = 'ended')"
)
_LEGS: LiteralString = (
    "insert into leg (workspace_id, environment, call_id, n, role, target_id, started_at, answered_at, ended_at)"
    " select %(ws)s, %(env)s, t.* from unnest(%(leg_call)b::uuid[], %(leg_n)b::int[], %(leg_role)b::text[], %(leg_target)b::uuid[],"
    " %(leg_started)b::timestamptz[], %(leg_answered)b::timestamptz[], %(leg_ended)b::timestamptz[])"
    " t(leg_call, n, role, target, started, answered, ended)"
)
_SAVE_LEGS: LiteralString = (
    f"{_LEGS} on conflict (workspace_id, environment, call_id, n) do update set target_id = excluded.target_id,"
    " started_at = excluded.started_at, answered_at = excluded.answered_at, ended_at = excluded.ended_at"
)
_SAVE_TRANSFERS: LiteralString = (
    "insert into transfer (workspace_id, environment, id, call_id, target_id, status, requested_at, bridged_at, ended_at)"
    " select %(ws)s, %(env)s, * from unnest(%(transfer)b::uuid[], %(transfer_call)b::uuid[], %(transfer_target)b::uuid[],"
    " %(transfer_status)b::text[], %(requested)b::timestamptz[], %(bridged)b::timestamptz[], %(transfer_ended)b::timestamptz[])"
    " on conflict (workspace_id, environment, id) do update set status = excluded.status, bridged_at = excluded.bridged_at,"
    " ended_at = excluded.ended_at"
)
# By whether legs and transfers go with it: a step of many calls is one statement.
_SAVES: dict[tuple[bool, bool], LiteralString] = {
    (False, False): _SAVE,
    (True, False): f"with l as ({_SAVE_LEGS}) {_SAVE}",
    (False, True): f"with t as ({_SAVE_TRANSFERS}) {_SAVE}",
    (True, True): f"with l as ({_SAVE_LEGS}), t as ({_SAVE_TRANSFERS}) {_SAVE}",
}


def _legs(calls: Sequence[Call]) -> dict[str, object]:
    legs = [(call.id, participant) for call in calls for participant in call.participants()]
    return {
        "leg_call": [call for call, _ in legs],
        "leg_n": [leg.n for _, leg in legs],
        "leg_role": [leg.role for _, leg in legs],
        "leg_target": [leg.target_id for _, leg in legs],
        "leg_started": [leg.started_at for _, leg in legs],
        "leg_answered": [leg.answered_at for _, leg in legs],
        "leg_ended": [leg.ended_at for _, leg in legs],
    }


def _transfers(calls: Sequence[Call]) -> dict[str, object]:
    transfers = [(call.id, call.transfer) for call in calls if call.transfer]
    return {
        "transfer": [transfer.id for _, transfer in transfers],
        "transfer_call": [call for call, _ in transfers],
        "transfer_target": [transfer.target_id for _, transfer in transfers],
        "transfer_status": [transfer.status for _, transfer in transfers],
        "requested": [transfer.requested_at for _, transfer in transfers],
        "bridged": [transfer.bridged_at for _, transfer in transfers],
        "transfer_ended": [transfer.ended_at for _, transfer in transfers],
    }


async def nobody_places(tx: Tx, calls: Sequence[UUID]) -> None:
    """The platform has been asked, whatever came of it: from now on one may ask about these calls."""
    await tx.run(
        "update call set placing_until = null where workspace_id = %(ws)s and environment = %(env)s and id = any(%(ids)b::uuid[])",
        {**tx.keys, "ids": list(calls)},
    )


async def request_stop(
    tx: Tx, stop: Stop, *, tag: bytes | None = None, lead: UUID | None = None, call: UUID | None = None
) -> list[UUID]:
    """Ask every open call of that number, lead or id to stop, and name them; what was asked first stands."""
    rows = await tx.rows(
        "update call set stop_requested_at = coalesce(stop_requested_at, %(now)s), version = version + 1,"
        " state = jsonb_build_object('stop', %(stop)s::jsonb) || state"
        " where workspace_id = %(ws)s and environment = %(env)s and ended_at is null"
        " and id in (select id from call where workspace_id = %(ws)s and environment = %(env)s and ended_at is null"
        "  and (number_tag = %(tag)s or lead_id = %(lead)s or id = %(call)s) order by id for no key update) returning id",
        {**tx.keys, "now": tx.now, "stop": orjson.dumps(stop).decode(), "tag": tag, "lead": lead, "call": call},
    )
    return [row[0] for row in rows]


async def open_of_lead(tx: Tx, lead: UUID) -> list[UUID]:
    rows = await tx.rows(
        "select id from call where workspace_id = %(ws)s and environment = %(env)s and lead_id = %(lead)s and ended_at is null order by id",
        {**tx.keys, "lead": lead},
    )
    return [row[0] for row in rows]


async def first_seen(tx: Tx, account: UUID, keys: Sequence[str]) -> set[str]:
    """Which of these reports nobody has seen before; from now on all are seen."""
    rows = await tx.rows(
        "insert into report_seen (workspace_id, environment, provider_account_id, report_key, seen_at)"
        " select %(ws)s, %(env)s, %(account)s, key, %(now)s from unnest(%(keys)b::text[]) key on conflict do nothing returning report_key",
        {**tx.keys, "account": account, "now": tx.wall, "keys": sorted(set(keys))},
    )
    return {row[0] for row in rows}


BEING_PLACED: LiteralString = "select exists (select from call where workspace_id = %(ws)s and environment = %(env)s and placing_until > %(wall)s)"
"""Whether any call of the tenant is being handed to its platform."""


async def forget_reports(tx: EngineTx, most: int = 5000) -> int:
    return await tx.count(
        "delete from report_seen where ctid = any(array("
        "select ctid from report_seen where seen_at < now() - interval '72 hours' limit %(most)s))",
        {"most": most},
    )
