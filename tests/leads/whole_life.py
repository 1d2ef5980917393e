"""A person about whom every table of the house has come to know something, and a search for what may not stand in clear."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from tests.journeys.stage import Stage
from tests.leads.sending import as_json, upload

from offhook.leads import LeadIn

NOBODY_LISTENS = "http://127.0.0.1:8998/hook"


def word() -> str:
    """A word that stands nowhere else."""
    return f"Zq{secrets.token_hex(6)}"


@dataclass(frozen=True)
class Person:
    """What a CRM knows of somebody; each value is unmistakable. In Maine, and transferred when called."""

    ref: str
    name: str
    email: str
    street: str
    click: str
    note: str
    phone: str = "+12075550149"

    @classmethod
    def new(cls) -> "Person":
        return cls(ref=word(), name=word(), email=word(), street=word(), click=word(), note=word())

    @property
    def said(self) -> list[str]:
        """Everything that says who it is, and the number's digits without its country."""
        return [self.ref, self.name, self.email, self.street, self.click, self.note, self.phone[2:]]

    @property
    def lead(self) -> LeadIn:
        return LeadIn.model_validate(
            {
                "client_ref_id": self.ref,
                "contact": {
                    "first_name": self.name,
                    "phone": self.phone,
                    "email": f"{self.email}@example.com",
                    "address": {"street": self.street},
                },
                "consent": [
                    {
                        "channel": "voice",
                        "artificial_voice": True,
                        "given_at": "2026-11-20T15:02:11Z",
                        "evidence": {"url": self.click},
                    }
                ],
                "visitor": {"gclid": self.click},
                "merge_fields": {"note": self.note},
                "metadata": {"note": self.note},
            }
        )


async def live_through(stage: Stage, person: Person) -> str:
    """The person's lead: sent twice, called, transferred, told of by the CRM; the endpoint's deliveries wait. Its id."""
    await stage.post("/v1/webhook-endpoints", {"url": NOBODY_LISTENS, "events": ["*"], "description": "plainly told"})
    lead = as_json(person.lead)
    made = await stage.post("/v1/leads", lead, Idempotency_Key=word())
    await stage.post("/v1/leads", lead)
    await stage.passes(minutes=10)
    data = {"code": "sold", "note": person.note}
    await stage.post(
        "/v1/postbacks", {"type": "disposition", "client_ref_id": person.ref, "external_ref": word(), "data": data}
    )
    await stage.post(
        "/v1/opt-outs", {"channel": "email", "email": f"{person.email}@example.com", "evidence": {"text": person.note}}
    )
    mapping = {"client_ref_id": "ref", "contact.phone": "phone", "contact.first_name": "name"}
    await upload(stage.api, f"ref,phone,name\n{person.ref},{person.phone},{person.name}".encode(), mapping)
    return str(made["id"])


def rows_that_say(admin: psycopg.Connection[Any], words: list[str]) -> list[str]:
    """`table: word` wherever a row of the database says one of them, as text or within its bytes."""
    tables = admin.execute(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
    ).fetchall()
    found = []
    for (table,) in tables:
        query = sql.SQL("select coalesce(string_agg(t::text, ' '), '') from {} t").format(sql.Identifier(table))
        ((text,),) = admin.execute(query).fetchall()
        found += [f"{table}: {word}" for word in words if word in text or word.encode().hex() in text]
    return found


def files_that_say(admin: psycopg.Connection[Any], folder: Path, words: list[str]) -> list[str]:
    """`file: word` wherever a file under the server's directory holds one of them: heap, index, write-ahead log, own log."""
    admin.execute("checkpoint")
    found = []
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            found += [f"{file.name}: {word}" for word in words if word.encode() in content]
    return found
