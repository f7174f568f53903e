"""Small real servers that write down what they get: HTTP with ready answers, a CONNECT proxy, a SOCKS proxy."""

from __future__ import annotations

import socket as stdlib_socket
import ssl as stdlib_ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent import socket
from gevent.server import StreamServer
from gevent.ssl import SSLContext

from tests.support.net import read_head
from tests.support.tls import Certificates

__all__ = ["Answering", "HttpProxy", "SocksProxy", "answering", "http_proxy", "listening", "socks_proxy"]


def _exactly(sock: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


@dataclass
class Answering:
    """A server with ready answers, one for each connection; the last one serves for the rest.

    Attributes:
        answers: each the segments to send, or a function of the request's head that returns them.
        stays: whether it keeps the connection open behind the answer.
        heads: the heads of the requests.
        port: where it listens.
    """

    answers: Sequence[Any]
    stays: bool = False
    heads: list[str] = field(default_factory=list)
    port: int = 0

    def handle(self, sock: Any, address: Any) -> None:
        head = read_head(sock.recv).decode("latin-1")
        answer = self.answers[min(len(self.heads), len(self.answers) - 1)]
        self.heads.append(head)
        segments = answer(head) if callable(answer) else answer
        with suppress(OSError):
            for segment in [segments] if isinstance(segments, bytes) else segments:
                sock.sendall(segment)
                gevent.sleep(0.02)
            if self.stays:
                while sock.recv(65536):
                    pass

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"


@contextmanager
def answering(*answers: Any, stays: bool = False, tls: Certificates | None = None) -> Iterator[Answering]:
    """Serve ready answers."""
    known = Answering(answers, stays)
    with listening(known.handle, tls) as known.port:
        yield known


@contextmanager
def listening(handle: Any, tls: Certificates | None = None) -> Iterator[int]:
    """Call ``handle(sock, address)`` for each connection, in a greenlet; yields the port."""

    def careful(sock: Any, address: Any) -> None:
        try:
            handle(sock, address)
        except (EOFError, OSError):
            pass  # the client has gone away, as some tests have it

    settings = {}
    if tls is not None:
        context = SSLContext(stdlib_ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        settings = {"ssl_context": context}
    server = StreamServer(("127.0.0.1", 0), careful, **settings)
    server.start()
    try:
        yield server.server_port
    finally:
        server.stop(timeout=1)


class _Recorder:
    """Joins two sockets, and writes down what goes through."""

    def __init__(self) -> None:
        self.port = 0
        self.to_server = bytearray()
        self.to_client = bytearray()
        self.targets: list[tuple[str, int]] = []
        self.connections = 0  # that are open
        #: Where every tunnel really leads to, instead of the target that was asked for.
        self.leads_to: tuple[str, int] | None = None

    def join(self, client: Any, target: tuple[str, int]) -> None:
        """Lead a client to a target, until both sides have ended."""
        self.targets.append(target)
        server = socket.create_connection(self.leads_to or target)
        self.connections += 1
        pumps = [gevent.spawn(self._pump, client, server, True), gevent.spawn(self._pump, server, client, False)]
        try:
            gevent.joinall(pumps)
        finally:
            gevent.killall(pumps)
            server.close()
            self.connections -= 1

    def _pump(self, source: Any, sink: Any, to_server: bool) -> None:
        try:
            while data := source.recv(65536):
                if to_server:
                    self.to_server += data
                else:
                    self.to_client += data
                sink.sendall(data)
            if not hasattr(sink, "do_handshake"):  # TLS has no half-close
                sink.shutdown(stdlib_socket.SHUT_WR)
            else:
                sink.close()
        except OSError:
            for sock in (source, sink):
                with suppress(OSError):
                    sock.shutdown(stdlib_socket.SHUT_RDWR)


class HttpProxy(_Recorder):
    """A CONNECT proxy.

    Attributes:
        heads: of the requests.
        answer: what it says instead of opening a tunnel, or None.
        behind: bytes of its own behind its 200.
        to_server, to_client: what went through the tunnels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[str] = []
        self.answer: Sequence[bytes] | None = None
        self.behind = b""

    def handle(self, client: Any, address: Any) -> None:
        head = read_head(client.recv).decode("latin-1")
        self.heads.append(head)
        if self.answer is not None:
            for segment in self.answer:
                client.sendall(segment)
                gevent.sleep(0.02)
            return
        host, _, port = head.split()[1].rpartition(":")
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n" + self.behind)
        self.join(client, (host.strip("[]"), int(port)))


class SocksProxy(_Recorder):
    """A SOCKS proxy of version 4, 4a and 5 (RFC 1928, RFC 1929).

    Attributes:
        credentials: the user name and password that it wants, or None.
        given: the credentials that it got; of version 4 the user's name.
        reply: what it answers to CONNECT: 0 opens the tunnel, other numbers refuse in version 5.
        silent: whether it answers nothing at all.
        to_server, to_client: what went through the tunnels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.credentials: tuple[str, str] | None = None
        self.given: list[tuple[str, ...]] = []
        self.reply = 0
        self.silent = False

    def handle(self, client: Any, address: Any) -> None:
        (version,) = _exactly(client, 1)
        if self.silent:
            client.recv(65536)
            gevent.sleep(60)
        if version == 4:
            self._version_4(client)
        else:
            self._version_5(client)

    def _version_4(self, client: Any) -> None:
        def word() -> bytes:
            data = b""
            while (byte := _exactly(client, 1)) != b"\0":
                data += byte
            return data

        _, *port = _exactly(client, 3)
        address = _exactly(client, 4)
        self.given.append((word().decode(),))
        by_name = address[:3] == bytes(3)
        host = word().decode() if by_name else stdlib_socket.inet_ntoa(address)
        client.sendall(b"\0\x5a" + bytes(6) if self.reply == 0 else b"\0\x5b" + bytes(6))
        if self.reply == 0:
            self.join(client, (host, int.from_bytes(bytes(port), "big")))

    def _version_5(self, client: Any) -> None:
        methods = _exactly(client, _exactly(client, 1)[0])
        method = 0 if self.credentials is None else 2
        if method not in methods:
            client.sendall(b"\x05\xff")
            return
        client.sendall(bytes([5, method]))
        if method == 2:
            _exactly(client, 1)
            user = _exactly(client, _exactly(client, 1)[0]).decode()
            password = _exactly(client, _exactly(client, 1)[0]).decode()
            self.given.append((user, password))
            right = (user, password) == self.credentials
            client.sendall(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        *_, kind = _exactly(client, 4)
        if kind == 3:
            host = _exactly(client, _exactly(client, 1)[0]).decode()
        else:
            family = stdlib_socket.AF_INET if kind == 1 else stdlib_socket.AF_INET6
            host = stdlib_socket.inet_ntop(family, _exactly(client, 4 if kind == 1 else 16))
        port = int.from_bytes(_exactly(client, 2), "big")
        client.sendall(bytes([5, self.reply, 0, 1]) + bytes(6))
        if self.reply == 0:
            self.join(client, (host, port))


@contextmanager
def http_proxy(tls: Certificates | None = None) -> Iterator[HttpProxy]:
    """Run a CONNECT proxy."""
    proxy = HttpProxy()
    with listening(proxy.handle, tls) as proxy.port:
        yield proxy


@contextmanager
def socks_proxy() -> Iterator[SocksProxy]:
    """Run a SOCKS proxy."""
    proxy = SocksProxy()
    with listening(proxy.handle) as proxy.port:
        yield proxy
