"""A tunnel through an HTTP proxy: CONNECT (RFC 9110 §9.3.6)."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import ClassVar, Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from wsdriver.driver.client import MAX_BODY, Target
from wsdriver.driver.roles import Socket
from wsdriver.events import CloseEvent, ConnectEvent, Emitter
from wsdriver.exceptions import ConfigurationError, HandshakeError, ProxyError
from wsdriver.http import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_INTERIM,
    BodyReader,
    Headers,
    HeadReader,
    Response,
    authority_of,
    check_header,
    is_interim,
    parse_authority,
    parse_response,
    serialize_head,
    without_password,
)

__all__ = ["MAX_INTERIM", "Origin", "Proxy", "parse_origin"]

_PORTS = {"http": 80, "https": 443}

#: A successful answer to CONNECT. Its Content-Length and Transfer-Encoding are to be ignored (RFC 9110 §9.3.6): h11
#: would refuse the answer where they are wrong.
_SUCCESS = re.compile(rb"HTTP/[0-9]\.[0-9] 2[0-9][0-9][ \r]")
_FRAMING = re.compile(rb"\r\n(?:content-length|transfer-encoding):[^\r\n]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a proxy's URL says.

    Attributes:
        secure: whether it is ``https:``: TLS to the proxy itself.
        host: without the brackets of an IPv6 address, for connecting.
        port: as given, or 80 and 443.
        authorization: the value of the Proxy-Authorization header where the URL has a user name, else None.
    """

    secure: bool
    host: str
    port: int
    authorization: str | None


def parse_origin(origin: str) -> Origin:
    """Take a proxy's URL apart: ``http://user:password@host:port``, or ``https:``; names and passwords percent-encoded.

    Raises:
        ConfigurationError: it is something else. The message does not repeat the password.
    """
    if not isinstance(origin, str):
        raise ConfigurationError(f"a proxy is given as a URL, not as {type(origin).__name__}")

    def wrong(what: str) -> ConfigurationError:
        shown = without_password(origin)
        return ConfigurationError(f"a proxy is given as http://user:password@host:port: {what} in {shown!r}")

    if any(char <= " " or char == "\x7f" for char in origin):
        raise wrong("a space or control character")
    try:
        parts = urlsplit(origin)
    except ValueError:
        raise wrong("no valid host") from None
    if parts.scheme not in _PORTS:
        raise wrong("neither http:// nor https://")
    try:
        user, host, port = parse_authority(parts.netloc)
    except HandshakeError:
        raise wrong("no valid host and port") from None
    if port == 0:
        raise wrong("no valid host and port")
    if parts.path not in ("", "/") or "?" in origin or "#" in origin:
        raise wrong("something behind the host and port")
    authorization = None
    if user:
        user, _, password = user.partition(":")
        user_id = unquote_to_bytes(user)
        if b":" in user_id:
            raise wrong("a user name with a colon, which Basic cannot carry (RFC 7617 §2),")
        authorization = "Basic " + base64.b64encode(user_id + b":" + unquote_to_bytes(password)).decode()
    return Origin(
        secure=parts.scheme == "https",
        host=host.strip("[]"),
        port=_PORTS[parts.scheme] if port is None else port,
        authorization=authorization,
    )


class TunnelDriver(Protocol):
    """What a proxy wants of the client's driver that is to speak through it."""

    @property
    def target(self) -> Target: ...

    @property
    def socket(self) -> Socket: ...

    def parse(self, data: bytes | bytearray | memoryview, /) -> None: ...

    def eof(self) -> None: ...


