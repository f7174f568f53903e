"""Origins, and the URL behind a proxy, on real servers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.pywsgi import WSGIServer

import wsdriver
from tests.support.gunicorn import Gunicorn
from tests.support.net import read_head, request
from tests.support.serving import serving
from wsdriver import HandshakeError

EVIL = "https://good.com.evil.org"


def tell_url(ws: wsdriver.WebSocket) -> None:
    ws.send(f"{ws.url} {ws.secure}")


def ask(url: str, *, secure: bool = False, **headers: str) -> str:
    """Ask with more headers; return what the server says of its URL, without host and port."""
    with wsdriver.connect(url, headers={name.replace("_", "-"): value for name, value in headers.items()}) as ws:
        told = ws.receive(timeout=10)
        assert isinstance(told, str)
        return told.partition(":")[0] + told.partition(" ")[2]


def status_of(url: str, origin: str | None) -> int:
    """Return the status of the answer to a request from that origin."""
    try:
        with wsdriver.connect(url, headers={} if origin is None else {"Origin": origin}):
            return 101
    except HandshakeError as error:
        return error.status


def app(environ: dict[str, Any], start_response: Any, handler: Any = tell_url, **options: Any) -> Any:
    """The WSGI application for all servers."""
    ws = wsdriver.WebSocket(environ, **options)
    if ws.accept():
        handler(ws)
    return ws.wsgi_response()


@contextmanager
def pywsgi(handler: Any = tell_url, **options: Any) -> Iterator[str]:
    """Serve with gevent.pywsgi; the URL."""

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        return app(environ, start_response, handler, **options)

    server = WSGIServer(("127.0.0.1", 0), serve, handler_class=wsdriver.WebSocketHandler, log=None)
    server.start()
    try:
        yield f"ws://127.0.0.1:{server.server_port}/"
    finally:
        server.stop(timeout=1)


@contextmanager
def websocket_server(handler: Any = tell_url, **options: Any) -> Iterator[str]:
    with serving(handler, **options) as server:
        yield server.url


SERVERS = [websocket_server, pywsgi]


@pytest.fixture(autouse=True)
def _default_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)


# --- origins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
class TestOrigins:
    def test_list(self, server: Any) -> None:
        with server(origins=["https://good.com"]) as url:
            assert status_of(url, "https://good.com") == 101
            assert status_of(url, EVIL) == 403
            assert status_of(url, None) == 403
            assert status_of(url, "https://GOOD.com:443") == 101

    def test_same(self, server: Any) -> None:
        with server(origins="same") as url:
            own = url.replace("ws:", "http:").rstrip("/")
            assert status_of(url, own) == 101
            assert status_of(url, None) == 101
            assert status_of(url, own.replace("http:", "https:")) == 403
            assert status_of(url, "http://127.0.0.1") == 403

    def test_any_by_default(self, server: Any) -> None:
        with server() as url:
            assert status_of(url, EVIL) == 101

    def test_wrong_option_raises_at_the_call(self, server: Any) -> None:
        with pytest.raises(wsdriver.ConfigurationError, match=r"did you mean 'https://good\.com'"):
            wsdriver.WebSocketServer(("127.0.0.1", 0), tell_url, origins=["good.com"])
        with pytest.raises(wsdriver.ConfigurationError, match=r"did you mean 'https://good\.com'"):
            wsdriver.WebSocket({}, origins=["good.com"])

    def test_predicate_may_wait(self, server: Any) -> None:
        def decide(origin: str | None) -> bool:
            gevent.sleep(0.02)
            return origin == "https://good.com"

        with server(origins=decide) as url:
            assert status_of(url, "https://good.com") == 101
            assert status_of(url, EVIL) == 403

    def test_predicate_that_raises_is_logged_and_answered_with_500(
        self, server: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        def decide(origin: str | None) -> bool:
            raise ZeroDivisionError("a bug of the application")

        with server(origins=decide) as url:
            assert status_of(url, "https://good.com") == 500
            assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)

    def test_peer_that_leaves_while_the_predicate_waits_is_no_open_websocket(self, server: Any) -> None:
        asked, gone, states = gevent.event.Event(), gevent.event.Event(), []

        def decide(origin: str | None) -> bool:
            asked.set()
            assert gone.wait(10)
            gevent.sleep(0.05)
            return True

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.accept()
            states.append(ws.state)

        with server(handler, origins=decide) as url:
            port = int(url.rstrip("/").rpartition(":")[2])
            with gevent.socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(request())
                assert asked.wait(10)
            gone.set()
            gevent.sleep(0.2)
            assert "open" not in states


def test_client_has_no_origins() -> None:
    with pytest.raises(wsdriver.ConfigurationError, match="origins"):
        wsdriver.connect("ws://127.0.0.1:1/", origins="same")


# --- behind a proxy that ends TLS ------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
class TestBehindAProxy:
    def test_url_is_wss_where_the_peer_is_trusted(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        with server() as url:
            assert ask(url) == "wsFalse"
            assert ask(url, X_Forwarded_Proto="https") == "wssTrue"
            assert ask(url, X_Forwarded_Proto="http") == "wsFalse"
            assert ask(url, X_Forwarded_Ssl="on") == "wssTrue"
            assert ask(url, X_Forwarded_Scheme="https") == "wssTrue"
            monkeypatch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.1")
            assert ask(url, X_Forwarded_Proto="https") == "wsFalse"

    def test_same_is_https_where_the_peer_is_trusted(self, server: Any) -> None:
        with server(origins="same") as url:
            own = url.replace("ws:", "https:").rstrip("/")
            assert ask(url, Origin=own, X_Forwarded_Proto="https") == "wssTrue"
            with pytest.raises(HandshakeError) as caught:
                ask(url, Origin=own)
            assert caught.value.status == 403


def test_url_over_a_unix_socket_is_as_the_proxy_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.1")
    urls = []
    with gevent.socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        server = wsdriver.WebSocketServer(listener, lambda ws: urls.append(ws.url))
        server.start()
        try:
            with gevent.socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(10)
                sock.connect(str(tmp_path / "s"))
                sock.sendall(request("/", "X-Forwarded-Proto: https\r\n"))
                assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
        finally:
            server.stop(timeout=1)
    assert urls == ["wss://localhost/"]


@pytest.mark.parametrize(("allowed", "secure"), [("192.0.2.1,127.0.0.0/8", True), ("192.0.2.1", False)])
def test_gunicorns_own_setting_says_who_is_trusted(tmp_path: Path, allowed: str, secure: bool) -> None:
    # X-Forwarded-Scheme is a header that gunicorn itself does not look at.
    arguments = ["--forwarded-allow-ips", allowed, "--env", f"FORWARDED_ALLOW_IPS={'192.0.2.9' if secure else '*'}"]
    with Gunicorn(tmp_path, *arguments, application="tests.green.test_origins:app") as server:
        assert ask(server.url + "/", X_Forwarded_Scheme="https") == ("wssTrue" if secure else "wsFalse")
        assert ask(server.url + "/") == "wsFalse"
