"""eventlet's websocket examples, with our import line."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any

from wsdriver.compat.eventlet import websocket

participants: set[Any] = set()


@websocket.WebSocketWSGI
def echo(ws: Any) -> None:
    while True:
        m = ws.wait()
        if m is None:
            break
        ws.send(m)


@websocket.WebSocketWSGI
def chat(ws: Any) -> None:
    participants.add(ws)
    try:
        while True:
            m = ws.wait()
            if m is None:
                break
            for p in participants:
                p.send(m)
    finally:
        participants.remove(ws)


@websocket.WebSocketWSGI.configured(
    supported_protocols=["a", "b"], origin_checker=lambda host, origin: origin == f"http://{host}"
)
def told(ws: Any) -> None:
    ws.send(f"{ws.path} {ws.origin} {ws.protocol} {ws.version}")
    ws.send(5)
    ws.close((4001, "enough"))
    try:
        ws.send("more")
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # which is no error of the handler's


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    handlers = {"/echo": echo, "/chat": chat, "/told": told}
    result: Iterable[bytes] = handlers[environ["PATH_INFO"]](environ, start_response)
    return result
