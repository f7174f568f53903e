"""Flash's policy file, which web-socket-js asks for before it connects."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
import gevent.ssl
import pytest
from gevent import socket

import wsdriver
from tests.interop.test_drafts import EM, start_original
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import serving
from tests.support.tls import Certificates, make_certificates

ASKED = b"<policy-file-request/>\0"
POLICY = b'<?xml version="1.0"?><cross-domain-policy><allow-access-from domain="*" to-ports="*"/></cross-domain-policy>'


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory: Path = tmp_path_factory.mktemp("certificates")
    return make_certificates(directory)


@pytest.fixture(params=["plain", "tls"])
def kind(request: pytest.FixtureRequest, certificates: Certificates) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """The options of a server, and what makes of a connected socket one that speaks with it."""
    if request.param == "plain":
        return {}, lambda sock: sock
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates.authority)
    return (
        {"ssl_context": certificates.server_context()},
        lambda sock: context.wrap_socket(sock, server_hostname="localhost"),
    )


def connected(server: wsdriver.WebSocketServer) -> Any:
    sock = socket.create_connection(("127.0.0.1", server.server_port), 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def send(sock: Any, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        sock.sendall(data[start : start + size])
        gevent.sleep(0)


def read_all(sock: Any) -> bytes:
    data = b""
    while more := sock.recv(65536):
        data += more
    return data


@pytest.mark.parametrize("size", [1, 10, 100])
def test_request_in_any_pieces_is_answered_and_the_connection_closed(
    kind: Any, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "wsdriver")
    options, wrap = kind
    # Neither the limit nor the figures know of it.
    with serving(flash_policy=True, max_connections=1, **options) as server, wrap(connected(server)) as sock:
        send(sock, ASKED, size)
        assert read_all(sock) == POLICY
        assert server.stats().total == 0
        assert len(server.connections) == 0
    assert caplog.records == []


def test_answer_is_that_of_em_websocket(tmp_path: Path) -> None:
    answers = []
    with ExitStack() as stack:
        port = start_original(EM, stack, tmp_path / "log")
        server = stack.enter_context(serving(flash_policy=True))
        for asked in (port, server.server_port):
            with socket.create_connection(("127.0.0.1", asked), 10) as sock:
                sock.sendall(ASKED)
                answers.append(read_all(sock))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_websocket_is_served_beside_it(kind: Any, size: int) -> None:
    options, wrap = kind
    with serving(flash_policy=True, **options) as server, wrap(connected(server)) as sock:
        send(sock, request() + frame(1, b"early"), size)
        assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
        assert read_frame(sock.recv) == (1, b"early")


@pytest.mark.parametrize(
    "data", [b"<policy-file-request/>x", b"<policy-file-request />\0", b"<policy", b"<POLICY-FILE-REQUEST/>\0", b"\0"]
)
def test_anything_else_is_a_bad_request(data: bytes) -> None:
    with serving(flash_policy=True, open_timeout=0.5) as server, connected(server) as sock:
        sock.sendall(data)
        status = read_all(sock).split()[1]
        assert status == b"400"


def test_request_behind_another_is_a_bad_one() -> None:
    with serving(flash_policy=True) as server, connected(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" + ASKED)
        assert read_all(sock).startswith(b"HTTP/1.1 400 ")


def test_request_without_the_option_is_a_bad_one() -> None:
    with serving() as server, connected(server) as sock:
        sock.sendall(ASKED)
        assert read_all(sock).startswith(b"HTTP/1.1 400 ")


def test_silence_is_ended_at_open_timeout() -> None:
    with serving(flash_policy=True, open_timeout=0.2) as server, connected(server) as sock:
        assert read_all(sock).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("data", [b"", b"<policy-file"])
def test_peer_that_goes_leaves_nothing(data: bytes) -> None:
    with serving(flash_policy=True) as server:
        with connected(server) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b""
        assert len(server.connections) == 0
