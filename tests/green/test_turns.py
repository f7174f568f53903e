"""Nobody waits for a connection that always has something to do: work is done in turns, counted here, not timed."""

from __future__ import annotations

import socket as stdlib_socket
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.ssl
import pytest
from gevent import socket
from gevent.event import Event

import wsdriver
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import echo, serving
from tests.support.tls import Certificates, make_certificates
from wsdriver.exceptions import ConnectionClosed
from wsdriver.green.options import ConnectionOptions
from wsdriver.green.transport import MAX_BURST, Transport
from wsdriver.green.waking import pass_turn

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

#: Far more messages than are handled in a turn, in fewer bytes than sockets hold.
MANY = 12_000

#: Far more than may be handled before the others' turn, and far less than all.
FEW = 1500


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with gevent.Timeout(40):
        yield


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def connect(port: int, certificates: Certificates | None = None) -> Any:
    """Return the socket of a client that is open."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    if certificates is not None:
        context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificates.authority)
        sock = context.wrap_socket(sock, server_hostname="localhost")
    sock.sendall(request("/"))
    assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
    return sock


def messages(first: int, behind: int) -> bytes:
    return b"".join(frame(TEXT, b"%d" % n) for n in range(first, behind))


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_one_message_does_not_wait_for_the_thousands_of_another_connection(
    tls: bool, certificates: Certificates
) -> None:
    handled: list[str] = []
    before: list[int] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        for message in ws:
            if message == "quiet":
                before.append(len(handled))
            else:
                handled.append(str(message))
                if message == "10":
                    quiet.sendall(frame(TEXT, b"quiet"))
            ws.send(message)

    options = {"ssl_context": certificates.server_context()} if tls else {}
    with serving(handler, **options) as server:
        port, authority = server.server_port, certificates if tls else None
        with connect(port, authority) as flooding, connect(port, authority) as quiet:
            writer = gevent.spawn(flooding.sendall, messages(0, MANY))
            assert read_frame(quiet.recv) == (TEXT, b"quiet")
            for n in range(MANY):
                assert read_frame(flooding.recv) == (TEXT, b"%d" % n)
            writer.get()
    assert handled == [str(n) for n in range(MANY)]
    assert before[0] < FEW


def test_pings_of_another_connection_are_answered_in_turns() -> None:
    with serving() as server, connect(server.server_port) as flooding, connect(server.server_port) as quiet:
        flooding.sendall(b"".join(frame(PING, b"%d" % n) for n in range(MANY)))
        quiet.sendall(frame(TEXT, b"quiet"))
        assert read_frame(quiet.recv) == (TEXT, b"quiet")
        # What has been answered by now lies in the socket: no turn passes in between.
        flooding.settimeout(0)
        answered = 0
        try:
            while True:
                answered += flooding.recv(1 << 20).count(b"\x8a")
        except BlockingIOError:
            pass
        assert answered < FEW
        flooding.settimeout(20)


@pytest.mark.parametrize("end", ["close frame", "end of the stream"])
def test_messages_of_many_turns_come_before_the_end(end: str) -> None:
    seen: list[Any] = []
    over = Event()

    def handler(ws: wsdriver.WebSocket) -> None:
        seen.extend(ws)
        seen.append(ws.close_code)
        over.set()

    with serving(handler) as server, connect(server.server_port) as peer:
        peer.sendall(messages(0, MANY) + (frame(CLOSE, b"\x03\xe8") if end == "close frame" else b""))
        if end != "close frame":
            peer.shutdown(stdlib_socket.SHUT_WR)
        assert over.wait(20)
    assert seen == [*(str(n) for n in range(MANY)), 1000 if end == "close frame" else 1006]


def test_handler_that_stops_and_goes_on_gets_all_messages() -> None:
    seen: list[Any] = []
    go, over = Event(), Event()

    def handler(ws: wsdriver.WebSocket) -> None:
        ws.accept()
        go.wait()
        seen.extend(ws)
        over.set()

    with serving(handler, inbound_messages=100) as server, connect(server.server_port) as peer:
        peer.sendall(messages(0, MANY))
        gevent.sleep(0.1)  # it is read, and stops at the limit
        go.set()
        peer.sendall(frame(CLOSE, b"\x03\xe8"))
        assert over.wait(20)
    assert seen == [str(n) for n in range(MANY)]


def test_receive_that_only_looks_gets_what_waits_for_its_turn() -> None:
    seen: list[Any] = []
    over = Event()

    def handler(ws: wsdriver.WebSocket) -> None:
        assert ws.receive() == "0"
        while len(seen) < MANY - 1:
            try:
                seen.append(ws.receive(timeout=0))
            except TimeoutError:
                gevent.sleep(0)
        over.set()

    with serving(handler) as server, connect(server.server_port) as peer:
        peer.sendall(messages(0, MANY))
        assert over.wait(20)
    assert seen == [str(n) for n in range(1, MANY)]


def test_connection_that_is_dropped_between_turns_is_gone() -> None:
    ended: list[Any] = []
    over = Event()

    def handler(ws: wsdriver.WebSocket) -> None:
        ws.receive()
        ws.terminate()
        with pytest.raises(ConnectionClosed):
            ws.send("late")
        ended.append(ws.close_code)
        over.set()

    with serving(handler) as server:
        with connect(server.server_port) as peer:
            peer.sendall(messages(0, MANY))
            assert over.wait(20)
        gevent.sleep(0.05)  # in which nothing may go on
        assert len(server.connections) == 0
    assert ended == [1006]


def test_handler_that_sends_without_end_leaves_others_their_turn() -> None:
    sent = 0
    before: list[int] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        nonlocal sent
        if ws.receive() == "quiet":
            before.append(sent)
            return
        for _ in range(MANY):
            ws.send("tick")
            sent += 1
            if sent == 10:
                quiet.sendall(frame(TEXT, b"quiet"))

    with serving(handler) as server, connect(server.server_port) as greedy, connect(server.server_port) as quiet:
        greedy.sendall(frame(TEXT, b"go"))
        assert read_frame(quiet.recv)[0] == CLOSE
        for _ in range(MANY):
            assert read_frame(greedy.recv) == (TEXT, b"tick")
    assert before[0] < FEW


class Sink:
    """A socket that takes everything at once, and counts what it took."""

    def __init__(self) -> None:
        self.end, self.other = stdlib_socket.socketpair()
        self.taken: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.end, name)

    def send(self, data: memoryview) -> int:
        self.taken.append(len(data))
        return len(data)

    def unwrap(self) -> None:
        pass


def test_large_message_to_a_fast_peer_goes_out_in_several_turns() -> None:
    sink = Sink()
    transport = Transport(ConnectionOptions())
    size = 8 * MAX_BURST
    with sink.other:
        assert transport._watch(sink, bytearray(size), True)
        transport._reader.stop()
        transport._flush()
        turns = [sum(sink.taken)]
        while transport.buffered_amount and len(turns) < 50:
            pass_turn(gevent.get_hub())
            turns.append(sum(sink.taken))
        transport._flush()
        assert sum(sink.taken) == size
        steps = [b - a for a, b in zip([0, *turns], turns, strict=False)]
        assert max(steps) <= MAX_BURST + 256 * 1024
        transport._release()


def test_pass_turn_lets_sockets_be_seen_each_time() -> None:
    near, far = stdlib_socket.socketpair()
    with near, far:
        far.send(b"x")
        seen: list[int] = []
        turn = 0
        watcher = gevent.get_hub().loop.io(near.fileno(), 1)
        watcher.start(lambda: seen.append(turn))
        try:
            for turn in range(20):  # noqa: B007
                pass_turn(gevent.get_hub())
        finally:
            watcher.close()
    assert len(seen) >= 19


def test_echo_is_one_of_the_handlers_that_take_turns() -> None:
    with serving(echo) as server, connect(server.server_port) as flooding, connect(server.server_port) as quiet:
        writer = gevent.spawn(flooding.sendall, messages(0, MANY))
        for n in range(20):
            quiet.sendall(frame(TEXT, b"q%d" % n))
            assert read_frame(quiet.recv) == (TEXT, b"q%d" % n)
        for n in range(MANY):
            assert read_frame(flooding.recv) == (TEXT, b"%d" % n)
        writer.get()
