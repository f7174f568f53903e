"""A real ``gunicorn -k wsdriver.worker``, and what it owes to applications, clients and operators."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import wsdriver
from tests.support.gunicorn import CONFIG, Gunicorn, is_alive
from tests.support.net import KEY, frame, read_frame, request
from tests.support.tls import Certificates, make_certificates
from tests.support.websockets_client import talk_by_websockets
from tests.support.wire import BAD_REQUESTS, BINARY, CLOSE, PATIENCE, PING, PONG, TEXT, Wire, until

Start = Callable[..., Gunicorn]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    directory = tmp_path_factory.mktemp("plain")
    with Gunicorn(directory, "--bind", f"unix:{directory}/unix.sock") as server:
        yield server


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Gunicorn]:
    with Gunicorn(tmp_path_factory.mktemp("tls"), certificates=certificates) as server:
        yield server


@pytest.fixture
def server(plain_server: Gunicorn) -> Gunicorn:
    """A server that other tests use too."""
    plain_server.mark()
    return plain_server


@pytest.fixture(params=["plain", "tls"])
def either(request: pytest.FixtureRequest) -> Gunicorn:
    """That server, and then one with TLS."""
    found: Gunicorn = request.getfixturevalue(f"{request.param}_server")
    found.mark()
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers for this test alone."""
    with ExitStack() as stack:

        def starter(*arguments: str, **more: Any) -> Gunicorn:
            server = Gunicorn(tmp_path / uuid4().hex[:8], *arguments, **more)
            stack.enter_context(server)
            return server

        yield starter


@pytest.fixture
def name() -> str:
    """A name for a request of this test alone."""
    return uuid4().hex[:12]


# --- plain HTTP -----------------------------------------------------------------------------------------------------


