"""One process on the wire: how it lets go of those who listen."""

import asyncio

from offhook.serve import serve, taking_port
from offhook.wiring import Credentials, House


async def test_an_open_stream_is_ended_and_not_cut_when_the_server_stops(house: House, acme: Credentials) -> None:
    ready = asyncio.Event()
    with taking_port("127.0.0.1", 0) as port:
        serving = asyncio.create_task(serve(house.app, port, ready.set, house.streams.end))
        await ready.wait()
        reader, writer = await asyncio.open_connection(*port.getsockname())
        writer.write(
            f"GET /v1/events/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {acme.test_key}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")

        serving.cancel()
        rest = await reader.read()
        await asyncio.gather(serving, return_exceptions=True)
        writer.close()

    assert b" 200 " in head
    assert rest == b"0\r\n\r\n", "the last chunk, which a stream that had to be cut off never gets"
