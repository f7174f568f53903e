"""The system calls of the hot path, of both twins: what they return, and when."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gevent.socket
import gevent.ssl
import pytest

from tests.support.tls import Certificates, make_certificates
from tests.support.twins import twin
from wsdriver.green.client.layered import LayeredTls

WANT_READ, WANT_WRITE = -1, -2
RECORD = 16384
PATTERN = bytes(range(251)) * 20_000


@pytest.fixture(params=["plain", "compiled"])
def sockio(request: pytest.FixtureRequest) -> Any:
    return twin("wsdriver.green.sockio", request.param)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("sockio"))


def of_gevent(sock: Any, context: Any, **options: Any) -> Any:
    own = gevent.socket.socket(fileno=sock.detach())
    return gevent.ssl.SSLSocket(own, _context=context, do_handshake_on_connect=False, **options)


def of_the_library(sock: Any, context: Any, **options: Any) -> Any:
    return context.wrap_socket(sock, do_handshake_on_connect=False, **options)


@pytest.fixture(params=[of_gevent, of_the_library])
def pair(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[tuple[Any, Any]]:
    """Two ends of one TLS connection, both non-blocking: ours, and a peer of the standard library."""
    wrap: Callable[..., Any] = request.param
    left, right = socket.socketpair()
    module = gevent.ssl if wrap is of_gevent else ssl
    context = module.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    ours = wrap(left, context, server_side=True)
    peer = of_the_library(right, certificates.client_context(), server_hostname="localhost")
    with closing(ours), closing(peer):
        for sock in (ours, peer):
            sock.setblocking(False)
        waiting = [peer, ours]
        while waiting:
            try:
                waiting[0].do_handshake()
                waiting.pop(0)
            except ssl.SSLWantReadError:
                waiting.reverse()
        yield ours, peer


def received(peer: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            data += peer.recv(size - len(data))
        except ssl.SSLWantReadError:
            break
    return data


def test_read_tls_takes_a_record_at_a_time_and_says_when_there_is_none(sockio: Any, pair: tuple[Any, Any]) -> None:
    ours, peer = pair
    tls = sockio.inner_tls(ours)
    buffer = bytearray(4 * RECORD)
    assert sockio.read_tls(tls, buffer) == WANT_READ
    assert not sockio.has_input(ours.fileno())
    peer.send(b"hello")
    peer.send(b"you")
    assert sockio.has_input(ours.fileno())
    assert sockio.read_tls(tls, buffer) == 5
    assert buffer[:5] == b"hello"
    assert sockio.has_input(ours.fileno())
    assert sockio.read_tls(tls, buffer) == 3
    assert buffer[:3] == b"you"
    assert not sockio.has_input(ours.fileno())
    assert sockio.read_tls(tls, buffer) == WANT_READ


def test_nothing_is_kept_back_of_the_largest_record(sockio: Any, pair: tuple[Any, Any]) -> None:
    """has_input() asks the descriptor: what TLS had read and not given out would be forgotten."""
    ours, peer = pair
    tls = sockio.inner_tls(ours)
    buffer = bytearray(4 * RECORD)
    assert peer.send(bytes(RECORD + 100)) == RECORD + 100
    assert sockio.read_tls(tls, buffer) == RECORD
    assert ours.pending() == 0
    assert sockio.has_input(ours.fileno())
    assert sockio.read_tls(tls, buffer) == 100


@pytest.mark.parametrize("goodbye", [True, False], ids=["said", "unsaid"])
def test_end_of_the_stream_is_0(sockio: Any, pair: tuple[Any, Any], goodbye: bool) -> None:
    ours, peer = pair
    tls = sockio.inner_tls(ours)
    if goodbye:
        with pytest.raises(ssl.SSLWantReadError):
            peer.unwrap()
    # (Not closed: session tickets that nobody has read would make that a reset, which Python 3.13 tells apart; and
    # OpenSSL's alert to a peer that takes nothing more would fail, which Python 3.14 tells instead of the end.)
    peer.shutdown(socket.SHUT_WR)
    assert sockio.read_tls(tls, bytearray(RECORD)) == 0


def test_what_is_no_tls_is_an_error(sockio: Any, pair: tuple[Any, Any]) -> None:
    ours, peer = pair
    tls = sockio.inner_tls(ours)
    with socket.socket(fileno=peer.detach()) as raw:
        raw.send(b"this is no record at all")
        with pytest.raises(ssl.SSLError):
            sockio.read_tls(tls, bytearray(RECORD))


@pytest.mark.parametrize("size", [1, RECORD, 3 * RECORD + 7])
def test_write_tls_writes_all_that_fits(sockio: Any, pair: tuple[Any, Any], size: int) -> None:
    ours, peer = pair
    data = bytearray(i * 31 & 255 for i in range(size))
    assert sockio.write_tls(sockio.inner_tls(ours), data) == size
    data += b"more"  # no view of it is left behind
    assert received(peer, size) == data[:size]


@pytest.mark.parametrize("size", [1, 200_000, 1 << 22], ids=["byte", "large", "huge"])
def test_write_tls_says_what_went_out_and_goes_on_from_there(sockio: Any, pair: tuple[Any, Any], size: int) -> None:
    ours, peer = pair
    tls = sockio.inner_tls(ours)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    sent, got, waited = 0, b"", 0
    data = bytearray()
    while True:
        data += PATTERN[(sent + len(data)) % 251 :][: size - len(data)]
        count = sockio.write_tls(tls, data)
        if count == WANT_WRITE:
            waited += 1
            got += received(peer, 1 << 20)
            continue
        assert count > 0
        sent += count
        del data[:count]  # no view of it is left behind
        if waited == 3:
            break
    got += received(peer, sent - len(got))
    assert got == (PATTERN * (sent // len(PATTERN) + 1))[:sent]


def test_inner_tls_is_only_of_sockets_that_keep_nothing_back(sockio: Any, certificates: Certificates) -> None:
    left, right = socket.socketpair()
    with left, right:
        assert sockio.inner_tls(left) is None
        assert sockio.inner_tls(LayeredTls(left, certificates.client_context(), "localhost")) is None
        strict = of_the_library(
            left, certificates.client_context(), server_hostname="localhost", suppress_ragged_eofs=False
        )
        with strict:
            assert sockio.inner_tls(strict) is None


def test_has_input_of_a_closed_descriptor_leaves_it_to_the_read(sockio: Any) -> None:
    left, right = socket.socketpair()
    with right:
        fd = left.fileno()
        assert not sockio.has_input(fd)
        left.close()
        assert sockio.has_input(fd)
