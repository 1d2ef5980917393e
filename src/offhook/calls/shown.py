"""A call as the API tells it."""

from typing import Any

from offhook import clock, ids
from offhook.calls.call import Call


def shown(call: Call, *, personal: bool) -> dict[str, Any]:
    """The object of `/v1/calls`; without `personal` numbers are masked, after an erasure they are null."""
    transfer, end = call.transfer, call.end
    return {
        "id": ids.show("call", call.id),
        "object": "call",
        "external_id": None,
        **call.shown(personal=personal),
        "merge_fields": dict(call.told.merge_fields) if personal else {},
        "transfer": transfer and {"id": ids.show("trf", transfer.id), "status": transfer.status},
        "qualified": call.qualified,
        "transferred": call.transferred,
        "opt_out": call.opt_out,
        "end_reason": end and end.reason,
        "end_detail": end and end.detail,
        "ended_by": end and end.by,
        "stop_requested_at": clock.show_or_null(call.stop_requested_at),
        "created_at": clock.show(call.about.started_at),
        "updated_at": clock.show_or_null(call.updated_at),
        "version": call.version,
    }
