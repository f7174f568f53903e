"""The server behind a proxy: whom it takes for the client, and from whom it hears so."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import gevent.ssl
import pytest
from gevent import socket

import wsdriver
from tests.servers.rows import find_program
from tests.support.gunicorn import Server
from tests.support.net import free_port, read_frame, read_head, request
from tests.support.serving import serving
from tests.support.tls import Certificates, make_certificates

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2 = SIGNATURE + b"\x21\x11\0\x0c" + bytes([192, 0, 2, 1, 198, 51, 100, 1]) + struct.pack("!HH", 56324, 443)
V2_TLS = V2.replace(b"\0\x0c", b"\0\x14") + b"\x20\0\x05\x01\0\0\0\0"
V2_LOCAL = SIGNATURE + b"\x20\0\0\0"

HIXIE_75 = (
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
    b"Origin: http://example.com\r\n\r\n"
)
HIXIE_76 = HIXIE_75[:-2] + b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n"


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def report(ws: wsdriver.WebSocket) -> None:
    """Send what is known of the client."""
    address = ws.remote_address
    environ = ws.environ
    told = environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT"), environ["wsgi.url_scheme"]
    ws.send(f"{address} {told} {ws.secure} {ws.handshake.secure} {ws.url}")


def seen(address: str | None, port: int | str, secure: bool) -> str:
    """What ``report`` sends of a client."""
    pair = None if address is None else (address, int(port))
    told = (address, None if address is None else str(port), "https" if secure else "http")
    return f"{pair} {told} {secure} {secure} {'wss' if secure else 'ws'}://localhost/"


def said(sock: Any) -> str:
    """Read the handshake and the first message."""
    head = read_head(sock.recv)
    assert head.startswith(b"HTTP/1.1 101 "), head or "the end of the stream"
    opcode, payload = read_frame(sock.recv)
    assert opcode == 1
    return payload.decode()


@contextmanager
def client(server: Any, source: str = "127.0.0.1") -> Iterator[Any]:
    """A raw connection to the server, from that address."""
    address = ("127.0.0.1", server.server_port)
    with gevent.Timeout(10), socket.create_connection(address, 10, (source, 0)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


class TestHeaders:
    @pytest.mark.parametrize(
        ("trusted", "lines", "expected"),
        [
            (None, "X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
            (None, "x-forwarded-for:192.0.2.7\r\n", "192.0.2.7"),
            (None, "X-Forwarded-For: 198.51.100.9, 192.0.2.7\r\n", "192.0.2.7"),
            (None, "X-Forwarded-For: 198.51.100.9\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
            (None, "X-Forwarded-For: 198.51.100.9, 127.0.0.1\r\n", "198.51.100.9"),
            (["127.0.0.0/8", "10.0.0.0/8"], "X-Forwarded-For: 1.2.3.4, 192.0.2.7, 10.1.1.1,127.9.9.9\r\n", "192.0.2.7"),
            ("127.0.0.1, 10.0.0.0/8", "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n", "10.0.0.1"),
            ("*", "X-Forwarded-For: 198.51.100.9, 192.0.2.7\r\n", "198.51.100.9"),
            (None, "X-Forwarded-For: 2001:DB8::0:7\r\n", "2001:db8::7"),
            (None, "X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7"),
            (None, "X-Forwarded-For: 192.0.2.7:4711\r\n", "192.0.2.7"),
            (None, "X-Forwarded-For: ::ffff:192.0.2.7\r\n", "192.0.2.7"),
            (["127.0.0.1", "10.0.0.1"], "X-Forwarded-For: 1.2.3.4, evil, 10.0.0.1\r\n", "10.0.0.1"),
        ],
    )
    def test_of_a_trusted_proxy_name_the_client(self, trusted: Any, lines: str, expected: str) -> None:
        with serving(report, trusted_proxies=trusted) as server, client(server) as sock:
            sock.sendall(request("/", lines))
            assert said(sock) == seen(expected, 0, False)

    @pytest.mark.parametrize(
        "lines", ["", "X-Forwarded-For: unknown\r\n", "X-Forwarded-For:\r\n", "X-Forwarded-For: 192.0.2.7, x\r\n"]
    )
    def test_that_name_nobody_leave_the_sockets_address(self, lines: str) -> None:
        with serving(report) as server, client(server) as sock:
            sock.sendall(request("/", lines))
            assert said(sock) == seen("127.0.0.1", sock.getsockname()[1], False)

    @pytest.mark.parametrize("name", ["X-Forwarded-Proto: https", "X-Forwarded-Ssl: on", "X-Forwarded-Scheme: wss"])
    def test_of_a_trusted_proxy_say_that_the_client_is_secure(self, name: str) -> None:
        with serving(report) as server, client(server) as sock:
            sock.sendall(request("/", f"X-Forwarded-For: 192.0.2.7\r\n{name}\r\n"))
            assert said(sock) == seen("192.0.2.7", 0, True)

    @pytest.mark.parametrize("trusted", [["127.0.0.2"], [], ["10.0.0.0/8", "::1"]])
    def test_of_anybody_else_change_nothing(self, trusted: list[str]) -> None:
        with serving(report, trusted_proxies=trusted) as server, client(server) as sock:
            sock.sendall(request("/", "X-Forwarded-For: 192.0.2.7, 127.0.0.2\r\nX-Forwarded-Proto: https\r\n"))
            assert said(sock) == seen("127.0.0.1", sock.getsockname()[1], False)

    def test_client_among_the_trusted_is_not_believed_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The trust is in who connects; a client's own address in the header is not asked again."""
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.0.0.1,192.0.2.7")
        lines = "X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Ssl: on\r\n"
        with serving(report) as server, client(server) as sock:
            sock.sendall(request("/", lines))
            assert said(sock) == seen("198.51.100.1", 0, False)

    def test_on_a_unix_socket_are_believed(self, tmp_path: Path) -> None:
        """Who may connect there is a matter of its permissions."""
        path = str(tmp_path / "server.sock")
        with socket.socket(socket.AF_UNIX) as listener, gevent.Timeout(10):
            listener.bind(path)
            listener.listen()
            server = wsdriver.WebSocketServer(listener, report, trusted_proxies=[])
            server.start()
            try:
                for lines, expected in (("X-Forwarded-For: 192.0.2.7\r\n", "('192.0.2.7', 0) "), ("", " ('', '', ")):
                    with socket.socket(socket.AF_UNIX) as sock:
                        sock.connect(path)
                        sock.sendall(request("/", lines))
                        assert said(sock).startswith(expected)
            finally:
                server.stop(timeout=1)

    @pytest.mark.parametrize("value", [5, ["10.0.0.0/33"], ["proxy.example"], [b"10.0.0.1"], "10.0.0.0/8,x", [None]])
    def test_list_that_is_none_raises(self, value: Any) -> None:
        with pytest.raises(wsdriver.ConfigurationError, match="trusted_proxies"):
            wsdriver.WebSocketServer(("127.0.0.1", 0), report, trusted_proxies=value)

    def test_clients_of_one_proxy_are_counted_apart(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            ws.accept()
            ws.receive()

        with serving(handler, max_connections_per_ip=1) as server:
            answers = []
            socks = []
            for host in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "127.0.0.1"):
                sock = socket.create_connection(("127.0.0.1", server.server_port), 10)
                socks.append(sock)
                # What a client puts in front helps it nothing.
                sock.sendall(request("/", f"X-Forwarded-For: 198.51.100.{len(socks)}, {host}\r\n"))
                answers.append(int(read_head(sock.recv).split()[1]))
            for sock in socks:
                sock.close()
        # The last is a proxy itself: it stands for whom it names.
        assert answers == [101, 101, 429, 101]


