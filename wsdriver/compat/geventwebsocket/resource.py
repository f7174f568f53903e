"""Applications that are classes with an instance for each connection, and the table of their paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from wsdriver.compat.geventwebsocket.exceptions import WebSocketError
from wsdriver.compat.geventwebsocket.protocols.base import BaseProtocol

__all__ = ["Resource", "WebSocketApplication"]


class WebSocketApplication:
    """One connection: subclasses say what is done when it opens, at each message, and when it ends.

    Args:
        ws: the connection.

    Attributes:
        protocol_class: what stands between.
    """

    protocol_class: type[BaseProtocol] = BaseProtocol

    def __init__(self, ws: Any) -> None:
        self.protocol = self.protocol_class(self)
        self.ws = ws

    def handle(self) -> None:
        """Serve the connection to its end.

        Deviation: ``on_close`` is called however it ends. gevent-websocket calls it only if ``on_message(None)``, by
        which it tells of the end first, returns.
        """
        try:
            self.protocol.on_open()
            while True:
                self.protocol.on_message(self.ws.receive())
        except WebSocketError:
            pass
        finally:
            self.protocol.on_close()

    def on_open(self, *args: Any, **kwargs: Any) -> None:
        """The connection is open."""

    def on_close(self, *args: Any, **kwargs: Any) -> None:
        """The connection has ended."""

    def on_message(self, message: Any, *args: Any, **kwargs: Any) -> None:
        """A message has come; None, once, when the connection has ended. Sends it back unless overridden."""
        self.ws.send(message, **kwargs)

    @classmethod
    def protocol_name(cls) -> str:
        """Return the subprotocol."""
        return cls.protocol_class.PROTOCOL_NAME


class Resource:
    """A WSGI application that calls others by path: WSGI applications, and :class:`WebSocketApplication` classes.

    Args:
        apps: pairs of a regular expression, which has to match the beginning of a path, and an application; or a
            dict of them. The first that matches and is of the right kind is taken.
    """

    def __init__(self, apps: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        self.apps: Iterable[tuple[str, Any]] = apps.items() if isinstance(apps, Mapping) else (apps or [])

    def _is_websocket_app(self, app: Any) -> bool:
        return isinstance(app, type) and issubclass(app, WebSocketApplication)

    def _app_by_path(self, environ_path: str, is_websocket_request: bool) -> Any:
        for path, app in self.apps:
            if re.match(path, environ_path) and is_websocket_request == self._is_websocket_app(app):
                return app
        return None

    def app_protocol(self, path: str) -> str:
        """Return the subprotocol of the application for that path; nothing where there is none."""
        app = self._app_by_path(path, True)
        name: str = app.protocol_name() if hasattr(app, "protocol_name") else ""
        return name

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        ws = environ.get("wsgi.websocket")
        app = self._app_by_path(environ["PATH_INFO"], ws is not None)
        if app is None:
            # Deviation: gevent-websocket raises, and the connection breaks.
            if ws is not None and ws.ready_state > 0:
                ws.close(1008, "not found")
                return []
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found\n"]
        if ws is None:
            result: Iterable[bytes] = app(environ, start_response)
            return result
        current = app(ws)
        current.ws = ws
        current.handle()
        return []
