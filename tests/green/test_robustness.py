"""Slow, silent, greedy and vanishing peers, and greenlets that meet on one connection: no byte lost, nothing left."""

from __future__ import annotations

import base64
import gc
import hashlib
import logging
import os
import random
import signal
import socket as stdlib_socket
import ssl
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import gevent.ssl
import pytest
from gevent import socket
from gevent.event import Event
from gevent.queue import Queue
from gevent.server import StreamServer
from gevent.subprocess import PIPE, Popen

import wsdriver
from tests.support.leaks import assert_nothing_left, at_rest
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import echo, serving
from tests.support.tls import Certificates, make_certificates

PATIENCE = 20.0  # seconds: what anything here may take before a test fails
PROMPT = 3.0  # seconds: far more than what should take a few tenths, far less than the timeouts it must not wait for

MB = 1024 * 1024
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

HEARTBEAT: dict[str, Any] = {"ping": 0.3, "ping_timeout": 0.3}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No wait in a test is for ever: this one, in the greenlet that runs it, ends all others."""
    with gevent.Timeout(40):
        yield


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls(certificates: Certificates) -> dict[str, Any]:
    """What makes a server one with TLS."""
    return {"ssl_context": certificates.server_context()}


class Raw:
    """A client made by hand: it does what it is told and nothing else.

    Args:
        port: of the server.
        receive_buffer: bytes, where the peer is to be slow.
        authority: for TLS: the certificate to trust.
        behind: sent in one piece with the request.
        path: of the request; None sends none.
    """

    def __init__(
        self,
        port: int,
        *,
        receive_buffer: int | None = None,
        authority: Path | None = None,
        behind: bytes = b"",
        path: str | None = "/",
    ) -> None:
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(("127.0.0.1", port))
        if authority is not None:
            context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(authority)
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        if path is not None:
            self.sock.sendall(request(path) + behind)
            assert read_head(self.sock.recv).startswith(b"HTTP/1.1 101 ")

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *details: object) -> None:
        self.sock.close()

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.sock.sendall(frame(opcode, payload))

    def read(self) -> tuple[int, bytes]:
        return read_frame(self.sock.recv)

    def read_large(self, pace: Callable[[int], object]) -> str:
        """Read a frame of 64 KiB or more in small pieces; return the hash of its payload.

        Args:
            pace: called with the count of bytes so far, behind each piece; may sleep.
        """
        head = b""
        while len(head) < 10:
            head += self.sock.recv(10 - len(head))
        assert head[1] == 127
        (left,) = struct.unpack("!Q", head[2:])
        size = left
        digest = hashlib.sha256()
        while left:
            piece = self.sock.recv(min(left, 65536))
            assert piece, f"the stream ended {left} bytes before the end of the frame"
            digest.update(piece)
            left -= len(piece)
            pace(size - left)
        return digest.hexdigest()

    def answer_close(self) -> tuple[int, bytes]:
        """Read up to a close frame, answer it, and return it: ``(code, reason)``."""
        opcode, payload = self.read()
        while opcode not in (CLOSE, -1):
            opcode, payload = self.read()
        assert opcode == CLOSE, "the stream ended without a close frame"
        self.send(CLOSE, payload)
        return int.from_bytes(payload[:2], "big"), payload[2:]

    def reset(self) -> None:
        """Vanish with a RST."""
        self.sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Handed:
    """A handler that hands its WebSocket to the test, and does nothing by itself."""

    def __init__(self) -> None:
        self.over = Event()
        self._accepted: Queue[Any] = Queue()

    def __call__(self, ws: wsdriver.WebSocket) -> None:
        ws.accept()
        self._accepted.put(ws)
        self.over.wait()

    def websocket(self) -> wsdriver.WebSocket:
        ws: wsdriver.WebSocket = self._accepted.get(timeout=PATIENCE)
        return ws


@contextmanager
def pair(*, receive_buffer: int | None = None, **options: Any) -> Iterator[tuple[wsdriver.WebSocket, Raw]]:
    """An open WebSocket of a server of ours, whose handler sleeps, and the raw client at its other end."""
    handler = Handed()
    try:
        with serving(handler, **options) as server, Raw(server.server_port, receive_buffer=receive_buffer) as peer:
            yield handler.websocket(), peer
    finally:
        handler.over.set()


@contextmanager
def raw_server(handle: Callable[[Any], object], context: Any = None, behind: bytes = b"") -> Iterator[int]:
    """A server made by hand, which does the opening handshake and calls ``handle(sock)``; yields its port.

    Args:
        handle: gets the socket.
        context: for TLS.
        behind: sent in one piece with the response.
    """
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    def serve(sock: Any, address: Any) -> None:
        head = read_head(sock.recv)
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
        accept = base64.b64encode(hashlib.sha1(key.partition(b":")[2].strip() + guid).digest())
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + behind
        )
        handle(sock)

    settings = {} if context is None else {"ssl_context": context}
    server = StreamServer(("127.0.0.1", 0), serve, **settings)
    server.start()
    try:
        yield server.server_port
    finally:
        server.stop(timeout=1)


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE, *, fails: bool = True) -> None:
    """Wait for a condition; when it never comes, fail, and say that this was waited for."""
    deadline = monotonic() + seconds
    while not condition():
        if monotonic() > deadline:
            if not fails:
                return
            pytest.fail(f"waited {seconds:.0f} s for {what}")
        gevent.sleep(0.01)


def block(ws: Any, size: int = 16 * MB) -> tuple[Any, bytes]:
    """Return a greenlet that is blocked in ``send``, since the peer does not read, and the message that it sends."""
    message = random.Random(size).randbytes(size)
    sender = gevent.spawn(ws.send, message)
    until(lambda: ws.buffered_amount > 0 or sender.ready(), "a send that blocks")
    assert not sender.ready()
    return sender, message


def instantly(total: int) -> None:
    """The pace of a reader that reads as fast as it can."""


def at_rate(rate: int) -> Callable[[int], None]:
    """Return the pace of a reader that takes that many bytes per second."""
    started = monotonic()
    return lambda total: gevent.sleep(max(0.0, started + total / rate - monotonic()))


def masked(payload: bytes, mask: bytes) -> bytes:
    """Apply a mask the slow way: as one long number."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


