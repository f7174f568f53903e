"""Slow and stopped readers among fast ones, and peers of one byte at a time: each costs only itself."""

from __future__ import annotations

import socket as stdlib_socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import gevent.ssl
import pytest
from gevent import socket
from gevent.event import Event

import wsdriver
from tests.faults.ends import Ends
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import serving
from tests.support.tls import Certificates, make_certificates
from tests.support.waiting import wait_for

TEXT = 1
BINARY = 2
PING = 9

KB = 1024
LIMIT = 256 * KB

#: More than a kernel's buffers take for one connection.
SIZE = 32 * KB
COUNT = 250

FAST = 4
PATIENCE = 20.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["plain", "tls"])
def authority(request: pytest.FixtureRequest, certificates: Certificates) -> Path | None:
    """The certificate to trust; None for no TLS."""
    return certificates.authority if request.param == "tls" else None


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with gevent.Timeout(40):
        yield


def tls_of(certificates: Certificates, authority: Path | None) -> dict[str, Any]:
    return {} if authority is None else {"ssl_context": certificates.server_context()}


class Dialer:
    """Connects raw clients, and closes them at the end of the test.

    Args:
        authority: the certificate to trust; None for no TLS.
    """

    def __init__(self, authority: Path | None) -> None:
        self._authority = authority
        self._sockets: list[Any] = []

    def dial(self, server: Any, receive_buffer: int = 0) -> Any:
        """Connect; return the socket, before the request."""
        sock = socket.socket()
        self._sockets.append(sock)
        if receive_buffer:
            sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", server.server_port))
        if self._authority is not None:
            context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(self._authority)
            sock = context.wrap_socket(sock, server_hostname="localhost")
            self._sockets.append(sock)
        return sock

    def ask(self, server: Any, path: str = "/", receive_buffer: int = 0) -> Any:
        """Connect, and do the opening handshake."""
        sock = self.dial(server, receive_buffer)
        sock.sendall(request(path))
        assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
        return sock

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def clients(authority: Path | None) -> Iterator[Dialer]:
    dialer = Dialer(authority)
    yield dialer
    dialer.close()


def message(number: int) -> bytes:
    return b"%8d" % number + bytes(SIZE - 8)


def read_all(sock: Any) -> float:
    """Read all messages, in order; return when the last came."""
    for number in range(COUNT):
        opcode, payload = read_frame(sock.recv)
        while opcode == PING:
            opcode, payload = read_frame(sock.recv)
        assert (opcode, payload) == (BINARY, message(number))
    return monotonic()


def read_slowly(sock: Any) -> int:
    """Read single bytes, until the end."""
    count = 0
    try:
        while sock.recv(1):
            count += 1
            gevent.sleep(0.02)
    except OSError:
        pass
    return count


class Party:
    """Everybody whom a server sends to: what the server sees of each, by path."""

    def __init__(self) -> None:
        self.ends = Ends()
        self.members: dict[str, list[Any]] = {"/fast": [], "/slow": [], "/stopped": []}
        self.over = Event()
        self.each: Callable[[Any], object] = lambda ws: self.over.wait()

    def __call__(self, ws: Any) -> None:
        self.ends.run(self.take_part, ws)

    def take_part(self, ws: Any) -> None:
        ws.accept()
        self.members[ws.handshake.path].append(ws)
        self.each(ws)

    @property
    def all(self) -> list[Any]:
        return [ws for members in self.members.values() for ws in members]

    @property
    def laggards(self) -> list[Any]:
        return [*self.members["/slow"], *self.members["/stopped"]]

    def assert_laggards_were_cut(self, why: str, clients: Dialer, crawling: gevent.Greenlet) -> None:
        """Check that they and nobody else were, end it all, and check that each has ended once."""
        for ws in self.laggards:
            wait_for(lambda ws=ws: ws.state == "closed", "the cut")
            assert ws.close_code == 1006
            assert why in str(ws.close_error)
        assert [ws.state for ws in self.members["/fast"]] == ["open"] * FAST
        self.over.set()
        clients.close()
        crawling.kill()
        found = self.ends.settle()
        assert (found["unfinished"], found["told"]) == (0, {"1": FAST + 2})


