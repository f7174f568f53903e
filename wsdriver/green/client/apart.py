"""A client's WebSocket in a thread of its own, for programs that block theirs: in a terminal, a pipe, another loop."""

from __future__ import annotations

from collections.abc import Iterable

from wsdriver.green.client.connecting import ClientWebSocket, open_websocket
from wsdriver.green.client.options import ClientOptions
from wsdriver.green.loop import call_in_hub, io_hub

__all__ = ["open_apart", "receive_some", "send_all"]

#: Messages that go from thread to thread at once: that costs as much as a hundred of them.
MOST = 1000


def open_apart(url: str, options: ClientOptions) -> ClientWebSocket:
    """Open a WebSocket that any thread may use, and that answers pings whatever they do.

    Raises:
        what :func:`~wsdriver.connect` raises.
    """
    ws: ClientWebSocket = call_in_hub(io_hub(), open_websocket, url, options)
    return ws


def send_all(ws: ClientWebSocket, messages: Iterable[str | bytes]) -> None:
    """Send messages, in one visit to the WebSocket's thread.

    Raises:
        ConnectionClosed: it has ended, before all of them were sent.
    """

    def send() -> None:
        for message in messages:
            ws.send(message)

    call_in_hub(ws._hub, send)


def receive_some(ws: ClientWebSocket) -> list[str | bytes]:
    """Wait for a message, and return it with those that are there behind it; none at the end."""

    def receive() -> list[str | bytes]:
        found: list[str | bytes] = []
        message = ws.receive()
        try:
            while message is not None:
                found.append(message)
                if len(found) == MOST:
                    break
                message = ws.receive(timeout=0)
        except TimeoutError:
            pass  # that was all
        return found

    some: list[str | bytes] = call_in_hub(ws._hub, receive)
    return some