class Checker:
    """Checks that messages of several senders arrive whole, and in each sender's order."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    @staticmethod
    def make(sender: str, number: int) -> str:
        """Return a message that proves itself: checksum, sender, number, filling. Each 500th is over a buffer."""
        size = 70_000 if number % 500 == 499 else number * 7919 % 300
        body = f"{sender} {number} {sender * size}"
        return f"{zlib.crc32(body.encode()):08x}{body}"

    def check(self, message: str | bytes | None) -> None:
        assert message is not None, f"the stream ended after {self.counts}"
        text = message if isinstance(message, str) else message.decode()
        checksum, body = text[:8], text[8:]
        assert int(checksum, 16) == zlib.crc32(body.encode()), "a message was mixed with another"
        sender, number, _ = body.split(" ", 2)
        assert int(number) == self.counts.get(sender, 0), f"a message of {sender} is out of order"
        self.counts[sender] = int(number) + 1


class TestLargeMessages:
    def test_sent_to_fast_slow_and_stalled_readers_are_exact_and_others_go_on(self) -> None:
        message = random.Random(1).randbytes(20 * MB)
        stalled = Event()

        def stall(total: int) -> None:
            if total > MB and not stalled.is_set():
                stalled.set()
                gevent.sleep(2)

        def handler(ws: wsdriver.WebSocket) -> None:
            if ws.handshake.path == "/echo":
                echo(ws)
            else:
                ws.send(message)
                ws.send("behind it")
                ws.receive()

        def read(pace: Callable[[int], object], receive_buffer: int | None) -> tuple[str, tuple[int, bytes]]:
            with Raw(server.server_port, receive_buffer=receive_buffer) as peer:
                return peer.read_large(pace), peer.read()

        delays = []
        with serving(handler) as server:
            readers = [
                gevent.spawn(read, instantly, None),
                gevent.spawn(read, lambda total: gevent.sleep(0.004), 65536),
                gevent.spawn(read, stall, 65536),
            ]
            with wsdriver.connect(server.url + "echo") as ws:
                while not all(reader.ready() for reader in readers):
                    started = monotonic()
                    ws.send("tick")
                    assert ws.receive(PATIENCE) == "tick"
                    delays.append(monotonic() - started)
                    gevent.sleep(0.005)
            expected = (hashlib.sha256(message).hexdigest(), (TEXT, b"behind it"))
            assert [reader.get() for reader in readers] == [expected] * 3
        assert len(delays) > 50
        assert sorted(delays)[len(delays) // 2] < 0.05
        assert max(delays) < 0.5

    def test_sent_by_a_client_to_a_slow_server_are_exact(self) -> None:
        message = random.Random(2).randbytes(20 * MB)
        received: Queue[Any] = Queue()

        def handle(sock: Any) -> None:
            head = b""
            while len(head) < 14:
                head += sock.recv(14 - len(head))
            data = bytearray()
            while len(data) < len(message):
                data += sock.recv(min(65536, len(message) - len(data)))
                gevent.sleep(0.002)
            received.put((head[:2], struct.unpack("!Q", head[2:10])[0], masked(bytes(data), head[10:]) == message))
            received.put(read_masked(sock))

        def read_masked(sock: Any) -> bytes:
            head = sock.recv(6)
            return masked(sock.recv(head[1] & 127), head[2:])

        with raw_server(handle) as port:
            ws = wsdriver.connect(f"ws://127.0.0.1:{port}/")
            try:
                ws.send(message)
                ws.send("behind it")
                assert received.get(timeout=PATIENCE) == (b"\x82\xff", len(message), True)
                assert received.get(timeout=PATIENCE) == b"behind it"
            finally:
                ws.terminate()

    def test_both_ways_at_once_do_not_deadlock(self) -> None:
        message = random.Random(3).randbytes(10 * MB)

        def handler(ws: wsdriver.WebSocket) -> None:
            for _ in range(3):
                ws.send(message)
                got.append(ws.receive(PATIENCE) == message)
            ws.receive()

        got: list[bool] = []
        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            for _ in range(3):
                ws.send(message)
                got.append(ws.receive(PATIENCE) == message)
            until(lambda: len(got) == 6, "all messages")
        assert all(got)


class TestSenders:
    @pytest.mark.parametrize("side", ["server", "client"])
    def test_two_greenlets_keep_their_messages_whole_and_in_order(self, side: str) -> None:
        count = 10_000

        def work(ws: Any, sender: str) -> None:
            for number in range(count):
                message = Checker.make(sender, number)
                ws.send(message if sender == "a" else message.encode())
                if number % 37 == 0:
                    gevent.sleep(0)

        def send(ws: Any) -> None:
            gevent.joinall([gevent.spawn(work, ws, sender) for sender in "ab"], raise_error=True)

        def receive(ws: Any) -> None:
            for _ in range(2 * count):
                checker.check(ws.receive(PATIENCE))

        def handler(ws: wsdriver.WebSocket) -> None:
            (send if side == "server" else receive)(ws)
            done.set()
            ws.receive()

        checker, done = Checker(), Event()
        with serving(handler, write_limit=1000) as server, wsdriver.connect(server.url, write_limit=1000) as ws:
            (receive if side == "server" else send)(ws)
            assert done.wait(PATIENCE)
        assert checker.counts == {"a": count, "b": count}

    def test_control_frames_of_others_go_between_messages(self) -> None:
        with pair() as (ws, peer):

            def ping() -> None:
                for number in range(200):
                    ws.ping(str(number))
                    gevent.sleep(0)

            def send() -> None:
                for number in range(200):
                    ws.send(b"%d " % number + bytes(5000))
                    gevent.sleep(0)

            gevent.spawn(ping)
            gevent.spawn(send)
            seen: dict[int, list[int]] = {PING: [], BINARY: []}
            for _ in range(400):
                opcode, payload = peer.read()
                assert opcode in seen
                seen[opcode].append(int(payload.split(b" ")[0]))
            assert seen == {PING: list(range(200)), BINARY: list(range(200))}


class TestLostPeers:
    def test_killed_process_is_noticed(self) -> None:
        program = "import sys, time, wsdriver; ws = wsdriver.connect(sys.argv[1]); ws.send('here'); time.sleep(60)"
        handler = Handed()
        with serving(handler) as server:
            process = Popen([sys.executable, "-c", program, server.url], cwd=ROOT)
            try:
                ws = handler.websocket()
                assert ws.receive(PATIENCE) == "here"
                process.send_signal(signal.SIGKILL)
                assert ws.receive(PATIENCE) is None
                assert (ws.close_code, ws.was_clean) == (1006, False)
            finally:
                process.kill()
                process.wait()
                handler.over.set()

    def test_silent_peer_is_noticed_by_receive(self) -> None:
        with pair(**HEARTBEAT) as (ws, _):
            started = monotonic()
            assert ws.receive() is None
            assert 0.3 <= monotonic() - started < PROMPT
            assert (ws.close_code, ws.was_clean) == (1006, False)
            assert isinstance(ws.close_error, TimeoutError)

    def test_silent_peer_is_noticed_by_a_blocked_send(self) -> None:
        with pair(receive_buffer=4096, **HEARTBEAT) as (ws, _):
            started = monotonic()
            with pytest.raises(wsdriver.ConnectionClosed):
                ws.send(bytes(16 * MB))
            assert monotonic() - started < PROMPT
            assert ws.close_code == 1006
            assert ws.receive() is None

    def test_silent_peer_is_noticed_while_the_handler_sleeps(self) -> None:
        with pair(**HEARTBEAT) as (ws, _):
            until(lambda: ws.state == "closed", "the heartbeat", PROMPT)
            assert ws.close_code == 1006

    def test_silent_server_is_noticed_by_a_client(self) -> None:
        over = Event()
        with raw_server(lambda sock: over.wait()) as port:
            ws = wsdriver.connect(f"ws://127.0.0.1:{port}/", **HEARTBEAT)
            started = monotonic()
            assert ws.receive() is None
            assert monotonic() - started < PROMPT
            assert ws.close_code == 1006
            over.set()

    def test_peer_that_answers_is_kept(self) -> None:
        with serving(**HEARTBEAT) as server, wsdriver.connect(server.url) as ws:
            with pytest.raises(TimeoutError):
                ws.receive(1.5)
            ws.send("still here")
            assert ws.receive(PATIENCE) == "still here"

    def test_peer_that_sends_but_answers_no_ping_is_kept(self) -> None:
        with pair(**HEARTBEAT) as (ws, peer):
            deadline = monotonic() + 1.5
            while monotonic() < deadline:
                peer.send(TEXT, b"alive")
                assert ws.receive(PATIENCE) == "alive"
                gevent.sleep(0.05)
            assert ws.state == "open"

    def test_slow_sender_of_one_large_message_is_kept(self) -> None:
        message = frame(BINARY, bytes(60_000))
        with pair(**HEARTBEAT) as (ws, peer):
            for start in range(0, len(message), 2000):
                peer.sock.sendall(message[start : start + 2000])
                gevent.sleep(0.05)
            assert ws.receive(PATIENCE) == bytes(60_000)

    @pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
    def test_slow_reader_of_one_large_message_is_kept(
        self, certificates: Certificates, tls: dict[str, Any], secure: bool
    ) -> None:
        """It takes bytes all the time; the ping, behind megabytes in the kernel's buffers, cannot have reached it."""
        message = random.Random(4).randbytes(10 * MB)

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.send(message)
            echo(ws)

        authority = certificates.authority if secure else None
        with (
            serving(handler, **HEARTBEAT, **(tls if secure else {})) as server,
            Raw(server.server_port, receive_buffer=65536, authority=authority) as peer,
        ):
            digest = peer.read_large(at_rate(4 * MB))
            assert digest == hashlib.sha256(message).hexdigest()
            peer.send(TEXT, b"read it all")
            opcode, payload = peer.read()
            while opcode == PING:
                peer.send(PONG, payload)
                opcode, payload = peer.read()
            assert (opcode, payload) == (TEXT, b"read it all")

    def test_peer_that_we_do_not_read_is_kept(self) -> None:
        """Its pongs wait behind what we have not read: its silence is ours."""
        count = 400
        with pair(inbound_limit=10_000, **HEARTBEAT) as (ws, peer):
            piece = frame(BINARY, bytes(50_000))
            pusher = gevent.spawn(lambda: [peer.sock.sendall(piece) for _ in range(count)])
            until(lambda: ws.state != "open", "nothing", 1.5, fails=False)
            assert not pusher.ready()
            for _ in range(count):
                assert ws.receive(PATIENCE) == bytes(50_000)
            pusher.get()
            assert ws.state == "open"

    def test_peer_that_answered_while_our_own_loop_stood_still_is_kept(self) -> None:
        def answer_pings(port: int) -> bytes:
            """Be a client in a thread, which goes on when the loop does not."""
            with stdlib_socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
                sock.sendall(request())
                read_head(sock.recv)
                opcode, payload = read_frame(sock.recv)
                while opcode == PING:
                    sock.sendall(frame(PONG, payload))
                    opcode, payload = read_frame(sock.recv)
                return payload

        handler = Handed()
        with serving(handler, **HEARTBEAT) as server:
            answers = gevent.get_hub().threadpool.spawn(answer_pings, server.server_port)
            ws = handler.websocket()
            for _ in range(2):
                until(lambda: ws.state != "open", "nothing", 0.4, fails=False)
                time.sleep(0.8)
            until(lambda: ws.state != "open", "nothing", 0.4, fails=False)
            assert ws.state == "open"
            ws.send("still here")
            assert answers.get(timeout=PATIENCE) == b"still here"
            handler.over.set()

    def test_pings_go_out_at_their_interval_however_long_their_timeout_is(self) -> None:
        with pair(ping=0.2, ping_timeout=10) as (_, peer), gevent.Timeout(PROMPT):
            for _ in range(3):
                opcode, payload = peer.read()
                assert opcode == PING
                peer.send(PONG, payload)


