"""``eventlet.websocket``'s server side, on gevent::

    from wsdriver.compat.eventlet import websocket

    @websocket.WebSocketWSGI
    def handle(ws): ...

docs/moving/eventlet.md says what else has to change in an application of eventlet's.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import Any

from wsdriver.codes import is_application_close_code
from wsdriver.compat.subprotocols import by_client
from wsdriver.environ import Environ, is_websocket
from wsdriver.extensions import PermessageDeflate
from wsdriver.green.websocket import WebSocket as _WebSocket

__all__ = ["WebSocket", "WebSocketWSGI"]

DEFAULT_MAX_FRAME_LENGTH = 8 << 20

#: What a client that goes away raises, and is no error of the handler's.
_GONE = {errno.ECONNRESET, errno.EPIPE, errno.ESHUTDOWN}


class WebSocket:
    """A connection, as the handler gets it.

    Attributes:
        websocket: the connection itself, such as ``wsdriver.broadcast`` and ``wsdriver.Channel`` take it.
        environ, path, origin: of the request.
        protocol: the subprotocol that was agreed, or None.
        version: the protocol version's number.
    """

    def __init__(self, websocket: _WebSocket) -> None:
        environ = websocket.environ
        self.websocket = websocket
        self.environ = environ
        self.path = environ.get("PATH_INFO")
        self.origin = environ.get("HTTP_ORIGIN")
        self.protocol = websocket.protocol
        self.version = websocket.handshake.protocol_version

    @property
    def websocket_closed(self) -> bool:
        """Whether the connection is closed."""
        return self.websocket.ready_state > 1

    def wait(self) -> str | bytes | None:
        """Wait for the next message; None once the connection is closed."""
        return self.websocket.receive()

    def send(self, message: Any) -> None:
        """Send a message: bytes as binary, anything else as text.

        Raises:
            OSError: with errno EPIPE: the connection has ended.
        """
        self.websocket.send(message if isinstance(message, (str, bytes)) else str(message))

    def close(self, close_data: tuple[int, str | bytes] | None = None) -> None:
        """Close, with a code and a reason if given. To return from the handler does it as well."""
        code, reason = close_data or (1000, "")
        self.websocket.close(
            code if is_application_close_code(code) else 1000,
            reason if isinstance(reason, str) else reason.decode(errors="replace"),
        )


class WebSocketWSGI:
    """A WSGI application that is a handler of WebSockets.

    Args:
        handler: called with a :class:`WebSocket`.
        max_frame_length: bytes that a message may have, inflated.
    """

    def __init__(self, handler: Callable[..., Any], max_frame_length: int = DEFAULT_MAX_FRAME_LENGTH) -> None:
        self.handler = handler
        self.support_legacy_versions = True
        self.supported_protocols: list[str] = []
        self.origin_checker: Callable[[Any, Any], object] | None = None
        self.max_frame_length = max_frame_length

    @classmethod
    def configured(
        cls,
        handler: Callable[..., Any] | None = None,
        supported_protocols: Iterable[str] | None = None,
        origin_checker: Callable[[Any, Any], object] | None = None,
        support_legacy_versions: bool = False,
    ) -> Any:
        """Return an application for a handler; or a decorator, where none is given.

        Args:
            handler: as for the class.
            supported_protocols: the subprotocols to choose from.
            origin_checker: called with the headers Host and Origin; where it returns False, the answer is 403.
            support_legacy_versions: whether the versions before RFC 6455's drafts are served.
        """

        def decorator(handler: Callable[..., Any]) -> WebSocketWSGI:
            application = cls(handler)
            application.supported_protocols = list(supported_protocols or ())
            application.origin_checker = origin_checker
            application.support_legacy_versions = support_legacy_versions
            return application

        return decorator if handler is None else decorator(handler)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if not is_websocket(environ):
            start_response("400 Bad Request", [("Content-Length", "0")])
            return []
        if self.origin_checker is not None:
            origin = environ.get("HTTP_ORIGIN", environ.get("HTTP_SEC_WEBSOCKET_ORIGIN", ""))
            if not self.origin_checker(environ.get("HTTP_HOST"), origin):
                start_response("403 Forbidden", [("Content-Length", "0")])
                return []
        options: dict[str, Any] = {} if self.support_legacy_versions else {"versions": ["hybi-8", "hybi-13"]}
        ws = _WebSocket(
            environ,
            by_client(environ, self.supported_protocols),
            max_length=self.max_frame_length,
            extensions=[PermessageDeflate()],
            **options,
        )
        if ws.accept():
            try:
                self.handler(WebSocket(ws))
            except OSError as error:
                if error.errno not in _GONE:
                    raise
        return ws.wsgi_response()
