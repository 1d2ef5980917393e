"""Leads as a CRM sends them."""

from typing import Any

import orjson

from offhook.leads import LeadIn


def as_json(lead: LeadIn) -> dict[str, Any]:
    """The body of one lead."""
    return lead.model_dump(mode="json", exclude_unset=True)


async def upload(
    api: Any, content: bytes, mapping: Any = None, *, name: str = "leads.csv", kind: str = "", **headers: str
) -> Any:
    """Send a file to be imported; the answer."""
    head = f'content-disposition: form-data; name="file"; filename="{name}"\r\n'
    head += f"content-type: {kind}\r\n" if kind else ""
    parts = [f"--b\r\n{head}\r\n".encode() + content]
    if mapping is not None:
        parts.insert(0, b'--b\r\ncontent-disposition: form-data; name="mapping"\r\n\r\n' + orjson.dumps(mapping))
    body = b"\r\n".join([*parts, b"--b--\r\n"])
    headers["Content_Type"] = "multipart/form-data; boundary=b"
    return await api.request("POST", "/v1/leads/import", content=body, **headers)