class TestHandlersThatDoNotReceive:
    def test_pings_are_answered_while_it_sleeps(self) -> None:
        with pair() as (_, peer):
            for number in range(5):
                peer.send(PING, b"%d" % number)
                assert peer.read() == (PONG, b"%d" % number)

    @pytest.mark.parametrize("size", [0, 125])
    def test_pings_of_days_are_answered_while_it_sleeps(self, size: int) -> None:
        """Nobody takes them off a queue: they must not fill one."""
        with pair() as (ws, peer):
            for _ in range(100):
                peer.sock.sendall(frame(PING, bytes(size)) * 100)
                with gevent.Timeout(PROMPT):
                    assert [peer.read() for _ in range(100)] == [(PONG, bytes(size))] * 100
            peer.send(CLOSE, b"\x0f\xa0bye")
            assert peer.read() == (CLOSE, b"\x0f\xa0bye")
            until(lambda: ws.state == "closed", "the end", PROMPT)
            assert (ws.close_code, ws.was_clean) == (4000, True)

    def test_pongs_of_days_leave_the_heartbeat_working_while_it_sleeps(self) -> None:
        with pair(**HEARTBEAT) as (ws, peer):
            for _ in range(100):
                peer.sock.sendall(frame(PONG, b"unasked") * 100)
                gevent.sleep(0)
            until(lambda: ws.state == "closed", "the heartbeat to notice the silence", PROMPT)
            assert ws.close_code == 1006

    def test_flood_of_pings_by_a_peer_that_does_not_read_is_bounded(self) -> None:
        with pair(receive_buffer=4096) as (ws, peer):
            receiver = gevent.spawn(ws.receive)
            for start in range(0, 200_000, 1000):
                numbers = range(start, start + 1000)
                peer.sock.sendall(b"".join(b"\x89\xfd" + bytes(4) + b"%0125d" % number for number in numbers))
                assert ws.buffered_amount < MB
            peer.send(TEXT, b"over")
            assert receiver.get(timeout=PATIENCE) == "over"
            sender = gevent.spawn(ws.send, "over")
            last = -1
            opcode, payload = peer.read()
            while opcode == PONG:
                assert int(payload) > last
                last = int(payload)
                opcode, payload = peer.read()
            assert (opcode, payload) == (TEXT, b"over")
            while last < 199_999:
                opcode, payload = peer.read()
                assert opcode == PONG
                last = int(payload)
            sender.get(timeout=PATIENCE)

    def test_close_is_answered_while_it_sleeps(self) -> None:
        with pair() as (ws, peer):
            peer.send(CLOSE, b"\x0f\xa0bye")
            assert peer.read() == (CLOSE, b"\x0f\xa0bye")
            assert peer.sock.recv(1) == b""
            assert (ws.close_code, ws.close_reason, ws.was_clean) == (4000, "bye", True)

    @staticmethod
    def send_on(ws: wsdriver.WebSocket) -> wsdriver.ConnectionClosed:
        started = monotonic()
        while monotonic() - started < PROMPT:
            try:
                ws.send("more")
            except wsdriver.ConnectionClosed as error:
                return error
            gevent.sleep(0.005)
        pytest.fail(f"send() has not noticed the end within {PROMPT:.0f} s")

    def test_close_is_noticed_by_one_that_only_sends(self) -> None:
        with pair() as (ws, peer):
            gevent.spawn_later(0.1, peer.send, CLOSE, b"\x0f\xa0bye")
            assert self.send_on(ws).received == (4000, "bye")
            assert (ws.close_code, ws.was_clean) == (4000, True)

    def test_reset_is_noticed_by_one_that_only_sends(self) -> None:
        with pair() as (ws, peer):
            gevent.spawn_later(0.1, peer.reset)
            assert self.send_on(ws).received is None
            assert (ws.close_code, ws.was_clean) == (1006, False)
            assert isinstance(ws.close_error, OSError)

    def test_end_of_stream_is_noticed_by_one_that_only_sends(self) -> None:
        with pair() as (ws, peer):
            gevent.spawn_later(0.1, peer.sock.shutdown, stdlib_socket.SHUT_WR)
            self.send_on(ws)
            assert (ws.close_code, ws.was_clean) == (1006, False)

    def test_silence_is_noticed_by_one_that_only_sends(self) -> None:
        with pair(**HEARTBEAT) as (ws, _):
            self.send_on(ws)
            assert (ws.close_code, ws.was_clean) == (1006, False)


