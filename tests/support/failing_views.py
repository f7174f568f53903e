"""Views that raise, in frameworks that make a page of that."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import wsdriver
from tests.support.peers import need_module

__all__ = ["FRAMEWORKS", "failing_app"]


def fail(environ: Any, early: bool) -> None:
    """Raise before the handshake, or after it."""
    ws = wsdriver.WebSocket(environ)
    if not early:
        ws.send("one")
    raise LookupError("the view's own")


def flask_app() -> Any:
    app = need_module("flask").Flask(__name__)
    request = need_module("flask").request
    app.add_url_rule("/early", "early", lambda: fail(request.environ, True), websocket=True)
    app.add_url_rule("/late", "late", lambda: fail(request.environ, False), websocket=True)
    return app


def bottle_app() -> Any:
    bottle = need_module("bottle")
    app = bottle.Bottle()
    app.get("/early", callback=lambda: fail(bottle.request.environ, True))
    app.get("/late", callback=lambda: fail(bottle.request.environ, False))
    return app


def django_app() -> Any:
    need_module("django")
    from django.urls import path

    from examples.frameworks import django_app as example  # a process can have one configuration of Django's only

    example.urlpatterns += [
        path("early", lambda request: fail(request.META, True)),
        path("late", lambda request: fail(request.META, False)),
    ]
    return example.app


FRAMEWORKS: dict[str, Callable[[], Any]] = {"bottle": bottle_app, "django": django_app, "flask": flask_app}


@cache
def failing_app(framework: str) -> Any:
    """Return an application whose view ``/early`` raises before the handshake, and ``/late`` after a message."""
    return FRAMEWORKS[framework]()
