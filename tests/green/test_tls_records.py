"""A server behind TLS, by each of its ways to read and write it: records and segments may be cut anywhere."""

from __future__ import annotations

import random
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent import socket

import wsdriver
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import serving
from tests.support.tls import Certificates, make_certificates
from tests.support.waiting import wait_for
from wsdriver.green import connection

TEXT, BINARY, CLOSE = 1, 2, 8

#: Options under which the socket's own methods do it, because they have to; without any, they do not.
WAYS: dict[str, dict[str, Any]] = {
    "inner": {},
    "socket": {"suppress_ragged_eofs": False},
    "log": {"debug": True},
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("records"))


@pytest.fixture(params=WAYS)
def options(request: pytest.FixtureRequest, certificates: Certificates) -> dict[str, Any]:
    return {"ssl_context": certificates.server_context(), **WAYS[request.param]}


class Peer:
    """A client whose records, and the segments that they travel in, are cut by hand."""

    def __init__(self, sock: Any, context: ssl.SSLContext) -> None:
        self.sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self._do(self._tls.do_handshake)
        self.sock.sendall(self.records(request()))
        read_head(self.recv)

    def _do(self, call: Any, *arguments: Any) -> Any:
        while True:
            try:
                return call(*arguments)
            except ssl.SSLWantReadError:
                self.sock.sendall(self._outgoing.read())
                data = self.sock.recv(65536)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            finally:
                if self._outgoing.pending and call == self._tls.do_handshake:
                    self.sock.sendall(self._outgoing.read())

    def records(self, *parts: bytes) -> bytes:
        """Encrypt each part as a record of its own."""
        for part in parts:
            self._tls.write(part)
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        """Return TLS's own word for the end."""
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()
        return self._outgoing.read()

    def recv(self, size: int) -> bytes:
        data: bytes = self._do(self._tls.read, size)
        return data


@contextmanager
def connected(server: Any, certificates: Certificates) -> Iterator[Peer]:
    with gevent.Timeout(20), socket.create_connection(("127.0.0.1", server.server_port), 20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Peer(sock, certificates.client_context())


def cut(data: bytes, dice: random.Random, most: int) -> list[bytes]:
    parts = []
    while data:
        size = dice.randint(1, most)
        parts.append(data[:size])
        data = data[size:]
    return parts


@pytest.mark.parametrize("seed", range(2))
def test_cuts_of_records_and_segments_change_nothing(
    seed: int, options: dict[str, Any], certificates: Certificates
) -> None:
    dice = random.Random(seed)
    messages = [dice.randbytes(dice.choice([0, 1, 125, 126, 4000, 17_000, 70_000])) for _ in range(12)]
    stream = b"".join(frame(BINARY, message) for message in messages)
    with serving(max_length=0, **options) as server, connected(server, certificates) as peer:
        got: list[tuple[int, bytes]] = []

        def read() -> None:
            got.extend(read_frame(peer.recv) for _ in messages)

        encrypted = peer.records(*cut(stream, dice, 500 if seed else 20_000))
        reader = gevent.spawn(read)
        for segment in cut(encrypted, dice, dice.choice([3000, 100_000])):
            peer.sock.sendall(segment)
            gevent.sleep(0)
        reader.get(timeout=20)
        assert got == [(BINARY, message) for message in messages]


def test_records_that_come_together_are_all_read(options: dict[str, Any], certificates: Certificates) -> None:
    """More than are read in one go, and then silence: nothing may wait for more to come."""
    count = 3 * connection.MAX_ROUNDS + 1
    with serving(**options) as server, connected(server, certificates) as peer:
        peer.sock.sendall(peer.records(*(frame(TEXT, b"%d" % number) for number in range(count))))
        assert [read_frame(peer.recv) for _ in range(count)] == [(TEXT, b"%d" % number) for number in range(count)]


def test_half_a_record_waits_for_its_other_half(options: dict[str, Any], certificates: Certificates) -> None:
    with serving(**options) as server, connected(server, certificates) as peer:
        data = peer.records(frame(TEXT, b"one"), frame(TEXT, b"two"))
        peer.sock.sendall(data[:-10])
        assert read_frame(peer.recv) == (TEXT, b"one")
        gevent.sleep(0.05)
        peer.sock.sendall(data[-10:])
        assert read_frame(peer.recv) == (TEXT, b"two")


@pytest.mark.parametrize("said", [True, False], ids=["said", "unsaid"])
def test_end_without_a_closing_handshake_is_1006(
    options: dict[str, Any], certificates: Certificates, said: bool
) -> None:
    ended: list[Any] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        ended.append((list(ws), ws.close_code, ws.was_clean))

    with serving(handler, **options) as server, connected(server, certificates) as peer:
        peer.sock.sendall(peer.records(frame(TEXT, b"last words")) + (peer.goodbye() if said else b""))
        peer.sock.close()
        wait_for(lambda: ended)
        assert ended == [(["last words"], 1006, False)]


def test_closing_handshake_is_answered_and_the_connection_ends(
    options: dict[str, Any], certificates: Certificates
) -> None:
    with serving(**options) as server, connected(server, certificates) as peer:
        peer.sock.sendall(peer.records(frame(CLOSE, b"\x0f\xa0bye")))
        assert read_frame(peer.recv) == (CLOSE, b"\x0f\xa0bye")
        assert peer.recv(1) == b""


def test_broken_record_ends_the_connection(options: dict[str, Any], certificates: Certificates) -> None:
    ended: list[Any] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        ended.append((list(ws), ws.close_code, type(ws.close_error)))

    with serving(handler, **options) as server, connected(server, certificates) as peer:
        data = bytearray(peer.records(frame(TEXT, b"hello")))
        data[-1] ^= 1
        peer.sock.sendall(data)
        wait_for(lambda: ended)
        assert ended == [([], 1006, ssl.SSLError)]
