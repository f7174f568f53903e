"""One attempt of a client to open a WebSocket: connect, ask, and judge the answer."""

from __future__ import annotations

from typing import Any

from wsdriver.driver.client import MAX_BODY, parse_url
from wsdriver.driver.driver import Driver
from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.green.client.answers import read_answer, read_body
from wsdriver.green.client.dialing import connect_tcp, connect_unix, take_over
from wsdriver.green.client.options import ClientOptions
from wsdriver.green.client.proxies import proxy_for
from wsdriver.green.client.stages import Deadline, is_own_timeout, reason_of
from wsdriver.green.client.tls import start_tls
from wsdriver.green.client.tunnels import open_tunnel
from wsdriver.green.waiting import write_all
from wsdriver.http import BodyReader, without_password

__all__ = ["Opening", "check_url"]


def check_url(url: str, options: ClientOptions) -> None:
    """Refuse what cannot be connected to.

    Raises:
        ConfigurationError: it is no WebSocket URL, or the options are none for it.
    """
    target = parse_url(url)
    if target.secure and options.tls is False:
        raise ConfigurationError(
            "wss:// is TLS, which tls=False would take away; tls={'verify_peer': False} only switches the checks off"
        )
    if target.secure and options.sock is not None and hasattr(options.sock, "do_handshake"):
        raise ConfigurationError("sock is encrypted already: give it with a ws:// URL, or the plain one with wss://")


class _Wire:
    """What the driver writes its request to; later its observer does the writing."""

    __slots__ = ("url", "written")

    def __init__(self, url: str) -> None:
        self.url = url
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


class Opening:
    """One connection, up to the server's answer.

    Attributes:
        url: of the server.
        driver: has sent its request, and not been given the answer.
        sock: connected.
        answer: the bytes that have come, the head of the answer at least.
        refusal: why this will be no WebSocket, or None.
    """

    def __init__(self, url: str, options: ClientOptions, deadline: Deadline) -> None:
        check_url(url, options)
        self.url = url
        self.answer = b""
        self.refusal: HandshakeError | None = None
        self._options = options
        self._deadline = deadline
        self._head = self._rest = b""
        self._wire = _Wire(url)
        self.driver = Driver.for_client(self._wire, options)
        self.sock: Any = None

    def close(self) -> None:
        """Let the socket go."""
        if self.sock is not None:
            self.sock.close()

    def ask(self) -> None:
        """Connect, send the request and read the head of the answer.

        Raises:
            OSError, HandshakeError, ProxyError, TimeoutError: it failed, at its ``.stage``.
        """
        early = self._dial()
        shown = without_password(self.url)
        try:
            with self._deadline.stage("handshake", f"no answer from {shown}"):
                self.driver.start()
                write_all(self.sock, self._wire.written)
                interim, self._head, self._rest = read_answer(self.sock, early, self._options.max_head_size)
        except OSError as error:
            if is_own_timeout(error):
                raise
            lost = HandshakeError(reason_of(error), 0)
            lost.stage = "handshake"
            raise lost from error
        self.answer = interim + self._head + self._rest
        if self._head[8:12] != b" 101":
            self._refused()

    def read_body(self) -> None:
        """Give the refusal the first bytes of its body."""
        if self.refusal is not None and self.refusal.status:
            body = BodyReader(self._head, MAX_BODY)
            body.feed(self._rest)
            self.refusal.body = read_body(self.sock, body, self._deadline)

    def _dial(self) -> bytes:
        """Make the socket; return bytes that came from the server before it was asked."""
        options, target = self._options, self.driver.target
        early = b""
        if options.sock is not None:
            self.sock = take_over(options.sock)
        elif options.unix is not None:
            self.sock = connect_unix(options.unix, self._deadline)
        elif (proxy := proxy_for(target, options.proxy)) is not None:
            self.sock, early = open_tunnel(self.driver, proxy, self._deadline)
        else:
            self.sock = connect_tcp(target.host, target.port, self._deadline)
        if target.secure:
            self.sock = start_tls(self.sock, options.tls, target.host, self._deadline)
        return early

    def _refused(self) -> None:
        errors: list[HandshakeError] = []
        self.driver.on("error", errors.append)
        self.driver.parse(self.answer)
        self.driver.eof()
        self.refusal = errors[0]
        self.refusal.stage = "http" if self.refusal.status else "handshake"
