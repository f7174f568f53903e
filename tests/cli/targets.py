"""Things to serve, of every kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import wsdriver

number = 7


def echo(ws: wsdriver.WebSocket) -> None:
    for message in ws:
        ws.send(message)


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    if wsdriver.is_websocket(environ):
        ws = wsdriver.WebSocket(environ)
        echo(ws)
        return ws.wsgi_response()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"a page\n"]


class Application:
    """As frameworks have them."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return application(environ, start_response)


class ApplicationClass:
    """As PEP 3333 allows them."""

    def __init__(self, environ: Any, start_response: Any) -> None:
        self._answer = application(environ, start_response)

    def __iter__(self) -> Any:
        return iter(self._answer)


class Handlers:
    def one(self, ws: wsdriver.WebSocket) -> None:
        echo(ws)


def with_option(ws: wsdriver.WebSocket, room: str = "lobby") -> None:
    ws.send(room)


def with_default(environ: Any, start_response: Any = None) -> None: ...


def anything(*arguments: Any) -> None: ...


def nothing() -> None: ...


async def coroutine(ws: Any) -> None: ...


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


application_object = Application()
method = Handlers().one
routes = {"/one": echo}
