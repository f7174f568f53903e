"""connect() through proxies: HTTP CONNECT, https:, SOCKS; from the environment; a real one from Debian."""

from __future__ import annotations

import gc
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.ssl
import pytest
from gevent.event import Event

import wsdriver
from tests.green.test_client import agreed
from tests.support.net import frame, free_port
from tests.support.peers import need_module
from tests.support.recording import HttpProxy, SocksProxy, answering, http_proxy, listening, socks_proxy
from tests.support.serving import serving
from tests.support.tinyproxy import Tinyproxy, tinyproxy
from tests.support.tls import Authority, Certificates

SECRET = "a sentence that only TLS hides"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def right(authority: Authority) -> Certificates:
    return authority.issue("localhost", "127.0.0.1")


@pytest.fixture(autouse=True)
def environment_without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def talk(url: str, **options: Any) -> None:
    """Check that messages come back, small ones and one of many records."""
    with wsdriver.connect(url, **options) as ws:
        for message in (SECRET, b"x" * 300_000, "", SECRET):
            ws.send(message)
            assert ws.receive(10) == message
    assert (ws.close_code, ws.was_clean) == (1000, True)


def failure(url: str, **options: Any) -> Any:
    """Return the error that an attempt ends with."""
    with pytest.raises((OSError, wsdriver.WebSocketError)) as caught:
        wsdriver.connect(url, **options)
    return caught.value


@contextmanager
def either(secure: bool, certificates: Certificates) -> Iterator[tuple[str, dict[str, Any]]]:
    """Echo with TLS or without; yields the URL by name, and the options that connect to it."""
    tls = {"certfile": str(certificates.certificate), "keyfile": str(certificates.key)} if secure else {}
    with serving(**tls) as server:
        options = {"tls": {"root_cert_file": certificates.authority}} if secure else {}
        yield f"{'wss' if secure else 'ws'}://localhost:{server.server_port}/", options


def port_of(url: str) -> int:
    return int(url.split(":")[2].strip("/"))


