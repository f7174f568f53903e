"""``debug=True``: each frame in the log, with its first bytes, and nothing that is secret."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.ssl
import pytest
from gevent import socket
from gevent.pywsgi import WSGIServer
from hypothesis import given
from hypothesis import strategies as st

import wsdriver
from tests.support.drafts import DRAFTS, DraftClient
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import echo, serving
from tests.support.tls import Certificates, make_certificates
from wsdriver.driver.versions import VERSIONS
from wsdriver.green.framelog import HixieFrames, HybiFrames


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], tuple[list[str], list[str]]]:
    """Returns what has been logged: what came in, and what went out, each without its peer."""
    caplog.set_level("DEBUG", "wsdriver")

    def split() -> tuple[list[str], list[str]]:
        assert {record.levelname for record in caplog.records} <= {"DEBUG"}, caplog.text
        messages = [record.getMessage() for record in caplog.records if record.name == "wsdriver"]
        parts = [message.partition(" -> " if " -> " in message else " <- ") for message in messages]
        return tuple([line for _, kind, line in parts if kind == wanted] for wanted in (" -> ", " <- "))  # type: ignore[return-value]

    return split


@contextmanager
def client(server: Any, early: bytes = b"", extra: str = "") -> Iterator[Any]:
    with gevent.Timeout(10), socket.create_connection(("127.0.0.1", server.server_port), 10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(request("/chat?a=1", extra) + early)
        read_head(sock.recv)
        yield sock


def in_and_out(sock: Any) -> None:
    """Have a conversation with ``echo`` that has every kind of frame."""
    for data in (
        frame(1, b"hello"),
        frame(2, bytes(range(20)) + b"secret"),
        frame(1, b"one", fin=False) + frame(0, b"two"),
        frame(9, b"p"),
    ):
        sock.sendall(data)
        read_frame(sock.recv)
    sock.sendall(frame(10, b"q") + frame(1, b""))
    read_frame(sock.recv)
    sock.sendall(frame(8, b"\x0f\xa1bye"))
    assert read_frame(sock.recv) == (8, b"\x0f\xa1bye")
    assert sock.recv(1) == b""


BINARY = repr(bytes(range(16)))

IN = [
    "text, 5 bytes, fin: b'hello'",
    f"binary, 26 bytes, fin: {BINARY}...",
    "text, 3 bytes: b'one'",
    "continuation, 3 bytes, fin: b'two'",
    "ping, 1 bytes, fin: b'p'",
    "pong, 1 bytes, fin: b'q'",
    "text, 0 bytes, fin: b''",
    "close, 4001, 5 bytes, fin: b'\\x0f\\xa1bye'",
]
OUT = [
    "text, 5 bytes, fin: b'hello'",
    f"binary, 26 bytes, fin: {BINARY}...",
    "text, 6 bytes, fin: b'onetwo'",
    "pong, 1 bytes, fin: b'p'",
    "text, 0 bytes, fin: b''",
    "close, 4001, 5 bytes, fin: b'\\x0f\\xa1bye'",
]


def test_frames_of_a_server_are_logged_with_their_first_bytes(lines: Any, caplog: pytest.LogCaptureFixture) -> None:
    with serving(debug=True) as server, client(server, extra="Cookie: s=hidden\r\n") as sock:
        port = sock.getsockname()[1]
        in_and_out(sock)
    assert lines() == (
        ["GET /chat?a=1 HTTP/1.1", *IN],
        ["HTTP/1.1 101 Switching Protocols", *OUT],
    )
    assert all(record.getMessage().startswith(f"127.0.0.1:{port} ") for record in caplog.records)
    assert "hidden" not in caplog.text
    assert "secret" not in caplog.text
    assert "Sec-WebSocket" not in caplog.text


def test_frames_in_single_bytes_and_before_the_answer_are_logged_the_same(lines: Any) -> None:
    def handler(ws: wsdriver.WebSocket) -> None:
        gevent.sleep(0.05)
        echo(ws)

    early = frame(1, b"hello") + frame(2, b"x" * 200)
    with serving(handler, debug=True) as server, client(server, early) as sock:
        assert read_frame(sock.recv) == (1, b"hello")
        assert read_frame(sock.recv) == (2, b"x" * 200)
        for answer in ((2, b"y" * 300), (8, b"\x03\xe8")):
            for byte in frame(*answer):
                sock.sendall(bytes([byte]))
                gevent.sleep(0)
            assert read_frame(sock.recv) == answer
    assert lines()[0] == [
        "GET /chat?a=1 HTTP/1.1",
        "text, 5 bytes, fin: b'hello'",
        f"binary, 200 bytes, fin: {b'x' * 16!r}...",
        f"binary, 300 bytes, fin: {b'y' * 16!r}...",
        "close, 1000, 2 bytes, fin: b'\\x03\\xe8'",
    ]


def test_frames_in_tls_are_logged_as_they_are_within(lines: Any, certificates: Certificates) -> None:
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates.authority)
    with serving(debug=True, ssl_context=certificates.server_context()) as server, gevent.Timeout(10):
        plain = socket.create_connection(("127.0.0.1", server.server_port), 10)
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(request())
            read_head(sock.recv)
            in_and_out(sock)
    assert lines() == (["GET / HTTP/1.1", *IN], ["HTTP/1.1 101 Switching Protocols", *OUT])


@pytest.mark.parametrize("tls", [False, True])
def test_frames_of_a_client_are_logged(tls: bool, lines: Any, certificates: Certificates) -> None:
    options: dict[str, Any] = {"ssl_context": certificates.server_context()} if tls else {}
    trusted = {"tls": {"root_cert_file": str(certificates.authority)}} if tls else {}
    with serving(**options) as server:
        with wsdriver.connect(f"{server.url}chat?a=1", debug=True, **trusted) as ws:
            ws.send("hello")
            assert ws.receive(5) == "hello"
            ws.ping("p")
            ws.send(b"x" * 100_000)
            assert ws.receive(5) == b"x" * 100_000
            ws.close(4001, "bye")
        assert not [line for line in lines()[1] if "101" in line]
    received, sent = lines()
    assert sent == [
        "GET /chat?a=1 HTTP/1.1",
        "text, 5 bytes, fin: b'hello'",
        "ping, 1 bytes, fin: b'p'",
        f"binary, 100000 bytes, fin: {b'x' * 16!r}...",
        "close, 4001, 5 bytes, fin: b'\\x0f\\xa1bye'",
    ]
    assert received == [
        "HTTP/1.1 101 Switching Protocols",
        "text, 5 bytes, fin: b'hello'",
        "pong, 1 bytes, fin: b'p'",
        f"binary, 100000 bytes, fin: {b'x' * 16!r}...",
        "close, 4001, 5 bytes, fin: b'\\x0f\\xa1bye'",
    ]


def test_frames_in_a_wsgi_application_are_logged(lines: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ws = wsdriver.WebSocket(environ, debug=True)
        echo(ws)
        return ws.wsgi_response()

    server = WSGIServer(("127.0.0.1", 0), app, log=None, handler_class=wsdriver.WebSocketHandler)
    server.start()
    try:
        with client(server, frame(1, b"early")) as sock:
            assert read_frame(sock.recv) == (1, b"early")
            in_and_out(sock)
    finally:
        server.stop(timeout=1)
    early = "text, 5 bytes, fin: b'early'"
    assert lines() == (
        ["GET /chat?a=1 HTTP/1.1", early, *IN],
        ["HTTP/1.1 101 Switching Protocols", early, *OUT],
    )


@pytest.mark.parametrize("version", DRAFTS)
def test_frames_of_every_version_are_logged(version: str, lines: Any) -> None:
    def converse(port: int) -> None:
        with DraftClient(version, port, "/chat") as draft:
            if version == "hybi-4":  # whose masks need the answer
                draft.open()
                draft.send_text("early")
            else:
                draft.open(draft.frame("text", b"early"))
            draft.expect(("text", "early"))
            draft.send_text("0123456789abcdefXYZ")
            draft.expect(("text", "0123456789abcdefXYZ"))
            if draft.draft.has_frames:
                draft.send_binary(b"\x00\xff")
                draft.expect(("binary", b"\x00\xff"))

    with serving(debug=True) as server, gevent.Timeout(10):
        gevent.get_hub().threadpool.apply(converse, (server.server_port,))
    received, sent = lines()
    framed = DRAFTS[version].has_frames
    fin = ", fin" if framed else ""
    expected = [f"text, 5 bytes{fin}: b'early'", f"text, 19 bytes{fin}: b'0123456789abcdef'..."]
    if framed:
        expected.append("binary, 2 bytes, fin: b'\\x00\\xff'")
    assert received[0] == "GET /chat HTTP/1.1"
    assert received[1 : 1 + len(expected)] == expected
    assert sent[0].startswith("HTTP/1.1 101 ")
    assert sent[1 : 1 + len(expected)] == expected


def test_compressed_frames_are_marked(lines: Any) -> None:
    options = {"extensions": [wsdriver.PermessageDeflate()]}
    with serving(**options) as server, wsdriver.connect(server.url, debug=True, **options) as ws:
        ws.send("x" * 1000)
        assert ws.receive(5) == "x" * 1000
    for log in lines():
        (line,) = [line for line in log if line.startswith("text")]
        assert " bytes, fin, compressed: b" in line


def test_large_message_to_a_slow_reader_arrives_as_it_was(lines: Any) -> None:
    message = bytes(range(256)) * 20_000
    with serving(lambda ws: ws.send(message), debug=True) as server, client(server) as sock:
        gevent.sleep(0.05)
        assert read_frame(sock.recv) == (2, message)
    assert f"binary, {len(message)} bytes, fin: {BINARY}..." in lines()[1]


def test_request_that_is_refused_has_two_lines(lines: Any) -> None:
    with serving(debug=True) as server, socket.create_connection(("127.0.0.1", server.server_port), 10) as sock:
        sock.sendall(b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\nrest of it")
        while sock.recv(1000):
            pass
    assert lines() == (["GET /\\x01 HTTP/1.1"], ["HTTP/1.1 400 Bad Request"])


def test_without_the_option_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "wsdriver")
    with serving() as server, wsdriver.connect(server.url) as ws:
        ws.send("x")
        assert ws.receive(5) == "x"
    assert caplog.records == []


def test_value_that_is_no_bool_raises() -> None:
    with pytest.raises(wsdriver.ConfigurationError, match="debug"):
        wsdriver.WebSocketServer(("127.0.0.1", 0), echo, debug=1)


HYBI = (
    frame(1, b"hello") + frame(2, b"x" * 70_000, mask=None) + frame(3, b"", rsv=0x30) + frame(8) + frame(9, b"y" * 20)
)
HYBI_LINES = [
    "text, 5 bytes, fin: b'hello'",
    f"binary, 70000 bytes, fin: {b'x' * 16!r}...",
    "opcode 3, 0 bytes, fin, rsv2, rsv3: b''",
    "close, 0 bytes, fin: b''",
    f"ping, 20 bytes, fin: {b'y' * 16!r}...",
]
HIXIE = b"\x00hello\xff\x00\xff\x7fdropped\xff\x80\x05\xff\x00\xff\x00\xff\x00" + "ü".encode() * 20 + b"\xff\xff\x00"
HIXIE_LINES = [
    "text, 5 bytes: b'hello'",
    "text, 0 bytes: b''",
    "type 0x7f, 7 bytes: b'dropped'",
    "type 0x80, 5 bytes",
    f"text, 40 bytes: {'ü'.encode() * 8!r}...",
    "close, 0 bytes",
]


@pytest.mark.parametrize("kind", ["hybi", "hixie"])
@given(data=st.data())
def test_frames_in_any_pieces_are_described_the_same(kind: str, data: Any) -> None:
    sent, expected = (HYBI, HYBI_LINES) if kind == "hybi" else (HIXIE, HIXIE_LINES)
    frames: Any = HybiFrames(VERSIONS["hybi-13"]) if kind == "hybi" else HixieFrames()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=30)))
    described = []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        described += frames.feed(sent[start:end])
    assert described == expected


@given(st.binary(max_size=300))
def test_nonsense_is_described_somehow(data: bytes) -> None:
    for name in ("hybi-13", "hybi-1"):
        HybiFrames(VERSIONS[name]).feed(data)
    HixieFrames().feed(data)
