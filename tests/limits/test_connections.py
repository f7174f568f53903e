"""Connections in all and of one address, with each of our servers: a slot is taken once, and comes free once, however
a connection ends.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.pywsgi import WSGIServer

import wsdriver
from tests.limits.app import MAX_LENGTH, MOST, MOST_PER_IP, OPTIONS, Handler, app, behave
from tests.limits.rows import HIXIE_76
from tests.support.gunicorn import Gunicorn
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import serving
from tests.support.tls import make_certificates
from wsdriver.green.admission import Admission

PATIENCE = 15.0


@pytest.fixture(scope="module", params=["WebSocketServer", "pywsgi", "gunicorn"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server that takes :data:`MOST` WebSockets, and of one address :data:`MOST_PER_IP`."""
    patch = pytest.MonkeyPatch()
    patch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    limits = {"max_connections": MOST, "max_connections_per_ip": MOST_PER_IP}
    try:
        if request.param == "WebSocketServer":
            with serving(behave, max_length=MAX_LENGTH, **limits, **OPTIONS) as server:
                yield server.server_port
        elif request.param == "pywsgi":
            wsgi = WSGIServer(("127.0.0.1", 0), app, handler_class=Handler, log=None, error_log=None)
            wsgi.start()
            yield wsgi.server_port
            wsgi.stop(timeout=1)
        else:
            directory = tmp_path_factory.mktemp("gunicorn")
            with Gunicorn(directory, worker="tests.limits.app.Worker", application="tests.limits.app:app") as gunicorn:
                yield gunicorn.port
    finally:
        patch.undo()


class Client:
    """One connection to a server that believes this machine whose it is."""

    def __init__(self, port: int, host: str, path: str = "/echo", head: bytes = b"") -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        forwarded = f"X-Forwarded-For: {host}\r\nHost: ".encode()
        self.sock.sendall((head or request(path)).replace(b"Host: ", forwarded, 1))
        self.head = read_head(self.sock.recv).decode()
        self.status = int(self.head.split()[1])

    def read(self) -> None:
        """Read to the end."""
        while read_frame(self.sock.recv)[0] >= 0:
            pass

    def close(self) -> None:
        self.sock.close()


def let_in(port: int, host: str, path: str = "/echo", head: bytes = b"") -> Client:
    """Connect as soon as there is room: the server may notice a little later that somebody has left."""
    deadline = monotonic() + PATIENCE
    while True:
        client = Client(port, host, path, head)
        if client.status not in (429, 503):
            return client
        client.close()
        assert monotonic() < deadline, "there is no room, long after the end"
        gevent.sleep(0.01)


def assert_as_much_room_as_ever(port: int) -> None:
    """Check that one of each address is let in, and two in all: no slot is kept, and none was given back twice."""
    with ExitStack() as stack:
        first = let_in(port, "192.0.2.1")
        stack.callback(first.close)
        again = Client(port, "192.0.2.1")
        stack.callback(again.close)
        assert again.status == 429
        assert "\r\nRetry-After: " in again.head
        second = let_in(port, "192.0.2.2")
        stack.callback(second.close)
        third = Client(port, "192.0.2.3")
        stack.callback(third.close)
        assert third.status == 503
        assert "\r\nRetry-After: " in third.head
        for client in (first, second):
            client.sock.sendall(frame(8, b"\x03\xe8"))
            client.read()


def close(client: Client) -> None:
    client.sock.sendall(frame(8, b"\x03\xe8"))
    client.read()


def reset(client: Client) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_close(client: Client) -> None:
    client.sock.shutdown(socket.SHUT_WR)
    client.read()


def break_the_protocol(client: Client) -> None:
    client.sock.sendall(frame(1, b"not masked", mask=None))
    client.read()


def send_too_much(client: Client) -> None:
    client.sock.sendall(frame(2, bytes(MAX_LENGTH + 1)))
    client.read()


def say_nothing(client: Client) -> None:
    client.read()


def leave(client: Client) -> None:
    """Let the server find out."""