class TestSecureProxy:
    @pytest.mark.parametrize(
        ("head", "name"),
        [(HIXIE_75, b"WebSocket-Location"), (HIXIE_76 + b"^n:ds[4U", b"Sec-WebSocket-Location")],
    )
    def test_old_clients_are_told_wss(self, head: bytes, name: bytes) -> None:
        for secure in (True, False):
            with serving(report, secure_proxy=secure) as server, client(server) as sock:
                sock.sendall(head)
                scheme = b"wss" if secure else b"ws"
                assert b"\r\n" + name + b": " + scheme + b"://example.com/chat\r\n" in read_head(sock.recv)

    def test_everything_says_so(self) -> None:
        with serving(report, secure_proxy=True, trusted_proxies=[]) as server, client(server) as sock:
            sock.sendall(request())
            assert said(sock) == seen("127.0.0.1", sock.getsockname()[1], True)

    @pytest.mark.parametrize("name", ["secure_proxy", "proxy_protocol"])
    def test_value_that_is_no_bool_raises(self, name: str) -> None:
        with pytest.raises(wsdriver.ConfigurationError, match=name):
            wsdriver.WebSocketServer(("127.0.0.1", 0), report, **{name: "yes"})


def in_pieces(sock: Any, data: bytes, size: int) -> None:
    """Send the data so, each piece in a segment of its own."""
    for start in range(0, len(data), size):
        sock.sendall(data[start : start + size])
        gevent.sleep(0)


