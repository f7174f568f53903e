"""A TLS connection that is lost takes no other of its thread with it, through OpenSSL's queue of errors."""

from __future__ import annotations

import socket as stdlib_socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import gevent
import pytest
from gevent import socket

import wsdriver
from tests.support.serving import serving
from tests.support.tls import Certificates, make_certificates
from tests.support.twins import twin
from tests.support.waiting import wait_for
from wsdriver.green.openssl import clear_errors
from wsdriver.green.waiting import do_handshake, read_some, write_all

WANT_READ, WANT_WRITE = -1, -2


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("openssl"))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """What one test leaves in the queue is not for the next one."""
    clear_errors()
    yield
    clear_errors()


def reset(sock: Any) -> None:
    """Go away with RST."""
    sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# --- the calls -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["plain", "compiled"])
def sockio(request: pytest.FixtureRequest) -> Any:
    return twin("wsdriver.green.sockio", request.param)


@pytest.fixture
def connect(certificates: Certificates) -> Iterator[Callable[[], tuple[ssl.SSLSocket, ssl.SSLSocket]]]:
    """Make two ends of one TLS connection, both non-blocking."""
    with ExitStack() as stack, stdlib_socket.create_server(("127.0.0.1", 0)) as listener:

        def make() -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
            left = stdlib_socket.create_connection(listener.getsockname())
            right, _ = listener.accept()
            ours = certificates.server_context().wrap_socket(left, server_side=True, do_handshake_on_connect=False)
            stack.enter_context(closing(ours))
            context = certificates.client_context()
            peer = context.wrap_socket(right, server_hostname="localhost", do_handshake_on_connect=False)
            stack.enter_context(closing(peer))
            greenlets = [gevent.spawn(do_handshake, sock) for sock in (ours, peer)]
            gevent.joinall(greenlets, timeout=10, raise_error=True)
            with pytest.raises(ssl.SSLWantReadError):
                peer.recv(1)  # session tickets
            return ours, peer

        yield make


def fail(call: Callable[..., object], *arguments: Any) -> None:
    """Call what says that the connection is lost: by an SSLError in old Pythons, which leaves nothing in the queue."""
    try:
        call(*arguments)
    except OSError:
        return
    pytest.fail("the connection was not lost")


def write_natively(sockio: Any, sock: Any) -> None:
    sockio.write_tls(sockio.inner_tls(sock), bytearray(b"data"))


def write_by_the_socket(sockio: Any, sock: Any) -> None:
    sockio.write_from(sock, -1, bytearray(b"data"))


def write_and_wait(sockio: Any, sock: Any) -> None:
    write_all(sock, b"data")


@pytest.mark.parametrize("write", [write_natively, write_by_the_socket, write_and_wait])
def test_failed_write_leaves_nothing_to_others(sockio: Any, connect: Any, write: Callable[[Any, Any], None]) -> None:
    """Not even to the application's own sockets."""
    (lost, lost_peer), (ours, peer) = connect(), connect()
    reset(lost_peer)
    for _ in range(2):  # "reset by peer", and "broken pipe" from then on
        fail(write, sockio, lost)
        with pytest.raises(ssl.SSLWantReadError):
            ours.recv(1)
    peer.send(b"data")
    assert read_some(ours) == b"data"


def test_error_that_others_have_left_is_not_this_sockets(sockio: Any, connect: Any) -> None:
    (lost, lost_peer), (ours, peer) = connect(), connect()
    tls = sockio.inner_tls(ours)
    reset(lost_peer)

    def leave() -> None:
        """As an application does with a socket of its own."""
        fail(lost.send, b"data")

    leave()
    assert sockio.read_tls(tls, bytearray(16384)) == WANT_READ
    data = bytearray(200_000)
    total = 0
    while (count := sockio.write_tls(tls, data)) > 0:
        total += count
        leave()
    assert count == WANT_WRITE
    assert total > 0
    leave()
    assert sockio.read_tls(tls, bytearray(16384)) == WANT_READ
    peer.send(b"data")
    buffer = bytearray(16384)
    assert sockio.read_tls(tls, buffer) == 4
    assert buffer.startswith(b"data")


def test_error_of_this_socket_stays_one(sockio: Any, connect: Any) -> None:
    """Whatever others have left."""
    (lost, lost_peer), (ours, peer) = connect(), connect()
    reset(lost_peer)
    fail(lost.send, b"data")
    reset(peer)
    fail(sockio.write_tls, sockio.inner_tls(ours), bytearray(b"data"))
    with suppress(OSError):  # or the end
        assert sockio.read_tls(sockio.inner_tls(ours), bytearray(16384)) == 0


# --- connections -----------------------------------------------------------------------------------------------------


def connected(url: str, certificates: Certificates) -> Any:
    return closing(wsdriver.connect(url, tls={"root_cert_file": str(certificates.authority)}))


@contextmanager
def relayed(server: Any, certificates: Certificates) -> Iterator[tuple[Any, Callable[[], None], Callable[[], None]]]:
    """A client whose way to the server can be reset: ``(client, reset its end, reset the server's end)``."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        connecting = gevent.spawn(connected, server.url.replace(str(server.server_port), str(port)), certificates)
        near, _ = listener.accept()
    far = socket.create_connection(("127.0.0.1", server.server_port))

    def pump(source: Any, target: Any) -> None:
        while data := source.recv(65536):
            target.sendall(data)

    with near, far:
        pumps = [gevent.spawn(pump, near, far), gevent.spawn(pump, far, near)]

        def cut(end: Any) -> None:
            gevent.killall(pumps)
            reset(end)

        with connecting.get(timeout=10) as client:
            yield client, lambda: cut(near), lambda: cut(far)
            gevent.killall(pumps)
            near.close()
            far.close()


def check_lost(ws: Any) -> None:
    """Write to what has been reset, before anything is read there."""
    with suppress(wsdriver.ConnectionClosed):
        ws.send("into the void")
        ws.send("and again")
    wait_for(lambda: ws.close_error is not None)
    assert isinstance(ws.close_error, OSError)


def check_alive(client: Any) -> None:
    """Exchange what comes in pieces: only a read that has to wait for the rest of a record sees the queue."""
    for size in (1, 300_000, 1_000_000):
        client.send(b"x" * size)
        assert client.receive() == b"x" * size


def test_connection_of_a_server_that_is_reset_takes_no_other_with_it(certificates: Certificates) -> None:
    accepted: list[wsdriver.WebSocket] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        accepted.append(ws)
        for message in ws:
            ws.send(message)

    with serving(handler, ssl_context=certificates.server_context()) as server, gevent.Timeout(20):  # noqa: SIM117
        with connected(server.url, certificates) as client, relayed(server, certificates) as (_, _, reset_servers):
            wait_for(lambda: len(accepted) == 2)
            reset_servers()
            check_lost(accepted[1])
            check_alive(client)
            assert accepted[0].close_error is None


def test_connection_of_a_client_that_is_reset_takes_no_other_with_it(certificates: Certificates) -> None:
    with serving(ssl_context=certificates.server_context()) as server, gevent.Timeout(20):  # noqa: SIM117
        with connected(server.url, certificates) as client, relayed(server, certificates) as (lost, reset_clients, _):
            reset_clients()
            check_lost(lost)
            check_alive(client)
            assert client.close_error is None
