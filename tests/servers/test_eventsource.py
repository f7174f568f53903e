"""Server-sent events, under every server, with clients of raw bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.servers.matrix import every_server, every_server_and_tls, fetch, forgive_uwsgi
from tests.support.gunicorn import Server
from tests.support.net import read_head
from tests.support.wire import Wire

ACCEPT = {"Accept": "text/event-stream"}

#: The least that a client sends: a browser's request, and one of before 1999.
REQUESTS = {
    "1.1": "GET {} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{}\r\n",
    "1.0": "GET {} HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n{}\r\n",
}

by_reset_and_by_end = pytest.mark.parametrize("go", [Wire.reset, Wire.close], ids=["reset", "end"])


class Stream:
    """A response as a browser reads it: the head, then lines, whether they come in chunks or not.

    Attributes:
        headers: of the response; names in lower case.
    """

    def __init__(self, wire: Wire, path: str, version: str = "1.1", extra: str = "") -> None:
        self._wire = wire
        wire.send(REQUESTS[version].format(path, extra).encode())
        head = read_head(wire.recv).decode("latin-1")
        status, *lines = head.split("\r\n")
        assert status.split()[1] == "200", head
        pairs = [line.partition(":") for line in filter(None, lines)]
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}
        self.is_chunked = self.headers.get("transfer-encoding") == "chunked"
        self._text = b""
        self._parts = self._chunks() if self.is_chunked else self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        while piece := self._wire.recv(65536):
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            line = b""
            while not line.endswith(b"\r\n"):
                byte = self._wire.recv(1)
                assert byte, "the stream ends without the last chunk"
                line += byte
            size = int(line, 16)
            data = bytearray()
            while len(data) < size + 2:
                piece = self._wire.recv(size + 2 - len(data))
                assert piece, "the stream ends within a chunk"
                data += piece
            assert data.endswith(b"\r\n")
            if not size:
                return
            yield bytes(data[:-2])

    def event(self) -> dict[str, str] | None:
        """Read up to the next event that has data; return its fields, or None at the end of the stream."""
        fields: dict[str, str] = {}
        for line in self._lines():
            if line:
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
            elif "data" in fields:
                return fields
        return None

    def _lines(self) -> Iterator[str]:
        """Yield lines, in any of the three ways to end one."""
        while True:
            line, ending, rest = self._text.partition(b"\n")
            if ending:
                self._text = rest
                yield line.removesuffix(b"\r").decode()
                continue
            piece = next(self._parts, None)
            if piece is None:
                assert not self._text, f"the stream ends in the middle of a line: {self._text!r}"
                return
            self._text += piece


@every_server_and_tls
@pytest.mark.parametrize("version", ["1.1", "1.0"])
class TestStreams:
    def test_events_and_the_end(self, server: Server, version: str) -> None:
        with server.dial() as wire:
            stream = Stream(wire, "/events?a=%20b", version, "Last-Event-ID: 42\r\n")
            assert stream.headers["content-type"].split(";")[0] == "text/event-stream"
            assert stream.headers["cache-control"] == "no-cache, no-transform"
            if "nginx" not in type(server).__name__.lower():  # nginx reads it and takes it off
                assert stream.headers["x-accel-buffering"] == "no"
            assert "content-length" not in stream.headers
            assert version == "1.1" or not stream.is_chunked
            event = stream.event()
            assert event is not None
            assert (event.pop("retry"), event.pop("event"), event.pop("id")) == ("10000", "hello", "1")
            scheme = "http" if server.certificates is None else "https"
            known = {"url": f"{scheme}://localhost/events?a=%20b", "last_event_id": "42"}
            assert json.loads(event["data"]) == known
            assert stream.event() == {"data": "two\nlines"}
            event = stream.event()
            assert event is not None
            assert (event["data"], event["id"]) == ("Grüße, 世界", "3")
            assert stream.event() is None

    def test_events_come_one_by_one(self, server: Server, version: str, name: str) -> None:
        with server.dial() as wire:
            stream = Stream(wire, f"/open-events?id={name}", version)
            assert (stream.event() or {})["data"] == "ready"
            for number in range(3):
                assert fetch(server, f"/tell?id={name}&text={number}").status == 200
                assert stream.event() == {"data": str(number)}
            with server.dial() as other:
                other.send(f"GET /hang-up?id={name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert stream.event() is None
                wire.close()  # else the other request waits for a while, so as not to lose the last event
                assert b" 200 " in read_head(other.recv)
        assert server.report(name) == {"closed": True}


@every_server_and_tls
def test_two_megabytes(server: Server) -> None:
    with server.dial(receive_buffer=65536) as wire:
        stream = Stream(wire, "/many-events")
        for number in range(500):
            assert (stream.event() or {})["data"] == f"{number} " + "." * 4000
        assert stream.event() is None


@every_server_and_tls
@by_reset_and_by_end
@pytest.mark.parametrize("path", ["/open-events", "/busy-events"])
def test_a_client_that_goes_is_noticed_while_nothing_is_sent(
    server: Server, go: Callable[[Wire], None], path: str, name: str
) -> None:
    with server.dial() as wire:
        assert (Stream(wire, f"{path}?id={name}").event() or {})["data"] == "ready"
        go(wire)
    assert server.report(name)["closed"]


@every_server
class TestRequests:
    def test_head(self, server: Server) -> None:
        page = fetch(server, "/events", ACCEPT, method="HEAD")
        assert (page.status, page.body) == (200, b"")
        assert page.headers["Content-Type"].split(";")[0] == "text/event-stream"
        assert page.headers["Cache-Control"] == "no-cache, no-transform"
        forgive_uwsgi(server)

    def test_a_second_request_behind_the_first_does_not_spoil_the_stream(self, server: Server) -> None:
        """It comes in the same segment; whether it is answered afterwards is the server's affair."""
        with server.dial() as wire:
            stream = Stream(wire, "/events", extra="\r\nGET /plain HTTP/1.1\r\nHost: localhost\r\n")
            while event := stream.event():
                assert "a page" not in event["data"]
