"""The test client with the applications of frameworks, which keep errors of views to themselves."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

import wsdriver
from tests.support.peers import need_module
from wsdriver.testing import Client

FRAMEWORKS = ("bottle", "django", "falcon", "flask")


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_example_answers(name: str) -> None:
    need_module(name)
    app = import_module(f"examples.frameworks.{name}_app").app
    with Client(app, host="localhost").websocket("/echo") as ws:
        ws.send("hello")
        assert ws.receive() == "hello"
    with pytest.raises(wsdriver.HandshakeError) as refused:
        Client(app, host="localhost").websocket("/nowhere")
    assert refused.value.status == 404


def fail(environ: Any, early: bool) -> None:
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
    path = import_module("django.urls").path
    example = import_module("examples.frameworks.django_app")
    if len(example.urlpatterns) == 2:
        example.urlpatterns += [
            path("early", lambda request: fail(request.META, True)),
            path("late", lambda request: fail(request.META, False)),
        ]
    return example.app


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("make", [flask_app, bottle_app, django_app])
def test_error_of_a_view_is_raised(make: Callable[[], Any]) -> None:
    client = Client(make(), host="localhost")
    with pytest.raises(LookupError, match="the view's own") as raised:
        client.websocket("/early")
    assert raised.traceback[-1].name == "fail"
    ws = client.websocket("/late")
    assert ws.receive() == "one"
    with pytest.raises(LookupError, match="the view's own"):
        ws.receive()
