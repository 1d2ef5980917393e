"""The log of a running Offhook, followed over every interruption: each event once, in the order of the log.

A message counts as handled when the next one is asked for. Whoever comes back after a cut asks for what lies behind the
last one that was handled, so nothing is lost and nothing comes twice.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from offhook.cli.messages import Message, Messages
from offhook.errors import Unavailable

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 8.0

Stream = Callable[[str | None], AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""The log behind a cursor (None: from now on) in pieces as they come. Raises Unavailable when it breaks off."""

Rest = Callable[[float], Awaitable[object]]


async def follow(
    stream: Stream, note: Callable[[str], None], rest: Rest = asyncio.sleep
) -> AsyncGenerator[Message, None]:
    """The messages of the stream, endlessly; one without data tells that a connection stands.

    Raises Unavailable when not even the first connection comes about, and what else the stream raises, at once.
    """
    after: str | None = None
    cuts, is_noted = 0, False
    while True:
        try:
            async with stream(after) as pieces:
                messages = Messages()
                async for piece in pieces:
                    for message in messages.feed(piece):
                        if is_noted:
                            note("The stream is back; nothing was missed.")
                        cuts, is_noted = 0, False
                        yield message
                        after = message.id or after
        except Unavailable as away:
            if after is None:
                raise
            if not is_noted:
                note(f"The stream was cut; connecting again. {away.detail}")
            is_noted = True
        await rest(pause_s(cuts))
        cuts += 1


def pause_s(cuts: int) -> float:
    """Seconds to wait after that many cuts without a message in between: ever longer, 8 at most."""
    return min(_FIRST_PAUSE_S * 2.0 ** min(cuts, 10), _LONGEST_PAUSE_S)