#: By name: the path, what the client does, and the status of the answer.
ENDINGS = {
    "clean, by the client": ("/echo", close, 101),
    "clean, by the server": ("/return", close, 101),
    "reset": ("/echo", reset, 101),
    "half-close": ("/echo", half_close, 101),
    "gone": ("/echo", leave, 101),
    "protocol error": ("/echo", break_the_protocol, 101),
    "message too big": ("/echo", send_too_much, 101),
    "ping timeout": ("/echo", say_nothing, 101),
    "close unanswered": ("/close", say_nothing, 101),
    "error in the handler": ("/raise", close, 101),
    "error before the handshake": ("/raise-first", leave, 500),
    "terminate": ("/terminate", leave, 101),
    "kill": ("/kill", leave, 101),
    "gevent.Timeout": ("/timeout", close, 101),
    "reject": ("/reject", leave, 403),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_slot_comes_free_once(name: str, port: int) -> None:
    path, end, status = ENDINGS[name]
    client = let_in(port, "192.0.2.1", path)
    assert client.status == status
    end(client)
    client.close()
    assert_as_much_room_as_ever(port)


def test_slot_of_a_handshake_that_is_not_completed_comes_free(port: int) -> None:
    client = let_in(port, "192.0.2.1", head=HIXIE_76[:-8])
    client.sock.settimeout(PATIENCE)
    assert client.sock.recv(1) == b"", "by open_timeout"
    client.close()
    assert_as_much_room_as_ever(port)


def test_requests_that_are_none_take_no_room(port: int) -> None:
    for head in (request().replace(b"Version: 13", b"Version: 99"), b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        client = Client(port, "192.0.2.1", head=head)
        assert client.status in (200, 400, 426)
        client.close()
    assert_as_much_room_as_ever(port)


def test_refusal_says_why(port: int) -> None:
    first = let_in(port, "192.0.2.1")
    refused = Client(port, "192.0.2.1")
    body = refused.sock.makefile("rb").read().decode()
    assert f"{MOST_PER_IP} (max_connections_per_ip)" in body
    close(first)
    first.close()
    refused.close()


# --- of gunicorn alone -----------------------------------------------------------------------------------------------


def test_gunicorn_logs_refusals_and_cuts_slow_openings(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    with Gunicorn(
        tmp_path,
        "--keep-alive",
        "1",
        worker="tests.limits.app.Worker",
        application="tests.limits.app:app",
        certificates=certificates,
    ) as server:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as slow:
            slow.sendall(b"\x16\x03\x01\x02\x00")  # a record, of which no more comes
            slower = server.dial()
            slower.send(b"GET / HTTP/1.1\r\nHost: ")  # a head; its time is gunicorn's keepalive
            with server.dial().open("/one"), server.dial() as refused:
                refused.ask("/two")
                assert refused.response().status == 429
            assert server.access("/two").startswith("429 ")
            assert slow.recv(1) == b""
            assert slower.ended()
            slower.close()
        server.assert_quiet()


@pytest.mark.parametrize("value", [0, -1, 1.5, "10", True])
@pytest.mark.parametrize("name", ["max_connections", "max_connections_per_ip"])
@pytest.mark.parametrize("base", ["WebSocketHandler", "worker"])
def test_limit_that_is_none_is_refused_where_it_is_set(base: str, name: str, value: Any) -> None:
    with pytest.raises(wsdriver.ConfigurationError, match=name):
        type("Limited", (getattr(wsdriver, base),), {name: value})


# --- what is one address ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("no address: at all", "no address: at all", True),
        ("", "", False),
        (None, None, False),
    ],
)
def test_addresses_that_count_as_one(host: Any, other: Any, same: bool) -> None:
    admission = Admission(None, 1)
    admission.enter("a", host)
    if same:
        with pytest.raises(wsdriver.HandshakeError) as raised:
            admission.enter("b", other)
        assert raised.value.status == 429
        admission.leave("b")
        admission.leave("a")
        admission.leave("a")
    admission.enter("b", other)
    assert len(admission) == (1 if same else 2)


def test_where_there_is_no_limit_nobody_is_counted() -> None:
    assert not Admission(None, None).limited
    assert Admission(1, None).limited
    assert Admission(None, 1).limited
