"""connect() and TLS: real servers with right and wrong certificates."""

from __future__ import annotations

import socket as stdlib_socket
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.ssl import create_default_context

import wsdriver
from tests.support.net import free_port
from tests.support.recording import answering, listening
from tests.support.serving import serving
from tests.support.tls import Authority, Certificates
from wsdriver.green.client import open_websocket


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def right(authority: Authority) -> Certificates:
    return authority.issue("localhost", "127.0.0.1", "::1")


@contextmanager
def tls_server(certificates: Certificates, **settings: Any) -> Iterator[str]:
    """Echo over TLS; yields the URL by name."""
    with serving(certfile=str(certificates.certificate), keyfile=str(certificates.key), **settings) as server:
        yield f"wss://localhost:{server.server_port}/"


def talk(url: str, **options: Any) -> None:
    """Check that a message comes back."""
    with wsdriver.connect(url, **options) as ws:
        ws.send("over TLS")
        assert ws.receive(5) == "over TLS"
        assert ws.secure


def failure(url: str, **options: Any) -> Any:
    """Return the error that an attempt ends with."""
    with pytest.raises((OSError, wsdriver.WebSocketError)) as caught:
        wsdriver.connect(url, **options)
    return caught.value


class TestChecks:
    def test_system_does_not_know_our_authority(self, right: Certificates) -> None:
        with tls_server(right) as url:
            for options in ({}, {"tls": True}, {"tls": None}, {"tls": {}}, {"tls": {"server_hostname": "localhost"}}):
                error = failure(url, **options)
                assert type(error) is ssl.SSLCertVerificationError
                assert error.stage == "tls"
                assert "no TLS with 'localhost': unable to get local issuer certificate" in str(error)
                assert "root_cert_file" in str(error)

    def test_system_may_know_our_authority(self, right: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
        with tls_server(right) as url:
            monkeypatch.setenv("SSL_CERT_FILE", str(right.authority))
            talk(url)
            monkeypatch.delenv("SSL_CERT_FILE")
            assert failure(url).stage == "tls"

    def test_authority_that_the_caller_trusts(self, right: Certificates, tmp_path: Path) -> None:
        other = Authority(tmp_path, "other")
        with tls_server(right) as url:
            talk(url, tls={"root_cert_file": right.authority})
            talk(url, tls={"root_cert_file": str(right.authority)})
            talk(url, tls={"root_cert_file": [other.file, right.authority]})
            talk(url, tls=right.client_context())
            assert failure(url, tls={"root_cert_file": other.file}).stage == "tls"

    def test_name_that_the_certificate_does_not_have(self, authority: Authority) -> None:
        with tls_server(authority.issue("another.host")) as url:
            error = failure(url, tls={"root_cert_file": authority.file})
            assert type(error) is ssl.SSLCertVerificationError
            assert error.stage == "tls"
            assert "Hostname mismatch, certificate is not valid for 'localhost'" in str(error)
            talk(url, tls={"root_cert_file": authority.file, "server_hostname": "another.host"})

    def test_certificate_that_has_expired(self, authority: Authority) -> None:
        with tls_server(authority.issue("localhost", expired=True)) as url:
            error = failure(url, tls={"root_cert_file": authority.file})
        assert type(error) is ssl.SSLCertVerificationError
        assert error.stage == "tls"
        assert "certificate has expired" in str(error)

    @pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
    def test_addresses_are_checked_as_addresses(self, authority: Authority, right: Certificates, host: str) -> None:
        by_name = authority.issue("localhost")
        for certificates, fits in ((right, True), (by_name, False)):
            listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            try:
                listener.bind((host.strip("[]"), 0))
            except OSError:
                pytest.skip(f"needs {host}")
            listener.listen()
            server = wsdriver.WebSocketServer(
                listener, lambda ws: None, certfile=str(certificates.certificate), keyfile=str(certificates.key)
            )
            server.start()
            url = f"wss://{host}:{listener.getsockname()[1]}/"
            try:
                if fits:
                    wsdriver.connect(url, tls={"root_cert_file": authority.file}).close()
                else:
                    error = failure(url, tls={"root_cert_file": authority.file})
                    assert "IP address mismatch" in str(error)
            finally:
                server.stop(timeout=1)

    def test_name_is_asked_for_without_a_final_dot(self, right: Certificates) -> None:
        context = right.server_context()
        names: list[str | None] = []
        context.sni_callback = lambda sock, name, _: names.append(name)
        with serving(ssl_context=context) as server:
            sock = socket.create_connection(("127.0.0.1", server.server_port))
            options = {"sock": sock, "tls": {"root_cert_file": right.authority}}
            wsdriver.connect("wss://localhost./", **options).close()
        assert names == ["localhost"]

    def test_answers_of_plain_servers_are_explained(self) -> None:
        def answer(sock: Any, address: Any) -> None:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        with listening(answer) as port:
            error = failure(f"wss://127.0.0.1:{port}/")
        assert isinstance(error, ssl.SSLError)
        assert error.stage == "tls"
        assert "does not speak TLS there: is it ws:// instead of wss://" in str(error)

    def test_end_in_the_handshake(self) -> None:
        def drop(sock: Any, address: Any) -> None:
            sock.recv(65536)

        with listening(drop) as port:
            error = failure(f"wss://127.0.0.1:{port}/")
        assert isinstance(error, OSError)
        assert error.stage == "tls"
        assert "no TLS with '127.0.0.1': " in str(error)

    def test_silence_in_the_handshake(self) -> None:
        with answering(b"", stays=True) as server:
            error = failure(server.url.replace("ws:", "wss:"), open_timeout=0.2)
        assert type(error) is TimeoutError
        assert error.stage == "tls"
        assert str(error) == "no TLS with '127.0.0.1' within 0.2 seconds"

    def test_refusal_comes_with_its_body(self, right: Certificates) -> None:
        answer = [b"HTTP/1.1 401 No\r\nContent-Length: 4\r\n\r\n", b"who?"]
        with answering(answer, tls=right, stays=True) as server:
            url = server.url.replace("ws:", "wss:")
            error = failure(url, tls={"root_cert_file": right.authority})
        assert (error.status, error.body) == (401, b"who?")

    def test_redirect_to_ws_is_refused(self, right: Certificates) -> None:
        with serving() as target:
            answer = f"HTTP/1.1 302 Go\r\nLocation: {target.url}\r\n\r\n".encode()
            with answering(answer, tls=right) as server:
                url = server.url.replace("ws:", "wss:")
                error = failure(url, tls={"root_cert_file": right.authority}, max_redirects=3)
        assert error.status == 302
        assert "from wss:// to ws://" in str(error)

    def test_redirect_from_ws_is_checked(self, right: Certificates) -> None:
        with tls_server(right) as url:
            answer = f"HTTP/1.1 302 Go\r\nLocation: {url.replace('wss', 'https')}\r\n\r\n".encode()
            with answering(answer) as server:
                # The name was for the first server: the second has its own.
                tls = {"root_cert_file": right.authority, "server_hostname": "first.host"}
                talk(server.url, tls=tls, max_redirects=1)
                assert failure(server.url, max_redirects=1).stage == "tls"
                assert "tls=False" in str(failure(server.url, tls=False, max_redirects=1))


class TestUnchecked:
    def test_is_done_with_a_warning_at_the_call(self, authority: Authority) -> None:
        with tls_server(authority.issue("another.host", expired=True)) as url:
            with pytest.warns(RuntimeWarning, match="verify_peer=False") as caught:
                talk_unchecked = wsdriver.connect(url, tls={"verify_peer": False})
            assert [warning.filename for warning in caught] == [__file__]
            talk_unchecked.close()

    def test_warns_at_the_call_of_reconnect(self) -> None:
        with pytest.warns(RuntimeWarning) as caught:
            wsdriver.reconnect("wss://localhost/", tls={"verify_peer": False})
        assert [warning.filename for warning in caught] == [__file__]

    def test_warns_for_the_proxy_too(self) -> None:
        proxy = {"origin": f"https://127.0.0.1:{free_port()}", "tls": {"verify_peer": False}}
        with pytest.warns(RuntimeWarning), pytest.raises(wsdriver.ProxyError):
            wsdriver.connect("wss://localhost/", proxy=proxy)

    def test_is_visible_by_default(self) -> None:
        program = "import wsdriver; wsdriver.reconnect('wss://localhost/', tls={'verify_peer': False})"
        import sys

        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert "RuntimeWarning: verify_peer=False" in done.stderr

    def test_is_never_the_default(self) -> None:
        assert open_websocket.__defaults__ is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            wsdriver.reconnect("wss://localhost/")


class TestClientCertificates:
    @pytest.mark.parametrize("password", [None, "secret"])
    def test_are_shown_where_the_server_asks(
        self, authority: Authority, right: Certificates, tmp_path: Path, password: str | None
    ) -> None:
        own = authority.issue("client@localhost")
        key = own.key
        if password:
            key = tmp_path / "encrypted.key"
            command = ["openssl", "rsa", "-aes256", "-in", own.key, "-out", key, "-passout", f"pass:{password}"]
            if b"BEGIN EC" in own.key.read_bytes():
                command[1] = "ec"
            subprocess.run(list(map(str, command)), check=True, capture_output=True)
        context = right.server_context()
        context.load_verify_locations(str(authority.file))
        context.verify_mode = ssl.CERT_REQUIRED
        tls: dict[str, Any] = {"root_cert_file": authority.file, "certfile": own.certificate, "keyfile": key}
        with serving(ssl_context=context) as server:
            url = f"wss://localhost:{server.server_port}/"
            talk(url, tls={**tls, "keyfile_password": password})
            if password:
                # OpenSSL would ask the terminal.
                with pytest.raises(wsdriver.ConfigurationError, match="certfile"):
                    wsdriver.connect(url, tls=tls)
            # With TLS 1.3 the server refuses after the client's half of the handshake is done.
            assert failure(url, tls={"root_cert_file": authority.file}).stage in ("tls", "handshake")


class TestContexts:
    def test_of_a_server_is_refused(self, right: Certificates) -> None:
        with pytest.raises(wsdriver.ConfigurationError, match="a context for servers"):
            wsdriver.connect("wss://localhost/", tls=right.server_context())

    def test_of_gevent_is_taken(self, right: Certificates) -> None:
        context = create_default_context(cafile=str(right.authority))
        with tls_server(right) as url:
            talk(url, tls=context)

    def test_ready_socket_gets_tls(self, right: Certificates) -> None:
        with tls_server(right) as url:
            for kind in (stdlib_socket, socket):
                sock = kind.create_connection(("127.0.0.1", int(url.split(":")[2].strip("/"))))
                talk("wss://localhost/", sock=sock, tls={"root_cert_file": right.authority})

    def test_ready_socket_may_have_it(self, right: Certificates) -> None:
        with tls_server(right) as url:
            port = int(url.split(":")[2].strip("/"))

            def encrypted() -> Any:
                sock = stdlib_socket.create_connection(("127.0.0.1", port))
                # In a thread: the server is in this one.
                wrap = right.client_context().wrap_socket
                return gevent.get_hub().threadpool.apply(wrap, [sock], {"server_hostname": "localhost"})

            with wsdriver.connect("ws://localhost/", sock=encrypted()) as ws:
                ws.send("over their TLS")
                assert ws.receive(5) == "over their TLS"
            sock = encrypted()
            with pytest.raises(wsdriver.ConfigurationError, match="encrypted already"):
                wsdriver.connect("wss://localhost/", sock=sock)
            sock.close()
