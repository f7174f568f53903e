"""connect(): what it takes, what it refuses, and what its errors say."""

from __future__ import annotations

import os
import socket as stdlib_socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.event import AsyncResult, Event

import wsdriver
from tests.support.net import frame, free_port, read_head
from tests.support.recording import answering, listening
from tests.support.serving import echo, serving
from wsdriver.driver.server import accept_key


def agreed(head: str, extra: str = "") -> bytes:
    """Return the right answer to a request."""
    key = next(line[18:].strip() for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key:"))
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n{extra}\r\n"
    ).encode()


def failure(url: str, **options: Any) -> Any:
    """Return the error that an attempt ends with."""
    with pytest.raises((OSError, wsdriver.WebSocketError)) as caught:
        wsdriver.connect(url, **options)
    return caught.value


@contextmanager
def full_backlog(host: str, port: int) -> Iterator[int]:
    """Listen, and let nobody in any more; yields the port."""
    with socket.socket() as listener:
        listener.bind((host, port))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        gevent.sleep(0.05)
        try:
            yield address[1]
        finally:
            for filler in fillers:
                filler.close()


class Resolver:
    """In the place of gevent's: a name with the addresses that a test wants."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.seconds = 0.0

    def getaddrinfo(self, host: str, port: int, *_: Any) -> list[Any]:
        gevent.sleep(self.seconds)
        addresses = [host] if host.startswith("127.") else self.addresses
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver()
    monkeypatch.setattr(gevent.get_hub(), "resolver", resolver)
    return resolver


class TestMistakes:
    """What new users write; nothing is connected to."""

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("http://localhost/", "begins with ws:// or wss://, not 'http://localhost/'"),
            ("localhost:8000", "begins with ws:// or wss://"),
            ("", "begins with ws:// or wss://"),
            (None, "a URL is a str"),
            (b"ws://localhost/", "a URL is a str"),
            ("ws://", "no valid host"),
            ("ws:///path", "no valid host"),
            ("ws://host:99999/", "no valid host"),
            ("ws://host/#part", "no fragment"),
            ("ws://ho st/", "spaces"),
        ],
    )
    def test_url_wrong_is_said_clearly(self, url: Any, message: str) -> None:
        for function in (wsdriver.connect, wsdriver.reconnect):
            with pytest.raises(wsdriver.ConfigurationError, match=message):
                function(url)

    def test_url_wrong_does_not_show_its_password(self) -> None:
        with pytest.raises(wsdriver.ConfigurationError) as caught:
            wsdriver.connect("http://user:secret@localhost/")
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"verify": False}, "unknown option 'verify'"),
            ({"header": {}}, "did you mean 'headers'"),
            ({"timeout": 3}, "did you mean"),
            ({"tls": False}, "verify_peer"),
            ({"tls": "yes"}, "tls must be True, an ssl.SSLContext or a dict"),
            ({"tls": {"root_cert_fil": "x"}}, "tls: unknown option 'root_cert_fil': did you mean 'root_cert_file'"),
            ({"tls": {"root_cert_file": "/none.pem"}}, "tls: root_cert_file '/none.pem' cannot be used"),
            ({"tls": {"root_cert_file": []}}, "root_cert_file must be a path"),
            ({"tls": {"root_cert_file": 5}}, "root_cert_file must be a path"),
            ({"tls": {"root_cert_file": __file__}}, "cannot be used"),
            ({"tls": {"keyfile": "x"}}, "without certfile"),
            ({"tls": {"certfile": "/none.pem"}}, "tls: certfile '/none.pem' cannot be used"),
            ({"tls": {"verify_peer": "no"}}, "verify_peer must be True or False"),
            ({"tls": {"server_hostname": ""}}, "server_hostname must be"),
            ({"max_redirects": -1}, "max_redirects must be an int"),
            ({"max_redirects": True}, "max_redirects must be an int"),
            ({"proxy": 3128}, "proxy must be a URL"),
            ({"proxy": ""}, "proxy needs its 'origin'"),
            ({"proxy": {}}, "proxy needs its 'origin'"),
            ({"proxy": "localhost:3128"}, "proxy: .* http://user:password@host:port"),
            ({"proxy": "ftp://localhost"}, "neither http:// nor https://"),
            ({"proxy": "http://localhost/path"}, "something behind the host and port"),
            ({"proxy": "socks5://"}, "no valid host and port"),
            ({"proxy": "socks5://localhost:0"}, "no valid host and port"),
            ({"proxy": "socks5://localhost/path"}, "something behind the host and port"),
            ({"proxy": f"socks5://{'u' * 256}@localhost"}, "more than 255 bytes"),
            ({"proxy": "socks5://us%C3%A9r:x@localhost"}, "not ASCII"),
            ({"proxy": {"origin": "http://p", "header": {}}}, "proxy: unknown option 'header'"),
            ({"proxy": {"origin": "http://p", "headers": 3}}, "proxy: headers must be a mapping"),
            ({"proxy": {"origin": "http://p", "headers": {"X": "a\r\nb"}}}, "CR, LF"),
            ({"proxy": {"origin": "http://p", "headers": {"Content-Length": "1"}}}, "has no body"),
            ({"proxy": {"origin": "http://p", "tls": {}}}, "tls is for the way to an https:// proxy"),
            ({"proxy": {"origin": "https://p", "tls": False}}, "verify_peer"),
            ({"proxy": {"origin": "https://p", "tls": {"x": 1}}}, "proxy: tls: unknown option 'x'"),
            ({"proxy": {"origin": "socks5://p", "headers": {"X": "y"}}}, "neither headers nor tls"),
            ({"proxy": {"origin": "socks5://p", "tls": {}}}, "neither headers nor tls"),
            ({"unix": 5}, "unix must be the path"),
            ({"unix": ""}, "unix must be the path"),
            ({"sock": 5}, "sock must be a connected stream socket"),
            ({"unix": "/x", "proxy": "http://p"}, "proxy and unix exclude each other"),
        ],
    )
    def test_option_wrong_is_said_clearly(self, options: dict[str, Any], message: str) -> None:
        for function in (wsdriver.connect, wsdriver.reconnect):
            with pytest.raises(wsdriver.ConfigurationError, match=message) as caught:
                function("wss://localhost/", **options)
            assert caught.value.stage is None

    def test_tls_false_is_nothing_to_ws(self) -> None:
        with serving() as server, wsdriver.connect(server.url, tls=False) as ws:
            ws.send("plain")
            assert ws.receive(5) == "plain"


class TestStages:
    def test_name_that_nobody_has(self) -> None:
        error = failure("ws://nobody.invalid/")
        assert type(error) is stdlib_socket.gaierror
        assert error.stage == "resolve"
        assert "cannot resolve 'nobody.invalid': " in str(error)

    @pytest.mark.parametrize("host", ["a" * 64, "a..b"])
    def test_name_that_nobody_can_have(self, host: str, capfd: pytest.CaptureFixture[str]) -> None:
        error = failure(f"ws://{host}/")
        assert type(error) is stdlib_socket.gaierror
        assert error.stage == "resolve"
        assert "it is no domain name" in str(error)
        assert capfd.readouterr() == ("", ""), "gevent's thread pool prints what it does not know"

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_port_that_nobody_listens_on(self, host: str) -> None:
        port = free_port()
        error = failure(f"ws://{host}:{port}/")
        assert isinstance(error, ConnectionRefusedError)
        assert error.stage == "connect"
        assert f"cannot connect to {host}:{port}" in str(error)
        assert "Connection refused" in str(error)
        assert ("(" in str(error)) == (host == "localhost"), "the addresses that a name has"

    def test_unix_socket_that_is_not_there(self, tmp_path: Path) -> None:
        error = failure("ws://localhost/", unix=tmp_path / "none")
        assert type(error) is FileNotFoundError
        assert error.stage == "connect"
        assert "cannot connect to the Unix socket" in str(error)

    @pytest.mark.parametrize(
        ("answer", "status", "stage", "message"),
        [
            (b"HTTP/1.1 503 Busy\r\n\r\n", 503, "http", "answered 503 Busy"),
            (b"HTTP/1.1 200 OK\r\n\r\n", 200, "http", "answered 200 OK"),
            (b"", 0, "handshake", "ended the connection before it had answered"),
            (b"HTTP/1.1 10", 0, "handshake", "ended the connection before it had answered"),
            (b"SSH-2.0-OpenSSH\r\n\r\n", 0, "handshake", "not HTTP"),
            (b"\x15\x03\x03", 0, "handshake", "not HTTP"),
            (b"HTTP/1.1 101 Yes\r\nUpgrade: tea\r\n\r\n", 101, "handshake", "Upgrade header is 'tea'"),
            (b"HTTP/1.1 101\r\n\r\n", 101, "handshake", "Upgrade header is ''"),
        ],
    )
    def test_answer_that_is_none(self, answer: bytes, status: int, stage: str, message: str) -> None:
        with answering(answer) as server:
            error = failure(server.url)
        assert type(error) is wsdriver.HandshakeError
        assert (error.status, error.stage) == (status, stage)
        assert message in str(error)

    def test_answer_behind_informational_ones(self) -> None:
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

        def both(head: str) -> list[bytes]:
            return [hints[:10], hints[10:] + hints + agreed(head)[:5], agreed(head)[5:] + frame(1, b"x", mask=None)]

        with answering(both, [hints, hints + b"HTTP/1.1 401 No\r\n\r\n", b"who?"], [hints] * 11) as server:
            ws = wsdriver.connect(server.url)
            assert (ws.receive(5), ws.status) == ("x", 101)
            ws.terminate()
            error = failure(server.url)
            assert (error.status, error.body) == (401, b"who?")
            assert "more than 10 informational answers" in str(failure(server.url))

    def test_connection_that_is_reset(self) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            sock, _ = listener.accept()
            sock.recv(10)  # and leaves the rest: the close is a reset
            sock.close()

        with listener:
            serving_it = gevent.spawn(serve)
            error = failure(f"ws://127.0.0.1:{listener.getsockname()[1]}/")
            serving_it.join()
        assert type(error) is wsdriver.HandshakeError
        assert (error.status, error.stage) == (0, "handshake")
        assert isinstance(error.__cause__, ConnectionResetError)
        assert str(error).startswith("no answer from ws://127.0.0.1")

    def test_messages_show_no_password(self) -> None:
        for answers in ([b"HTTP/1.1 302 Go\r\nLocation: ws://u:secret@x/\r\n\r\n"], [b""]):
            with answering(*answers) as server:
                assert "secret" not in str(failure(server.url.replace("//", "//user:secret@")))


class TestTimeouts:
    def test_silent_server(self) -> None:
        with answering(b"HTTP/1.1 101 Yes\r\n", stays=True) as server:
            started = monotonic()
            error = failure(server.url, open_timeout=0.2)
        assert type(error) is TimeoutError
        assert error.stage == "handshake"
        assert str(error) == f"no answer from {server.url} within 0.2 seconds"
        assert monotonic() - started < 5

    def test_drip_is_no_life(self) -> None:
        """A byte now and then does not lengthen it."""
        with answering([b"HTTP/1.1 101 Yes\r\n", *[b"X: y\r\n"] * 200], stays=True) as server:
            assert failure(server.url, open_timeout=0.3).stage == "handshake"

    def test_connection_that_nobody_accepts(self) -> None:
        with full_backlog("127.0.0.1", 0) as port:
            error = failure(f"ws://127.0.0.1:{port}/", open_timeout=0.3)
        assert type(error) is TimeoutError
        assert error.stage == "connect"
        assert "within 0.3 seconds" in str(error)

    def test_redirects_are_within_it(self) -> None:
        def slow(head: str) -> Iterator[bytes]:
            gevent.sleep(0.15)
            yield b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"

        with answering(slow) as server:
            started = monotonic()
            error = failure(server.url, open_timeout=0.5, max_redirects=1000)
        assert type(error) is TimeoutError
        assert monotonic() - started < 5
        assert 1 <= len(server.heads) <= 6

    def test_process_that_was_busy_before_is_not_late(self) -> None:
        """The loop's clock stands still while nobody runs it."""
        import time

        with serving() as server:
            time.sleep(1.6)
            wsdriver.connect(server.url, open_timeout=1.5).close()

    def test_timeout_of_the_caller_comes_through(self) -> None:
        with answering(b"", stays=True) as server, pytest.raises(gevent.Timeout) as caught, gevent.Timeout(0.1) as own:
            wsdriver.connect(server.url)
        assert caught.value is own

    def test_none_waits(self) -> None:
        with serving() as server, wsdriver.connect(server.url, open_timeout=None) as ws:
            assert ws.status == 101