class TestHttp:
    @pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
    def test_tunnel_is_asked_for_by_name_and_carries_all(self, secure: bool, right: Certificates) -> None:
        with either(secure, right) as (url, options), http_proxy() as proxy:
            talk(url, proxy=f"http://127.0.0.1:{proxy.port}", **options)
            port = port_of(url)
        assert proxy.heads[0].startswith(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n")
        assert proxy.targets == [("localhost", port)]
        if secure:
            assert proxy.to_server.startswith(b"\x16\x03"), "a TLS ClientHello"
            assert b"localhost" in proxy.to_server, "SNI is the target's name"
            assert b"GET / HTTP/1.1" not in proxy.to_server
        else:
            assert proxy.to_server.startswith(b"GET / HTTP/1.1\r\n")

    def test_target_is_checked_and_not_the_proxy(self, authority: Authority) -> None:
        """The certificate fits the proxy's own name, and it leads every tunnel to itself."""
        of_proxy = authority.issue("127.0.0.1")
        with either(True, of_proxy) as (url, options), http_proxy() as proxy:
            proxy.leads_to = ("127.0.0.1", port_of(url))
            error = failure("wss://bank.invalid/", proxy=f"http://127.0.0.1:{proxy.port}", **options)
            assert error.stage == "tls"
            assert "certificate is not valid for 'bank.invalid'" in str(error)
            assert proxy.targets == [("bank.invalid", 443)]

    def test_name_and_password_are_decoded(self, right: Certificates) -> None:
        with either(False, right) as (url, _), http_proxy() as proxy:
            talk(url, proxy=f"http://us%40r:p%3Aw@127.0.0.1:{proxy.port}")
        assert "\r\nProxy-Authorization: Basic dXNAcjpwOnc=\r\n" in proxy.heads[0]
        assert b"Proxy-Authorization" not in proxy.to_server

    def test_headers_of_the_dict_are_for_the_proxy_only(self, right: Certificates) -> None:
        with either(False, right) as (url, _), http_proxy() as proxy:
            given = {"origin": f"http://127.0.0.1:{proxy.port}", "headers": {"User-Agent": "mine", "Host": "h"}}
            talk(url, proxy=given, headers={"X-Target": "yes"})
        assert "\r\nUser-Agent: mine\r\nHost: h\r\n" in proxy.heads[0]
        assert "X-Target" not in proxy.heads[0]
        assert b"mine" not in proxy.to_server
        assert b"\r\nX-Target: yes\r\n" in proxy.to_server

    @pytest.mark.parametrize(
        ("answer", "status", "message", "body"),
        [
            ([b"HTTP/1.1 407 Auth\r\nContent-Length: 5\r\n\r\n", b"login"], 407, "answered 407 Auth", b"login"),
            ([b"HTTP/1.1 403 No\r\n\r\n", b"not ", b"there"], 403, "answered 403 No", b"not there"),
            ([b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n"], 502, "answered 502 Bad", b""),
            ([b"HTTP/1.1 101 Yes\r\n\r\n"], 101, "answered 101 Yes", b""),
            ([b""], 0, "ended the connection before it had answered", b""),
            ([b"HTTP/1.1 20"], 0, "ended the connection before it had answered", b""),
            ([b"SSH-2.0-x\r\n\r\n"], 0, "gave no right answer: not HTTP", b""),
        ],
    )
    def test_refusal_is_a_proxy_error(self, answer: list[bytes], status: int, message: str, body: bytes) -> None:
        with http_proxy() as proxy:
            proxy.answer = answer
            error = failure("wss://localhost/", proxy=f"http://user:secret@127.0.0.1:{proxy.port}")
        assert type(error) is wsdriver.ProxyError
        assert (error.status, error.stage, error.body) == (status, "proxy", body)
        assert f"the proxy 127.0.0.1:{proxy.port}" in str(error)
        assert message in str(error)
        assert "secret" not in str(error)

    def test_proxy_that_is_not_there(self) -> None:
        port = free_port()
        error = failure("ws://localhost/", proxy=f"http://127.0.0.1:{port}")
        assert type(error) is wsdriver.ProxyError
        assert (error.status, error.stage) == (0, "proxy")
        assert isinstance(error.__cause__, ConnectionRefusedError)
        assert str(error) == f"the proxy 127.0.0.1:{port}: cannot connect to 127.0.0.1:{port}: Connection refused"

    def test_proxy_that_nobody_knows(self) -> None:
        error = failure("ws://localhost/", proxy="http://proxy.invalid:3128")
        assert type(error) is wsdriver.ProxyError
        assert (error.status, error.stage, type(error.__cause__).__name__) == (0, "proxy", "gaierror")
        assert "cannot resolve 'proxy.invalid'" in str(error)

    def test_proxy_that_is_silent(self) -> None:
        with http_proxy() as proxy:
            proxy.answer = [b"HTTP/1.1 200 "] + [b"x"] * 100
            error = failure("ws://localhost/", proxy=f"http://127.0.0.1:{proxy.port}", open_timeout=0.2)
        assert type(error) is TimeoutError
        assert error.stage == "proxy"
        assert str(error) == f"no answer from the proxy 127.0.0.1:{proxy.port} within 0.2 seconds"

    def test_bytes_behind_its_answer_are_kept(self) -> None:
        """A proxy may join its 200 and the target's first bytes."""
        with http_proxy() as proxy:
            proxy.behind = b"HTTP/1.1 418 Teapot\r\nContent-Length: 5\r\n\r\nshort"
            with serving() as server:
                error = failure(server.url, proxy=f"http://127.0.0.1:{proxy.port}")
        assert (error.status, error.body, error.stage) == (418, b"short", "http")

    def test_bytes_of_its_own_before_tls_are_refused(self, right: Certificates) -> None:
        with either(True, right) as (url, options), http_proxy() as proxy:
            proxy.behind = b"HTTP/1.1 101 Yes\r\n"
            error = failure(url, proxy=f"http://127.0.0.1:{proxy.port}", **options)
        assert type(error) is wsdriver.ProxyError
        assert "sent bytes of its own" in str(error)

    def test_refusal_of_the_target_is_none_of_the_proxy(self) -> None:
        def refuse(ws: wsdriver.WebSocket) -> None:
            ws._driver.refuse(wsdriver.HandshakeError("no", 403))

        with serving(refuse) as server, http_proxy() as proxy:
            error = failure(server.url, proxy=f"http://127.0.0.1:{proxy.port}")
        assert type(error) is wsdriver.HandshakeError
        assert (error.status, error.stage) == (403, "http")

    def test_redirects_go_through_it_as_well(self) -> None:
        with serving() as target, http_proxy() as proxy:
            with answering(f"HTTP/1.1 302 Go\r\nLocation: {target.url}\r\n\r\n".encode()) as server:
                talk(server.url, proxy=f"http://127.0.0.1:{proxy.port}", max_redirects=1)
            assert proxy.targets == [("127.0.0.1", server.port), ("127.0.0.1", target.server_port)]


class TestHttps:
    """TLS to the proxy; for wss: another TLS inside of it."""

    @pytest.fixture
    def proxy(self, right: Certificates) -> Iterator[HttpProxy]:
        with http_proxy(right) as proxy:
            yield proxy

    def settings(self, proxy: HttpProxy, right: Certificates) -> dict[str, Any]:
        return {"origin": f"https://localhost:{proxy.port}", "tls": {"root_cert_file": right.authority}}

    @pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
    def test_carries_all(self, secure: bool, right: Certificates, proxy: HttpProxy) -> None:
        with either(secure, right) as (url, options):
            talk(url, proxy=self.settings(proxy, right), **options)
        # What the proxy sees, its own TLS taken off.
        assert proxy.to_server.startswith(b"\x16\x03" if secure else b"GET / ")

    def test_carries_much_at_once_in_both_directions(self, right: Certificates, proxy: HttpProxy) -> None:
        message = os.urandom(1_500_000)
        with (
            either(True, right) as (url, options),
            wsdriver.connect(url, proxy=self.settings(proxy, right), **options) as ws,
        ):
            sender = gevent.spawn(lambda: [ws.send(message) for _ in range(3)])
            assert [ws.receive(30) == message for _ in range(3)] == [True] * 3
            sender.get()

    def test_slow_target_behind_a_socket_of_gevents_ssl_stops_nobody_else(
        self, right: Certificates, proxy: HttpProxy
    ) -> None:
        """In a patched program every SSLContext makes such sockets, whose send() returns 0 where it would wait."""
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(right.authority)
        slow = {"origin": f"https://localhost:{proxy.port}", "tls": context}
        go_on = Event()

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.accept()
            go_on.wait(60)
            total = 0
            for message in ws:
                if message == "end":
                    ws.send(str(total))
                else:
                    total += len(message)

        tls = {"certfile": str(right.certificate), "keyfile": str(right.key)}
        with serving(handler, **tls) as server:
            url = f"wss://localhost:{server.server_port}/"
            with wsdriver.connect(url, proxy=slow, tls={"root_cert_file": right.authority}) as ws:
                sent = 0

                def send() -> None:
                    nonlocal sent
                    while not go_on.is_set():
                        ws.send(bytes(1_000_000))
                        sent += 1

                sender = gevent.spawn(send)
                before = -1
                while sent > before:  # however much the system's buffers take
                    before = sent
                    gevent.sleep(0.3)
                assert not sender.ready()
                go_on.set()
                sender.get(timeout=20)
                ws.send("end")
                assert ws.receive(20) == str(sent * 1_000_000)

    def test_proxy_is_checked(self, right: Certificates, proxy: HttpProxy) -> None:
        for options in ({}, {"tls": {"root_cert_file": right.authority}}):
            error = failure("wss://localhost/", proxy=f"https://localhost:{proxy.port}", **options)
            assert type(error) is wsdriver.ProxyError
            assert (error.status, error.stage) == (0, "proxy")
            assert type(error.__cause__).__name__ == "SSLCertVerificationError"
            assert "unable to get local issuer certificate" in str(error)
        assert proxy.heads == []

    def test_target_is_checked_inside(self, authority: Authority, right: Certificates, proxy: HttpProxy) -> None:
        for certificates, message in (
            (authority.issue("another.host"), "certificate is not valid for 'localhost'"),
            (authority.issue("localhost", expired=True), "certificate has expired"),
        ):
            with either(True, certificates) as (url, options):
                error = failure(url, proxy=self.settings(proxy, right), **options)
            assert type(error).__name__ == "SSLCertVerificationError"
            assert error.stage == "tls"
            assert message in str(error)

    def test_target_that_is_silent(self, right: Certificates, proxy: HttpProxy) -> None:
        with answering(b"", stays=True) as server:
            url = server.url.replace("ws:", "wss:")
            error = failure(url, proxy=self.settings(proxy, right), open_timeout=0.3)
        assert type(error) is TimeoutError
        assert error.stage == "tls"

    def test_target_without_tls_is_explained(self, right: Certificates, proxy: HttpProxy) -> None:
        with serving() as server:
            url = server.url.replace("ws:", "wss:")
            error = failure(url, proxy=self.settings(proxy, right), open_timeout=5)
        assert isinstance(error, OSError)
        assert error.stage == "tls"

    def test_end_of_the_target_is_noticed(self, right: Certificates, proxy: HttpProxy) -> None:
        with serving(
            lambda ws: (ws.send("last"), ws.terminate()),
            certfile=str(right.certificate),
            keyfile=str(right.key),
        ) as server:
            options: dict[str, Any] = {"tls": {"root_cert_file": right.authority}, "ping": None}
            with wsdriver.connect(server.url, proxy=self.settings(proxy, right), **options) as ws:
                assert list(ws) == ["last"]
                assert (ws.close_code, ws.was_clean) == (1006, False)

    def test_end_of_the_proxy_is_noticed(self, right: Certificates, proxy: HttpProxy) -> None:
        with either(True, right) as (url, options):
            ws = wsdriver.connect(url, proxy=self.settings(proxy, right), ping=None, **options)
            waiting = gevent.spawn(ws.receive)
            gevent.sleep(0.05)
            for greenlet in [thing for thing in gc.get_objects() if isinstance(thing, gevent.Greenlet)]:
                if "_pump" in repr(greenlet):
                    greenlet.kill()
            assert waiting.get(timeout=10) is None
            assert ws.close_code == 1006

    def test_close_is_said_and_waited_for(self, right: Certificates, proxy: HttpProxy) -> None:
        with serving(
            lambda ws: ws.close(4001, "bye"), certfile=str(right.certificate), keyfile=str(right.key)
        ) as server:
            options: dict[str, Any] = {"tls": {"root_cert_file": right.authority}}
            with wsdriver.connect(server.url, proxy=self.settings(proxy, right), **options) as ws:
                assert ws.receive(10) is None
                assert (ws.close_code, ws.close_reason, ws.was_clean) == (4001, "bye", True)

    def test_messages_too_big_end_it_with_a_word(self, right: Certificates, proxy: HttpProxy) -> None:
        """The close frame goes out, although the client is the one that fails the connection."""
        codes: list[Any] = []

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.send("x" * 1000)
            ws.receive(10)
            codes.append(ws.close_code)

        with serving(handler, certfile=str(right.certificate), keyfile=str(right.key)) as server:
            options: dict[str, Any] = {"tls": {"root_cert_file": right.authority}, "max_length": 10}
            with wsdriver.connect(server.url, proxy=self.settings(proxy, right), **options) as ws:
                assert ws.receive(10) is None
                assert ws.close_code == 1009
        assert codes == [1009]


class TestNothingIsLeft:
    """Neither descriptors nor greenlets."""

    @staticmethod
    def count() -> tuple[int, int]:
        gc.collect()
        greenlets = sum(isinstance(thing, gevent.Greenlet) and not thing.dead for thing in gc.get_objects())
        return len(os.listdir("/proc/self/fd")), greenlets

    @pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
    @pytest.mark.parametrize("way", ["http", "https", "socks5h"])
    def test_of_connections_that_worked_failed_and_were_killed(
        self, way: str, authority: Authority, right: Certificates
    ) -> None:
        def stay_silent(sock: Any, address: Any) -> None:
            while sock.recv(65536):
                pass

        if way == "socks5h":
            need_module("python_socks")
        wrong = authority.issue("another.host")
        server_of_proxy = socks_proxy() if way == "socks5h" else http_proxy(right if way == "https" else None)
        with either(True, right) as (url, options), either(True, wrong) as (bad, _), server_of_proxy as proxy:
            given: Any = f"{way}://localhost:{proxy.port}"
            if way == "https":
                given = {"origin": given, "tls": {"root_cert_file": right.authority}}

            def round_of_all() -> None:
                talk(url, proxy=given, **options)
                assert failure(bad, proxy=given, **options).stage == "tls"
                with pytest.raises((OSError, wsdriver.ProxyError)):
                    wsdriver.connect(url, proxy=f"{way}://127.0.0.1:1")
                wsdriver.connect(url, proxy=given, **options).terminate()
                proxy.leads_to = ("127.0.0.1", silent)
                greenlet = gevent.spawn(wsdriver.connect, url, proxy=given, **options)
                gevent.sleep(0.1)
                greenlet.kill()
                proxy.leads_to = None

            with listening(stay_silent) as silent:
                round_of_all()
                self.settled(proxy)
                before = self.count()
                for _ in range(3):
                    round_of_all()
                self.settled(proxy)
                for _ in range(100):
                    if self.count() <= before:
                        break
                    gevent.sleep(0.05)
                assert self.count() <= before

    @staticmethod
    def settled(proxy: Any) -> None:
        for _ in range(200):
            if proxy.connections == 0:
                return
            gevent.sleep(0.02)
        raise AssertionError("the proxy still has connections")


class TestSocks:
    @pytest.fixture
    def proxy(self) -> Iterator[SocksProxy]:
        need_module("python_socks")
        with socks_proxy() as proxy:
            yield proxy

    @pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
    @pytest.mark.parametrize(
        ("scheme", "host"),
        [("socks5h", "localhost"), ("socks5", None), ("socks4a", "localhost"), ("socks4", "127.0.0.1")],
    )
    def test_carries_all_and_names_the_target(
        self, proxy: SocksProxy, right: Certificates, scheme: str, host: str | None, secure: bool
    ) -> None:
        with either(secure, right) as (url, options):
            proxy.leads_to = ("127.0.0.1", port_of(url))
            talk(url, proxy=f"{scheme}://127.0.0.1:{proxy.port}", **options)
            ((asked, port),) = proxy.targets
            assert port == port_of(url)
            assert asked == host or (host is None and asked in ("127.0.0.1", "::1")), "resolved where curl does"

    def test_wss_is_never_sent_without_tls(self, proxy: SocksProxy, right: Certificates) -> None:
        """PYSEC-2026-3844: a client that forgot TLS behind SOCKS. The proxy sees all that goes out."""
        with either(True, right) as (url, options):
            talk(url, proxy=f"socks5h://127.0.0.1:{proxy.port}", headers={"Authorization": "Bearer s3cret"}, **options)
        assert proxy.to_server.startswith(b"\x16\x03"), "a TLS ClientHello"
        for plain in (b"GET /", b"Upgrade", b"s3cret", SECRET.encode()):
            assert plain not in proxy.to_server
            assert plain not in proxy.to_client

    def test_wss_is_checked_by_the_name_of_the_target(self, proxy: SocksProxy, authority: Authority) -> None:
        with either(True, authority.issue("127.0.0.1")) as (url, options):
            proxy.leads_to = ("127.0.0.1", port_of(url))
            error = failure("wss://bank.invalid/", proxy=f"socks5h://127.0.0.1:{proxy.port}", **options)
        assert error.stage == "tls"
        assert "certificate is not valid for 'bank.invalid'" in str(error)
        assert proxy.targets == [("bank.invalid", 443)]

    def test_ws_to_a_proxy_of_wss_is_plain(self, proxy: SocksProxy, right: Certificates) -> None:
        with either(False, right) as (url, _):
            talk(url, proxy=f"socks5h://127.0.0.1:{proxy.port}")
        assert proxy.to_server.startswith(b"GET / HTTP/1.1\r\n")

    def test_name_and_password_are_decoded_and_sent(self, proxy: SocksProxy) -> None:
        proxy.credentials = ("us@r", "p:w")
        with serving() as server:
            talk(server.url, proxy=f"socks5://us%40r:p%3Aw@127.0.0.1:{proxy.port}")
        assert proxy.given == [("us@r", "p:w")]

    def test_name_of_version_4_is_sent(self, proxy: SocksProxy) -> None:
        with serving() as server:
            talk(server.url, proxy=f"socks4://user@127.0.0.1:{proxy.port}")
        assert proxy.given == [("user",)]

    @pytest.mark.parametrize("userinfo", ["", "user:wrong@"])
    def test_refusal_of_who_asks(self, proxy: SocksProxy, userinfo: str) -> None:
        proxy.credentials = ("user", "right")
        error = failure("ws://localhost/", proxy=f"socks5://{userinfo}127.0.0.1:{proxy.port}")
        assert type(error) is wsdriver.ProxyError
        assert (error.status, error.stage) == (0, "proxy")
        assert f"the proxy 127.0.0.1:{proxy.port} refused: " in str(error)
        assert "wrong" not in str(error)

    @pytest.mark.parametrize(
        ("reply", "message"), [(2, "not allowed"), (4, "Host unreachable"), (5, "Connection refused")]
    )
    def test_refusal_of_the_target(self, proxy: SocksProxy, reply: int, message: str) -> None:
        proxy.reply = reply
        error = failure("ws://localhost/", proxy=f"socks5h://127.0.0.1:{proxy.port}")
        assert type(error) is wsdriver.ProxyError
        assert message in str(error)

    def test_refusal_by_version_4(self, proxy: SocksProxy) -> None:
        proxy.reply = 1
        assert type(failure("ws://localhost/", proxy=f"socks4a://127.0.0.1:{proxy.port}")) is wsdriver.ProxyError

    def test_proxy_that_speaks_http(self) -> None:
        need_module("python_socks")

        def answer(sock: Any, address: Any) -> None:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        with listening(answer) as port:
            error = failure("ws://localhost/", proxy=f"socks5h://127.0.0.1:{port}")
        assert type(error) is wsdriver.ProxyError
        assert "Unexpected SOCKS version" in str(error)

    def test_proxy_that_is_not_there(self) -> None:
        need_module("python_socks")
        error = failure("ws://localhost/", proxy=f"socks5h://127.0.0.1:{free_port()}")
        assert type(error) is wsdriver.ProxyError
        assert isinstance(error.__cause__, ConnectionRefusedError)

    def test_proxy_that_is_silent_blocks_nobody_else(self, proxy: SocksProxy) -> None:
        """Nothing here is patched: the library has to wait in a socket of gevent."""
        proxy.silent = True
        ticks = 0

        def tick() -> None:
            nonlocal ticks
            while True:
                gevent.sleep(0.01)
                ticks += 1

        ticker = gevent.spawn(tick)
        error = failure("ws://localhost/", proxy=f"socks5h://127.0.0.1:{proxy.port}", open_timeout=0.3)
        ticker.kill()
        assert type(error) is TimeoutError
        assert error.stage == "proxy"
        assert ticks > 3

    @pytest.mark.parametrize("host", ["a" * 64, ".".join(["a" * 60] * 5)])
    def test_target_that_cannot_be_named(self, proxy: SocksProxy, host: str) -> None:
        error = failure(f"ws://{host}/", proxy=f"socks5h://127.0.0.1:{proxy.port}")
        assert (type(error), error.stage) == (wsdriver.ProxyError, "proxy")
        assert "cannot be asked for 'aaa" in str(error)

    def test_target_that_version_4_does_not_know(self, proxy: SocksProxy) -> None:
        error = failure("ws://[::1]/", proxy=f"socks4://127.0.0.1:{proxy.port}")
        assert (type(error).__name__, error.stage) == ("gaierror", "resolve")
        assert proxy.targets == []

    def test_target_of_ipv6_is_asked_for_as_such(self, proxy: SocksProxy) -> None:
        with serving() as server:
            proxy.leads_to = ("127.0.0.1", server.server_port)
            talk("ws://[2001:db8::1]:8080/", proxy=f"socks5h://127.0.0.1:{proxy.port}")
        assert proxy.targets == [("2001:db8::1", 8080)]

    def test_target_that_has_no_address(self, proxy: SocksProxy) -> None:
        error = failure("ws://nobody.invalid/", proxy=f"socks5://127.0.0.1:{proxy.port}")
        assert (type(error).__name__, error.stage) == ("gaierror", "resolve")
        assert proxy.targets == []

    def test_extra_that_is_not_installed_is_named(self) -> None:
        program = (
            "import sys; sys.modules['python_socks'] = None\n"
            "import wsdriver\n"
            "try: wsdriver.connect('ws://localhost/', proxy='socks5://127.0.0.1:1')\n"
            "except wsdriver.ConfigurationError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert "pip install 'wsdriver[socks]'" in done.stdout


class TestEnvironment:
    """proxy=True."""

    @pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
    def test_names_in_their_order(self, secure: bool, monkeypatch: pytest.MonkeyPatch, right: Certificates) -> None:
        names = ["all", "http", "https", "socks", "wss" if secure else "ws"]
        used = ["all", "https", "socks", "wss"] if secure else names
        with either(secure, right) as (url, options):
            # Each name is worth more than those before it.
            for name in names:
                if name == "socks":
                    need_module("python_socks")
                with socks_proxy() if name == "socks" else http_proxy() as proxy:
                    monkeypatch.setenv(f"{name}_proxy", f"http://127.0.0.1:{proxy.port}")
                    if name not in used:
                        monkeypatch.delenv(f"{name}_proxy")
                        continue
                    talk(url, proxy=True, **options)
                    assert proxy.targets == [("localhost", port_of(url))], name
                monkeypatch.setenv(f"{name}_proxy", f"http://127.0.0.1:{free_port()}")

    def test_http_proxy_is_not_for_wss(self, monkeypatch: pytest.MonkeyPatch, right: Certificates) -> None:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
        with either(True, right) as (url, options):
            talk(url, proxy=True, **options)

    def test_upper_case_and_no_scheme_are_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving() as server, http_proxy() as proxy:
            monkeypatch.setenv("ALL_PROXY", f"127.0.0.1:{proxy.port}")
            talk(server.url, proxy=True)
            assert len(proxy.targets) == 1

    @pytest.mark.parametrize("value", ["127.0.0.1", "*", "example.org, 127.0.0.1", "{port}"])
    def test_no_proxy_is_respected(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{free_port()}")
        with serving() as server:
            monkeypatch.setenv("no_proxy", value.format(port=f"127.0.0.1:{server.server_port}"))
            talk(server.url, proxy=True)
            monkeypatch.setenv("no_proxy", "example.org,127.0.0.1:1")
            assert failure(server.url, proxy=True).stage == "proxy"

    @pytest.mark.parametrize("proxy", [None, False])
    def test_is_not_looked_at_unless_asked_for(self, monkeypatch: pytest.MonkeyPatch, proxy: Any) -> None:
        monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{free_port()}")
        with serving() as server:
            talk(server.url, proxy=proxy)

    def test_none_there_is_none(self) -> None:
        with serving() as server:
            talk(server.url, proxy=True)

    def test_nonsense_is_said_clearly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("all_proxy", "ftp://user:secret@proxy")
        with pytest.raises(wsdriver.ConfigurationError, match="the environment's all_proxy") as caught:
            wsdriver.connect("ws://localhost/", proxy=True)
        assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tinyproxy]:
    with tinyproxy(tmp_path_factory.mktemp("tinyproxy")) as running:
        yield running


class TestTinyproxy:
    @pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
    def test_carries_all(self, proxy: Tinyproxy, secure: bool, right: Certificates) -> None:
        with either(secure, right) as (url, options):
            talk(url, proxy=proxy.url, **options)

    @pytest.mark.parametrize("userinfo", ["", "user:wrong@"])
    def test_refuses_who_it_does_not_know(self, proxy: Tinyproxy, userinfo: str) -> None:
        with serving() as server:
            error = failure(server.url, proxy=f"http://{userinfo}127.0.0.1:{proxy.port}")
        assert type(error) is wsdriver.ProxyError
        assert error.status in (401, 407), "versions of tinyproxy differ in what they say to a wrong password"
        assert error.stage == "proxy"
        assert b"<html" in error.body.lower() or b"<!doctype" in error.body.lower()

    def test_cannot_reach_what_is_not_there(self, proxy: Tinyproxy) -> None:
        error = failure(f"ws://127.0.0.1:{free_port()}/", proxy=proxy.url)
        assert type(error) is wsdriver.ProxyError
        assert error.status in (500, 502, 503)

    def test_frames_in_one_piece_with_the_answer(self, proxy: Tinyproxy) -> None:
        with answering(lambda head: agreed(head) + frame(1, b"early", mask=None)) as server:
            ws = wsdriver.connect(server.url, proxy=proxy.url)
            assert ws.receive(5) == "early"
            ws.terminate()
