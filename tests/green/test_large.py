"""Large messages, which are read straight to where they belong: the same as others, however they come and end."""

from __future__ import annotations

import random
import socket as stdlib_socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.queue import Queue

import wsdriver
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import serving

PATIENCE = 20.0
MB = 1024 * 1024
TEXT, BINARY, CONTINUATION, CLOSE = 1, 2, 0, 8
NO_MASK = b"\0\0\0\0"  # a mask that costs the test no time

NOISE = random.Random(6).randbytes(3 * MB + 17)
WORDS = "wörter und 1 €, 😀; " * 70_000


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with gevent.Timeout(40):
        yield


@contextmanager
def received(**options: Any) -> Iterator[tuple[Queue[Any], socket.socket, wsdriver.WebSocket]]:
    """A server that puts what it receives into a queue, None at the end; an open client's socket; the WebSocket."""
    got: Queue[Any] = Queue()
    sockets: list[wsdriver.WebSocket] = []

    def handle(ws: wsdriver.WebSocket) -> None:
        sockets.append(ws)
        for message in ws:
            got.put(message)
        got.put(None)

    with serving(handle, **options) as server, socket.create_connection(("127.0.0.1", server.server_port)) as sock:
        sock.settimeout(PATIENCE)
        sock.sendall(request())
        assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
        while not sockets:
            gevent.sleep(0.001)
        yield got, sock, sockets[0]


def large(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A frame with a real mask, made quickly."""
    mask = b"\x37\xfa\x21\x3d"
    head = frame(opcode, b"", fin=fin, mask=None)[:1] + b"\xff" + struct.pack("!Q", len(payload)) + mask
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + number.to_bytes(len(payload), "big")


MESSAGES = {
    "binary": (large(BINARY, NOISE), NOISE),
    "text": (large(TEXT, WORDS.encode()), WORDS),
    "ASCII": (large(TEXT, b"x" * MB), "x" * MB),
    "fragments": (
        large(BINARY, NOISE[:MB], fin=False)
        + large(CONTINUATION, NOISE[MB : 2 * MB + 5], fin=False)
        + large(CONTINUATION, NOISE[2 * MB + 5 :]),
        NOISE,
    ),
}


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("cut", [0, 14, 40_000, 300_000])
@pytest.mark.parametrize("name", MESSAGES)
def test_message_and_what_comes_behind_it_are_whole(name: str, cut: int, debug: bool) -> None:
    """Cut: where the sender makes a pause, so that there is nothing more to be read for a while."""
    data, message = MESSAGES[name]
    with received(max_length=4 * MB, debug=debug) as (got, sock, ws):
        before = ws.bytes_received
        for _ in range(2):
            sock.sendall(data[:cut])
            if cut:
                gevent.sleep(0.02)
            sock.sendall(data[cut:] + frame(TEXT, b"behind"))
            assert got.get(timeout=PATIENCE) == message
            assert got.get(timeout=PATIENCE) == "behind"
        assert ws.bytes_received - before == 2 * len(data + frame(TEXT, b"behind"))


def test_control_frame_in_the_midst_is_answered_before_the_end() -> None:
    with received(max_length=4 * MB) as (got, sock, _):
        sock.sendall(large(BINARY, NOISE[:MB], fin=False) + frame(9, b"there?"))
        assert read_frame(sock.recv) == (10, b"there?")
        sock.sendall(large(CONTINUATION, NOISE[MB:]))
        assert got.get(timeout=PATIENCE) == NOISE


def test_bad_text_is_refused_before_the_end() -> None:
    data = large(TEXT, b"x" * (2 * MB) + b"\xff" + b"x" * MB)
    with received(max_length=4 * MB) as (got, sock, ws):
        sock.sendall(data[: 2 * MB + 100])
        opcode, payload = read_frame(sock.recv)
        assert (opcode, payload[:2]) == (CLOSE, (1007).to_bytes(2, "big"))
        assert got.get(timeout=PATIENCE) is None
        assert ws.close_code == 1007


@pytest.mark.parametrize("how", ["end", "reset"])
def test_peer_that_goes_in_the_midst_is_noticed(how: str) -> None:
    data, _ = MESSAGES["binary"]
    with received(max_length=4 * MB) as (got, sock, ws):
        sock.sendall(data[: 2 * MB])
        while ws.bytes_received < 2 * MB:
            gevent.sleep(0.01)
        if how == "reset":
            sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        assert got.get(timeout=PATIENCE) is None
        assert (ws.close_code, ws.was_clean) == (1006, False)


def test_message_that_is_announced_only_costs_no_memory() -> None:
    """Its memory is asked for at once, but untouched."""

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    with received(max_length=64 * MB) as (_, sock, ws):
        head = ws.bytes_received
        before = resident()
        sock.sendall(large(BINARY, bytes(100))[:2] + struct.pack("!Q", 64 * MB) + NO_MASK + bytes(1000))
        while ws.bytes_received < head + 1014:
            gevent.sleep(0.01)
        assert resident() - before < 4 * MB


def test_large_message_is_read_in_turns() -> None:
    """Others have theirs: no turn of the loop takes more than some 1.25 MiB of it."""
    payload = bytes(16 * MB)
    data = large(BINARY, payload)
    with received(max_length=16 * MB) as (got, sock, ws):
        sender = gevent.spawn(sock.sendall, data)
        steps = []
        before = ws.bytes_received
        while got.empty():
            gevent.sleep(0)
            now = ws.bytes_received
            steps.append(now - before)
            before = now
        assert max(steps) <= 1.5 * MB
        assert got.get() == payload
        sender.get()


def test_sender_of_large_messages_gives_others_their_turn() -> None:
    """Even where the peer takes all of it at once, so that no send has to wait."""
    turns = 0
    counts: list[int] = []

    def others() -> None:
        nonlocal turns
        while True:
            gevent.sleep(0)
            turns += 1

    def handle(ws: wsdriver.WebSocket) -> None:
        other = gevent.spawn(others)
        gevent.sleep(0.05)
        for _ in range(200):
            ws.send(bytes(32 * 1024))
            counts.append(turns)
        other.kill()

    with serving(handle) as server, socket.create_connection(("127.0.0.1", server.server_port)) as sock:
        sock.settimeout(PATIENCE)
        sock.sendall(request())
        assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
        for _ in range(200):
            assert read_frame(sock.recv) == (BINARY, bytes(32 * 1024))
    # 200 messages of 32 KiB are six times what may go without a pause.
    assert len(set(counts)) >= 6
