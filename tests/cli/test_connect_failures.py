"""Connections that fail, at each stage: one line that says at which and why, and exit status 1."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.recording import answering, http_proxy, listening
from tests.support.serving import serving
from tests.support.tls import Authority, make_certificates
from wsdriver.cli import main

COMMANDS = ("connect", "bench")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy", "socks_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that fails to connect; return what it says behind its name."""
    assert main(arguments) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.count("\n") == 1
    name, _, sentence = errors.rstrip("\n").partition(": ")
    assert name == f"wsdriver {arguments[0]}"
    return sentence


@contextmanager
def refusing() -> Iterator[int]:
    """Yield a port that refuses connections, and that nobody else will take."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("command", COMMANDS)
class TestStages:
    def test_name_that_has_no_address(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        said = failure(capsys, command, "ws://no-such-host.invalid/")
        assert said.startswith("resolve: cannot resolve 'no-such-host.invalid': ")

    def test_port_where_nobody_listens(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with refusing() as port:
            said = failure(capsys, command, f"127.0.0.1:{port}")
        assert said == f"connect: cannot connect to 127.0.0.1:{port}: Connection refused"

    def test_unix_socket_that_is_not_there(
        self, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        said = failure(capsys, command, "ws://localhost/", "--unix", str(tmp_path / "none"))
        assert said.startswith("connect: cannot connect to the Unix socket")
        assert said.endswith("No such file or directory")

    def test_certificate_of_somebody_unknown(
        self, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        known = make_certificates(tmp_path)
        with serving(certfile=str(known.certificate), keyfile=str(known.key)) as server:
            said = failure(capsys, command, server.url)
        assert said.startswith("tls: no TLS with '127.0.0.1': ")
        assert said.endswith("(--cacert FILE trusts another authority, --insecure anybody)")

    def test_certificate_of_another_host(
        self, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        known = Authority(tmp_path).issue("example.com")
        with serving(certfile=str(known.certificate), keyfile=str(known.key)) as server:
            said = failure(capsys, command, server.url, "--cacert", str(known.authority))
        assert said.startswith("tls: no TLS with '127.0.0.1': ")
        assert "127.0.0.1" in said.partition(": ")[2]

    def test_server_without_tls(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with serving() as server:
            said = failure(capsys, command, server.url.replace("ws:", "wss:"))
        assert said.startswith("tls: ")
        assert "is it ws:// instead of wss://" in said

    def test_proxy_that_refuses(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with http_proxy() as proxy:
            proxy.answer = [b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"]
            said = failure(capsys, command, "ws://example.com/", "--proxy", f"http://127.0.0.1:{proxy.port}")
        assert said.startswith("proxy: ")
        assert "407" in said

    def test_proxy_that_is_not_there(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with refusing() as port:
            said = failure(capsys, command, "ws://example.com/", "--proxy", f"http://127.0.0.1:{port}")
        assert said.startswith(f"proxy: the proxy 127.0.0.1:{port}: ")
        assert "Connection refused" in said

    def test_server_that_answers_with_another_status(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with serving(lambda ws: ws.reject(403, "members only")) as server:
            said = failure(capsys, command, server.url)
        assert said.startswith("http: ")
        assert "403" in said
        assert said.endswith("(members only)")

    def test_page_of_html_is_not_shown(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        page = b"<html>\r\n<h1>no</h1>"
        answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page)
        with answering(answer) as server:
            said = failure(capsys, command, server.url)
        assert said.startswith("http: ")
        assert "404" in said
        assert "<" not in said

    def test_answer_that_is_wrong(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with answering(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: wrong\r\n\r\n"
        ) as server:
            said = failure(capsys, command, server.url)
        assert said.startswith("handshake: ")
        assert "Sec-WebSocket-Accept" in said

    def test_server_that_hangs_up(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with listening(lambda sock, address: sock.close()) as port:
            said = failure(capsys, command, f"127.0.0.1:{port}")
        assert said.startswith("handshake: ")

    def test_server_that_never_answers(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with listening(lambda sock, address: sock.recv(1 << 20) and sock.recv(1)) as port:
            said = failure(capsys, command, f"127.0.0.1:{port}", "--timeout", "200ms")
        assert said == f"handshake: no answer from ws://127.0.0.1:{port} within 0.2 seconds"


def test_password_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(lambda sock, address: sock.recv(1 << 20) and sock.recv(1)) as port:
        said = failure(capsys, "connect", f"ws://user:secret@127.0.0.1:{port}/", "--timeout", "200ms")
    assert "secret" not in said