def by_broadcast(party: Party) -> Callable[[bytes], object]:
    return lambda message: wsdriver.broadcast(party.all, message)


def by_channel(party: Party) -> Callable[[bytes], object]:
    channel = wsdriver.Channel(f"party {id(party)}")
    for ws in party.all:
        channel.join(ws)
    return channel.publish


@pytest.mark.parametrize("way", [by_broadcast, by_channel], ids=["broadcast", "channel"])
def test_who_does_not_keep_up_is_cut_and_the_others_get_all(
    way: Any, certificates: Certificates, authority: Path | None, clients: Dialer
) -> None:
    party = Party()
    most: Counter[str] = Counter()
    with serving(party, outbound_limit=LIMIT, **tls_of(certificates, authority)) as server:
        fast = [clients.ask(server, "/fast") for _ in range(FAST)]
        slow = clients.ask(server, "/slow", 4096)
        clients.ask(server, "/stopped", 4096)
        wait_for(lambda: len(party.all) == FAST + 2, "all of them")
        readers = [gevent.spawn(read_all, sock) for sock in fast]
        crawling = gevent.spawn(read_slowly, slow)
        send = way(party)
        for number in range(COUNT):
            send(message(number))
            for path, members in party.members.items():
                most[path] = max(most[path], *(ws.buffered_amount for ws in members))
            gevent.sleep(0.001)
        gevent.joinall(readers, timeout=PATIENCE, raise_error=True)
        assert all(reader.ready() for reader in readers)
        # What is behind is at most the limit, and the one message that went over it.
        assert max(most.values()) <= LIMIT + SIZE + 100
        party.assert_laggards_were_cut("outbound_limit", clients, crawling)


def test_handlers_that_send_wait_each_for_their_own_peer(
    certificates: Certificates, authority: Path | None, clients: Dialer
) -> None:
    def push(ws: Any) -> None:
        for number in range(COUNT):
            ws.send(message(number))
        party.over.wait()

    party = Party()
    party.each = push
    with serving(party, send_timeout=0.7, **tls_of(certificates, authority)) as server:
        slow = clients.ask(server, "/slow", 4096)
        clients.ask(server, "/stopped", 4096)
        crawling = gevent.spawn(read_slowly, slow)
        fast = [clients.ask(server, "/fast") for _ in range(FAST)]
        gevent.joinall([gevent.spawn(read_all, sock) for sock in fast], timeout=PATIENCE, raise_error=True)
        for ws in party.laggards:
            assert ws.buffered_amount <= ws.options.write_limit + 2 * SIZE
        party.assert_laggards_were_cut("did not take what was sent", clients, crawling)


def test_message_of_single_bytes_is_waited_for(
    certificates: Certificates, authority: Path | None, clients: Dialer
) -> None:
    """A peer may take longer than every timeout, as long as something comes."""
    beats: dict[str, Any] = {"ping": 0.2, "ping_timeout": 0.4, "open_timeout": 0.5}
    with serving(**beats, **tls_of(certificates, authority)) as server:
        sock = clients.ask(server)
        for byte in frame(TEXT, b"slowly but surely"):
            sock.sendall(bytes([byte]))
            gevent.sleep(0.04)
        opcode, payload = read_frame(sock.recv)
        while opcode == PING:
            opcode, payload = read_frame(sock.recv)
        assert (opcode, payload) == (TEXT, b"slowly but surely")


@pytest.mark.parametrize("authority", ["tls"], indirect=True)
def test_request_of_single_bytes_is_not(certificates: Certificates, authority: Path, clients: Dialer) -> None:
    """Without TLS, and for a TLS handshake of single bytes, tests/green/test_robustness.py shows it."""
    with serving(open_timeout=0.5, **tls_of(certificates, authority)) as server:
        sock = clients.dial(server)
        started = monotonic()

        def drip() -> None:
            for byte in request():
                sock.sendall(bytes([byte]))
                gevent.sleep(0.05)

        dripping = gevent.spawn(drip)
        try:
            assert sock.recv(4096).startswith(b"HTTP/1.1 408 ")
        finally:
            dripping.kill()
        assert monotonic() - started < PATIENCE / 4
