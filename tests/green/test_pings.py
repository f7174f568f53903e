"""A peer that pings without end and reads nothing (CVE-2026-11586): what waits for it is bounded, on both sides."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.event
import pytest
from gevent import socket
from gevent.event import AsyncResult

import wsdriver
from tests.support.net import read_frame, read_head, request
from tests.support.serving import serving

PINGS = 100_000
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: One pong: what waits beside it, the latest, is no frame yet.
BOUND = 2 + 125

Pair = tuple[Any, Any, bytes]


@contextmanager
def server_pair(busy: bool) -> Iterator[Pair]:
    """A server's WebSocket, a raw client that takes little, and the mask bit and key of its frames."""
    there: AsyncResult = AsyncResult()
    done = gevent.event.Event()

    def handler(ws: wsdriver.WebSocket) -> None:
        ws.accept()
        there.set(ws)
        if busy:
            done.wait()
        else:
            ws.receive()

    with serving(handler, ping=None) as server, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.server_port))
        sock.sendall(request())
        read_head(sock.recv)
        yield there.get(timeout=10), sock, bytes(4)
        done.set()


@contextmanager
def client_pair(busy: bool) -> Iterator[Pair]:
    """A client's WebSocket, and a raw server that takes little."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        connecting = gevent.spawn(wsdriver.connect, url, ping=None)
        sock, _ = listener.accept()
        found = re.search(rb"Sec-WebSocket-Key: (\S+)", read_head(sock.recv))
        assert found is not None
        accept = base64.b64encode(hashlib.sha1(found[1] + GUID).digest())
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        ws = connecting.get(timeout=10)
        receiver = None if busy else gevent.spawn(ws.receive)
        with sock:
            yield ws, sock, b""
        ws.terminate()
        if receiver is not None:
            receiver.join(10)


def read_pong(sock: Any, masked: bool) -> int:
    """Read a pong, and return the number that it carries."""
    if not masked:
        opcode, payload = read_frame(sock.recv)
    else:
        data = b""
        while len(data) < 6 + 125:
            data += sock.recv(6 + 125 - len(data))
        assert data[1] == 0x80 | 125
        opcode = data[0] & 15
        payload = bytes(byte ^ data[2 + i % 4] for i, byte in enumerate(data[6:]))
    assert opcode == 10
    return int(payload)


@pytest.mark.parametrize("busy", [False, True], ids=["receiving", "busy"])
@pytest.mark.parametrize("side", ["server", "client"])
def test_flood_of_pings_leaves_little_waiting_and_the_last_one_is_answered(side: str, busy: bool) -> None:
    pair = server_pair if side == "server" else client_pair
    with gevent.Timeout(60), pair(busy) as (ws, sock, key):
        head = b"\x89" + bytes([(0x80 if key else 0) | 125]) + key
        most = 0
        for start in range(0, PINGS, 1000):
            sock.sendall(b"".join(head + b"%0125d" % number for number in range(start, start + 1000)))
            most = max(most, ws.buffered_amount)
        received = PINGS * (len(head) + 125)
        while ws.bytes_received < received:
            gevent.sleep(0.005)
            most = max(most, ws.buffered_amount)
        assert 0 < most <= BOUND + (0 if key else 4)  # a client masks its own
        # As soon as it reads, it gets the answers in order; those that were left out are answered by later ones.
        numbers = [read_pong(sock, not key)]
        while numbers[-1] < PINGS - 1:
            numbers.append(read_pong(sock, not key))
        assert numbers == sorted(set(numbers))
        assert len(numbers) < PINGS // 2
        assert ws.buffered_amount == 0
        assert ws.state == "open"
