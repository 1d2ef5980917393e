"""The context that rides along with the examples: one made-up call, from its dial to its end, and whose it was.

The examples of the catalogue tell of this same call: answered after nine seconds, handed over, ended after 214.
"""

from collections.abc import Mapping
from typing import Any

NOW = "2026-11-21T17:03:34.000Z"
"""When the examples happen that are about no call."""

_STARTED, _ANSWERED, _BRIDGED = "2026-11-21T17:00:00.000Z", "2026-11-21T17:00:09.000Z", "2026-11-21T17:00:34.000Z"

Context = Mapping[str, Any]

VISITOR: Context = {
    "utm_source": "google",
    "utm_medium": "cpc",
    "utm_campaign": "solar-midwest",
    "gclid": "EAIaIQobChMI-sample",
    "landing_page": "https://example.com/solar",
    "referrer": "https://www.google.com/",
}


def lead(type: str) -> Context:
    """The lead at the time of that event."""
    return {
        "lead_id": "lead_01k…",
        "client_ref_id": "LD-9938-XYZ",
        "status": _LEAD_STATUS.get(type, "scheduled" if type.startswith("lead.") else "in_call"),
        "timezone": "America/Chicago",
        "metadata": {"owner": "team-midwest"},
    }


def call(type: str) -> Context:
    """The call at the time of that event."""
    return _CALLS.get(type, _TALKING)


_LEAD_STATUS = {
    "lead.accepted": "held",
    "lead.rejected": "rejected",
    "lead.attempted": "in_call",
    "lead.qualified": "qualified",
    "lead.disqualified": "disqualified",
    "lead.converted": "converted",
    "lead.opted_out": "opted_out",
    "lead.dnc_added": "dnc",
    "lead.cadence_paused": "paused",
    "lead.cadence_completed": "exhausted",
}


def _consumer(answered_at: str | None = None, left_at: str | None = None) -> Context:
    return {"role": "consumer", "joined_at": answered_at, "left_at": left_at}


def _human(joined_at: str | None = None, left_at: str | None = None) -> Context:
    return {"role": "human", "joined_at": joined_at, "left_at": left_at}


_REQUESTED: Context = {
    "call_id": "call_01k…",
    "direction": "outbound",
    "status": "requested",
    "mode": "ai_first",
    "caller_id": "***0100",
    "dialed_number": "***0199",
    "campaign_id": "cmp_01k…",
    "lead_id": "lead_01k…",
    "client_ref_id": "LD-9938-XYZ",
    "attempt_no": 1,
    "target_id": None,
    "provider": {"key": "sandbox", "call_id": None},
    "answered_by": "unknown",
    "disposition": None,
    "started_at": _STARTED,
    "answered_at": None,
    "ended_at": None,
    "duration_s": None,
    "talk_s": None,
    "participants": [_consumer()],
    "merge_fields": {"product": "solar"},
}
_PLACED = {**_REQUESTED, "status": "placed", "provider": {"key": "sandbox", "call_id": "sample-1"}}
_RINGING = {**_PLACED, "status": "ringing"}
_INBOUND = {
    **_PLACED,
    "direction": "inbound",
    "status": "inbound_ringing",
    "caller_id": "***0199",
    "dialed_number": "***0100",
}
_JUST_ANSWERED = {**_RINGING, "status": "answered", "answered_at": _ANSWERED, "participants": [_consumer(_ANSWERED)]}
_MACHINE = {**_JUST_ANSWERED, "answered_by": "voicemail"}
_TALKING = {**_JUST_ANSWERED, "answered_by": "human"}
_HANDING_OVER = {**_TALKING, "target_id": "tgt_01k…", "participants": [_consumer(_ANSWERED), _human()]}
_HANDED_OVER = {**_HANDING_OVER, "participants": [_consumer(_ANSWERED), _human(_BRIDGED)]}
_LEFT_ALONE = {**_HANDING_OVER, "participants": [_consumer(_ANSWERED), _human(_BRIDGED, NOW)]}
_ENDED = {
    **_LEFT_ALONE,
    "status": "ended",
    "disposition": "QUAL",
    "ended_at": NOW,
    "duration_s": 214,
    "talk_s": 205,
    "participants": [_consumer(_ANSWERED, NOW), _human(_BRIDGED, NOW)],
}
_CALLS: Mapping[str, Context] = {
    "call.started": _REQUESTED,
    "call.placed": _PLACED,
    "call.inbound_ringing": _INBOUND,
    "call.ringing": _RINGING,
    "call.answered": _JUST_ANSWERED,
    "call.voicemail_detected": _MACHINE,
    "call.no_answer": _RINGING,
    "call.busy": _PLACED,
    "call.error": _PLACED,
    "call.disposition_set": {**_TALKING, "disposition": "QUAL"},
    "call.ended": _ENDED,
    "call.finalized": _ENDED,
    "call.updated": _ENDED,
    "transfer.initiated": _HANDING_OVER,
    "transfer.routed": _HANDING_OVER,
    "transfer.reserved": _HANDING_OVER,
    "transfer.ringing": _HANDING_OVER,
    "transfer.declined": _HANDING_OVER,
    "transfer.no_answer": _HANDING_OVER,
    "transfer.failed": _HANDING_OVER,
    "transfer.released": _HANDING_OVER,
    "transfer.bridged": _HANDED_OVER,
    "transfer.completed": _HANDED_OVER,
    "transfer.ended": _LEFT_ALONE,
}
