"""The servers behind the test client. They are those of production, and listen to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gevent.pywsgi import WSGIServer

from wsdriver.green.pywsgi import WebSocketHandler
from wsdriver.green.server import StreamWebSocket, WebSocketServer
from wsdriver.green.testing.exchange import note_error

__all__ = ["ApplicationHost", "HandlerHost"]

#: What a server would have been bound to.
ADDRESS = ("127.0.0.1", 80)


class _Handler(WebSocketHandler):
    """Notes errors before the client sees what becomes of them."""

    def get_environ(self) -> dict[str, Any]:
        environ = super().get_environ()
        environ.update(self.server.given)
        return environ

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        if exc_info:
            note_error(exc_info[1])  # PEP 3333: of a framework that makes a page of it, such as Bottle
        return super().start_response(status, headers, exc_info)

    def _end(self, connection: Any, failure: BaseException | None) -> None:
        note_error(failure)
        super()._end(connection, failure)

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:
        note_error(v)
        super().handle_error(t, v, tb)


class ApplicationHost(WSGIServer):  # type: ignore[misc]  # gevent has no types for it
    """gevent's WSGI server with our handler, for a WSGI application.

    Args:
        application: the application.
        host: what the application believes to be called.
        environ: more for each request's environ.
    """

    def __init__(self, application: Any, host: str, environ: Mapping[str, Any]) -> None:
        base = {"SERVER_NAME": host, "SERVER_PORT": "80"}
        super().__init__(ADDRESS, application, log=None, environ=base, handler_class=_Handler)
        self.given = environ


class HandlerHost(WebSocketServer):
    """A WebSocketServer, for handlers."""

    def _answer(self, ws: StreamWebSocket) -> None:
        try:
            super()._answer(ws)
        except BaseException as error:
            note_error(error)
            raise
