"""A real ``gevent.pywsgi`` with ``handler_class=wsdriver.WebSocketHandler``, in a process that is not patched."""

from __future__ import annotations

import http.client
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

import wsdriver
from tests.green.apps import LISTENING
from tests.support.gunicorn import Server
from tests.support.net import KEY, frame, read_frame, request
from tests.support.tls import Certificates, make_certificates
from tests.support.websockets_client import talk_by_websockets
from tests.support.wire import BAD_REQUESTS, BINARY, CLOSE, PATIENCE, PING, PONG, TEXT, Wire, until


class Pywsgi(Server):
    """A gevent.pywsgi server; the arguments are those of ``tests.green.apps``."""

    def __init__(self, directory: Path, *arguments: str, certificates: Certificates | None = None) -> None:
        super().__init__(directory, certificates)
        command = ["-m", "tests.green.apps", "--port", str(self.port), "--log", str(self.access_log)]
        if certificates is not None:
            command += ["--certfile", str(certificates.certificate), "--keyfile", str(certificates.key)]
        try:
            self.start(LISTENING, *command, *arguments)
        except BaseException:
            self.close()
            raise


def status_of(line: str) -> str:
    """The status in a line of pywsgi's access log."""
    return line.rpartition('" ')[2].split()[0]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pywsgi]:
    with Pywsgi(tmp_path_factory.mktemp("plain")) as server:
        yield server


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Pywsgi]:
    with Pywsgi(tmp_path_factory.mktemp("tls"), certificates=certificates) as server:
        yield server


@pytest.fixture
def server(plain_server: Pywsgi) -> Pywsgi:
    """A server that other tests use too."""
    plain_server.mark()
    return plain_server


@pytest.fixture(params=["plain", "tls"])
def either(request: pytest.FixtureRequest) -> Pywsgi:
    """That server, and then one with TLS."""
    found: Pywsgi = request.getfixturevalue(f"{request.param}_server")
    found.mark()
    return found


@pytest.fixture
def name() -> str:
    """A name for a request of this test alone."""
    return uuid4().hex[:12]


# --- plain HTTP -----------------------------------------------------------------------------------------------------


