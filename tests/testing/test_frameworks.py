"""The test client with the applications of frameworks, which keep errors of views to themselves."""

from __future__ import annotations

from importlib import import_module

import pytest

import wsdriver
from tests.support.failing_views import FRAMEWORKS as FAILING
from tests.support.failing_views import failing_app
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


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", FAILING)
def test_error_of_a_view_is_raised(name: str) -> None:
    client = Client(failing_app(name), host="localhost")
    with pytest.raises(LookupError, match="the view's own") as raised:
        client.websocket("/early")
    assert raised.traceback[-1].name == "fail"
    ws = client.websocket("/late")
    assert ws.receive() == "one"
    with pytest.raises(LookupError, match="the view's own"):
        ws.receive()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", FAILING)
def test_error_of_a_view_closes_with_1011(name: str) -> None:
    with Client(failing_app(name), host="localhost", raise_errors=False).websocket("/late") as ws:
        assert list(ws) == ["one"]
    assert (ws.close_code, ws.was_clean) == (1011, True)
