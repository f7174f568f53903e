"""What TCP is asked about a peer's host. (Hosts that vanish are in tests/faults/test_network.py.)"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from wsdriver.green.peerhost import has_vanished, struggle, watch_host

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's TCP_INFO")


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection: both ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        yield near, far


class TestHasVanished:
    def test_host_that_has_nothing_to_say_has_not(self, connection: tuple[socket.socket, socket.socket]) -> None:
        time.sleep(0.05)
        assert not has_vanished(connection[0], 0.01)

    @linux
    def test_host_that_says_it_has_no_room_has_not(self, connection: tuple[socket.socket, socket.socket]) -> None:
        near, far = connection
        near.settimeout(0.1)
        with pytest.raises(TimeoutError):
            near.sendall(bytes(64 * 1024 * 1024))
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            assert not has_vanished(near, 0.5)
            time.sleep(0.05)
        far.close()

    def test_what_is_no_tcp_cannot_tell(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            assert not has_vanished(near, 0)
            assert struggle(near) == (0, 0.0)

    def test_closed_socket_cannot_tell(self) -> None:
        with closing(socket.socket()) as sock:
            sock.close()
            assert not has_vanished(sock, 0)
            assert struggle(sock) == (0, 0.0)


@linux
def test_struggle_of_a_network_that_loses_nothing_is_none(connection: tuple[socket.socket, socket.socket]) -> None:
    near, far = connection
    time.sleep(0.05)
    lost, silence = struggle(near)
    assert (lost, 0.04 <= silence < 10) == (0, True)
    near.sendall(b"x")
    assert far.recv(1) == b"x"
    time.sleep(0.01)
    assert struggle(near)[1] < silence + 0.05


class TestWatchHost:
    def test_asks_after_a_ping_and_gives_up_after_its_timeout(
        self, connection: tuple[socket.socket, socket.socket]
    ) -> None:
        near, _ = connection
        watch_host(near, 19.5, 20)
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if sys.platform == "linux":
            names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [near.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [20, 7, 3]

    def test_times_that_the_system_does_not_take_are_left(
        self, connection: tuple[socket.socket, socket.socket]
    ) -> None:
        watch_host(connection[0], 10**6, 10**6)

    def test_what_is_no_tcp_is_left(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            watch_host(near, 20, 20)
