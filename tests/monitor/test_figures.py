"""What is shown."""

from __future__ import annotations

import builtins
import json
import os
import re
from collections.abc import Iterable
from typing import Any

import gevent
import pytest
from gevent.pywsgi import WSGIServer

import wsdriver
from tests.support.eventstream import Client as Stream
from tests.support.peers import need_module
from tests.support.waiting import wait_for
from wsdriver.testing import Client

from .asking import ask

Environ = dict[str, Any]


def echo(environ: Environ, start_response: Any) -> Iterable[bytes]:
    if wsdriver.is_eventsource(environ):
        es = wsdriver.EventSource(environ)
        es.run()
        return es.wsgi_response()
    if wsdriver.is_websocket(environ):
        ws = wsdriver.WebSocket(environ, protocols=["chat"], ping=0.01)
        if environ["PATH_INFO"] == "/refused":
            ws.reject(403)
            return ws.wsgi_response()
        for message in ws:
            gevent.sleep(0)
            ws.send(message)
        return ws.wsgi_response()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the application"]


def figures(app: Any) -> Any:
    gevent.sleep(0.5)  # what is asked for more often is what was shown last
    return ask(app, "/_wsdriver/json").json


class Resource:
    """As gevent-websocket's: the server asks it which subprotocol it takes."""

    def app_protocol(self, path: str) -> str:
        return "chat"

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        for message in iter(environ["wsgi.websocket"].receive, None):
            environ["wsgi.websocket"].send(message)
        return []


def test_figures_of_an_application_of_gevent_websockets() -> None:
    """There, the WebSocket's ``version`` and ``protocol`` are headers of the request."""
    app = wsdriver.monitor(Resource())
    with Client(app).websocket("/", protocols=["news", "chat"]) as ws:
        assert ws.protocol == "chat"
        ws.send("hello")
        assert ws.receive() == "hello"
        (peer,) = figures(app)["slowest"]
        assert (peer["version"], peer["protocol"]) == ("hybi-13", "chat")


def test_figures_are_those_of_the_connections() -> None:
    app = wsdriver.monitor(echo)
    client = Client(app)
    asked = client.websocket("/rooms/räume?token=secret", protocols=["chat"])
    with asked as ws, client.eventsource("/events"):
        ws.send("hello")
        ws.receive()
        client.wait_until(lambda: app._ledger.live[0].latency)
        seen = figures(app)
        assert (seen["open"], seen["total"], seen["event_streams"]) == (1, 1, 1)
        assert (seen["messages_received"], seen["messages_sent"], seen["closes"]) == (1, 1, {})
        assert seen["latency"]["measured"] == 1
        assert 0 < seen["latency"]["p50"] <= seen["latency"]["p90"] <= seen["latency"]["max"] < 20
        (peer,) = seen["slowest"]
        assert (peer["address"], peer["path"], peer["protocol"]) == ("127.0.0.1", "/rooms/räume", "chat")
        assert "secret" not in str(seen)
        assert seen["process"]["pid"] == os.getpid()
        assert seen["process"]["wsdriver"] == wsdriver.__version__
    with client.websocket() as ws:
        # All of it in one piece: the handler takes the messages when the connection has ended.
        for _ in range(3):
            ws.send("more")
        ws.close(4000)
    with pytest.raises(wsdriver.HandshakeError):
        client.websocket("/refused")
    seen = figures(app)
    assert (seen["open"], seen["total"], seen["event_streams"]) == (0, 3, 0)
    assert seen["closes"] == {"1000": 1, "4000": 1}
    assert seen["messages_received"] >= 2
    assert seen["slowest"] == []
    assert seen["latency"] == {"measured": 0, "p50": None, "p90": None, "max": None}


def test_slow_peer_comes_first() -> None:
    rooms: list[wsdriver.WebSocket] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        ws = wsdriver.WebSocket(environ, write_limit=64 * 1024 * 1024)
        ws.accept()
        rooms.append(ws)
        if environ["PATH_INFO"] == "/slow":
            for _ in range(100):
                ws.send(b"x" * 80_000)
        ws.receive()
        return ws.wsgi_response()

    shown = wsdriver.monitor(app)
    with Client(shown) as client:
        for number in range(12):
            client.websocket(f"/{number}")
        slow = client.websocket("/slow", inbound_limit=1000)
        client.wait_until(lambda: len(rooms) == 13)
        seen = figures(shown)
        assert (len(seen["slowest"]), seen["open"]) == (10, 13)
        assert seen["slowest"][0]["path"] == "/slow"
        assert seen["buffered"] == seen["slowest"][0]["buffered"] > 1_000_000
        slow.terminate()


