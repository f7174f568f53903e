"""The protocol driver on asyncio: `python examples/asyncio_echo.py`, an echo server without gevent.

The driver does no I/O: whatever has bytes gives them to it, and takes its bytes. What has to be added is what an
application on asyncio decides by itself: limits, timeouts, and what happens to a peer that does not read.
"""

from __future__ import annotations

import argparse
import asyncio

import wsdriver
from wsdriver.events import CloseEvent, ConnectEvent, MessageEvent

OPEN_TIMEOUT = 10  # seconds for the request


class EchoProtocol(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.driver = driver = wsdriver.Driver.server(self, max_length=1024 * 1024, protocols=["chat"])
        driver.on("connect", self.on_connect)
        driver.on("message", self.on_message)
        driver.on("close", self.on_close)
        self.timer = asyncio.get_running_loop().call_later(OPEN_TIMEOUT, transport.abort)

    # What the network says

    def data_received(self, data: bytes) -> None:
        self.driver.parse(data)  # nothing that a peer sends raises here

    def connection_lost(self, error: Exception | None) -> None:
        self.timer.cancel()
        self.driver.eof()

    def pause_writing(self) -> None:
        self.transport.pause_reading()  # a peer that reads nothing is asked nothing more

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    # What the driver says

    def write(self, data: bytes) -> None:
        """Send bytes: the driver's only demand."""
        self.transport.write(data)

    def on_connect(self, event: ConnectEvent) -> None:
        self.timer.cancel()
        self.driver.start()  # answers the handshake: 101, or what is wrong with it

    def on_message(self, event: MessageEvent) -> None:
        if isinstance(event.data, str):
            self.driver.text(event.data)
        else:
            self.driver.binary(event.data)

    def on_close(self, event: CloseEvent) -> None:
        self.transport.close()


async def serve(host: str, port: int) -> None:
    """Serve until it is cancelled."""
    server = await asyncio.get_running_loop().create_server(EchoProtocol, host, port)
    port = server.sockets[0].getsockname()[1]
    print(f"echo on ws://{host}:{port}/", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="a WebSocket echo server on asyncio")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    try:
        asyncio.run(serve(arguments.host, arguments.port))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