class TestPlainHttp:
    def test_keeps_the_connection_for_the_next_request(self, either: Pywsgi) -> None:
        with either.dial() as wire:
            for _ in range(3):
                response = wire.get("/")
                assert (response.status, response.body) == (200, b"hello\n")
            assert wire.get("/nowhere").status == 404
            assert wire.get("/valid").body == b"hello\n"

    def test_takes_a_body_and_answers_in_chunks(self, server: Pywsgi) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        try:
            body = bytes(range(256)) * 1000
            connection.request("POST", "/body", body)
            assert connection.getresponse().read() == body
            parts = [b"one", b"two" * 1000, b"three" * 10000]
            connection.request("POST", "/body", iter(parts), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            assert connection.getresponse().read() == b"".join(parts)
            connection.request("GET", "/stream")
            assert connection.getresponse().read() == b"".join(b"part %d\n" % number for number in range(5))
        finally:
            connection.close()
        server.assert_quiet()

    def test_the_environ_has_nothing_of_ours(self, server: Pywsgi) -> None:
        with server.dial() as wire:
            found = json.loads(wire.get("/keys").body)
        assert not [key for key in found if "websocket" in key.lower() or "wsdriver" in key]


# --- WebSockets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/echo", "/legacy", "/none", "/page", "/generator", "/listeners"])
class TestApplications:
    def test_echo(self, server: Pywsgi, path: str, name: str) -> None:
        with server.dial().open(f"{path}?id={name}") as wire:
            for text in ("", "hello", "Grüße, 世界 🎉", "x" * 70000):
                wire.text(text)
                assert wire.message() == text
            wire.send(frame(BINARY, bytes(200_000)))
            assert wire.message() == bytes(200_000)
            wire.ping(b"are you there")
            assert wire.leave(4321) == 4321
        assert status_of(server.access(name)) == "101"
        server.assert_quiet()

    def test_a_client_that_goes_at_once(self, server: Pywsgi, path: str, name: str) -> None:
        with server.dial().open(f"{path}?id={name}", early=frame(CLOSE, b"\x03\xe8")) as wire:
            assert read_frame(wire.recv) == (CLOSE, b"\x03\xe8")
            assert wire.ended()
        assert status_of(server.access(name)) == "101"
        server.assert_quiet()


class TestWebSockets:
    def test_websockets_as_a_client(self, either: Pywsgi) -> None:
        context = either.certificates and either.certificates.client_context()
        assert talk_by_websockets(either.url + "/echo", context, PATIENCE) == 1000

    def test_wsdriver_as_a_client(self, either: Pywsgi) -> None:
        context = either.certificates and either.certificates.client_context()
        with wsdriver.connect(either.url + "/echo", tls=context or True) as ws:
            for message in ("hello", b"\x00\x01", "long " * 50_000):
                ws.send(message)
                assert ws.receive(PATIENCE) == message
        assert (ws.close_code, ws.was_clean) == (1000, True)

    @pytest.mark.parametrize("path", ["/only", "/only-list"])
    def test_closes_when_the_application_returns(self, either: Pywsgi, path: str) -> None:
        with either.dial().open(path) as wire:
            assert wire.message() == "only this"
            assert wire.closed() == 1000
        either.assert_quiet()

    def test_closes_the_result_of_the_application_once(self, server: Pywsgi, name: str) -> None:
        with server.dial().open(f"/page?id={name}") as wire:
            wire.leave()
        server.access(name)
        assert server.report(name)["closed"] == 1

    def test_an_application_may_refuse_and_the_connection_goes_on(self, either: Pywsgi, name: str) -> None:
        with either.dial() as wire:
            for attempt in range(2):
                wire.ask(f"/deny?id={name}-{attempt}")
                response = wire.response()
                assert (response.status, response.body) == (401, b"no\n")
                assert wire.get("/").body == b"hello\n"
            wire.open("/echo")
            wire.text("in the end")
            assert wire.message() == "in the end"
            assert wire.leave() == 1000
        assert status_of(either.access(f"{name}-0")) == "401"
        either.assert_quiet()

    @pytest.mark.parametrize("first", ["own", "environ"])
    def test_two_on_one_environ(self, server: Pywsgi, first: str) -> None:
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

    def test_nothing_behind_the_end_is_a_request(self, server: Pywsgi, name: str) -> None:
        with server.dial().open("/echo") as wire:
            wire.send(frame(CLOSE, b"\x03\xe8") + f"GET /?{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert read_frame(wire.recv) == (CLOSE, b"\x03\xe8")
            assert wire.ended()
        with server.dial() as wire:
            wire.get("/")
        assert server.accesses(name) == []

    def test_pings_go_both_ways_while_the_handler_sleeps(self, either: Pywsgi, name: str) -> None:
        with either.dial().open(f"/held?id={name}") as wire:
            wire.ping(b"are you there")
            either.release(name)
            assert wire.leave() == 1000
        with either.dial().open(f"/watched?id={name}-2") as wire:
            for _ in range(3):
                opcode, payload = read_frame(wire.recv)
                assert opcode == PING
                wire.send(frame(PONG, payload))
            assert wire.leave() == 1000
        assert either.report(f"{name}-2")["latency"] > 0

    def test_a_client_that_never_reads_harms_only_itself(self, server: Pywsgi, name: str) -> None:
        with server.dial(receive_buffer=4096).open(f"/flood?id={name}") as wire, server.dial().open("/echo") as other:
            until(lambda: server.state(name)["buffered"] > 0, "a blocked send")
            for number in range(100):
                other.text(str(number))
                assert other.message() == str(number)
            assert server.state(name)["buffered"] < 256 * 1024
            wire.reset()
        assert server.report(name)["close_code"] == 1006
        server.access(name)
        server.assert_quiet()

    def test_a_client_that_reads_all_that_is_sent_harms_nobody(self, either: Pywsgi, name: str) -> None:
        """Its handler never has to wait, and lets the others have their turn all the same."""
        with either.dial().open("/echo") as other, either.dial().open(f"/flood?id={name}") as wire:
            with wire.drained():
                for number in range(20):
                    other.text(str(number))
                    assert other.message() == str(number)
            wire.reset()
        assert either.report(name)["close_code"] == 1006


@pytest.mark.parametrize("path", ["/echo", "/legacy", "/late"])
class TestEarlyFrames:
    """Frames in the segment of the request. ``/late`` takes the connection over long after they have come."""

    def ask(self, server: Pywsgi, wire: Wire, path: str, name: str, early: bytes) -> None:
        wire.ask(f"{path}?id={name}", early=early)
        server.release(name)
        wire.opened()

    def test_one(self, either: Pywsgi, path: str, name: str) -> None:
        with either.dial() as wire:
            self.ask(either, wire, path, name, frame(TEXT, b"early"))
            assert wire.message() == "early"
            wire.text("later")
            assert wire.message() == "later"
            assert wire.leave() == 1000

    def test_a_thousand(self, either: Pywsgi, path: str, name: str) -> None:
        texts = [f"number {number}" for number in range(1000)]
        with either.dial() as wire:
            self.ask(either, wire, path, name, b"".join(frame(TEXT, text.encode()) for text in texts))
            assert [wire.message() for _ in texts] == texts
            assert wire.leave() == 1000

    def test_more_than_is_read_ahead(self, either: Pywsgi, path: str, name: str) -> None:
        parts = [bytes([number]) * 1000 for number in range(200)]
        with either.dial() as wire:
            self.ask(either, wire, path, name, b"".join(frame(BINARY, part) for part in parts))
            assert [wire.message() for _ in parts] == parts
            assert wire.leave() == 1000

    def test_half_of_one(self, either: Pywsgi, path: str, name: str) -> None:
        whole = frame(TEXT, b"in two parts")
        with either.dial() as wire:
            self.ask(either, wire, path, name, whole[:4])
            wire.send(whole[4:])
            assert wire.message() == "in two parts"
            assert wire.leave() == 1000

    def test_behind_a_plain_request(self, either: Pywsgi, path: str, name: str) -> None:
        with either.dial() as wire:
            early = request(f"{path}?id={name}") + frame(TEXT, b"early")
            wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + early)
            assert wire.response().body == b"hello\n"
            either.release(name)
            wire.opened()
            assert wire.message() == "early"
            assert wire.leave() == 1000


# --- what goes wrong ------------------------------------------------------------------------------------------------


class TestErrors:
    def test_an_error_is_logged_once_and_closes_that_connection_only(self, either: Pywsgi, name: str) -> None:
        with either.dial().open("/echo") as other, either.dial().open(f"/fail?id={name}") as wire:
            wire.text(f"deliberate {name}")
            assert wire.closed() == 1011
            other.text("unharmed")
            assert other.message() == "unharmed"
            assert other.leave() == 1000
        assert status_of(either.access(f"id={name}")) == "101"
        assert either.text().count(f"RuntimeError: deliberate {name}") == 1
        assert either.text().count("Traceback") == 1

    @pytest.mark.parametrize("path", ["/fail-listener", "/fail-listener-none", "/fail-generator"])
    def test_an_error_in_a_listener_or_a_generator(self, server: Pywsgi, path: str, name: str) -> None:
        with server.dial().open(f"{path}?id={name}") as wire:
            wire.text(f"deliberate {name}")
            assert wire.closed() == 1011
        assert status_of(server.access(f"id={name}")) == "101"
        assert server.text().count(f"RuntimeError: deliberate {name}") == 1
        assert server.text().count("Traceback") == 1

    def test_a_result_that_fails_is_closed_once(self, server: Pywsgi, name: str) -> None:
        with server.dial().open(f"/fail-page?id={name}&use=yes") as wire:
            wire.text(f"deliberate {name}")
            assert wire.closed() == 1011
        assert server.report(name)["closed"] == 1
        with server.dial() as wire:
            wire.ask(f"/fail-page?id={name}-2")
            assert wire.response().status == 500
        assert server.report(f"{name}-2")["closed"] == 1

    def test_an_error_before_the_handshake_is_pywsgis(self, server: Pywsgi, name: str) -> None:
        with server.dial() as wire:
            wire.ask(f"/fail-early?id={name}")
            assert wire.response().status == 500
        assert status_of(server.access(name)) == "500"
        assert server.text().count(f"RuntimeError: {name}") == 1

    @pytest.mark.parametrize("path", ["/echo", "/legacy"])
    @pytest.mark.parametrize("bad", BAD_REQUESTS)
    def test_bad_requests_are_refused(self, server: Pywsgi, path: str, bad: str, name: str) -> None:
        with server.dial() as wire:
            status = wire.ask_badly(bad, f"{path}?id={name}")
        assert status_of(server.access(name)) == str(status)
        server.assert_quiet()

    def test_bad_requests_are_refused_over_tls(self, tls_server: Pywsgi, name: str) -> None:
        tls_server.mark()
        with tls_server.dial() as wire:
            wire.send(request(f"/echo?id={name}").replace(KEY.encode(), b"wrong") + b"x" * 100_000)
            assert wire.response().status == 400
            assert wire.ended()
        assert status_of(tls_server.access(name)) == "400"
        tls_server.assert_quiet()


@pytest.mark.parametrize("go", [Wire.reset, Wire.close], ids=["reset", "end"])
class TestClientsThatGo:
    def expect_1006(self, server: Pywsgi, name: str) -> None:
        report = server.report(name)
        assert (report["close_code"], report["was_clean"]) == (1006, False)
        assert status_of(server.access(name)) == "101"
        server.assert_quiet()

    def test_between_messages(self, either: Pywsgi, go: Callable[[Wire], None], name: str) -> None:
        with either.dial().open(f"/echo?id={name}") as wire:
            wire.text("hello")
            assert wire.message() == "hello"
            go(wire)
        self.expect_1006(either, name)

    def test_while_the_handler_sends(self, either: Pywsgi, go: Callable[[Wire], None], name: str) -> None:
        with either.dial().open(f"/flood?id={name}") as wire:
            for _ in range(10):
                wire.message()
            go(wire)
        self.expect_1006(either, name)

    def test_before_the_handshake(self, either: Pywsgi, go: Callable[[Wire], None], name: str) -> None:
        with either.dial() as wire:
            wire.ask(f"/late?id={name}")
            until(lambda: either.state(name), "the handler")
            go(wire)
        either.release(name)
        self.expect_1006(either, name)

    def test_in_the_middle_of_the_request(self, server: Pywsgi, go: Callable[[Wire], None], name: str) -> None:
        """In its first line, or before. What pywsgi makes of half a head is its own."""
        for sent in (b"", b"GET /ec"):
            with server.dial() as wire:
                wire.send(sent)
                go(wire)
        with server.dial().open("/echo") as wire:
            assert wire.leave() == 1000
        assert "Traceback" not in server.text()

    def test_in_the_closing_handshake(self, server: Pywsgi, go: Callable[[Wire], None], name: str) -> None:
        with server.dial().open(f"/only?id={name}") as wire:
            assert wire.message() == "only this"
            assert read_frame(wire.recv)[0] == CLOSE
            go(wire)
        assert status_of(server.access(name)) == "101"
        server.assert_quiet()


# --- the access log -------------------------------------------------------------------------------------------------


class TestAccessLog:
    def test_one_line_at_the_end_with_duration_and_bytes(self, server: Pywsgi, name: str) -> None:
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
        assert f'"GET /echo?id={name} HTTP/1.1" 101 ' in line
        sent, seconds = line.split()[-2:]
        assert least <= float(seconds) <= most
        assert 100 * len("number 0") < int(sent) <= received

    @pytest.mark.parametrize("path", ["/echo", "/legacy", "/only", "/fail", "/listeners"])
    @pytest.mark.parametrize("end", ["clean", "reset", "fault"])
    def test_one_line_whatever_the_end(self, server: Pywsgi, path: str, end: str, name: str) -> None:
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
        assert status_of(server.access(f"id={name}")) == "101"


# --- the end of the server ------------------------------------------------------------------------------------------

WAYS = pytest.mark.parametrize("arguments", [(), ("--pool", "100"), ("--start",)], ids=["forever", "pool", "start"])


class TestEnd:
    @WAYS
    @pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
    def test_stop_closes_with_1001(
        self, tmp_path: Path, certificates: Certificates, arguments: tuple[str, ...], tls: bool
    ) -> None:
        with Pywsgi(tmp_path, *arguments, certificates=certificates if tls else None) as server, ExitStack() as stack:
            wires = [stack.enter_context(server.dial().open("/echo")) for _ in range(50)]
            server.signal(signal.SIGTERM)
            started = time.monotonic()
            assert {wire.closed() for wire in wires} == {1001}
            assert server.wait(started + 3 - time.monotonic()) == 0
            server.assert_quiet()

    @WAYS
    def test_stop_while_a_handler_has_not_accepted_yet(self, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        """Its client is told to go away, too, however that is said: by HTTP, by a close frame, or by the end alone."""
        with Pywsgi(tmp_path, *arguments) as server, server.dial() as wire, server.dial().open("/echo") as other:
            wire.ask("/late?id=late")
            until(lambda: server.state("late"), "the handler")
            server.signal(signal.SIGTERM)
            assert other.closed() == 1001
            server.release("late")
            head = wire.sock.recv(12, 0x2).decode()  # MSG_PEEK
            if "101" in head:
                wire.opened()
                assert wire.closed() == 1001
            elif head:
                assert wire.response().status == 503
            assert server.wait(3) == 0
            assert "Traceback" not in server.text()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_no_descriptor_stays(either: Pywsgi) -> None:
    def count() -> int:
        return len(list(Path(f"/proc/{either.pid}/fd").iterdir()))

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