#: Serves one handler that receives nothing until a line comes on stdin, and then tells the hash of all it received.
HOARDER = """
import hashlib, sys
import gevent.event, gevent.fileobject
import wsdriver

go = gevent.event.Event()

def handler(ws):
    ws.accept()
    go.wait()
    digest, count = hashlib.sha256(), 0
    for message in ws:
        if message == "end":
            ws.send(f"{count} {digest.hexdigest()}")
        else:
            digest.update(message)
            count += 1

server = wsdriver.WebSocketServer(("127.0.0.1", 0), handler)
server.start()
print(server.server_port, flush=True)
gevent.fileobject.FileObject(sys.stdin.buffer, "rb").readline()
go.set()
server.serve_forever()
"""


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
class TestInboundQueue:
    @pytest.mark.parametrize(
        ("size", "count", "allowed"), [(65536, 4800, 32 * MB), (16, 600_000, 16 * MB)], ids=["300 MB", "small ones"]
    )
    def test_is_bounded_and_loses_nothing(self, size: int, count: int, allowed: int) -> None:
        per_write = max(1, 65536 // size)
        filling = random.Random(5).randbytes(size - 8)
        head = b"\x82\xff" + struct.pack("!Q", size) if size >= 65536 else bytes([0x82, 0x80 | size])
        pushed = [0]
        digest = hashlib.sha256()

        def push() -> None:
            for start in range(0, count, per_write):
                block = bytearray()
                for number in range(start, min(start + per_write, count)):
                    payload = struct.pack("!Q", number) + filling
                    digest.update(payload)
                    block += head + bytes(4) + payload  # a mask of zeros changes nothing
                peer.sock.sendall(block)
                pushed[0] += len(block)

        process = Popen([sys.executable, "-c", HOARDER], stdin=PIPE, stdout=PIPE, cwd=ROOT)
        try:
            port = int(process.stdout.readline())
            with Raw(port) as peer:
                before = resident(process.pid)
                pusher = gevent.spawn(push)
                seen, since = -1, monotonic()
                while not pusher.ready() and monotonic() - since < 0.5:
                    if pushed[0] != seen:
                        seen, since = pushed[0], monotonic()
                    gevent.sleep(0.02)
                assert resident(process.pid) - before < allowed
                if size == 65536:
                    assert not pusher.ready(), "300 MB were taken in although nobody received them"
                process.stdin.write(b"go\n")
                process.stdin.flush()
                pusher.get(timeout=PATIENCE)
                peer.send(TEXT, b"end")
                assert peer.read() == (TEXT, f"{count} {digest.hexdigest()}".encode())
                assert resident(process.pid) - before < allowed
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def test_full_takes_a_close_of_ours(self) -> None:
        with pair(inbound_limit=10_000) as (ws, peer):

            def push() -> None:
                for _ in range(100):
                    peer.sock.sendall(frame(BINARY, bytes(10_000)))

            pusher = gevent.spawn(push)
            gevent.sleep(0.1)
            closing = gevent.spawn(ws.close, 4000, "enough")
            pusher.get(timeout=PATIENCE)
            assert peer.answer_close() == (4000, b"enough")
            closing.get(timeout=PATIENCE)
            assert (ws.close_code, ws.was_clean) == (4000, True)


class TestOutboundBuffer:
    def test_buffered_amount_is_what_waits(self) -> None:
        with pair(receive_buffer=4096) as (ws, peer):
            assert ws.buffered_amount == 0
            sender, message = block(ws)
            until(lambda: stands_still(lambda: ws.buffered_amount), "a buffer that stands still")
            before = ws.buffered_amount
            assert 0 < before < len(message)
            other = gevent.spawn(ws.send, bytes(1000))
            gevent.sleep(0)
            assert ws.buffered_amount == before + 1004
            assert not other.ready()
            assert peer.read_large(instantly) == hashlib.sha256(message).hexdigest()
            assert peer.read() == (BINARY, bytes(1000))
            sender.get(timeout=PATIENCE)
            other.get(timeout=PATIENCE)
            assert ws.buffered_amount == 0

    def test_send_waits_only_where_the_peer_does_not_keep_up(self) -> None:
        with pair() as (ws, _):
            started = monotonic()
            for _ in range(100):
                ws.send("small")
            assert monotonic() - started < PROMPT
            assert ws.buffered_amount == 0

    def test_send_timeout_cuts(self) -> None:
        with pair(receive_buffer=4096, send_timeout=0.3) as (ws, _):
            started = monotonic()
            with pytest.raises(wsdriver.ConnectionClosed) as caught:
                ws.send(bytes(16 * MB))
            assert 0.25 <= monotonic() - started < PROMPT
            assert isinstance(caught.value.__cause__, TimeoutError)
            assert (ws.close_code, ws.was_clean) == (1006, False)
            assert ws.receive() is None
            assert ws.buffered_amount == 0


def stands_still(value: Callable[[], object]) -> bool:
    """Tell whether a value is the same for a while."""
    first = value()
    gevent.sleep(0.05)
    return value() == first


NOTHING = object()


def poll(ws: Any) -> Any:
    try:
        return ws.receive(0)
    except TimeoutError:
        gevent.sleep(0)
        return NOTHING


def receive_for_a_moment(ws: Any) -> Any:
    try:
        return ws.receive(0.0005)
    except TimeoutError:
        return NOTHING


def receive_in_a_timeout(ws: Any) -> Any:
    with gevent.Timeout(0.0005, False):
        return ws.receive()
    return NOTHING


def receive_in_a_greenlet_that_is_killed(ws: Any) -> Any:
    result = [NOTHING]

    def work() -> None:
        result[0] = ws.receive()

    worker = gevent.spawn(work)
    gevent.sleep(0.0005)
    worker.kill()
    return result[0]


class TestInterruptions:
    @pytest.mark.parametrize(
        "attempt", [poll, receive_for_a_moment, receive_in_a_timeout, receive_in_a_greenlet_that_is_killed]
    )
    @pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
    def test_receive_interrupted_loses_nothing(
        self, attempt: Callable[[Any], Any], secure: bool, certificates: Certificates, tls: dict[str, Any]
    ) -> None:
        count = 1000
        messages = [f"{number} {'x' * (number * 7919 % 300)}" for number in range(count)]
        stream = b"".join(frame(TEXT, message.encode()) for message in messages)
        choose = random.Random(6)
        interruptions = [0]

        def push() -> None:
            start = 0
            while start < len(stream):
                while start > len(stream) // 2 and not interruptions[0]:
                    gevent.sleep(0.005)
                end = start + choose.choice([1, 3, 50, 400, 3000])
                peer.sock.sendall(stream[start:end])
                start = end
                gevent.sleep(choose.choice([0, 0, 0.0003, 0.001, 0.01]))

        handler = Handed()
        authority = certificates.authority if secure else None
        with (
            serving(handler, **(tls if secure else {})) as server,
            Raw(server.server_port, authority=authority) as peer,
        ):
            ws = handler.websocket()
            pusher = gevent.spawn(push)
            received: list[Any] = []
            while len(received) < count:
                message = attempt(ws)
                if message is NOTHING:
                    interruptions[0] += 1
                else:
                    received.append(message)
            assert received == messages
            assert interruptions[0] > 0
            pusher.get()
            handler.over.set()

    def test_receive_with_timeout_says_so_in_time(self) -> None:
        with pair() as (ws, _):
            for timeout in (0, 0.05, 0.2):
                started = monotonic()
                with pytest.raises(TimeoutError):
                    ws.receive(timeout)
                assert timeout * 0.9 <= monotonic() - started < timeout + 1

    def test_receive_with_timeout_at_the_end_returns_none(self) -> None:
        with pair() as (ws, peer):
            peer.send(CLOSE, b"\x03\xe8")
            assert ws.receive(PATIENCE) is None
            assert ws.receive(0) is None
            assert ws.receive(0.1) is None

    @pytest.mark.parametrize("how", ["timeout", "kill"])
    def test_send_interrupted_leaves_whole_frames(self, how: str) -> None:
        with pair(receive_buffer=4096) as (ws, peer):
            sender, message = block(ws)
            if how == "kill":
                sender.kill()
            else:
                with pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
                    ws.send("interrupted")
            assert ws.state == "open"
            last = gevent.spawn(ws.send, "behind it")
            assert peer.read_large(instantly) == hashlib.sha256(message).hexdigest()
            if how == "timeout":
                assert peer.read() == (TEXT, b"interrupted")
            assert peer.read() == (TEXT, b"behind it")
            last.get(timeout=PATIENCE)
            peer.send(TEXT, b"in sync")
            assert ws.receive(PATIENCE) == "in sync"

    def test_close_ends_a_receive_of_another_greenlet(self) -> None:
        with pair() as (ws, peer):
            receiver = gevent.spawn(ws.receive)
            gevent.sleep(0)
            closing = gevent.spawn(ws.close, 4000, "enough")
            assert peer.answer_close() == (4000, b"enough")
            assert receiver.get(timeout=PATIENCE) is None
            closing.get(timeout=PATIENCE)
            assert (ws.close_code, ws.was_clean) == (4000, True)

    def test_close_unanswered_ends_a_receive_of_another_greenlet(self) -> None:
        with pair(close_timeout=0.3) as (ws, _):
            receiver = gevent.spawn(ws.receive)
            gevent.sleep(0)
            started = monotonic()
            ws.close()
            assert receiver.get(timeout=PATIENCE) is None
            assert monotonic() - started < PROMPT
            assert not ws.was_clean

    def test_close_ends_a_blocked_send_of_another_greenlet(self) -> None:
        with pair(receive_buffer=4096, close_timeout=0.3) as (ws, _):
            sender, _ = block(ws)
            started = monotonic()
            ws.close()
            with pytest.raises(wsdriver.ConnectionClosed):
                sender.get(timeout=PATIENCE)
            assert monotonic() - started < PROMPT
            assert not ws.was_clean

    def test_close_behind_a_blocked_send_comes_behind_its_message(self) -> None:
        with pair(receive_buffer=4096) as (ws, peer):
            sender, message = block(ws)
            closing = gevent.spawn(ws.close, 4000, "enough")
            gevent.sleep(0)
            with pytest.raises(wsdriver.ConnectionClosed):
                ws.send("too late")
            assert peer.read_large(instantly) == hashlib.sha256(message).hexdigest()
            assert peer.answer_close() == (4000, b"enough")
            closing.get(timeout=PATIENCE)
            sender.join(PATIENCE)
            assert sender.ready()
            assert (ws.close_code, ws.was_clean) == (4000, True)

    @pytest.mark.parametrize("how", ["reset", "half-close"])
    def test_peer_that_goes_ends_a_blocked_send(self, how: str) -> None:
        with pair(receive_buffer=4096) as (ws, peer):
            sender, _ = block(ws)
            if how == "reset":
                peer.reset()
            else:
                peer.sock.shutdown(stdlib_socket.SHUT_WR)
            with pytest.raises(wsdriver.ConnectionClosed):
                sender.get(timeout=PROMPT)
            assert ws.receive() is None
            assert (ws.close_code, ws.was_clean) == (1006, False)

    @pytest.mark.parametrize("use", ["receive", "send", "close", "accept"])
    def test_first_use_behind_the_end_of_the_peer_says_so(self, use: str) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            asked.set()
            gone.wait()
            try:
                result.set(getattr(ws, use)(*(["x"] if use == "send" else [])))
            except wsdriver.ConnectionClosed:
                result.set("closed")

        asked, gone, result = Event(), Event(), gevent.event.AsyncResult()
        with serving(handler) as server, Raw(server.server_port, path=None) as peer:
            peer.sock.sendall(request())
            assert asked.wait(PATIENCE)
            peer.reset()
            gevent.sleep(0.05)
            gone.set()
            expected = {"receive": None, "send": "closed", "close": None, "accept": False}
            assert result.get(timeout=PROMPT) == expected[use]
            until(lambda: len(server.connections) == 0, "the end of the connection", PROMPT)

    def test_terminate_ends_all_who_wait(self) -> None:
        with pair(receive_buffer=4096) as (ws, _):
            sender, _ = block(ws)
            receiver = gevent.spawn(ws.receive)
            closing = gevent.spawn(ws.close)
            gevent.sleep(0)
            ws.terminate()
            assert receiver.get(timeout=PROMPT) is None
            with pytest.raises(wsdriver.ConnectionClosed):
                sender.get(timeout=PROMPT)
            closing.get(timeout=PROMPT)
            assert ws.close_code == 1006

    def test_second_receiver_is_refused_and_the_first_goes_on(self) -> None:
        with pair() as (ws, peer):
            first = gevent.spawn(ws.receive)
            gevent.sleep(0)
            with pytest.raises(RuntimeError):
                ws.receive()
            with pytest.raises(RuntimeError):
                ws.receive(0.1)
            peer.send(TEXT, b"for the first")
            assert first.get(timeout=PATIENCE) == "for the first"
            peer.send(TEXT, b"for anybody")
            assert ws.receive(PATIENCE) == "for anybody"

    @pytest.mark.parametrize("how", ["timeout", "kill"])
    def test_connect_interrupted_lets_the_socket_go(self, how: str) -> None:
        accepted: Queue[Any] = Queue()

        def never_answer(sock: Any, address: Any) -> None:
            accepted.put(None)
            sock.settimeout(PATIENCE)
            read_head(sock.recv)
            ended.set(sock.recv(1))

        ended = gevent.event.AsyncResult()
        server = StreamServer(("127.0.0.1", 0), never_answer)
        server.start()
        try:
            url = f"ws://127.0.0.1:{server.server_port}/"
            if how == "kill":
                client = gevent.spawn(wsdriver.connect, url)
                accepted.get(timeout=PATIENCE)
                gevent.sleep(0.1)
                client.kill()
            else:
                with pytest.raises(gevent.Timeout), gevent.Timeout(0.2):
                    wsdriver.connect(url)
            assert ended.get(timeout=PROMPT) == b""
        finally:
            server.stop(timeout=1)


class TestEnds:
    def test_error_in_a_handler_is_1011_and_others_go_on(self, caplog: pytest.LogCaptureFixture) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            for message in ws:
                if message == "fail":
                    raise ZeroDivisionError("on purpose")
                ws.send(message)

        with serving(handler) as server, wsdriver.connect(server.url) as other:
            with wsdriver.connect(server.url) as ws, caplog.at_level(logging.ERROR, "wsdriver"):
                ws.send("fail")
                assert ws.receive(PATIENCE) is None
                assert (ws.close_code, ws.was_clean) == (1011, True)
            other.send("still here")
            assert other.receive(PATIENCE) == "still here"
        errors = [record.exc_info for record in caplog.records if record.name == "wsdriver"]
        assert [error and error[0] for error in errors] == [ZeroDivisionError]

    def test_return_of_a_handler_is_1000_behind_what_it_sent(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            ws.send(bytes(5 * MB))
            ws.send("last")

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            assert ws.receive(PATIENCE) == bytes(5 * MB)
            assert ws.receive(PATIENCE) == "last"
            assert ws.receive(PATIENCE) is None
            assert (ws.close_code, ws.was_clean) == (1000, True)

    def test_connections_are_those_that_live(self) -> None:
        with serving() as server:
            assert len(server.connections) == 0
            clients = [wsdriver.connect(server.url) for _ in range(20)]
            for client in clients:
                client.send("here")
                assert client.receive(PATIENCE) == "here"
            assert len(server.connections) == 20
            assert all(ws.state == "open" for ws in server.connections)
            for client in clients[:10]:
                client.close()
            for client in clients[10:15]:
                client.terminate()
            until(lambda: len(server.connections) == 5, "ten closes and five losses")
            for client in clients[15:]:
                client.close()
            until(lambda: len(server.connections) == 0, "the last closes")

    def test_stop_says_1001_to_all_and_returns_promptly(self) -> None:
        handler = Handed()
        with serving(handler) as server:
            clients = [wsdriver.connect(server.url) for _ in range(20)]
            for _ in clients:
                handler.websocket()
            started = monotonic()
            server.stop(PATIENCE)
            assert monotonic() - started < PROMPT
            assert len(server.connections) == 0
            for client in clients:
                assert client.receive(PATIENCE) is None
                assert (client.close_code, client.was_clean) == (1001, True)
            with pytest.raises(OSError, match="refused"):
                wsdriver.connect(server.url)
            handler.over.set()

    def test_stop_cuts_who_does_not_answer_at_the_timeout(self) -> None:
        handler = Handed()
        with serving(handler) as server, Raw(server.server_port) as deaf, Raw(server.server_port, path=None) as silent:
            ws = handler.websocket()
            until(lambda: len(server.connections) == 2, "both connections")
            started = monotonic()
            server.stop(0.5)
            assert monotonic() - started < PROMPT
            assert deaf.read()[0] == CLOSE
            assert deaf.read()[0] == -1
            assert silent.sock.recv(4096)[:13] in (b"", b"HTTP/1.1 503 ")
            assert not ws.was_clean
            assert len(server.connections) == 0
            handler.over.set()

    def test_stop_discards_what_a_peer_still_pushes(self) -> None:
        handler = Handed()
        with serving(handler, inbound_limit=100_000) as server, Raw(server.server_port) as peer:
            ws = handler.websocket()
            piece = frame(BINARY, bytes(50_000))

            def push() -> None:
                for _ in range(400):
                    peer.sock.sendall(piece)

            pusher = gevent.spawn(push)
            gevent.sleep(0.1)
            stopping = gevent.spawn(server.stop, PATIENCE)
            pusher.get(timeout=PATIENCE)
            assert peer.answer_close()[0] == 1001
            stopping.get(timeout=PROMPT)
            assert ws.was_clean
            handler.over.set()


class TestOpenTimeout:
    @pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
    def test_one_byte_at_a_time_does_not_prolong_it(self, secure: bool, tls: dict[str, Any]) -> None:
        drops = request() if not secure else b"\x16\x03\x01\x02\x00" + bytes(512)  # a TLS record that never ends
        with (
            serving(open_timeout=0.5, **(tls if secure else {})) as server,
            Raw(server.server_port, path=None) as peer,
        ):
            started = monotonic()

            def drip() -> None:
                for byte in drops:
                    peer.sock.sendall(bytes([byte]))
                    gevent.sleep(0.1)

            dripping = gevent.spawn(drip)
            answer = read_to_the_end(peer.sock)
            assert 0.4 <= monotonic() - started < PROMPT
            assert secure or answer.startswith(b"HTTP/1.1 408 ")
            dripping.kill()
            until(lambda: len(server.connections) == 0, "the connection's end", PROMPT)

    def test_request_behind_a_slow_tls_handshake_does_not_prolong_it(
        self, certificates: Certificates, tls: dict[str, Any]
    ) -> None:
        with serving(open_timeout=0.6, **tls) as server:
            sock = socket.create_connection(("127.0.0.1", server.server_port))
            started = monotonic()
            gevent.sleep(0.4)
            context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(certificates.authority)
            with context.wrap_socket(sock, server_hostname="localhost") as peer:
                read_to_the_end(peer)
            assert 0.5 <= monotonic() - started < 0.4 + 0.6

    @pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
    def test_request_that_came_while_our_own_loop_stood_still_is_answered(
        self, secure: bool, certificates: Certificates, tls: dict[str, Any]
    ) -> None:
        def ask(port: int) -> bytes:
            """Be a client in a thread, which goes on when the loop does not."""
            sock = stdlib_socket.create_connection(("127.0.0.1", port), PATIENCE)
            if secure:
                context = ssl.create_default_context(cafile=certificates.authority)
                sock = context.wrap_socket(sock, server_hostname="localhost")
            with sock:
                stands_still.wait(PATIENCE)
                sock.sendall(request())
                return read_head(sock.recv)

        stands_still = threading.Event()
        with serving(open_timeout=1, **(tls if secure else {})) as server:
            answer = gevent.get_hub().threadpool.spawn(ask, server.server_port)
            until(lambda: len(server.connections) == 1, "a connection")
            stands_still.set()
            time.sleep(1.5)
            assert answer.get(timeout=PATIENCE).startswith(b"HTTP/1.1 101 ")

    def test_client_is_not_held_by_an_answer_of_single_bytes(self) -> None:
        def drip(sock: Any, address: Any) -> None:
            read_head(sock.recv)
            try:
                for byte in b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-Header: value\r\n" * 100:
                    sock.sendall(bytes([byte]))
                    gevent.sleep(0.1)
            except OSError:
                gone.set()

        gone = Event()
        server = StreamServer(("127.0.0.1", 0), drip)
        server.start()
        try:
            started = monotonic()
            with pytest.raises(TimeoutError):
                wsdriver.connect(f"ws://127.0.0.1:{server.server_port}/", open_timeout=0.5)
            assert monotonic() - started < PROMPT
            assert gone.wait(PROMPT)
        finally:
            server.stop(timeout=1)


def read_to_the_end(sock: Any) -> bytes:
    """Read until the peer ends the stream, one way or the other."""
    data = b""
    try:
        while more := sock.recv(65536):
            data += more
    except ConnectionError:
        pass
    return data


class TestLeaks:
    def clean(self, server: Any, authority: Path | None) -> None:
        context = None if authority is None else ssl.create_default_context(cafile=authority)
        with wsdriver.connect(server.url, tls=context or True) as ws:
            ws.send("x")
            assert ws.receive(PATIENCE) == "x"

    def reset(self, server: Any, authority: Path | None) -> None:
        Raw(server.server_port, authority=authority).reset()

    def half_close(self, server: Any, authority: Path | None) -> None:
        with Raw(server.server_port, authority=authority) as peer:
            peer.sock.shutdown(stdlib_socket.SHUT_WR)
            read_to_the_end(peer.sock)

    def silence(self, server: Any, authority: Path | None) -> None:
        with Raw(server.server_port, path=None) as peer:
            read_to_the_end(peer.sock)

    def half_a_request(self, server: Any, authority: Path | None) -> None:
        with Raw(server.server_port, path=None) as peer:
            peer.sock.sendall(request()[:40])
            peer.reset()

    def half_a_message(self, server: Any, authority: Path | None) -> None:
        with Raw(server.server_port, authority=authority) as peer:
            peer.sock.sendall(frame(BINARY, bytes(100))[:50])

    @staticmethod
    def count() -> dict[str, int]:
        gc.collect()
        kinds = [type(thing) for thing in gc.get_objects()]
        return {
            "descriptors": len(os.listdir("/proc/self/fd")),
            "greenlets": sum(issubclass(kind, gevent.Greenlet) for kind in kinds),
            "websockets": sum(issubclass(kind, wsdriver.WebSocket) for kind in kinds),
        }

    @pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
    @pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
    def test_nothing_is_left_of_300_connections_however_they_ended(
        self, secure: bool, certificates: Certificates, tls: dict[str, Any]
    ) -> None:
        kinds = [self.clean, self.reset, self.half_close, self.silence, self.half_a_request, self.half_a_message]
        authority = certificates.authority if secure else None

        def batch(times: int) -> None:
            work = [gevent.spawn(kind, server, authority) for kind in kinds for _ in range(times)]
            gevent.joinall(work, raise_error=True)
            until(lambda: len(server.connections) == 0, "the end of all connections")

        with serving(open_timeout=0.3, **(tls if secure else {})) as server:
            batch(2)
            before = at_rest(self.count)
            for _ in range(5):
                batch(10)
            assert_nothing_left(self.count, before)

    @pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
    def test_nothing_is_left_of_clients_that_failed(self) -> None:
        def refuse(sock: Any, address: Any) -> None:
            read_head(sock.recv)
            sock.sendall(answers[address[1] % len(answers)])

        answers = [b"HTTP/1.1 404 Not Found\r\n\r\n", b"", b"nonsense\r\n\r\n", b"HTTP/1.1 101 Yes\r\n\r\n", b"HTTP/1."]
        server = StreamServer(("127.0.0.1", 0), refuse)
        server.start()

        def attempt() -> None:
            with pytest.raises(wsdriver.HandshakeError):
                wsdriver.connect(f"ws://127.0.0.1:{server.server_port}/")

        try:
            attempt()
            before = at_rest(self.count)
            gevent.joinall([gevent.spawn(attempt) for _ in range(100)], raise_error=True)
            assert_nothing_left(self.count, before)
        finally:
            server.stop(timeout=1)


class TestEarlyFrames:
    @pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
    @pytest.mark.parametrize("count", [1, 3, 500])
    def test_behind_the_request_are_not_lost(
        self, secure: bool, count: int, certificates: Certificates, tls: dict[str, Any]
    ) -> None:
        early = b"".join(frame(TEXT, b"%d" % number) for number in range(count))
        authority = certificates.authority if secure else None
        with (
            serving(**(tls if secure else {})) as server,
            Raw(server.server_port, authority=authority, behind=early) as peer,
        ):
            assert [peer.read() for _ in range(count)] == [(TEXT, b"%d" % number) for number in range(count)]

    @pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
    def test_behind_the_response_are_not_lost(self, secure: bool, certificates: Certificates) -> None:
        early = [frame(TEXT, b"%d" % number, mask=None) for number in range(100)]
        early.append(frame(CLOSE, b"\x0f\xa0bye", mask=None))
        context = None
        if secure:
            context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.certificate, certificates.key)
        with raw_server(lambda sock: sock.close(), context, b"".join(early)) as port:
            scheme = "wss" if secure else "ws"
            ws = wsdriver.connect(f"{scheme}://127.0.0.1:{port}/", tls=certificates.client_context())
            assert list(ws) == [str(number) for number in range(100)]
            assert (ws.close_code, ws.close_reason) == (4000, "bye")


class TestTls:
    def test_messages_of_every_size_come_back(self, certificates: Certificates, tls: dict[str, Any]) -> None:
        with (
            serving(max_length=0, **tls) as server,
            wsdriver.connect(server.url, tls=certificates.client_context()) as ws,
        ):
            assert ws.secure
            for size in (0, 1, 125, 126, 16383, 16384, 16385, 65535, 65536, 300_000, 20 * MB):
                message = random.Random(size).randbytes(size)
                ws.send(message)
                same = ws.receive(PATIENCE) == message
                assert same, f"{size} bytes came back changed"

    def test_large_message_to_a_slow_reader_is_exact_and_others_go_on(
        self, certificates: Certificates, tls: dict[str, Any]
    ) -> None:
        message = random.Random(7).randbytes(20 * MB)

        def handler(ws: wsdriver.WebSocket) -> None:
            if ws.handshake.path == "/echo":
                echo(ws)
            else:
                ws.send(message)
                ws.receive()

        def read() -> str:
            with Raw(server.server_port, receive_buffer=65536, authority=certificates.authority) as peer:
                return peer.read_large(lambda total: gevent.sleep(0.001))

        delays = []
        with serving(handler, **tls) as server:
            reader = gevent.spawn(read)
            with wsdriver.connect(server.url + "echo", tls=certificates.client_context()) as ws:
                while not reader.ready():
                    started = monotonic()
                    ws.send("tick")
                    assert ws.receive(PATIENCE) == "tick"
                    delays.append(monotonic() - started)
                    gevent.sleep(0.005)
            assert reader.get() == hashlib.sha256(message).hexdigest()
        assert max(delays) < 0.5

    def test_many_frames_in_one_record_are_all_answered(self, certificates: Certificates, tls: dict[str, Any]) -> None:
        with serving(**tls) as server, Raw(server.server_port, authority=certificates.authority) as peer:
            for _ in range(3):
                peer.sock.sendall(b"".join(frame(TEXT, b"%d" % number) for number in range(1000)))
                assert [peer.read() for _ in range(1000)] == [(TEXT, b"%d" % number) for number in range(1000)]

    @pytest.mark.parametrize(
        ("sent", "code"), [(frame(TEXT, b"unmasked", mask=None), 1002), (frame(CLOSE, b"\x03\xe8"), 1000)]
    )
    def test_the_end_is_said_in_tls_too(
        self, certificates: Certificates, tls: dict[str, Any], sent: bytes, code: int
    ) -> None:
        """Else a peer cannot tell the end from an attack that cuts the connection."""
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificates.authority)
        with serving(**tls) as server, Raw(server.server_port, path=None) as peer:
            peer.sock = context.wrap_socket(peer.sock, server_hostname="localhost", suppress_ragged_eofs=False)
            peer.sock.sendall(request())
            assert read_head(peer.sock.recv).startswith(b"HTTP/1.1 101 ")
            peer.sock.sendall(sent)
            opcode, payload = peer.read()
            assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)
            assert peer.sock.recv(1) == b""

    def test_full_queue_goes_on_where_tls_holds_the_rest(self, certificates: Certificates, tls: dict[str, Any]) -> None:
        """When reading pauses, decrypted bytes may wait in the TLS object, for which no event comes."""
        handler = Handed()
        with (
            serving(handler, inbound_messages=10, inbound_limit=1000, **tls) as server,
            Raw(server.server_port, authority=certificates.authority) as peer,
        ):
            ws = handler.websocket()
            peer.sock.sendall(b"".join(frame(TEXT, b"%d" % number) for number in range(1500)))
            gevent.sleep(0.1)
            assert [ws.receive(PATIENCE) for _ in range(1500)] == [str(number) for number in range(1500)]
            handler.over.set()

    def test_garbage_and_probes_harm_nobody(self, certificates: Certificates, tls: dict[str, Any]) -> None:
        with serving(open_timeout=1, **tls) as server:
            for probe in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\x05hello", bytes(1000)):
                with Raw(server.server_port, path=None) as peer:
                    peer.sock.sendall(probe)
                    if probe:
                        read_to_the_end(peer.sock)
            with wsdriver.connect(server.url, tls=certificates.client_context()) as ws:
                ws.send("still here")
                assert ws.receive(PATIENCE) == "still here"
            until(lambda: len(server.connections) == 0, "the end of all connections")
