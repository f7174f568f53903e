"""Clients of others read our event streams: the npm package `eventsource`, and Ruby's net/http through tinyproxy.

The server is gunicorn with this module's application, over TLS and without.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import gevent
import pytest

import wsdriver
from tests.green.apps import DIRECTORY, Environ, StartResponse, hold, query_of
from tests.interop.peer import PATIENCE, Certificates, Peer
from tests.support.gunicorn import Server
from tests.support.peers import need_node, need_program, need_ruby
from tests.support.tinyproxy import Tinyproxy

# --- our server ------------------------------------------------------------------------------------------------------

#: Events: data, type, id.
EVENTS: list[tuple[str, str | None, str | None]] = [
    ("hello", None, None),
    ("größer als 日本 😀", "news", "1"),
    ("several\nlines\n\nof\r\ntext\r", None, "größer 2"),
    (" a blank before, a colon: behind ", "news", None),
    ("", None, "3"),
    ("é" * 100_000, "news", None),
    ("the id is forgotten", None, ""),
    ("the last", "news", "4"),
]

#: Times that a client comes back. By its own measure of 3 seconds, it would take longer than a test waits.
TIMES = 8


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Streams of events: all of them, and as many as asked for; one after each other; without an end."""
    es = wsdriver.EventSource(environ, retry=0.05, ping=0.05, headers={"X-Ours": "our value"})
    if environ["PATH_INFO"] == "/all":
        for data, event, id_ in EVENTS:
            es.send(data, event, id_)
        es.send(es.last_event_id, "end")
        hold(environ)
    elif environ["PATH_INFO"] == "/next":
        number = int(es.last_event_id.removeprefix("nº ") or 0) + 1
        es.send("one more" if number < TIMES else "enough", id=f"nº {number}")
    else:

        @es.on("close")
        def _(event: wsdriver.events.CloseEvent) -> None:
            new = DIRECTORY / f"{query_of(environ, 'id')}.new"
            new.write_text(json.dumps({"was_clean": event.was_clean}))
            new.rename(DIRECTORY / f"report-{query_of(environ, 'id')}")

        es.send("until you go")
        es.run()
    return es.wsgi_response()


@pytest.fixture(params=[False, True], ids=["http", "https"])
def server(request: pytest.FixtureRequest, gunicorn: Callable[[str, bool], Server]) -> Server:
    return gunicorn("tests.interop.test_eventsource:app", request.param)


@pytest.fixture
def name() -> str:
    """What a request is called, for the server's application."""
    return uuid4().hex


def url_of(server: Server, path: str) -> str:
    return f"http{server.url.removeprefix('ws')}{path}"


# --- a client of events ---------------------------------------------------------------------------------------------


class TestNpmEventsource:
    @pytest.fixture
    def peer(self, tmp_path: Path, certificates: Certificates) -> Iterator[Peer]:
        environment = {**need_node("eventsource"), "NODE_EXTRA_CA_CERTS": str(certificates.ca)}
        peer = Peer([need_program("node"), "eventsource_peer.js"], environment, tmp_path / "peer.log")
        yield peer
        peer.stop()

    def connect(self, peer: Peer, url: str) -> None:
        peer.do("connect", url=url, types=["message", "news", "end"])
        peer.event("open")

    def test_events_of_every_kind_arrive(self, peer: Peer, server: Server, name: str) -> None:
        url = url_of(server, f"/all?id={name}")
        self.connect(peer, url)
        for data, type_, id_ in [*EVENTS, ("", "end", None)]:
            found = peer.event("event")
            text = data.replace("\r\n", "\n").replace("\r", "\n")
            same = found.pop("data") == text
            assert same, f"{text[:50]!r} arrived changed"
            # Its events have no id but their own, where the standard lets them have the last.
            assert found == {"type": type_ or "message", "id": id_ or "", "origin": url.partition("/all")[0]}
        server.release(name)
        # The stream ends: it comes back, and tells the last id.
        assert peer.event("error") == {"status": None, "comes_back": True}
        peer.event("open")
        for _ in EVENTS:
            peer.event("event")
        assert peer.event("event")["data"] == "4"

    def test_it_comes_back_when_we_say_with_the_last_id(self, peer: Peer, server: Server) -> None:
        with gevent.Timeout(PATIENCE):
            for number in range(1, TIMES):
                self.connect(peer, url_of(server, "/next")) if number == 1 else peer.event("open")
                found = peer.event("event")
                assert (found["data"], found["id"]) == ("one more", f"nº {number}")
                assert peer.event("error")["comes_back"]
            peer.event("open")
            assert peer.event("event")["data"] == "enough"

    def test_that_it_goes_is_noticed(self, peer: Peer, server: Server, name: str) -> None:
        self.connect(peer, url_of(server, f"/stay?id={name}"))
        assert peer.event("event")["data"] == "until you go"
        peer.do("close")
        assert server.report(name) == {"was_clean": False}

    def test_that_it_is_killed_is_noticed(self, peer: Peer, server: Server, name: str) -> None:
        self.connect(peer, url_of(server, f"/stay?id={name}"))
        assert peer.event("event")["data"] == "until you go"
        peer.kill()
        assert server.report(name) == {"was_clean": False}


# --- a client of HTTP, and a proxy that passes on http: itself and leads https: through a tunnel --------------------


class TestNetHttp:
    @pytest.fixture
    def peer(self, tmp_path: Path) -> Iterator[Peer]:
        peer = Peer([need_ruby(), "-Eutf-8", "net_http_peer.rb"], os.environ, tmp_path / "peer.log")
        yield peer
        peer.stop()

    def lines(self, peer: Peer) -> Iterator[str]:
        """Lines of the stream, without comments and the ends of lines."""
        while True:
            line: str = peer.event("line")["text"].rstrip("\n")
            if not line.startswith(":"):
                yield line

    @pytest.mark.parametrize("proxied", [False, True], ids=["direct", "through proxy"])
    def test_lines_arrive_while_the_stream_is_open(
        self, peer: Peer, server: Server, certificates: Certificates, proxy: Tinyproxy, proxied: bool, name: str
    ) -> None:
        url = url_of(server, f"/all?id={name}")
        headers = {"Last-Event-ID": "an earlier one"}
        proxy_url = proxy.url if proxied else None
        peer.do("connect", url=url, ca=str(certificates.ca), proxy=proxy_url, headers=headers)
        opened = peer.event("open")
        assert opened["status"] == 200
        fields: dict[str, Any] = opened["headers"]
        assert fields["content-type"] == "text/event-stream"
        assert "no-cache" in fields["cache-control"]
        assert fields["x-ours"] == "our value"
        lines = self.lines(peer)
        assert [next(lines) for _ in range(9)] == [
            *["retry: 50", ""],
            *["data: hello", ""],
            *["event: news", "id: 1", "data: größer als 日本 😀", "", "id: größer 2"],
        ]
        assert "data: an earlier one" in lines
        assert next(lines) == ""
        if proxied:
            asked = "CONNECT localhost:" if server.certificates else "GET http://127.0.0.1:"
            proxy.assert_asked(f"{asked}{server.port}" + ("" if server.certificates else f"/all\\?id={name}"))
        server.release(name)
        while line := peer.event("line", "end"):
            assert line["text"] in (":\n", "\n"), "only heartbeats come behind the last event"
