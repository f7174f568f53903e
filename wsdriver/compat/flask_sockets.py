"""Flask-Sockets' interface, which itself fails with Flask 2 and newer::

    from wsdriver.compat.flask_sockets import Sockets

docs/moving/flask-sockets.md says what is different on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule, WebsocketMismatch

from wsdriver.environ import is_websocket
from wsdriver.green.legacy import LegacyWebSocket

__all__ = ["SocketMiddleware", "Sockets"]


class SocketMiddleware:
    """Calls the handler of a WebSocket request; all others go to the application.

    Args:
        wsgi_app: what the application was before.
        app: the Flask application.
        socket: the table of routes.
    """

    def __init__(self, wsgi_app: Any, app: Any, socket: Sockets) -> None:
        self.wsgi_app = wsgi_app
        self.app = app
        self.ws = socket

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if is_websocket(environ):
            try:
                handler, values = self.ws.url_map.bind_to_environ(environ).match()
            except (NotFound, WebsocketMismatch):
                pass
            else:
                ws = environ.get("wsgi.websocket") or LegacyWebSocket(environ)
                ws.accept()
                with self.app.request_context(environ):
                    handler(ws, **values)
                return ws.wsgi_response()
        result: Iterable[bytes] = self.wsgi_app(environ, start_response)
        return result


class Sockets:
    """WebSocket routes beside those of a Flask application.

    Args:
        app: the application; :meth:`init_app` may name it later.

    Attributes:
        url_map: the routes.
        blueprints: those that have routes here, by name.
    """

    def __init__(self, app: Any = None) -> None:
        self.url_map = Map()
        self.blueprints: dict[str, Any] = {}
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Any) -> None:
        """Name the application."""
        app.wsgi_app = SocketMiddleware(app.wsgi_app, app, self)

    def route(self, rule: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Make a function the handler of a path: it is called with the WebSocket, and the path's variables."""

        def decorator(f: Callable[..., Any]) -> Callable[..., Any]:
            self.add_url_rule(rule, options.pop("endpoint", None), f, **options)
            return f

        return decorator

    def add_url_rule(self, rule: str, endpoint: str | None, f: Callable[..., Any], **options: Any) -> None:
        """Add a route; of the options, those of werkzeug's rules are taken."""
        known = {name: options[name] for name in ("defaults", "strict_slashes", "subdomain") if options.get(name)}
        self.url_map.add(Rule(rule, endpoint=f, websocket=True, **known))

    def register_blueprint(self, blueprint: Any, **options: Any) -> None:
        """Add the routes of a blueprint.

        Raises:
            ValueError: another blueprint has its name.
        """
        if self.blueprints.setdefault(blueprint.name, blueprint) is not blueprint:
            raise ValueError(f"another blueprint is registered as {blueprint.name!r}")
        state = blueprint.make_setup_state(self, options, True)
        for add in blueprint.deferred_functions:
            add(state)