class Proxy(Emitter):
    """A proxy between a client's driver and its server: asks for a tunnel, and reads the answer.

    ::

        proxy = driver.proxy("http://user:password@host:3128")
        proxy.on("connect", lambda event: driver.start())
        proxy.on("error", lambda error: sock.close())
        proxy.start()
        while data := sock.recv(65536):
            proxy.parse(data)

    Events: either ``connect``, once; or ``error`` with a :class:`~wsdriver.exceptions.ProxyError`, once, and ``close``.
    For a ``wss:`` target, ``connect`` is the time to begin TLS with the target through the socket.

    Or without events: send :meth:`request`, and :meth:`feed` the answer.

    Attributes:
        origin: what the proxy's URL says.
        response: the head of its answer, once it is there.
        body: where that is a refusal, takes what comes behind its head.
        error: why there is no tunnel, or None.
        state: ``'connecting'``, then ``'open'`` or ``'closed'``.
    """

    __slots__ = (
        "_authority",
        "_driver",
        "_extra",
        "_interim",
        "_max_head_size",
        "_max_headers",
        "_reader",
        "_rest",
        "_started",
        "body",
        "error",
        "origin",
        "response",
        "state",
    )

    events: ClassVar[tuple[str, ...]] = ("connect", "error", "close")

    def __init__(
        self, driver: TunnelDriver, origin: str, max_head_size: int = MAX_HEAD, max_headers: int = MAX_FIELDS
    ) -> None:
        super().__init__()
        target = driver.target
        self.origin = parse_origin(origin)
        self.response: Response | None = None
        self.body: BodyReader | None = None
        self.error: ProxyError | None = None
        self.state = "connecting"
        self._driver = driver
        self._authority = authority_of(target.host, target.port)
        self._extra: list[tuple[str, str]] = []
        self._max_head_size = max_head_size
        self._max_headers = max_headers
        self._reader = HeadReader(max_head_size)
        self._interim = 0
        self._rest = b""
        self._started = False

    @property
    def status(self) -> int | None:
        """The status of the answer."""
        return None if self.response is None else self.response.status

    @property
    def headers(self) -> Headers | None:
        """The headers of the answer."""
        return None if self.response is None else self.response.headers

    # --- the request ------------------------------------------------------------------------------------------------

    def set_header(self, name: str, value: str) -> bool:
        """Add a header to the request, or replace one of its own; False once that has been sent.

        Raises:
            ConfigurationError: the header could not be sent as given, or announces a body.
        """
        if self._started or self.state != "connecting":
            return False
        check_header(name, value)
        if name.lower() in ("content-length", "transfer-encoding"):
            raise ConfigurationError(f"a CONNECT request has no body: the header {name} cannot be set")
        self._extra.append((name, value))
        return True

    def request(self) -> bytes:
        """Return the bytes of the request; they are on their way now."""
        self._started = True
        own = [
            ("Host", self._authority),
            ("Connection", "keep-alive"),
            ("Proxy-Connection", "keep-alive"),
        ]
        if self.origin.authorization:
            own.append(("Proxy-Authorization", self.origin.authorization))
        given = {name.lower() for name, _ in self._extra}
        fields = [field for field in own if field[0].lower() not in given]
        return serialize_head(f"CONNECT {self._authority} HTTP/1.1", [*fields, *self._extra])

    def start(self) -> bool:
        """Write the request to the driver's socket. False where that has been done, or all is over."""
        if self._started or self.state != "connecting":
            return False
        self._driver.socket.write(self.request())
        return True

    # --- the answer -------------------------------------------------------------------------------------------------

    def feed(self, data: bytes | bytearray | memoryview) -> bytes | None:
        """Take bytes from the proxy.

        Returns:
            None until the tunnel is open; then its bytes: at first those behind the answer's head, later all.

        Raises:
            ProxyError: there will be no tunnel; ``.status``, ``.headers`` and ``.body`` (as far as it has come) are
                the answer's, the status is 0 where it could not be read.
        """
        if self.error is not None:
            raise self.error
        if self.state == "open":
            return bytes(data)
        try:
            rest = self._read_answer(data)
        except ProxyError as error:
            self._refuse(error)
            raise
        except HandshakeError as error:
            refusal = self._refuse(ProxyError(f"{self._name()} gave no right answer: {error}", 0))
            raise refusal from error
        if rest is not None:
            self.state = "open"
        return rest

    def parse(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes from the proxy, any number. Nothing that it sends raises here.

        Once the tunnel is open, all goes on to the driver's ``parse``.
        """
        if self.error is not None:
            return
        if self.state == "open":
            self._forward(data)
            return
        try:
            rest = self.feed(data)
        except ProxyError as error:
            self._report(error)
            return
        if rest is not None:
            # Kept before a listener is called: it may raise, or parse.
            self._rest = rest
            self.emit("connect", ConnectEvent())
            self._forward(b"")

    def eof(self) -> None:
        """Take note that no more bytes will come."""
        if self.state == "open":
            try:
                self._forward(b"")
            finally:
                self._driver.eof()
        elif self.state == "connecting":
            error = ProxyError(f"{self._name()} ended the connection before it had answered", 0)
            self._report(self._refuse(error))

    def _read_answer(self, data: bytes | bytearray | memoryview) -> bytes | None:
        if not self._started:
            if data:
                raise HandshakeError("it spoke before it was asked")
            return None
        while (done := self._reader.feed(data)) is not None:
            head, data = done
            response = parse_response(_FRAMING.sub(b"", head) if _SUCCESS.match(head) else head, self._max_headers)
            status = response.status
            if is_interim(status):
                self._interim += 1
                if self._interim > MAX_INTERIM:
                    raise HandshakeError(f"more than {MAX_INTERIM} informational answers")
                self._reader = HeadReader(self._max_head_size)
                continue
            self.response = response
            if 200 <= status < 300:
                return data
            # 101 would switch this connection to a protocol that nobody asked for: that is no tunnel either.
            answer = f"{status} {response.reason[:80]}".rstrip()
            self.body = BodyReader(head, MAX_BODY)
            self.body.feed(data)
            raise ProxyError(
                f"{self._name()} answered {answer}: no tunnel to {self._authority}",
                status,
                response.headers,
                self.body.data,
            )
        return None

    def _refuse(self, error: ProxyError) -> ProxyError:
        self.state = "closed"
        self.error = error
        return error

    def _report(self, error: ProxyError) -> None:
        try:
            self.emit("error", error)
        finally:
            self.emit("close", CloseEvent(1006, str(error)))

    def _forward(self, data: bytes | bytearray | memoryview) -> None:
        rest, self._rest = self._rest, b""
        if rest:
            data = rest + bytes(data)
        if data:
            self._driver.parse(data)

    def _name(self) -> str:
        return f"the proxy {authority_of(self.origin.host, self.origin.port)}"