def test_stream_shows_each_second_and_what_was_before() -> None:
    app = wsdriver.monitor(echo)
    ask(app, "/_wsdriver/json")
    client = Client(app, host="localhost")
    with client.websocket(), client.eventsource("/_wsdriver/events") as events:
        first = events.receive()
        assert first is not None
        assert first.event == "history"
        assert [look["open"] for look in json.loads(first.data)] == [0]
        seconds = [events.receive(), events.receive()]
        assert all('"open": ' in event.data for event in seconds if event)
        assert events.headers["Cache-Control"] == "no-store"
        assert app.figures()["event_streams"] == 0  # its own is none of the application's


def test_page_asks_nobody_else_for_anything() -> None:
    answer = ask(wsdriver.monitor(echo))
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    nonce = re.search(r"script-src 'nonce-([\w-]+)'", answer.headers["Content-Security-Policy"])
    assert nonce is not None
    assert answer.body.count(f'nonce="{nonce[1]}"') == 2
    assert "{nonce}" not in answer.body
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", answer.body)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", answer.body)
    assert "hidden = !false" in answer.body
    several = ask(wsdriver.monitor(echo), **{"wsgi.multiprocess": True})  # type: ignore[arg-type]
    assert "hidden = !true" in several.body


def test_metrics_are_those_of_prometheus() -> None:
    need_module("prometheus_client")
    from prometheus_client.parser import text_string_to_metric_families

    app = wsdriver.monitor(echo)
    client = Client(app)
    with client.websocket() as ws:
        ws.send("hello")
        ws.receive()
        client.wait_until(lambda: app._ledger.live[0].latency)
        Client(app).websocket().close(4000)
        answer = ask(app, "/_wsdriver/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    samples = {
        (sample.name, sample.labels.get("code") or sample.labels.get("quantile")): sample
        for family in text_string_to_metric_families(answer.body)
        for sample in family.samples
    }
    assert all(sample.labels["pid"] == str(os.getpid()) for sample in samples.values())
    values = {key: sample.value for key, sample in samples.items()}
    assert values["wsdriver_websockets_open", None] == 1
    assert values["wsdriver_websockets_total", None] == 2
    assert values["wsdriver_messages_sent_total", None] == 1
    assert values["wsdriver_closes_total", "4000"] == 1
    assert values["wsdriver_received_bytes_total", None] > 0
    assert values["wsdriver_latency_seconds", "0.5"] > 0
    accept = "application/openmetrics-text;version=1.0.0"
    assert ask(app, "/_wsdriver/metrics", HTTP_ACCEPT=accept).body.endswith("# EOF\n")


def test_metrics_without_their_package_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def fail(name: str, *arguments: Any) -> Any:
        if name == "prometheus_client":
            raise ImportError("No module named 'prometheus_client'")
        return load(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", fail)
    answer = ask(wsdriver.monitor(echo), "/_wsdriver/metrics")
    assert answer.status == 501
    assert "pip install 'wsdriver[monitor]'" in answer.body


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 200),
        ("/_wsdriverx", "GET", 200),
        ("/_wsdriver", "HEAD", 200),
        ("/_wsdriver", "POST", 405),
        ("/_wsdriver/json", "DELETE", 405),
        ("/_wsdriver/nothing", "GET", 404),
        ("/_wsdriver/events", "GET", 406),
    ],
)
def test_paths_and_methods(path: str, method: str, status: int) -> None:
    answer = ask(wsdriver.monitor(echo), path, method)
    assert answer.status == status
    assert (answer.body == "the application") == (path in ("/", "/_wsdriverx"))
    if method == "HEAD":
        assert (answer.body, int(answer.headers["Content-Length"]) > 1000) == ("", True)


def test_page_has_another_address_if_asked() -> None:
    app = wsdriver.monitor(echo, "/admin/sockets")
    assert ask(app, "/_wsdriver").body == "the application"
    assert ask(app, "/admin/sockets/json").json["open"] == 0


def test_server_stops_at_once_while_somebody_looks() -> None:
    app = wsdriver.monitor(echo)
    server = WSGIServer(("127.0.0.1", 0), app, handler_class=wsdriver.WebSocketHandler, log=None)
    server.start()
    try:
        ws = wsdriver.connect(f"ws://127.0.0.1:{server.server_port}/")
        with Stream(server.server_port, path="/_wsdriver/events") as stream:
            stream.read_until(lambda: len(stream.events) >= 2)
            assert '"open": 1' in stream.events[1].data
            server.stop(timeout=20)
            assert ws.receive(20) is None
            stream.read_to_end()
        wait_for(lambda: app.figures()["closes"] == {"1001": 1} or gevent.sleep(0.3), "the close of the server")
    finally:
        server.stop()
