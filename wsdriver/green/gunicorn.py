"""The gunicorn worker class: ``gunicorn -k wsdriver.worker app:app``.

It is gunicorn's own gevent worker with one thing more: the connection of a WebSocket request may be taken over.
gunicorn imports this before it forks and before gevent patches; nothing here may pull threads in.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import gevent
from gevent.local import local

try:
    from gunicorn.workers.ggevent import GeventResponse, GeventWorker
except (ImportError, RuntimeError) as error:
    raise ImportError(
        f"the gunicorn worker lacks a package ({error}); install all it needs with: pip install 'wsdriver[gunicorn]'"
    ) from error

from wsdriver.driver.server import refuse_request
from wsdriver.environ import is_websocket
from wsdriver.exceptions import HandshakeError
from wsdriver.green.registry import Registry
from wsdriver.green.websocket import WebSocket
from wsdriver.green.wsgi import KEY, Takeover, end_session

__all__ = ["WebSocketWorker"]


class WebSocketWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's gevent worker, with WebSockets.

    A WebSocket request finds a ready :class:`~wsdriver.WebSocket` in ``environ['wsgi.websocket']``; its handshake goes
    out at its first use, so that the application may still answer 401. It is logged in the access log once, at its
    end. On SIGTERM, SIGHUP and ``max_requests`` all WebSockets are closed with 1001, and the worker leaves as soon as
    they are gone.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections = Registry()
        self._current = local()

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self._application: Any = self.wsgi
        self.wsgi: Any = self._serve

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        self._current.request = req
        return super().handle_request(listener_name, req, sock, addr)

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Any:
        """The WSGI application that gunicorn sees."""
        if not is_websocket(environ):
            return self._application(environ, start_response)
        if self.connections.closing:
            return self._refuse(environ, HandshakeError("the server is restarting", 503, {"Retry-After": "1"}))
        request = self._current.request
        started = datetime.now()
        takeover = Takeover(environ["gunicorn.socket"], lambda: _buffered(request.unreader), self.connections.add)
        environ[KEY] = takeover
        environ["wsgi.websocket"] = WebSocket(environ)
        failure: BaseException | None = None
        result: Any = None
        try:
            result = self._application(environ, start_response)
        except BaseException as error:
            if takeover.connection is None:
                raise
            failure = error
        connection = takeover.connection
        if connection is None:
            return result
        if hasattr(result, "close"):
            result.close()
        try:
            end_session(connection, failure, self.log)
        finally:
            refused = connection.close_error if isinstance(connection.close_error, HandshakeError) else None
            status = f"{refused.status} Refused" if refused else "101 Switching Protocols"
            response = GeventResponse(status, [], connection.bytes_sent)
            self.log.access(response, request, environ, datetime.now() - started)
        raise StopIteration  # how gunicorn's workers say that the connection has ended

    def _refuse(self, environ: dict[str, Any], error: HandshakeError) -> Any:
        environ["gunicorn.socket"].sendall(refuse_request(error))
        raise StopIteration

    # --- the end ----------------------------------------------------------------------------------------------------

    def notify(self) -> None:
        super().notify()
        if not self.alive and not self.connections.closing:
            self.connections.start_closing()

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        gevent.spawn(self.connections.start_closing)

    def handle_quit(self, sig: int, frame: Any) -> None:
        gevent.spawn(self.connections.start_closing)
        super().handle_quit(sig, frame)


def _buffered(unreader: Any) -> bytes:
    """Return what gunicorn has read beyond the request's head."""
    if hasattr(unreader, "take_buffered"):
        taken: bytes = unreader.take_buffered()
        return taken
    taken = unreader.buf.getvalue()  # before gunicorn 27
    unreader.buf.seek(0)
    unreader.buf.truncate()
    return taken