class TestProxyProtocol:
    @pytest.mark.parametrize("size", [1, 7, 1000])
    @pytest.mark.parametrize(
        ("head", "address", "port", "secure"),
        [
            (V1, "192.0.2.1", 56324, False),
            (V2, "192.0.2.1", 56324, False),
            (V2_TLS, "192.0.2.1", 56324, True),
            (b"PROXY UNKNOWN\r\n", None, 0, False),
        ],
    )
    def test_head_of_a_trusted_proxy_names_the_client(
        self, head: bytes, address: str | None, port: int, secure: bool, size: int
    ) -> None:
        with serving(report, proxy_protocol=True) as server, client(server) as sock:
            # Its own headers are the client's: nobody believes them.
            lines = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
            in_pieces(sock, head + request("/", lines), size)
            assert said(sock) == seen(address, port, secure)

    def test_connection_of_the_proxys_own_is_the_proxys(self) -> None:
        with serving(report, proxy_protocol=True, healthcheck="/up") as server:
            with client(server) as sock:
                sock.sendall(V2_LOCAL + request())
                assert said(sock) == seen("127.0.0.1", sock.getsockname()[1], False)
            with client(server) as sock:
                sock.sendall(V2_LOCAL + b"GET /up HTTP/1.1\r\nHost: h\r\n\r\n")
                assert sock.recv(100).startswith(b"HTTP/1.1 200 ")

    def test_proxy_that_a_proxy_names_is_believed_in_its_turn(self) -> None:
        options: dict[str, Any] = {"proxy_protocol": True, "trusted_proxies": "127.0.0.1,192.0.2.1"}
        with serving(report, **options) as server, client(server) as sock:
            sock.sendall(V1 + request("/", "X-Forwarded-For: 203.0.113.9\r\n"))
            assert said(sock) == seen("203.0.113.9", 0, False)

    @pytest.mark.parametrize("size", [1, 1000])
    @pytest.mark.parametrize("head", [V1, V2, V2_LOCAL])
    def test_head_comes_before_tls(self, head: bytes, size: int, certificates: Certificates) -> None:
        context = certificates.server_context()
        with serving(report, proxy_protocol=True, ssl_context=context) as server, client(server) as sock:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = certificates.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            in_pieces(sock, head + outgoing.read(), size)  # the first bytes of TLS in one segment with the head

            def pump(call: Any, *arguments: Any) -> Any:
                while True:
                    try:
                        result = call(*arguments)
                    except ssl.SSLWantReadError:
                        sock.sendall(outgoing.read())
                        incoming.write(sock.recv(65536))
                    else:
                        sock.sendall(outgoing.read())
                        return result

            pump(tls.do_handshake)
            pump(tls.write, request())
            answer = b""
            while b"://localhost/" not in answer:
                answer += pump(tls.read, 65536)
            local = head is V2_LOCAL
            expected = seen("127.0.0.1", sock.getsockname()[1], True) if local else seen("192.0.2.1", 56324, True)
            assert expected.encode() in answer

    @pytest.mark.parametrize(
        "start",
        [request(), b"PROXY TCP4 nonsense\r\n" + request(), b"\r\n\r\n\0\r\nNO", b"PROXY UNKNOWN".ljust(200), b"\x16"],
    )
    def test_trusted_proxy_without_a_right_head_is_cut(self, start: bytes, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG", "wsdriver")
        with serving(report, proxy_protocol=True) as server, client(server) as sock:
            sock.sendall(start)
            assert ends_without_a_word(sock)
            assert server.stats().total == 0
        (record,) = caplog.records
        assert record.levelname == "DEBUG"
        assert "PROXY protocol" in record.getMessage()

    @pytest.mark.parametrize("start", [b"", V1[:-1], V2[:20]])
    @pytest.mark.parametrize("tls", [False, True])
    def test_trusted_proxy_that_stops_is_cut_at_open_timeout(
        self, start: bytes, tls: bool, certificates: Certificates
    ) -> None:
        options: dict[str, Any] = {"ssl_context": certificates.server_context()} if tls else {}
        with serving(report, proxy_protocol=True, open_timeout=0.2, **options) as server, client(server) as sock:
            sock.sendall(start)
            assert ends_without_a_word(sock)

    def test_head_and_request_share_open_timeout(self) -> None:
        started = monotonic()
        with serving(report, proxy_protocol=True, open_timeout=1) as server, client(server) as sock:
            gevent.sleep(0.7)
            sock.sendall(V1)
            assert sock.recv(100).startswith(b"HTTP/1.1 408 ")
            assert monotonic() < started + 1.7

    @pytest.mark.parametrize("head", [V1, V2, V2_TLS, V2_LOCAL, b"PROXY UNKNOWN\r\n"])
    @pytest.mark.parametrize("options", [{"trusted_proxies": ["10.0.0.0/8"], "proxy_protocol": True}, {}])
    def test_head_of_anybody_else_is_a_bad_request(self, head: bytes, options: dict[str, Any]) -> None:
        with serving(report, **options) as server, client(server) as sock:
            sock.sendall(head + request())
            assert sock.recv(100).startswith(b"HTTP/1.1 400 ")

    def test_anybody_else_without_a_head_is_served(self) -> None:
        with serving(report, proxy_protocol=True, trusted_proxies=["127.0.0.2"]) as server:
            with client(server) as sock:
                sock.sendall(request())
                assert said(sock) == seen("127.0.0.1", sock.getsockname()[1], False)
            with client(server, "127.0.0.2") as sock:
                sock.sendall(V1 + request())
                assert said(sock) == seen("192.0.2.1", 56324, False)

    def test_clients_are_counted_apart(self) -> None:
        with (
            serving(lambda ws: ws.receive(), proxy_protocol=True, max_connections_per_ip=1) as server,
            client(server) as one,
            client(server) as two,
            client(server) as three,
        ):
            answers = []
            for sock, head in ((one, V1), (two, V1.replace(b"192.0.2.1", b"192.0.2.2")), (three, V2)):
                sock.sendall(head + request())
                answers.append(int(read_head(sock.recv).split()[1]))
            assert answers == [101, 101, 429]


def ends_without_a_word(sock: Any) -> bool:
    try:
        return bool(sock.recv(100) == b"")
    except ConnectionResetError:  # bytes that nobody has read
        return True


HAPROXY = """
global
    log stdout format raw local0 notice

defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s

{sections}
"""

#: How a section of its configuration sends the head, whether its clients use TLS, and what is known of them then.
HAPROXY_SECTIONS = {
    "send-proxy": (False, False),
    "send-proxy-v2": (False, False),
    "send-proxy-v2-ssl": (False, False),
    "send-proxy-v2-ssl to TLS": (True, True),
    "send-proxy to TLS": (True, False),
}


class Haproxy(Server):
    """Debian's HAProxy, which passes bytes on and says who its client is: with a port for each section."""

    def __init__(self, directory: Path, certificates: Certificates, backend: int) -> None:
        super().__init__(directory)
        both = directory / "both.pem"
        both.write_bytes(certificates.certificate.read_bytes() + certificates.key.read_bytes())
        self.ports = {name: free_port() for name in HAPROXY_SECTIONS}
        sections = []
        for name, (tls, _) in HAPROXY_SECTIONS.items():
            bind = f"127.0.0.1:{self.ports[name]}" + (f" ssl crt {both}" if tls else "")
            how = name.split()[0]
            sections.append(f"listen {len(sections)}\n    bind {bind}\n    server one 127.0.0.1:{backend} {how}\n")
        config = directory / "haproxy.cfg"
        config.write_text(HAPROXY.format(sections="\n".join(sections)))
        try:
            self.start("Loading success", "-W", "-f", str(config), program=find_program("haproxy"))
        except BaseException:
            self.close()
            raise


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Haproxy]:
    options: dict[str, Any] = {"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"]}
    with serving(report, **options) as server:
        haproxy = Haproxy(tmp_path_factory.mktemp("haproxy"), certificates, server.server_port)
        try:
            yield haproxy
        finally:
            haproxy.close()


@pytest.mark.parametrize("name", HAPROXY_SECTIONS)
def test_haproxy_names_its_client(name: str, proxied: Haproxy, certificates: Certificates) -> None:
    tls, secure = HAPROXY_SECTIONS[name]
    sock = socket.create_connection(("127.0.0.1", proxied.ports[name]), 10, ("127.0.0.3", 0))
    port = sock.getsockname()[1]
    if tls:
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificates.authority)
        sock = context.wrap_socket(sock, server_hostname="localhost")
    with gevent.Timeout(10), sock:
        sock.sendall(request())
        assert said(sock) == seen("127.0.0.3", port, secure)
