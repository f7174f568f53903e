"""Flask-Sock's interface::

    from wsdriver.compat.flask_sock import Sock

docs/moving/flask-sock.md says what is different on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Blueprint, current_app, request

from wsdriver.compat.simple_websocket import ConnectionClosed, Server
from wsdriver.compat.simple_websocket import ConnectionError as Refused

__all__ = ["ConnectionClosed", "Server", "Sock"]


class Sock:
    """WebSocket routes of a Flask application.

    Args:
        app: the application; :meth:`init_app` may name it later.
    """

    def __init__(self, app: Any = None) -> None:
        self.app: Any = None
        self.bp: Blueprint | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Any) -> None:
        """Name the application."""
        if self.bp is not None:
            app.register_blueprint(self.bp)
        self.app = app

    def route(self, path: str, bp: Any = None, **kwargs: Any) -> Callable[[Callable[..., Any]], None]:
        """Make a function the handler of a path: it is called with a :class:`Server`, and the path's variables.

        Args:
            path: as for Flask's ``route``.
            bp: the blueprint that the route belongs to, if not to the application.
            **kwargs: as for Flask's ``route``.
        """

        def decorator(f: Callable[..., Any]) -> None:
            @wraps(f)
            def view(*args: Any, **kwargs: Any) -> Any:
                return _serve(f, args, kwargs)

            kwargs["websocket"] = True
            owner = bp or self.app
            if owner is None:
                if self.bp is None:
                    self.bp = Blueprint("__wsdriver_sock", __name__)
                owner = self.bp
            owner.route(path, **kwargs)(view)

        return decorator


def _serve(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        ws = Server(request.environ, **current_app.config.get("SOCK_SERVER_OPTIONS", {}))
    except Refused as error:
        return "", error.status_code or 400
    try:
        f(ws, *args, **kwargs)
    except ConnectionClosed:
        pass
    except Exception:
        ws.websocket._start_close(1011, "internal error")  # Flask answers with a page, which nobody gets
        raise
    return ws.websocket.wsgi_response()