class TestPlainHttp:
    def test_keeps_the_connection_for_the_next_request(self, either: Gunicorn) -> None:
        with either.dial() as wire:
            for _ in range(3):
                response = wire.get("/")
                assert (response.status, response.body) == (200, b"hello\n")
            assert wire.get("/nowhere").status == 404
            assert wire.get("/").status == 200

    def test_takes_a_body(self, server: Gunicorn) -> None:
        body = bytes(range(256)) * 1000
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        try:
            for given in (body, b"", body[:10]):
                connection.request("POST", "/body", given)
                response = connection.getresponse()
                assert (response.status, response.read()) == (200, given)
        finally:
            connection.close()

    def test_takes_a_chunked_body_and_answers_in_chunks(self, server: Gunicorn) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        try:
            parts = [b"one", b"two" * 1000, b"three" * 10000]
            connection.request("POST", "/body", iter(parts), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            assert connection.getresponse().read() == b"".join(parts)
            connection.request("GET", "/stream")
            response = connection.getresponse()
            assert response.getheader("Transfer-Encoding") == "chunked"
            assert response.read() == b"".join(b"part %d\n" % number for number in range(5))
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"hello\n"
        finally:
            connection.close()

    def test_is_valid_wsgi(self, server: Gunicorn) -> None:
        with server.dial() as wire:
            assert wire.get("/valid").body == b"hello\n"
            wire.send(b"POST /valid-body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody")
            assert wire.response().body == b"body"
        server.assert_quiet()

    def test_leaves_the_environ_as_gunicorn_makes_it(self, server: Gunicorn, start: Start) -> None:
        other = start(worker="gevent")
        with server.dial() as ours, other.dial() as theirs:
            found = json.loads(ours.get("/keys").body)
            assert found == json.loads(theirs.get("/keys").body)
            assert not [key for key in found if "websocket" in key.lower() or "wsdriver" in key]

    @pytest.mark.parametrize(
        "change",
        [("GET", "POST"), ("Upgrade: websocket", "Upgrade: h2c"), ("Connection: Upgrade", "Connection: keep-alive")],
    )
    def test_half_an_upgrade_is_a_plain_request(self, server: Gunicorn, change: tuple[str, str]) -> None:
        with server.dial() as wire:
            old, new = change
            wire.send(request("/keys").replace(old.encode(), new.encode()))
            assert "wsgi.websocket" not in json.loads(wire.response().body)
            assert wire.get("/").status == 200


# --- WebSockets -----------------------------------------------------------------------------------------------------

#: Applications that echo: with wsdriver.WebSocket, with environ['wsgi.websocket'], and with what else they may do.
ECHOES = ["/echo", "/legacy", "/none", "/page", "/generator", "/listeners"]


@pytest.mark.parametrize("path", ECHOES)
class TestApplications:
    def test_echo(self, server: Gunicorn, path: str, name: str) -> None:
        with server.dial().open(f"{path}?id={name}") as wire:
            for text in ("", "hello", "Grüße, 世界 🎉", "x" * 70000):
                wire.text(text)
                assert wire.message() == text
            for data in (b"", b"\x00\xff" * 300, bytes(200_000)):
                wire.send(frame(BINARY, data))
                assert wire.message() == data
            wire.send(frame(TEXT, b"three ", fin=False) + frame(0, b"frag", fin=False) + frame(0, b"ments"))
            assert wire.message() == "three fragments"
            wire.ping(b"are you there")
            assert wire.leave(4321) == 4321
        assert server.access(name).startswith("101 ")
        server.assert_quiet()

    def test_a_client_that_goes_at_once(self, server: Gunicorn, path: str, name: str) -> None:
        with server.dial().open(f"{path}?id={name}", early=frame(CLOSE, b"\x03\xe8")) as wire:
            assert read_frame(wire.recv) == (CLOSE, b"\x03\xe8")
            assert wire.ended()
        assert server.access(name).startswith("101 ")
        server.assert_quiet()


class TestWebSockets:
    def test_websockets_as_a_client(self, either: Gunicorn) -> None:
        context = either.certificates and either.certificates.client_context()
        assert talk_by_websockets(either.url + "/echo", context, PATIENCE) == 1000

    def test_wsdriver_as_a_client(self, either: Gunicorn) -> None:
        context = either.certificates and either.certificates.client_context()
        with wsdriver.connect(either.url + "/echo", tls=context or True) as ws:
            for message in ("hello", b"\x00\x01", "long " * 50_000):
                ws.send(message)
                assert ws.receive(PATIENCE) == message
        assert (ws.close_code, ws.was_clean) == (1000, True)

    @pytest.mark.parametrize("path", ["/only", "/only-list"])
    def test_closes_when_the_application_returns(self, server: Gunicorn, path: str) -> None:
        with server.dial().open(path) as wire:
            assert wire.message() == "only this"
            assert wire.closed() == 1000
        server.assert_quiet()

    def test_closes_the_result_of_the_application_once(self, server: Gunicorn, name: str) -> None:
        with server.dial().open(f"/page?id={name}") as wire:
            wire.leave()
        assert server.report(name)["closed"] == 1
        server.access(name)
        assert server.report(name)["closed"] == 1

    def test_over_a_unix_socket(self, server: Gunicorn, name: str) -> None:
        with Wire(f"{server.directory}/unix.sock").open(f"/echo?id={name}", early=frame(TEXT, b"early")) as wire:
            assert wire.message() == "early"
            assert wire.leave() == 1000
        assert server.access(name).startswith("101 ")
        server.assert_quiet()

    def test_firefox_names_two_connection_options(self, server: Gunicorn) -> None:
        with server.dial() as wire:
            wire.send(request("/echo").replace(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"))
            wire.opened()
            wire.text("hello")
            assert wire.message() == "hello"

    def test_an_application_may_refuse_and_the_connection_goes_on(self, either: Gunicorn, name: str) -> None:
        with either.dial() as wire:
            for attempt in range(2):
                wire.ask(f"/deny?id={name}-{attempt}")
                response = wire.response()
                assert (response.status, response.body) == (401, b"no\n")
                assert "sec-websocket-accept" not in response.headers
                assert wire.get("/").body == b"hello\n"
            wire.open("/echo")
            wire.text("in the end")
            assert wire.message() == "in the end"
            assert wire.leave() == 1000
        assert either.access(f"{name}-0").startswith("401 ")
        either.assert_quiet()

    def test_an_unknown_path_is_404(self, server: Gunicorn) -> None:
        with server.dial() as wire:
            wire.ask("/nowhere")
            assert wire.response().status == 404
            assert wire.get("/").status == 200

    @pytest.mark.parametrize("first", ["own", "environ"])
    def test_two_on_one_environ(self, server: Gunicorn, first: str) -> None:
        with server.dial().open(f"/twice?first={first}") as wire:
            assert wire.message() == "first"
            for _ in range(4):
                refusal = wire.message()
                assert isinstance(refusal, str)
                assert "another WebSocket" in refusal
            wire.text("the first one works on")
            assert wire.message() == "the first one works on"
            assert wire.leave() == 1000
        server.assert_quiet()

    def test_nothing_behind_the_end_is_a_request(self, server: Gunicorn, name: str) -> None:
        with server.dial().open("/echo") as wire:
            wire.send(frame(CLOSE, b"\x03\xe8") + f"GET /?{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert read_frame(wire.recv) == (CLOSE, b"\x03\xe8")
            assert wire.ended()
        with server.dial() as wire:
            wire.get("/")
        assert server.accesses(name) == []


# --- what comes with the request ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/echo", "/legacy", "/late"])
class TestEarlyFrames:
    """Frames in the segment of the request. ``/late`` takes the connection over long after they have come."""

    def ask(self, server: Gunicorn, wire: Wire, path: str, name: str, early: bytes) -> None:
        wire.ask(f"{path}?id={name}", early=early)
        server.release(name)
        wire.opened()

    def test_one(self, either: Gunicorn, path: str, name: str) -> None:
        with either.dial() as wire:
            self.ask(either, wire, path, name, frame(TEXT, b"early"))
            assert wire.message() == "early"
            wire.text("later")
            assert wire.message() == "later"
            assert wire.leave() == 1000

    def test_a_thousand(self, either: Gunicorn, path: str, name: str) -> None:
        texts = [f"number {number}" for number in range(1000)]
        with either.dial() as wire:
            self.ask(either, wire, path, name, b"".join(frame(TEXT, text.encode()) for text in texts))
            assert [wire.message() for _ in texts] == texts
            assert wire.leave() == 1000

    def test_more_than_gunicorn_reads_ahead(self, either: Gunicorn, path: str, name: str) -> None:
        parts = [bytes([number]) * 1000 for number in range(200)]
        with either.dial() as wire:
            self.ask(either, wire, path, name, b"".join(frame(BINARY, part) for part in parts))
            assert [wire.message() for _ in parts] == parts
            assert wire.leave() == 1000

    def test_one_of_200_kilobytes(self, either: Gunicorn, path: str, name: str) -> None:
        data = bytes(range(250)) * 800
        with either.dial() as wire:
            self.ask(either, wire, path, name, frame(BINARY, data))
            assert wire.message() == data
            assert wire.leave() == 1000

    def test_half_of_one(self, either: Gunicorn, path: str, name: str) -> None:
        whole = frame(TEXT, b"in two parts")
        for cut in (1, 4, 9):
            with either.dial() as wire:
                self.ask(either, wire, path, f"{name}-{cut}", whole[:cut])
                wire.send(whole[cut:])
                assert wire.message() == "in two parts"
                assert wire.leave() == 1000

    def test_behind_a_plain_request(self, either: Gunicorn, path: str, name: str) -> None:
        with either.dial() as wire:
            early = request(f"{path}?id={name}") + frame(TEXT, b"early")
            wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + early)
            assert wire.response().body == b"hello\n"
            either.release(name)
            wire.opened()
            assert wire.message() == "early"
            assert wire.leave() == 1000


# --- the handler is busy --------------------------------------------------------------------------------------------


class TestBusyHandlers:
    def test_pings_are_answered_while_the_handler_sleeps(self, either: Gunicorn, name: str) -> None:
        with either.dial().open(f"/held?id={name}") as wire:
            for number in range(5):
                wire.ping(b"ping %d" % number)
            wire.text("for later")
            wire.ping(b"behind a message")
            either.release(name)
            assert wire.message() == "for later"
            assert wire.leave() == 1000

    def test_a_close_is_answered_while_the_handler_sleeps(self, server: Gunicorn, name: str) -> None:
        with server.dial().open(f"/held?id={name}") as wire:
            assert wire.leave(4000) == 4000
        server.release(name)
        assert server.report(name) == {"close_code": 4000, "close_reason": "", "was_clean": True}
        server.access(name)
        server.assert_quiet()

    def test_the_server_pings_while_the_handler_sleeps(self, server: Gunicorn, name: str) -> None:
        with server.dial().open(f"/watched?id={name}") as wire:
            for _ in range(10):
                opcode, payload = read_frame(wire.recv)
                assert opcode == PING
                wire.send(frame(PONG, payload))
            assert wire.leave() == 1000
        report = server.report(name)
        assert report["close_code"] == 1000
        assert 0 < report["latency"] < PATIENCE

    def test_a_peer_that_answers_no_ping_is_cut(self, server: Gunicorn, name: str) -> None:
        with server.dial().open(f"/watched?id={name}"):
            report = server.report(name)
        assert (report["close_code"], report["was_clean"], report["error"]) == (1006, False, "TimeoutError")
        server.access(name)
        server.assert_quiet()

    def test_time_sleep_stops_nobody_else(self, server: Gunicorn, name: str) -> None:
        with server.dial().open(f"/held-by-time?id={name}") as sleeper, server.dial().open("/echo") as other:
            for number in range(20):
                other.text(str(number))
                assert other.message() == str(number)
            sleeper.ping(b"still here")
            server.release(name)
            sleeper.text("awake")
            assert sleeper.message() == "awake"

    def test_a_client_that_never_reads_harms_only_itself(self, server: Gunicorn, name: str) -> None:
        with server.dial(receive_buffer=4096).open(f"/flood?id={name}") as wire, server.dial().open("/echo") as other:
            until(lambda: server.state(name)["buffered"] > 0, "a blocked send")
            sent = server.state(name)["sent"]
            for number in range(200):
                other.text(str(number))
                assert other.message() == str(number)
            state = server.state(name)
            assert state["buffered"] < 256 * 1024
            assert state["sent"] - sent < 100, "sending went on to a peer that takes nothing"
            wire.reset()
        assert server.report(name)["close_code"] == 1006
        server.access(name)
        server.assert_quiet()

    def test_a_client_that_reads_all_that_is_sent_harms_nobody(self, either: Gunicorn, name: str) -> None:
        """Its handler never has to wait, and lets the others have their turn all the same."""
        with either.dial().open("/echo") as other, either.dial().open(f"/flood?id={name}") as wire:
            with wire.drained():
                for number in range(20):
                    other.text(str(number))
                    assert other.message() == str(number)
            wire.reset()
        assert either.report(name)["close_code"] == 1006


# --- the client goes away -------------------------------------------------------------------------------------------

GOING = pytest.mark.parametrize("go", [Wire.reset, Wire.close], ids=["reset", "end"])


@GOING
class TestClientsThatGo:
    def expect_1006(self, server: Gunicorn, name: str) -> None:
        report = server.report(name)
        assert (report["close_code"], report["was_clean"]) == (1006, False)
        assert server.access(name).startswith("101 ")
        server.assert_quiet()

    def test_between_messages(self, either: Gunicorn, go: Callable[[Wire], None], name: str) -> None:
        with either.dial().open(f"/echo?id={name}") as wire:
            wire.text("hello")
            assert wire.message() == "hello"
            go(wire)
        self.expect_1006(either, name)

    def test_in_the_middle_of_a_frame(self, server: Gunicorn, go: Callable[[Wire], None], name: str) -> None:
        with server.dial().open(f"/echo?id={name}") as wire:
            wire.send(frame(TEXT, b"hello")[:7])
            go(wire)
        self.expect_1006(server, name)

    def test_while_the_handler_sleeps(self, server: Gunicorn, go: Callable[[Wire], None], name: str) -> None:
        with server.dial().open(f"/held?id={name}") as wire:
            wire.text("for nobody")
            go(wire)
        until(lambda: server.state(name)["state"] == "closed", "the connection's end")
        server.release(name)
        self.expect_1006(server, name)

    def test_while_the_handler_sends(self, either: Gunicorn, go: Callable[[Wire], None], name: str) -> None:
        with either.dial().open(f"/flood?id={name}") as wire:
            for _ in range(10):
                wire.message()
            go(wire)
        self.expect_1006(either, name)

    def test_before_the_handshake(self, either: Gunicorn, go: Callable[[Wire], None], name: str) -> None:
        with either.dial() as wire:
            wire.ask(f"/late?id={name}")
            until(lambda: either.state(name), "the handler")
            go(wire)
        either.release(name)
        self.expect_1006(either, name)

    def test_in_the_middle_of_the_request(self, either: Gunicorn, go: Callable[[Wire], None], name: str) -> None:
        whole = request(f"/echo?id={name}")
        for cut in (0, 1, 10, len(whole) - 1):
            with either.dial() as wire:
                wire.send(whole[:cut])
                go(wire)
        with either.dial().open("/echo") as wire:
            assert wire.leave() == 1000
        assert either.accesses(name) == []
        either.assert_quiet()

    def test_in_the_closing_handshake(self, server: Gunicorn, go: Callable[[Wire], None], name: str) -> None:
        with server.dial().open(f"/only?id={name}") as wire:
            assert wire.message() == "only this"
            assert read_frame(wire.recv)[0] == CLOSE
            go(wire)
        assert server.access(name).startswith("101 ")
        server.assert_quiet()

    def test_a_refusal_is_not_waited_for(self, server: Gunicorn, go: Callable[[Wire], None], name: str) -> None:
        with server.dial() as wire:
            wire.send(request(f"/echo?id={name}").replace(KEY.encode(), b"wrong"))
            go(wire)
        server.access(name)
        server.assert_quiet()


# --- bad requests ---------------------------------------------------------------------------------------------------


class TestBadRequests:
    @pytest.mark.parametrize("path", ["/echo", "/legacy"])
    @pytest.mark.parametrize("bad", BAD_REQUESTS)
    def test_are_refused(self, server: Gunicorn, path: str, bad: str, name: str) -> None:
        with server.dial() as wire:
            status = wire.ask_badly(bad, f"{path}?id={name}")
        if path == "/echo":
            assert server.report(name)["close_code"] is not None
        assert server.access(name).startswith(f"{status} ")
        server.assert_quiet()

    def test_are_refused_over_tls(self, tls_server: Gunicorn, name: str) -> None:
        tls_server.mark()
        with tls_server.dial() as wire:
            wire.send(request(f"/echo?id={name}").replace(KEY.encode(), b"wrong") + b"x" * 100_000)
            assert wire.response().status == 400
            assert wire.ended()
        assert tls_server.access(name).startswith("400 ")
        tls_server.assert_quiet()


# --- errors of the application --------------------------------------------------------------------------------------


def status_of_gunicorn(wire: Wire) -> int:
    """Read the status of gunicorn's own error page, and to the end: with Python 3.14 its head lacks a \\r."""
    page = b"".join(iter(lambda: wire.recv(4096), b""))
    return int(page.split()[1])


class TestErrors:
    def test_an_error_is_logged_once_and_closes_that_connection_only(self, either: Gunicorn, name: str) -> None:
        with either.dial().open("/echo") as other, either.dial().open(f"/fail?id={name}") as wire:
            wire.text(f"deliberate {name}")
            assert wire.closed() == 1011
            other.text("unharmed")
            assert other.message() == "unharmed"
            assert other.leave() == 1000
        assert either.access(f"id={name}").startswith("101 ")
        assert either.error_log.read_text().count(f"RuntimeError: deliberate {name}") == 1
        assert either.text().count("Traceback") == 1
        assert either.text().count(name) == 1

    @pytest.mark.parametrize("path", ["/fail-listener", "/fail-listener-none", "/fail-generator"])
    def test_an_error_in_a_listener_or_a_generator(self, server: Gunicorn, path: str, name: str) -> None:
        with server.dial().open(f"{path}?id={name}") as wire:
            wire.text(f"deliberate {name}")
            assert wire.closed() == 1011
        assert server.access(f"id={name}").startswith("101 ")
        assert server.text().count(f"RuntimeError: deliberate {name}") == 1
        assert server.text().count("Traceback") == 1

    def test_a_result_that_fails_is_closed_once(self, server: Gunicorn, name: str) -> None:
        with server.dial().open(f"/fail-page?id={name}&use=yes") as wire:
            wire.text(f"deliberate {name}")
            assert wire.closed() == 1011
        assert server.report(name)["closed"] == 1
        with server.dial() as wire:
            wire.ask(f"/fail-page?id={name}-2")
            assert status_of_gunicorn(wire) == 500
        assert server.report(f"{name}-2")["closed"] == 1

    def test_an_error_before_the_handshake_is_gunicorns(self, server: Gunicorn, name: str) -> None:
        with server.dial() as wire:
            wire.ask(f"/fail-early?id={name}")
            assert status_of_gunicorn(wire) == 500
        assert server.access(name).startswith("500 ")
        assert server.text().count(f"RuntimeError: {name}") == 1
        assert server.text().count("Traceback") == 1

    def test_a_fault_of_the_client_is_no_error(self, server: Gunicorn, name: str) -> None:
        with server.dial().open(f"/echo?id={name}") as wire:
            wire.send(frame(TEXT, b"not masked", mask=None))
            assert wire.closed() == 1002
        assert server.report(name)["close_code"] == 1002
        assert server.access(name).startswith("101 ")
        server.assert_quiet()


# --- the access log -------------------------------------------------------------------------------------------------


class TestAccessLog:
    def test_one_line_at_the_end_with_duration_and_bytes(self, server: Gunicorn, name: str) -> None:
        before = time.monotonic()
        with server.dial().open(f"/echo?id={name}") as wire:
            opened = time.monotonic()
            for number in range(100):
                wire.text(f"number {number}")
                wire.message()
            assert server.accesses(name) == []
            least = time.monotonic() - opened
            wire.leave()
            received = wire.received
        line = server.access(name)
        most = time.monotonic() - before
        status, micros, seconds, sent, *what = line.split()
        assert status == "101"
        assert what == ["GET", f"/echo?id={name}", "HTTP/1.1"]
        assert least <= float(seconds) <= most
        assert int(micros) == round(float(seconds) * 1e6)
        assert 100 * len("number 0") < int(sent) <= received

    @pytest.mark.parametrize("path", ["/echo", "/legacy", "/only", "/fail", "/listeners"])
    @pytest.mark.parametrize("end", ["clean", "reset", "fault"])
    def test_one_line_whatever_the_end(self, server: Gunicorn, path: str, end: str, name: str) -> None:
        with server.dial().open(f"{path}?id={name}") as wire:
            if end == "clean":
                wire.text(name)
                wire.say_close()
                wire.closed()
            elif end == "fault":
                wire.send(b"\xff" * 20)
                wire.closed()
            else:
                wire.reset()
        status, *_ = server.access(f"id={name}").split()
        assert status == "101"

    def test_plain_requests_are_logged_as_ever(self, server: Gunicorn, name: str) -> None:
        with server.dial() as wire:
            wire.get(f"/?{name}")
        status, _, _, sent, *_ = server.access(name).split()
        assert (status, sent) == ("200", "6")


# --- TLS ------------------------------------------------------------------------------------------------------------


class TestTls:
    def test_the_closing_alert_comes(self, tls_server: Gunicorn) -> None:
        """Without it, a client cannot tell the end from a cut: ``ended`` would raise SSLEOFError."""
        with tls_server.dial().open("/echo") as wire:
            assert wire.leave() == 1000

    def test_large_messages_both_ways(self, tls_server: Gunicorn) -> None:
        data = bytes(range(250)) * 8000
        with tls_server.dial().open("/echo") as wire:
            wire.send(frame(BINARY, data))
            assert wire.message() == data
            assert wire.leave() == 1000

    def test_a_client_that_speaks_no_tls_harms_nobody(self, tls_server: Gunicorn) -> None:
        tls_server.mark()
        with tls_server.dial().open("/echo") as other:
            with Wire(tls_server.port) as wire:
                wire.send(request("/echo"))
                try:
                    while wire.recv(1000):
                        pass
                except ConnectionError:
                    pass
            other.text("unharmed")
            assert other.message() == "unharmed"
        assert "Traceback" not in tls_server.text()

    @pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a hello"])
    @pytest.mark.parametrize("go", [Wire.reset, Wire.close], ids=["reset", "end"])
    def test_a_probe_that_connects_and_goes_is_no_error(
        self, tls_server: Gunicorn, go: Callable[[Wire], None], said: bytes
    ) -> None:
        tls_server.mark()
        with Wire(tls_server.port) as wire:
            wire.send(said)
            go(wire)
        with tls_server.dial().open("/echo") as other:
            assert other.leave() == 1000
        tls_server.assert_quiet()


# --- the end of the worker ------------------------------------------------------------------------------------------


class TestEnd:
    def is_gone(self, pid: str | bytes) -> bool:
        return not is_alive(int(pid))

    @pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
    def test_sigterm_under_200_connections(self, start: Start, certificates: Certificates, tls: bool) -> None:
        server = start(certificates=certificates if tls else None)
        with ExitStack() as stack:
            wires = [stack.enter_context(server.dial().open("/echo")) for _ in range(200)]
            server.signal(signal.SIGTERM)
            started = time.monotonic()
            assert [wire.closed() for wire in wires] == [1001] * 200
            server.assert_gone(started + 3 - time.monotonic())
        server.assert_quiet()
        assert len(server.accesses("101 ")) == 200

    def test_sigterm_reaches_handlers_that_sleep_send_and_fill(self, start: Start) -> None:
        server = start()
        with (
            server.dial().open("/held?id=held") as held,
            server.dial().open("/flood?id=flood") as flood,
            server.dial().open("/listeners") as listening,
        ):
            server.signal(signal.SIGTERM)
            started = time.monotonic()
            assert listening.closed() == 1001
            assert flood.closed() == 1001
            assert held.closed() == 1001
            server.release("held")
            server.assert_gone(started + 3 - time.monotonic())
        server.assert_quiet()
        assert server.report("held")["close_code"] == 1001
        assert server.report("flood")["close_code"] == 1001

    def test_sigterm_cuts_who_does_not_answer_at_the_graceful_timeout(self, start: Start) -> None:
        server = start("--graceful-timeout", "1")
        with server.dial().open("/echo") as silent, server.dial(4096).open("/flood?id=full") as full:
            until(lambda: server.state("full")["buffered"] > 0, "a blocked send")
            server.signal(signal.SIGTERM)
            server.assert_gone(6)
            assert read_frame(silent.recv) == (CLOSE, b"\x03\xe9server going away")
            assert full.recv(1)
        assert "Traceback" not in server.text()

    def test_sigterm_while_a_handler_has_not_accepted_yet(self, start: Start) -> None:
        server = start()
        with server.dial().open("/echo") as other, server.dial() as wire:
            wire.ask("/late?id=late")
            until(lambda: server.state("late"), "the handler")
            server.signal(signal.SIGTERM)
            assert other.closed() == 1001
            server.release("late")
            started = time.monotonic()
            wire.opened()
            assert wire.closed() == 1001
            server.assert_gone(started + 3 - time.monotonic())
        server.assert_quiet()

    def test_a_request_after_sigterm_is_let_in_and_told_to_come_again(self, start: Start) -> None:
        """On a connection that was there before: refused, it would be an error of the server in the client's eyes."""
        server = start()
        with server.dial().open("/echo") as other, server.dial() as wire:
            wire.get("/")
            server.signal(signal.SIGTERM)
            assert other.closed() == 1001
            wire.open("/echo?id=late")
            assert wire.closed() == 1001
            server.assert_gone(3)
        server.assert_quiet()
        assert server.report("late")["close_code"] == 1001
        assert [line.split()[0] for line in server.accesses("late")] == ["101"]

    def test_a_tls_handshake_that_takes_until_after_sigterm(self, start: Start, certificates: Certificates) -> None:
        server = start(certificates=certificates)
        with Wire(server.port) as wire, server.dial().open("/echo") as other:
            server.signal(signal.SIGTERM)
            assert other.closed() == 1001
            wire.sock = certificates.client_context().wrap_socket(wire.sock, server_hostname="localhost")
            wire.open("/echo")
            assert wire.closed() == 1001
            server.assert_gone(3)
        server.assert_quiet()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
    def test_the_quick_ways_out_say_so_too(self, start: Start, number: signal.Signals) -> None:
        server = start()
        with ExitStack() as stack:
            wires = [stack.enter_context(server.dial().open("/echo")) for _ in range(20)]
            server.signal(number)
            assert {wire.closed() for wire in wires} == {1001}
            server.assert_gone(3)
        server.assert_quiet()

    def test_the_quick_ways_out_let_handlers_see_the_end_of_who_does_not_answer(self, start: Start) -> None:
        server = start()
        with server.dial().open("/echo?id=silent") as silent:
            server.signal(signal.SIGQUIT)
            server.assert_gone(4)
            assert read_frame(silent.recv) == (CLOSE, b"\x03\xe9server going away")
        assert not server.report("silent")["was_clean"]
        server.assert_quiet()

    def test_sighup(self, start: Start) -> None:
        server = start()
        for _ in range(2):  # at the second the worker class is looked up anew, with all that has been imported
            with ExitStack() as stack:
                wires = [stack.enter_context(server.dial().open("/pid")) for _ in range(20)]
                [old] = {wire.message() for wire in wires}
                server.signal(signal.SIGHUP)
                assert {wire.closed() for wire in wires} == {1001}

            def new(old: str | bytes = old) -> bool:
                with server.dial() as wire:
                    return wire.get("/pid").body.decode() != old

            until(new, "a new worker")
            until(partial(self.is_gone, old), "the end of the old worker", 3)
            with server.dial().open("/pid") as wire:
                assert wire.message() != old
                assert wire.leave() == 1000
        server.assert_quiet()

    def test_who_comes_back_at_once_after_sighup_is_served(self, start: Start) -> None:
        """The old worker accepts no more once it has told its clients to go away."""
        server = start()
        with ExitStack() as stack:
            wires = [stack.enter_context(server.dial().open("/pid")) for _ in range(20)]
            [old] = {wire.message() for wire in wires}
            server.signal(signal.SIGHUP)
            assert {wire.closed() for wire in wires} == {1001}
            again = [stack.enter_context(server.dial()) for _ in range(20)]
            for wire in again:
                wire.open("/pid")
            [new] = {wire.message() for wire in again}
            assert new != old

    @pytest.mark.parametrize("last", ["page", "websocket"])
    def test_max_requests(self, start: Start, last: str) -> None:
        server = start("--max-requests", "3")
        with server.dial().open("/pid") as first, server.dial() as plain:
            old = first.message()
            plain.get("/")
            if last == "page":
                plain.get("/")
            else:
                plain.open("/echo")
            assert first.closed() == 1001
            if last == "websocket":
                assert plain.closed() == 1001
            until(partial(self.is_gone, old), "the end of the old worker", 3)
        with server.dial().open("/pid") as next_one:
            assert next_one.message() != old
            assert next_one.leave() == 1000
        server.assert_quiet()


# --- what stays -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_no_descriptor_stays(either: Gunicorn) -> None:
    def count() -> int:
        return len(list(Path(f"/proc/{either.workers()[-1]}/fd").iterdir()))

    before = count()
    for path in ("/echo", "/legacy", "/only", "/fail", "/flood", "/twice"):
        for go in (Wire.reset, Wire.close, Wire.say_close):
            with ExitStack() as stack:
                for _ in range(5):
                    wire = stack.enter_context(either.dial().open(path))
                    go(wire)
                    if go is Wire.say_close:
                        wire.closed()
    with either.dial() as wire:
        wire.send(request("/echo").replace(KEY.encode(), b"wrong"))
        wire.response()
    until(lambda: count() <= before, f"the end of all but {before} descriptors", 5)


# --- settings -------------------------------------------------------------------------------------------------------


class TestSettings:
    HOOKS = """
def post_worker_init(worker):
    worker.cfg.set("limit_request_line", 100)

def pre_request(worker, request):
    if request.path == "/longer":
        worker.cfg.set("limit_request_line", 1000)
"""

    def test_hooks_may_set_what_the_worker_keeps(self, start: Start, tmp_path: Path) -> None:
        hooks = tmp_path / "hooks.py"
        hooks.write_text(CONFIG + self.HOOKS)
        server = start("--config", str(hooks))
        with server.dial() as wire:
            assert wire.get("/?" + 200 * "a").status in (400, 414)  # gunicorn 23, 27
        with server.dial() as wire:
            assert wire.get("/longer").status == 404
            assert wire.get("/?" + 200 * "a").status == 200
        with server.dial().open("/echo?" + 200 * "a") as wire:
            wire.text("still here")
            assert wire.message() == "still here"

    def test_what_the_worker_keeps_is_what_they_were(self) -> None:
        from gunicorn.config import Config

        from wsdriver.green.gunicorn import _keep_settings

        kept, cfg = Config(), Config()
        _keep_settings(kept)
        for name in cfg.settings:
            assert name in vars(kept)
            assert getattr(kept, name) == getattr(cfg, name), name
        kept.set("keepalive", "7")  # which gunicorn makes an int
        assert kept.keepalive == kept.settings["keepalive"].get() == vars(kept)["keepalive"] == 7
        with pytest.raises(AttributeError):
            kept.keepalive = 8
        with pytest.raises(ValueError, match="-1"):
            kept.set("keepalive", -1)
        with pytest.raises(AttributeError):
            kept.set("no_such_setting", 1)
        assert kept.keepalive == 7

    def test_starts_quietly(self, plain_server: Gunicorn) -> None:
        text = plain_server.error_log.read_text() + plain_server.output.read_text()
        assert "Using worker: wsdriver.worker" in text
        assert "Warning" not in text

    @pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
    def test_several_workers(self, start: Start, preload: tuple[str, ...]) -> None:
        server = start("--workers", "2", *preload)
        until(lambda: len(server.workers()) == 2, "two workers")
        with ExitStack() as stack:
            wires: list[Wire] = []
            seen: set[str | bytes] = set()

            def both() -> bool:
                wire = stack.enter_context(server.dial().open("/pid"))
                wires.append(wire)
                seen.add(wire.message())
                return len(seen) == 2

            until(both, "an answer of each worker")
            assert seen == {str(pid) for pid in server.workers()}
            for number, wire in enumerate(wires):
                wire.text(str(number))
            assert [wire.message() for wire in wires] == [str(number) for number in range(len(wires))]
            server.signal(signal.SIGTERM)
            started = time.monotonic()
            assert {wire.closed() for wire in wires} == {1001}
            server.assert_gone(started + 3 - time.monotonic())
        server.assert_quiet()

    def test_worker_connections(self, start: Start) -> None:
        server = start("--worker-connections", "2", "--keep-alive", "0")
        with server.dial() as first, server.dial() as second, server.dial() as third:
            first.open("/echo", early=frame(TEXT, b"early"))
            assert first.message() == "early"
            second.open("/echo")
            third.ask("/echo")
            for number in range(100):
                for wire in (first, second):
                    wire.text(str(number))
                    assert wire.message() == str(number)
            assert third.is_silent()
            assert server.text().count("this worker has all its 2 connections") == 1
            first.leave()
            third.opened()
            third.text("my turn")
            assert third.message() == "my turn"
        assert server.text().count("this worker has all its 2 connections") == 1

    def test_the_timeout_is_not_for_idle_connections(self, start: Start) -> None:
        server = start("--timeout", "2")
        with server.dial().open("/pid") as wire:
            pid = wire.message()
            time.sleep(5)
            wire.text("still here")
            assert wire.message() == "still here"
            assert [str(worker) for worker in server.workers()] == [pid]
        server.assert_quiet()


# --- what is missing ------------------------------------------------------------------------------------------------

BLOCK = """\
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import wsdriver

try:
    wsdriver.worker
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("package", ["gunicorn", "packaging"])
def test_a_missing_package_is_named_with_the_cure(package: str) -> None:
    command = [sys.executable, "-c", BLOCK, package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "pip install 'wsdriver[gunicorn]'" in done.stdout
    assert package in done.stdout
    assert done.stderr == ""
