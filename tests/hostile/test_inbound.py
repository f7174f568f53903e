"""What waits for a handler that is slow, or has not answered the handshake yet: bounded, however small it came."""

from __future__ import annotations

import ssl
import tracemalloc
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.ssl
import pytest
from gevent import socket
from gevent.event import Event

import wsdriver
from tests.hostile.frames import bomb, sized
from tests.hostile.peers import PATIENCE, Attacker, hostile_server, undisturbed
from tests.support.driving import accept_for, sent_key
from tests.support.net import MASK, request
from tests.support.serving import serving
from tests.support.tls import make_certificates
from tests.support.waiting import wait_for

MIB = 1024 * 1024
MAX_LENGTH = MIB

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; {takeover}\r\n"

OPTIONS: dict[str, Any] = {"max_length": MAX_LENGTH, "extensions": [wsdriver.PermessageDeflate()]}

#: The promise for one message, and what may wait before it: ``inbound_limit``, which is 1 MiB.
BOUND = 2 * MAX_LENGTH + MIB + MIB


@pytest.fixture
def traced() -> Iterator[None]:
    """Look at what Python allocates, and what its modules allocate through it."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


class Slow:
    """A handler that takes nothing until it is told to, and then counts."""

    def __init__(self) -> None:
        self.go = Event()
        self.accepted = Event()
        self.sizes: list[int] = []
        self.code: int | None = None

    def __call__(self, ws: wsdriver.WebSocket) -> None:
        ws.accept()
        self.accepted.set()
        self.go.wait()
        for message in ws:
            self.sizes.append(len(message))
        self.code = ws.close_code


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_messages_that_inflate_wait_packed(secure: bool, traced: None, request: Any) -> None:
    # 100 messages of 1 KiB on the wire are 100 MiB for who inflates them all.
    packed = [sized(0xC2, bomb(MAX_LENGTH, bytes((letter,))), MASK) for letter in range(4)]
    options = dict(OPTIONS)
    if secure:
        certificates = request.getfixturevalue("certificates")
        options["ssl_context"] = certificates.server_context()
    slow = Slow()
    with serving(slow, **options) as server, undisturbed():
        attacker = connected(server.server_port, certificates if secure else None)
        attacker.sock.sendall(handshake("client_no_context_takeover"))
        assert attacker.head().startswith(b"HTTP/1.1 101 ")
        slow.accepted.wait(PATIENCE)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        frames = b"".join(packed) * 25 + b"\x88\x82" + bytes(4) + b"\x03\xe8"
        flood_size = 2 * len(frames)  # this test has them in its own memory
        flood = gevent.spawn(attacker.sock.sendall, frames)
        gevent.sleep(0.3)
        assert tracemalloc.get_traced_memory()[1] - before < BOUND + flood_size
        slow.go.set()
        wait_for(lambda: slow.code, "the end")
        assert tracemalloc.get_traced_memory()[1] - before < BOUND + flood_size + MAX_LENGTH, "the handler has one more"
        flood.get(timeout=PATIENCE)
        attacker.end()
    assert slow.sizes == [MAX_LENGTH] * 100, "a message was lost"
    assert slow.code == 1000


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def connected(port: int, certificates: Any) -> Attacker:
    """Connect, over TLS where there are certificates."""
    if certificates is None:
        return Attacker.connected(port)
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates.authority)
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    return Attacker(context.wrap_socket(sock, server_hostname="localhost"))


def handshake(takeover: str) -> bytes:
    """A request that offers compression."""
    return request(extra=DEFLATE.format(takeover=takeover))


def test_messages_that_inflate_wait_packed_in_a_client_too(traced: None) -> None:
    packed = sized(0xC2, bomb(MAX_LENGTH), None)
    peaks = []

    def pour(attacker: Attacker, head: bytes) -> None:
        attacker.sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
            b"Sec-WebSocket-Accept: " + accept_for(sent_key(head)).encode() + b"\r\n\r\n"
        )
        attacker.sock.sendall(packed * 100 + b"\x88\x02\x03\xe8")
        attacker.end()

    with hostile_server(pour) as port, undisturbed():
        ws = wsdriver.connect(f"ws://127.0.0.1:{port}/", **OPTIONS)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        gevent.sleep(0.2)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
        sizes = [len(message) for message in ws]
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    assert sizes == [MAX_LENGTH] * 100
    assert ws.close_code == 1000
    assert max(peaks) < BOUND + 2 * len(packed) * 100


@pytest.mark.parametrize("size", [1, 3000])
def test_messages_that_inflate_keep_their_order_and_contexts_among_others(size: int) -> None:
    # The context goes on over what had to wait, and pings and plain messages stay where they were.
    compressor = wsdriver.PermessageDeflate(threshold=0)
    texts = [f"{number} " + "abc" * (size * (number % 7)) for number in range(2000)]
    got: list[Any] = []
    go = Event()

    def handler(ws: wsdriver.WebSocket) -> None:
        ws.on("ping", lambda event: got.append(event.data))
        ws.accept()
        go.wait()
        for message in ws:
            got.append(message)
            if len(got) % 100 == 0:
                gevent.sleep(0.001)

    expected: list[Any] = []
    with serving(handler, inbound_limit=20_000, extensions=[compressor]) as server:
        with wsdriver.connect(server.url, extensions=[wsdriver.PermessageDeflate(threshold=0)]) as ws:

            def send() -> None:
                for number, text in enumerate(texts):
                    ws.send(text, compress=number % 3 != 0)
                    expected.append(text)
                    if number % 10 == 0:
                        ws.ping(str(number))
                        expected.append(str(number).encode())

            sender = gevent.spawn(send)
            gevent.sleep(0.05)
            go.set()
            sender.get(timeout=PATIENCE)
        wait_for(lambda: len(got) >= len(expected), "all of it")
    assert got == expected


def test_fault_behind_messages_that_wait_packed_comes_behind_them() -> None:
    packed = sized(0xC2, bomb(MAX_LENGTH), MASK)
    slow = Slow()
    with serving(slow, **OPTIONS) as server:
        attacker = Attacker.connected(server.server_port)
        attacker.sock.sendall(handshake("client_no_context_takeover"))
        attacker.head()
        attacker.sock.sendall(packed * 20 + b"\x83\x80" + bytes(4))
        gevent.sleep(0.1)
        assert not attacker.received, "the fault was told before its time"
        slow.go.set()
        attacker.end()
        wait_for(lambda: slow.code, "the end")
    assert slow.sizes == [MAX_LENGTH] * 20
    assert slow.code == 1002


def test_close_of_ours_gets_through_what_waits_packed() -> None:
    packed = sized(0xC2, bomb(MAX_LENGTH), MASK)
    held: list[wsdriver.WebSocket] = []
    over = Event()

    def handler(ws: wsdriver.WebSocket) -> None:
        ws.accept()
        held.append(ws)
        over.wait()

    with serving(handler, **OPTIONS) as server:
        attacker = Attacker.connected(server.server_port)
        attacker.sock.sendall(handshake("client_no_context_takeover"))
        attacker.head()
        attacker.sock.sendall(packed * 50)
        ws = wait_for(lambda: held and held[0], "the WebSocket")
        gevent.sleep(0.1)
        closing = gevent.spawn(ws.close, 4000)
        wait_for(lambda: bytes(attacker.received).startswith(b"\x88"), "the close frame")
        attacker.sock.sendall(packed * 50 + b"\x88\x82" + bytes(4) + b"\x0f\xa0")
        attacker.end()
        closing.get(timeout=PATIENCE)
        over.set()
        assert (ws.close_code, ws.was_clean) == (4000, True)


@pytest.mark.parametrize(
    ("first", "size"), [(b"\x81", 0), (b"\x81", 1), (b"\x82", 0), (b"\x89", 0), (b"\x89", 125), (b"\x8a", 0)]
)
def test_flood_before_the_handshake_is_bounded_and_handled_in_turns(first: bytes, size: int, traced: None) -> None:
    # Not a byte may come before our answer; of a hostile client, up to 1 MiB of frames may wait for it.
    one = first + bytes((0x80 | size,)) + bytes(4 + size)
    count = 400_000 // len(one)
    got: list[Any] = []
    accepting, over = Event(), Event()

    def handler(ws: wsdriver.WebSocket) -> None:
        accepting.wait()
        ws.accept()
        over.wait()
        got.extend(len(message) for message in ws)

    with serving(handler, max_length=MAX_LENGTH) as server, undisturbed():
        attacker = Attacker.connected(server.server_port)
        flood = one * count
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        attacker.sock.sendall(request() + flood)
        gevent.sleep(0.1)
        accepting.set()
        gevent.sleep(0.1)
        assert tracemalloc.get_traced_memory()[1] - before < BOUND
        over.set()
        attacker.sock.sendall(b"\x88\x82" + bytes(4) + b"\x03\xe8")
        attacker.end()
    if first < b"\x88":
        assert got == [size] * count


def test_more_than_a_mebibyte_before_the_handshake_is_refused() -> None:
    accepting = Event()

    def handler(ws: wsdriver.WebSocket) -> None:
        accepting.wait()
        ws.accept()

    with serving(handler, max_length=MAX_LENGTH) as server, undisturbed():
        attacker = Attacker.connected(server.server_port)
        attacker.sock.sendall(request())
        sent = attacker.pour(bytes(65536) for _ in range(200))
        said = attacker.end()
        accepting.set()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert sent < 200 * 65536