class TestBody:
    @pytest.mark.parametrize(
        "segments",
        [
            [b"HTTP/1.1 401 No\r\nContent-Length: 12\r\n\r\nwho are you?"],
            [b"HTTP/1.1 401 No\r\nContent-Length: 12\r\n\r\n", b"who ", b"are ", b"you?"],
            [b"HTTP/1.1 401 No\r\nContent-Length: 12\r\n\r\nwho ", b"are you?HTTP/1.1 200 OK\r\n"],
            [
                b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwho ",
                b"\r\n8;x\r\nare ",
                b"you?\r\n0\r\n\r\n",
            ],
        ],
    )
    def test_comes_in_any_segments(self, segments: list[bytes]) -> None:
        """The server keeps the connection open: the body's own end is enough."""
        with answering(segments, stays=True) as server:
            started = monotonic()
            error = failure(server.url, open_timeout=60)
        assert (error.status, error.body) == (401, b"who are you?")
        assert monotonic() - started < 30

    def test_ends_with_the_connection(self) -> None:
        with answering([b"HTTP/1.1 500 Oh\r\n\r\n", b"some", b"thing"]) as server:
            assert failure(server.url).body == b"something"

    def test_is_cut_where_the_server_cuts_it(self) -> None:
        with answering([b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\n", b"some"]) as server:
            assert failure(server.url).body == b"some"

    def test_is_no_more_than_its_first_bytes(self) -> None:
        with answering([b"HTTP/1.1 500 Oh\r\nContent-Length: 10000000\r\n\r\n", b"x" * 700, b"y" * 700]) as server:
            assert failure(server.url).body == b"x" * 700 + b"y" * 324

    def test_is_not_waited_for_long(self) -> None:
        with answering([b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\n", b"some"], stays=True) as server:
            started = monotonic()
            error = failure(server.url, open_timeout=60)
        assert error.body == b"some"
        assert monotonic() - started < 30

    def test_headers_come_with_it(self) -> None:
        with answering(b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n") as server:
            error = failure(server.url)
        assert (error.status, error.headers["retry-after"], error.body) == (429, "7", b"")

    def test_of_a_wsgi_application(self) -> None:
        def refuse(ws: wsdriver.WebSocket) -> None:
            ws._driver.refuse(wsdriver.HandshakeError("not today", 403))

        with serving(refuse) as server:
            error = failure(server.url)
        assert (error.status, error.stage) == (403, "http")
        assert b"not today" in error.body


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_are_followed_on_request(self, status: int) -> None:
        with serving(lambda ws: ws.send(ws.handshake.path)) as target:
            answer = f"HTTP/1.1 {status} Go\r\nLocation: {target.url}there\r\n\r\n".encode()
            with answering(answer) as server:
                with wsdriver.connect(server.url, max_redirects=1) as ws:
                    assert ws.receive(5) == "/there"
                    assert (ws.url, ws.status) == (target.url + "there", 101)
                error = failure(server.url)
        assert (error.status, error.stage) == (status, "http")
        assert f"it redirects to '{target.url}there', which max_redirects=1 would follow" in str(error)

    @pytest.mark.parametrize(
        ("location", "path"),
        [
            ("/absolute?a=b", "/absolute?a=b"),
            ("relative", "/from/relative"),
            ("../up", "/up"),
            ("?q=1", "/from/here?q=1"),
            ("http://127.0.0.1:{port}/x#part", "/x"),
            ("//127.0.0.1:{port}/y", "/y"),
            ("WS://127.0.0.1:{port}/z", "/z"),
            ("/caf\u00e9 ".strip(), "/caf%E9"),
        ],
    )
    def test_locations_of_every_form_are_understood(self, location: str, path: str) -> None:
        answers: list[Any] = []
        with answering() as server:
            server.answers = answers
            line = location.format(port=server.port)
            answers += [f"HTTP/1.1 302 Go\r\nLocation: {line}\r\n\r\n".encode("latin-1"), agreed]
            with wsdriver.connect(server.url + "from/here", max_redirects=3) as ws:
                assert ws.url == f"ws://127.0.0.1:{server.port}{path}"
                ws.terminate()
        assert server.heads[1].startswith(f"GET {path} HTTP/1.1\r\n")

    def test_too_many_end_with_the_last_one(self) -> None:
        with answering([b"HTTP/1.1 302 Go\r\nLocation: /again\r\nContent-Length: 4\r\n\r\n", b"body"]) as server:
            error = failure(server.url, max_redirects=3)
        assert (error.status, error.stage, error.headers["Location"]) == (302, "http", "/again")
        assert "after 3 redirects" in str(error)
        assert error.body == b"body"
        assert len(server.heads) == 4

    @pytest.mark.parametrize(
        ("location", "message"),
        [
            ("ftp://127.0.0.1/", "neither ws:// nor wss://"),
            ("javascript:alert(1)", "neither ws:// nor wss://"),
            ("ws://:99999/", "no valid host"),
            ("ws://[::1/", "no valid"),
            ("", "it redirects to ''"),
        ],
    )
    def test_to_nowhere_are_refused(self, location: str, message: str) -> None:
        with answering(f"HTTP/1.1 302 Go\r\nLocation: {location}\r\n\r\n".encode()) as server:
            error = failure(server.url, max_redirects=1)
        assert type(error) is wsdriver.HandshakeError
        assert (error.status, error.stage) == (302, "http")
        assert message in str(error)

    def test_without_a_location_are_refusals(self) -> None:
        with answering(b"HTTP/1.1 302 Go\r\n\r\n") as server:
            assert failure(server.url, max_redirects=1).status == 302

    def test_to_another_origin_go_without_credentials(self) -> None:
        secrets = {"Authorization": "Bearer a", "Cookie": "b=c", "Proxy-Authorization": "d", "Host": "e"}
        with answering(agreed) as target:
            answer = f"HTTP/1.1 302 Go\r\nLocation: ws://evil:pw@127.0.0.1:{target.port}/\r\n\r\n".encode()
            with answering(answer) as server:
                ws = wsdriver.connect(server.url, headers={**secrets, "X-Kept": "yes"}, max_redirects=1)
                ws.terminate()
                ws = wsdriver.connect(server.url.replace("//", "//user:pw@"), max_redirects=1)
                ws.terminate()
        for name in secrets:
            assert f"\r\n{name}: " in server.heads[0]
            assert name == "Host" or f"\r\n{name}: " not in target.heads[0]
        assert f"\r\nHost: 127.0.0.1:{target.port}\r\n" in target.heads[0]
        assert "\r\nX-Kept: yes\r\n" in target.heads[0]
        assert "\r\nAuthorization: Basic " in server.heads[1]
        assert "Authorization" not in target.heads[1]
        assert ws.url == f"ws://127.0.0.1:{target.port}/"

    def test_within_the_origin_go_with_credentials(self) -> None:
        with answering() as server:
            location = server.url + "in"
            server.answers = [f"HTTP/1.1 302 Go\r\nLocation: {location}\r\n\r\n".encode(), agreed]
            url = server.url.replace("//", "//user:pw@")
            wsdriver.connect(url, headers={"Cookie": "a=b"}, max_redirects=1).terminate()
        first, second = server.heads
        assert second.startswith("GET /in ")
        for line in ("\r\nCookie: a=b\r\n", "\r\nAuthorization: Basic dXNlcjpwdw==\r\n"):
            assert line in first
            assert line in second

    def test_that_come_back_do_not_bring_the_credentials_back(self) -> None:
        with answering() as other, answering() as server:
            other.answers = [f"HTTP/1.1 302 Go\r\nLocation: {server.url}\r\n\r\n".encode()]
            server.answers = [f"HTTP/1.1 302 Go\r\nLocation: {other.url}\r\n\r\n".encode(), agreed]
            url = server.url.replace("//", "//user:pw@")
            wsdriver.connect(url, headers={"Cookie": "a=b"}, max_redirects=2).terminate()
        assert "Cookie" not in server.heads[1]
        assert "Authorization" not in server.heads[1]

    def test_keep_the_offer(self) -> None:
        def choose(head: str) -> bytes:
            return agreed(head, "Sec-WebSocket-Protocol: chat\r\n")

        with answering(b"HTTP/1.1 307 Go\r\nLocation: /a\r\n\r\n", choose) as server:
            ws = wsdriver.connect(server.url, ["chat", "other"], max_redirects=1)
            assert ws.protocol == "chat"
            ws.terminate()

    def test_from_a_ready_socket_are_not_followed(self) -> None:
        with answering(b"HTTP/1.1 302 Go\r\nLocation: /a\r\n\r\n") as server:
            sock = socket.create_connection(("127.0.0.1", server.port))
            error = failure(server.url, sock=sock, max_redirects=5)
        assert "where a ready socket cannot follow" in str(error)


class TestWays:
    @pytest.mark.skipif(not stdlib_socket.has_ipv6, reason="needs IPv6")
    def test_ipv6(self) -> None:
        try:
            listener = socket.socket(socket.AF_INET6)
            listener.bind(("::1", 0))
        except OSError:
            pytest.skip("needs ::1")
        listener.listen()
        port = listener.getsockname()[1]
        with serving_on(listener), wsdriver.connect(f"ws://[::1]:{port}/") as ws:
            ws.send("six")
            assert ws.receive(5) == "six"
            assert ws.remote_address[:2] == ("::1", port)

    def test_name_with_several_addresses_tries_them_all(self) -> None:
        """localhost is ::1 and 127.0.0.1 on most machines; the server has the last one only."""
        with serving() as server, wsdriver.connect(server.url.replace("127.0.0.1", "localhost")) as ws:
            assert ws.remote_address[0] == "127.0.0.1"

    def test_address_that_refuses_is_not_the_last(self, resolver: Resolver) -> None:
        resolver.addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
        with serving() as server, wsdriver.connect(f"ws://many.example:{server.server_port}/") as ws:
            assert ws.remote_address == ("127.0.0.1", server.server_port)
        error = failure(f"ws://many.example:{free_port()}/")
        assert isinstance(error, ConnectionRefusedError)
        assert "(127.0.0.2, 127.0.0.3, 127.0.0.1): Connection refused" in str(error)

    def test_address_that_swallows_everything_leaves_time_for_the_next(self, resolver: Resolver) -> None:
        with serving() as server, full_backlog("127.0.0.2", server.server_port):
            resolver.addresses = ["127.0.0.2", "127.0.0.1"]
            with wsdriver.connect(f"ws://many.example:{server.server_port}/", open_timeout=2) as ws:
                assert ws.remote_address == ("127.0.0.1", server.server_port)

    def test_name_without_any_address(self, resolver: Resolver) -> None:
        error = failure("ws://many.example/")
        assert (type(error), error.stage) == (OSError, "connect")
        assert str(error) == "cannot connect to many.example:80 (): the name has no address"

    def test_resolver_that_takes_its_time(self, resolver: Resolver) -> None:
        resolver.seconds = 60
        error = failure("ws://many.example/", open_timeout=0.2)
        assert (type(error), error.stage) == (TimeoutError, "resolve")
        assert str(error) == "cannot resolve 'many.example' within 0.2 seconds"

    def test_unix_socket(self, tmp_path: Path) -> None:
        path = tmp_path / "socket"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        heads: list[str] = []

        def handler(ws: wsdriver.WebSocket) -> None:
            heads.append(ws.handshake.headers["Host"])
            echo(ws)

        with serving_on(listener, handler):
            for given in (path, str(path), os.fsencode(path)):
                with wsdriver.connect("ws://some.host/path", unix=given) as ws:
                    ws.send("through a file")
                    assert ws.receive(5) == "through a file"
        assert heads == ["some.host"] * 3

    def test_unix_socket_and_redirects(self, tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with answering() as server:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen()
            from gevent.server import StreamServer

            unix_server = StreamServer(listener, server.handle)
            unix_server.start()
            server.answers = [
                b"HTTP/1.1 302 Go\r\nLocation: /in\r\n\r\n",
                agreed,
                b"HTTP/1.1 302 Go\r\nLocation: ws://other.host/\r\n\r\n",
            ]
            try:
                ws = wsdriver.connect("ws://some.host/", unix=path, max_redirects=1)
                assert ws.url == "ws://some.host/in"
                ws.terminate()
                error = failure("ws://some.host/", unix=path, max_redirects=1)
            finally:
                unix_server.stop(timeout=1)
        assert (error.status, error.stage) == (302, "http")
        assert "not behind the Unix socket" in str(error)

    @pytest.mark.parametrize("kind", [stdlib_socket, socket], ids=["plain", "gevent"])
    def test_ready_socket(self, kind: Any) -> None:
        with serving() as server:
            sock = kind.create_connection(("127.0.0.1", server.server_port))
            with wsdriver.connect("ws://another.host/", sock=sock) as ws:
                ws.send("over my own")
                assert ws.receive(5) == "over my own"
                assert ws.remote_address == ("127.0.0.1", server.server_port)
            assert sock.fileno() == -1, "it is the WebSocket's now"

    def test_ready_socket_that_is_not_connected_is_refused(self) -> None:
        with socket.socket() as sock, pytest.raises(wsdriver.ConfigurationError, match="connected stream socket"):
            wsdriver.connect("ws://host/", sock=sock)
        with (
            stdlib_socket.socket(type=stdlib_socket.SOCK_DGRAM) as sock,
            pytest.raises(wsdriver.ConfigurationError, match="connected stream socket"),
        ):
            wsdriver.connect("ws://host/", sock=sock)

    @pytest.mark.parametrize("scheme", ["ws", "wss"])
    def test_ready_socket_that_the_peer_has_reset_is_no_mistake_of_the_callers(self, scheme: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            sock = socket.create_connection(listener.getsockname()[:2])
            peer, _ = listener.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
        error = failure(f"{scheme}://localhost/", sock=sock, open_timeout=5)
        assert not isinstance(error, wsdriver.ConfigurationError)
        assert error.stage == {"ws": "handshake", "wss": "tls"}[scheme]

    def test_ready_socket_beside_a_proxy_is_refused(self) -> None:
        one, other = socket.socketpair()
        with one, other, pytest.raises(wsdriver.ConfigurationError, match="proxy and sock exclude each other"):
            wsdriver.connect("ws://host/", sock=one, proxy="http://p:1")

    def test_ready_socket_cannot_come_back(self) -> None:
        one, other = socket.socketpair()
        with one, other, pytest.raises(wsdriver.ConfigurationError, match="sock is one connection"):
            wsdriver.reconnect("ws://host/", sock=one)

    def test_frames_and_close_in_one_piece_with_the_answer(self) -> None:
        def all_at_once(head: str) -> bytes:
            early = [frame(9, b"ping", mask=None), frame(1, b"early", mask=None), frame(8, b"\x0f\xa0", mask=None)]
            return agreed(head) + b"".join(early)

        with answering(all_at_once) as server:
            ws = wsdriver.connect(server.url)
            assert list(ws) == ["early"]
            assert (ws.close_code, ws.was_clean) == (4000, True)
            ws.close()

    def test_ping_in_one_piece_with_the_answer_is_answered_at_once(self) -> None:
        answers: AsyncResult = AsyncResult()

        def handle(sock: Any, address: Any) -> None:
            head = read_head(sock.recv).decode()
            sock.sendall(agreed(head) + frame(9, b"", mask=None))
            answers.set(sock.recv(100))

        with listening(handle) as port:
            ws = wsdriver.connect(f"ws://127.0.0.1:{port}/", ping=None)
            assert answers.get(timeout=10)[:2] == b"\x8a\x80", "a pong, masked, without a payload"
            ws.terminate()

    def test_headers_extensions_and_limits_arrive(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            ws.send(ws.handshake.headers["X-Token"])
            ws.send("x" * 1000)

        deflate = wsdriver.PermessageDeflate()
        with serving(handler, extensions=[deflate]) as server:
            options: dict[str, Any] = {"headers": {"X-Token": "t"}, "extensions": [deflate], "max_length": 500}
            with wsdriver.connect(server.url, ping=None, **options) as ws:
                assert ws.headers is not None
                assert "permessage-deflate" in ws.headers["Sec-WebSocket-Extensions"]
                assert ws.receive(5) == "t"
                assert ws.receive(5) is None
                assert ws.close_code == 1009


class TestThreads:
    def test_each_has_its_own(self) -> None:
        """Plain threads of an unpatched program, all at once; the server is a thread's as well."""
        ready, over = threading.Event(), threading.Event()
        known: list[str] = []

        def serve() -> None:
            with serving() as server:
                known.append(server.url)
                ready.set()
                while not over.is_set():
                    gevent.sleep(0.01)

        counts: list[int] = []

        def talk(name: int) -> None:
            with wsdriver.connect(known[0]) as ws:
                for number in range(20):
                    ws.send(f"{name}-{number}")
                    assert ws.receive(20) == f"{name}-{number}"
                counts.append(name)

        server = threading.Thread(target=serve)
        server.start()
        assert ready.wait(20)
        talkers = [threading.Thread(target=talk, args=[name]) for name in range(8)]
        for thread in talkers:
            thread.start()
        for thread in talkers:
            thread.join(60)
        over.set()
        server.join(20)
        assert sorted(counts) == list(range(8))


def serving_on(listener: Any, handler: Any = echo) -> Any:
    """Serve on a socket that listens already."""

    @contextmanager
    def run() -> Iterator[wsdriver.WebSocketServer]:
        server = wsdriver.WebSocketServer(listener, handler)
        server.start()
        try:
            yield server
        finally:
            server.stop(timeout=1)

    return run()


def test_script_that_sleeps_behind_a_send_has_sent_all_the_same() -> None:
    """Messages that wait to be received hold nothing back: a script may not come back to gevent for long."""

    def handler(ws: wsdriver.WebSocket) -> None:
        for number in range(10):
            ws.send(str(number))
        for _ in ws:
            pass

    with serving(handler) as server, wsdriver.connect(server.url) as ws:
        assert gevent.getcurrent().parent is None
        assert ws.receive(5) == "0"
        ws.send("reply")
        assert ws.buffered_amount == 0
        gevent.sleep(0.05)
        ws.send("not resumed by a message")
        assert ws.buffered_amount == 0
        assert [ws.receive(5) for _ in range(9)] == [str(number) for number in range(1, 10)]


class TestLeftBehind:
    """Listeners are called by who is in run(). Where that greenlet has gone, they hear of the end all the same."""

    @pytest.mark.parametrize("how", ["kill", "timeout", "error", "kill in send"])
    def test_listener_hears_the_end_once_when_run_is_left_early(self, how: str) -> None:
        heard: list[Any] = []
        there, left, over = Event(), Event(), Event()

        def client(url: str) -> None:
            try:
                with wsdriver.connect(url) as ws, gevent.Timeout(0.1 if how == "timeout" else None):
                    ws.on("close", lambda event: heard.append(event.code))
                    ws.on("message", fail)
                    there.set()
                    ws.send(bytes(8 * 1024 * 1024) if how == "kill in send" else "x")
                    ws.run()
            except (gevent.Timeout, ZeroDivisionError):
                left.set()

        def fail(event: Any) -> None:
            if how == "error":
                raise ZeroDivisionError

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.accept()
            if how == "kill in send":
                over.wait(20)
            echo(ws)

        with serving(handler, close_timeout=1) as server, gevent.Timeout(20):
            greenlet = gevent.spawn(client, server.url)
            assert there.wait(10)
            if how.startswith("kill"):
                greenlet.kill()
            else:
                assert left.wait(10)
            gevent.sleep(0.1)  # for a second one that must not come
            over.set()
        assert heard == [1011 if how == "error" else 1006]

    def test_end_is_told_behind_the_messages_that_another_greenlet_is_at(self) -> None:
        heard: list[Any] = []

        def slowly(event: Any) -> None:
            gevent.sleep(0.1)
            heard.append(event.data)

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.send("one")
            ws.send("two")
            ws.receive()

        with serving(handler) as server, gevent.Timeout(20):
            with wsdriver.connect(server.url) as ws:
                ws.on("message", slowly)
                ws.on("close", lambda event: heard.append(event.code))
                running = gevent.spawn(ws.run)
                gevent.sleep(0.05)
            running.get()
        assert heard == ["one", "two", 1000]
