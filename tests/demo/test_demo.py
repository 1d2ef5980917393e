"""The demo as a user starts it: a process, an exit code, and a ledger."""

import asyncio
import json
import sys

DEMO = (sys.executable, "-c", "from offhook.cli import main; main()", "demo")


async def test_sixty_leads_go_through_the_whole_story_and_every_promise_holds() -> None:
    process = await asyncio.create_subprocess_exec(
        *DEMO, "--count", "60", "--json", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()

    assert process.returncode == 0, (out or err).decode()
    ledger = json.loads(out)
    assert ledger["held"]
    assert ledger["rows"] == 60
    assert ledger["attempts"] > 60
    assert 1 <= ledger["peak_live_transfers"] <= 5
    assert {"conversion", "dnc", "reconnect"} <= set(ledger["post_backs"])


async def test_a_file_without_the_right_columns_is_refused_with_their_names(tmp_path: object) -> None:
    leads = f"{tmp_path}/leads.csv"
    await asyncio.to_thread(_write, leads)

    process = await asyncio.create_subprocess_exec(*DEMO, "--leads", leads, stderr=asyncio.subprocess.PIPE)
    _, err = await process.communicate()

    assert process.returncode == 2
    assert b"lacks city, client_ref_id" in err


def _write(path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("name,telephone\nMichael,+13125550199\n")
