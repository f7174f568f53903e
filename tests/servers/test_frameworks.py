"""The examples for frameworks, under every server: what each makes of a WebSocket's response is no error."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest

from tests.servers.matrix import every_server, fetch, settle
from tests.support.failing_views import FRAMEWORKS as FAILING
from tests.support.gunicorn import Server
from tests.support.net import frame, read_frame
from tests.support.peers import need_module
from tests.support.wire import CLOSE, TEXT


@every_server
@pytest.mark.parametrize("framework", ["bottle", "django", "falcon", "flask"])
class TestFrameworks:
    @pytest.fixture(autouse=True)
    def _needed(self, framework: str) -> None:
        need_module(framework)

    def test_echo(self, server: Server, framework: str) -> None:
        with server.dial().open(f"/{framework}/echo", early=frame(TEXT, b"early")) as wire:
            assert wire.message() == "early"
            wire.text("later")
            assert wire.message() == "later"
            assert wire.leave(4000) == 4000
        with server.dial().open(f"/{framework}/echo") as wire:
            wire.text("and the next")
            assert wire.message() == "and the next"
            assert wire.leave() == 1000

    def test_a_client_that_goes(self, server: Server, framework: str) -> None:
        with server.dial().open(f"/{framework}/echo") as wire:
            wire.reset()
        with server.dial().open(f"/{framework}/echo", early=frame(TEXT, b"hello") + frame(CLOSE, b"\x03\xe8")) as wire:
            assert read_frame(wire.recv) == (CLOSE, b"\x03\xe8")
            assert wire.ended()

    def test_pages(self, server: Server, framework: str) -> None:
        page = fetch(server, f"/{framework}/")
        assert page.body == f"a page of {framework.title()}\n".encode()
        assert fetch(server, f"/{framework}/echo").status == (400 if framework == "flask" else 426)
        assert fetch(server, f"/{framework}/nothing").status == 404


@every_server
@pytest.mark.parametrize("framework", FAILING)
def test_view_that_raises_after_the_handshake_closes_with_1011(server: Server, framework: str) -> None:
    """The framework makes a page of the error, which no server may take for a good end."""
    need_module(framework)
    with server.dial().open(f"/failing/{framework}/late") as wire:
        assert wire.message() == "one"
        assert wire.closed() == 1011
    settle(server)
    server.mark()  # some frameworks log it


@every_server
def test_flask_with_a_login(server: Server) -> None:
    """The example asks before the handshake."""
    need_module("flask")
    with server.dial() as wire:
        wire.ask("/flask-login/echo")
        assert b" 401 " in wire.recv(4096).splitlines()[0]
    page = fetch(
        server, "/flask-login/login", {"Content-Type": "application/x-www-form-urlencoded"}, "POST", b"name=Ada"
    )
    assert page.status == 302
    (cookie,) = SimpleCookie(page.headers["Set-Cookie"]).values()
    extra = f"Cookie: {cookie.key}={cookie.value}\r\n"
    with server.dial().open("/flask-login/echo", extra) as wire:
        wire.text("hello")
        assert wire.message() == "Ada: hello"
        assert wire.leave() == 1000
    html = fetch(server, "/flask-login/", {"Cookie": f"{cookie.key}={cookie.value}"}).body.decode()
    assert 'new WebSocket(new URL("echo", ' in html
