# cython: language_level=3, annotation_typing=False, binding=True
"""The protocol driver: bytes in, events out, bytes out; no I/O.

::

                       parse(bytes)                      text() binary() ping() pong() close()
                            |                                           |
      +---------------------v-------------------------------------------v------------------+
      | Driver                                                                             |
      |   connecting: the opening handshake (server.py, client.py; heads by http.py)       |
      |   open:       FrameDecoder (framing/hybi) --> messages        append_frame --+     |
      |               control frames: pong, close handshake --------------------->---+     |
      |   _fail: the one place where a peer's fault ends the connection              |     |
      +---------------------|--------------------------------------------------------|-----+
                            v                                                        v
              events to listeners (or a queue)                           socket.write(bytes)

Two ways to be driven. Through listeners, as in websocket-driver: events are emitted while ``parse`` runs, and each
call writes to ``socket.write``. Or by an *observer*, as the green layer does: messages stay in ``inbox``, outgoing
bytes in ``outbox``, and the observer takes both when it likes; only rare events are told to it. The second way costs
no call per message.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from wsdriver.codes import is_valid_close_code
from wsdriver.driver.client import ClientHandshake, Target
from wsdriver.driver.hixie import BODY_SIZE, challenge_answer
from wsdriver.driver.options import DriverOptions, check_own_header
from wsdriver.driver.plain import read_plain
from wsdriver.driver.proxy import Proxy
from wsdriver.driver.roles import Socket
from wsdriver.driver.server import (
    accept_request,
    accept_with_key,
    asked_protocols,
    check_request,
    refuse_request,
    select_protocol,
)
from wsdriver.driver.streams import IO, Messages
from wsdriver.driver.versions import HYBI_13, Masking, Opening, Version
from wsdriver.environ import Environ, build_environ, headers_of, url_of
from wsdriver.events import (
    CloseEvent,
    ConnectEvent,
    Emitter,
    L,
    Listener,
    MessageEvent,
    OpenEvent,
    PingEvent,
    PongEvent,
    check_event,
)
from wsdriver.exceptions import (
    ConfigurationError,
    ExtensionError,
    HandshakeError,
    InvalidPayload,
    ProtocolError,
    WebSocketError,
)
from wsdriver.extensions.framework import Extensions
from wsdriver.framing.faults import too_big, utf8_fault
from wsdriver.framing.hixie import CLOSING_FRAME, HixieDecoder, append_text
from wsdriver.framing.hybi import BytesLike, FrameDecoder, Item, append_frame, append_head
from wsdriver.framing.masking import masking_key
from wsdriver.framing.opcodes import BINARY, CLOSE, PING, PONG, TEXT, MaskPlace
from wsdriver.framing.unmasking import FrameUnmasker, frame_mask_04, masking_key_04
from wsdriver.http import Headers, HeadReader, Request, check_header, parse_request
from wsdriver.options import check_int, make_options

__all__ = ["Driver", "close_payload"]

CONNECTING = 0
OPEN = 1
CLOSING = 2
CLOSED = 3
STATES = ("connecting", "open", "closing", "closed")

#: Bytes of a frame, by its header (RFC 6455 §5.2): more is no limit, and no number for the decoder.
MAX_FRAME = 2**63

#: Bytes after which it is looked how many messages of an old version have come.
OLD_STEP = 2048

#: The first byte of each frame of RFC 6455, by opcode.
FIRST_BYTES = HYBI_13.first_bytes

#: Bytes from before the end of the handshake that are handled at once; more go to an observer, for turns of the loop.
EARLY_AT_ONCE = 1024

#: Items that may wait in an inbox before pings and pongs are no longer kept in it for listeners.
MAX_CONTROLS = 1024

_CONNECTED = ConnectEvent()
_OPENED = OpenEvent()

#: Bytes that may come in before the handshake is answered.
MAX_EARLY = 1024 * 1024


def close_payload(code: int | None, reason: str) -> bytes:
    """Return the body of a close frame; the reason is cut between characters where it is too long (RFC 6455 §5.5.1)."""
    if code is None:
        return b""
    return code.to_bytes(2, "big") + reason.encode()[:123].decode("utf-8", "ignore").encode()


class Driver:
    """One endpoint of one WebSocket connection (RFC 6455, and the drafts before it), without I/O. Made by
    :meth:`client`, :meth:`server` or :meth:`wsgi`.

    Attributes:
        environ (Mapping[str, Any] | None): on a server, the request as a WSGI environ (PEP 3333).
        method (str | None): on a server, of the request.
        path (str | None): on a server, of the request: unquoted, without the query.
        headers (Mapping[str, str] | None): of the request on a server, of the response on a client.
        status (int | None): on a client, the status of the response.
        body (bytes): on a server, the bytes behind the head of a request that was no WebSocket request, so far.
        version (str | None): the protocol version's name: ``'hybi-13'`` for RFC 6455.
        protocol (str | None): the subprotocol that was agreed (§1.9).
        state (str): ``'connecting'``, ``'open'``, ``'closing'`` or ``'closed'``.
        ready_state (int): the same as 0, 1, 2, 3.
        close_received (tuple[int, str] | None): code and reason of the peer's close frame.
        close_sent (tuple[int, str] | None): code and reason of ours.
        direct: whether payloads go out as they are: not masked, nor seen by an extension.
        unpacks: whether extensions see the messages that come in, which may become larger by that.
        unpacked: how many bytes have come out of them; the observer may set it back.
        framing: what decides which bytes a message becomes: where it is equal, they are the same (``frame``);
            None where this one's are its own: they are masked, or a compressor keeps its context.
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_checked",
        "_client",
        "_decoder",
        "_delivered",
        "_delivering",
        "_early",
        "_emitter",
        "_environ",
        "_extensions",
        "_extra",
        "_fault",
        "_firsts",
        "_head",
        "_hixie",
        "_io",
        "_judged",
        "_late_pong",
        "_masks",
        "_max_length",
        "_messages",
        "_nonce",
        "_options",
        "_plain",
        "_queue",
        "_reader",
        "_reads_head",
        "_request",
        "_socket",
        "_started",
        "_unanswered",
        "_unmasker",
        "_version",
        "_wanted",
        "close_received",
        "close_sent",
        "direct",
        "framing",
        "inbox",
        "keeps_controls",
        "observer",
        "outbox",
        "protocol",
        "ready_state",
        "unpacked",
        "unpacks",
    )

    def __init__(self, socket: Any, options: DriverOptions, client: ClientHandshake | None, reads_head: bool) -> None:
        self._socket = socket
        self._options = options
        self._client = client
        self._masks = client is not None
        self._max_length = options.max_length
        self._extensions: Extensions | None = None if client is None else client.extensions
        self._firsts = FIRST_BYTES
        self._hixie: HixieDecoder | None = None
        self._unmasker: FrameUnmasker | None = None
        self._nonce = ""
        self._io: IO | None = None
        self._messages: Messages | None = None
        self.direct = False
        self.unpacks = False
        self.unpacked = 0
        self.framing: Hashable | None = None
        self.ready_state = CONNECTING
        self._version: Version = HYBI_13
        self._decoder: FrameDecoder = None  # type: ignore[assignment]  # until open
        self._emitter: Emitter | None = None
        self._reads_head = reads_head  # ... still
        self._reader: HeadReader | None = None
        self._head: bytes | None = None  # of the request, on a server that reads it by itself
        self._request: Request | None = None  # ... parsed, until it is answered
        self._plain: tuple[str, str, str, str, bool] | None = None  # ... or what it says where it is a plain one
        self._judged = False
        self._checked: Environ | None = None  # the environ of a request that is right, until it is answered
        self._environ: Environ | None = None if client is not None or reads_head else socket.environ
        self._early: bytearray | None = None
        self._extra: list[tuple[str, str]] | None = None
        self._queue: list[tuple[str, tuple[Any, ...]]] | None = None
        self._callbacks: dict[bytes, list[Any]] | None = None  # of pings, oldest first
        self._unanswered = 0  # ... how many
        self._started = False
        self._wanted = False
        self._fault: ProtocolError | None = None
        self._delivering = False
        self._delivered = 0
        self._late_pong: bytes | None = None
        self.close_received: tuple[int, str] | None = None
        self.close_sent: tuple[int, str] | None = None
        self.inbox: list[Item] = []
        self.outbox = bytearray()
        self.keeps_controls = False
        self.observer: Any = None
        self.protocol: str | None = None

    # --- construction -----------------------------------------------------------------------------------------------

    @staticmethod
    def client(socket: Socket | str, **options: Any) -> Driver:
        """Make a client's driver; ``start()`` sends the request.

        Args:
            socket: what it writes to, with the server's ``url``; or only the URL, then bytes go through :attr:`io`.
            **options: see :class:`~wsdriver.driver.options.DriverOptions`.

        Raises:
            ConfigurationError: the URL or an option is wrong.
        """
        checked = make_options(DriverOptions, options)
        if not isinstance(socket, str):
            return Driver.for_client(socket, checked)
        io = IO()
        driver = Driver.for_client(io.wire(socket), checked)
        driver._attach_io(io)
        return driver

    @staticmethod
    def for_client(socket: Any, options: DriverOptions) -> Driver:
        """Make a client's driver from options that are checked already."""
        if options.origins is not None:
            raise ConfigurationError("origins says whom a server lets in; a client sends headers={'Origin': ...}")
        handshake = ClientHandshake(
            socket.url,
            options.protocols,
            Extensions(options.extensions),
            options.max_head_size,
            options.max_headers,
            options.max_extension_parameters,
        )
        return Driver(socket, options, handshake, False)

    @property
    def target(self) -> Target:
        """Where the URL leads. Clients only."""
        assert self._client is not None
        return self._client.target

    @staticmethod
    def server(socket: Any = None, **options: Any) -> Driver:
        """Make a server's driver that reads the HTTP request itself: ``connect`` fires when its head is complete.

        Args:
            socket: what it writes to; without one, bytes go through :attr:`io`. A mapping ``socket.base_environ`` adds
                what only the host knows to the environ: REMOTE_ADDR, wsgi.url_scheme.
            **options: see :class:`~wsdriver.driver.options.DriverOptions`.

        Raises:
            ConfigurationError: an option is wrong.
        """
        checked = make_options(DriverOptions, options)
        if socket is not None:
            return Driver(socket, checked, None, True)
        io = IO()
        driver = Driver(io.wire(), checked, None, True)
        driver._attach_io(io)
        return driver

    @staticmethod
    def wsgi(socket: Any, **options: Any) -> Driver:
        """Make a server's driver for a request that a WSGI server has read: ``socket.environ``.

        Args:
            socket: what it writes to, with the ``environ`` (PEP 3333).
            **options: see :class:`~wsdriver.driver.options.DriverOptions`.

        Raises:
            ConfigurationError: an option is wrong.
        """
        return Driver(socket, make_options(DriverOptions, options), None, False)

    # --- what is around it ------------------------------------------------------------------------------------------

    @property
    def socket(self) -> Any:
        """What the driver writes to."""
        return self._socket

    @property
    def io(self) -> IO:
        """The wire side as a stream, as in websocket-driver for Node."""
        if self._io is None:
            io = IO()
            self._socket = io.tee(self._socket)
            self._attach_io(io)
        assert self._io is not None
        return self._io

    def _attach_io(self, io: IO) -> None:
        self._io = io
        io.attach(self)

    @property
    def messages(self) -> Messages:
        """The application's side as a stream of messages, as in websocket-driver for Node."""
        if self._messages is None:
            self._messages = Messages(self)
        return self._messages

    def proxy(self, origin: str) -> Proxy:
        """Return a driver for the tunnel through an HTTP proxy to this client's server; ``start()`` asks for it.

        Args:
            origin: the proxy's URL, ``http://user:password@host:port`` or ``https:``.

        Raises:
            ConfigurationError: it is no such URL, or this is no client.
        """
        if self._client is None:
            raise ConfigurationError("only a client goes through a proxy")
        return Proxy(self, origin, self._options.max_head_size, self._options.max_headers)

    # --- listeners --------------------------------------------------------------------------------------------------

    def on(self, event: str, callback: Listener | None = None) -> Callable[[L], L]:
        """Call ``callback(event)`` at each ``connect open message ping pong error close``; also a decorator.

        Args:
            event: one of these names.
            callback: called with :class:`~wsdriver.events.MessageEvent` and so on; for ``error``, with the exception.

        Raises:
            ValueError: there is no such event.
        """
        if self._emitter is None:
            self._emitter = Emitter()
        return self._emitter.on(event, callback)

    def off(self, event: str, callback: Listener | None = None) -> None:
        """Remove a listener, or all of that event."""
        check_event(event)
        if self._emitter is not None:
            self._emitter.off(event, callback)

    def listener_count(self, event: str) -> int:
        """Return how many listeners an event has."""
        return 0 if self._emitter is None else self._emitter.count(event)

    def _emit(self, name: str, event: object) -> None:
        if self.observer is not None:
            self.observer.driver_event(name, event)
        if self._emitter is not None:
            self._emitter.emit(name, event)

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        return STATES[self.ready_state]

    @property
    def version(self) -> str | None:
        if self._client is None and not self._judged:
            return None
        return self._version.name

    @property
    def pingable(self) -> bool:
        """Whether the agreed version has pings."""
        return self._version.pingable

    @property
    def supports_close_codes(self) -> bool:
        """Whether the agreed version's close frames carry a code."""
        return self._version.supports_close_codes

    @property
    def has_closing_frame(self) -> bool:
        """Whether the agreed version has a closing handshake; without one, the end of TCP is all there is."""
        return self._version.closing_frame

    @property
    def environ(self) -> Environ | None:
        if self._environ is None and self._head is not None:
            # Built when somebody asks: most handlers never do, and it is larger than the rest of an idle connection.
            self._environ = self._checked if self._checked is not None else self._build_environ()
        return self._environ

    def _build_environ(self) -> Environ:
        base = getattr(self._socket, "base_environ", None) or {}
        return build_environ(self._parsed_request(), bytes(self._early or b""), base)

    def _parsed_request(self) -> Request:
        assert self._head is not None
        return parse_request(self._head, self._options.max_headers) if self._request is None else self._request

    def asked_target(self) -> str:
        """Return what the request asks for, as it was sent: cheaper than the environ."""
        return self._parsed_request().target if self._plain is None else self._plain[0]

    def may_be_forwarded(self) -> bool:
        """Tell whether the request may have headers of a proxy."""
        return self._plain is None or self._plain[4]

    @property
    def url(self) -> str | None:
        """The URL of the connection."""
        if self._client is not None:
            return str(self._socket.url)
        environ = self.environ
        return None if environ is None else url_of(environ)

    @property
    def connected(self) -> bool:
        """On a server, whether the request's head is complete."""
        return self._head is not None or self._environ is not None

    @property
    def max_length(self) -> int:
        """Bytes that a message of the peer may have, 0 for no limit.

        Set, it counts for what is read from then on; what is being read may be judged by either.

        Raises:
            ConfigurationError: it is set to what the option cannot be.
        """
        return self._max_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        check_int("max_length", value, 0)
        self._max_length = value
        if self._hixie is not None:
            self._hixie.max_length = value
        elif self._decoder is not None:
            self._decoder.max_length = min(value, MAX_FRAME)

    @property
    def method(self) -> str | None:
        environ = self.environ
        return None if environ is None else environ.get("REQUEST_METHOD")

    @property
    def path(self) -> str | None:
        environ = self.environ
        return None if environ is None else environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")

    @property
    def headers(self) -> Headers | None:
        if self._client is not None:
            return None if self._client.response is None else self._client.response.headers
        if self._head is not None:
            return self._parsed_request().headers
        return None if self._environ is None else headers_of(self._environ)

    @property
    def status(self) -> int | None:
        if self._client is None or self._client.response is None:
            return None
        return self._client.response.status

    @property
    def body(self) -> bytes:
        return bytes(self._early or b"")

    # --- the opening handshake --------------------------------------------------------------------------------------

    def set_header(self, name: str, value: str) -> bool:
        """Add a header to our half of the opening handshake; False once that has been sent.

        Raises:
            ConfigurationError: the header could not be sent as given.
        """
        if self.ready_state != CONNECTING or self._started:
            return False
        check_own_header(name, value)
        if self._extra is None:
            self._extra = []
        self._extra.append((name, value))
        return True

    def add_extension(self, extension: Any) -> bool:
        """Offer, or accept, one extension more; False once our half of the opening handshake has been sent.

        Raises:
            ConfigurationError: it is no extension.
        """
        if self.ready_state != CONNECTING or self._started:
            return False
        if self._extensions is None:
            self._extensions = Extensions(self._options.extensions)
        self._extensions.add(extension)
        return True

    def start(self) -> bool:
        """Begin: a client sends its request (RFC 6455 §4.1); a server answers the request (§4.2.2), or will as soon as
        it has read it.

        Returns:
            False where it has begun already, or the request was refused.
        """
        if self.ready_state != CONNECTING or self._started:
            return False
        headers = [*self._options.headers, *(self._extra or ())]
        if self._client is not None:
            self._started = True
            self.outbox += self._client.request(headers)
            self._write()
            return True
        if not self.connected:
            first, self._wanted = not self._wanted, True  # goes on when the head is complete
            return first
        return self._accept(headers)

    def _accept(self, headers: list[tuple[str, str]]) -> bool:
        try:
            self.judge()
        except HandshakeError as error:
            self.refuse(error)
            return False
        # The check may have called the application, which may raise, and under gevent wait: nothing has begun until
        # here, and meanwhile the peer may have gone.
        if self._started or self.ready_state != CONNECTING:
            return False
        version = self._version
        if self._plain is None:
            environ = self.check()
            protocols = asked_protocols(environ)
            extensions = environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "")
        else:
            protocols, extensions = self._plain[2:4]
        self.protocol = select_protocol(protocols, self._options.protocols)
        try:
            headers = [*self._agree(extensions), *headers]
        except ExtensionError as error:
            self._refuse(HandshakeError(f"the Sec-WebSocket-Extensions header is wrong: {error}"))
            return False
        self._started = True
        if self._plain is None:
            self.outbox += accept_request(environ, version, self.protocol, headers)
        else:
            self.outbox += accept_with_key(self._plain[1], self.protocol, headers)
        if version.opening is Opening.CHALLENGE:
            self._write()
            return self._challenged()
        self._open()
        return True

    def _agree(self, offered: str) -> list[tuple[str, str]]:
        """Return the headers that the agreed version and extensions add; ``offered`` are the client's extensions."""
        fields: list[tuple[str, str]] = []
        if self._version.masking is Masking.FRAME_BY_NONCE:
            self._nonce = base64.b64encode(secrets.token_bytes(16)).decode()
            fields.append(("Sec-WebSocket-Nonce", self._nonce))
        if self._extensions is None and self._options.extensions:
            self._extensions = Extensions(self._options.extensions)
        if self._extensions is not None and self._version.extensible:
            agreed = self._extensions.generate_response(offered, self._options.max_extension_parameters)
            if agreed:
                fields.append(("Sec-WebSocket-Extensions", agreed))
        return fields

    def _challenged(self) -> bool:
        """Answer a challenge, as soon as the 8 bytes behind the request's head are here (hixie-76)."""
        early = self._early
        if early is not None and len(early) >= BODY_SIZE:
            environ = self.check()
            keys = environ["HTTP_SEC_WEBSOCKET_KEY1"], environ["HTTP_SEC_WEBSOCKET_KEY2"]
            self.outbox += challenge_answer(*keys, bytes(early[:BODY_SIZE]))
            del early[:BODY_SIZE]
            self._open()
        return True

    def judge(self) -> None:
        """Judge the request before it is answered.

        Raises:
            HandshakeError: it would be refused.
        """
        if self._plain is None:
            self.check()
        self._judged = True

    def check(self) -> Environ:
        """Judge the request before it is answered; return its environ.

        Raises:
            HandshakeError: it would be refused.
        """
        if self._checked is None:
            environ = self._build_environ() if self._environ is None else self._environ
            self._version = check_request(environ, self._options.versions, self._options.origins)
            self._checked = environ
            self._judged = True
        return self._checked

    def refuse(self, error: HandshakeError) -> None:
        """Answer the request with the error's status and sentence instead of a handshake, and end.

        Only while connecting, on a server.

        Raises:
            ConfigurationError: a header of the error could not be sent.
        """
        for name, value in error.headers.items():
            check_header(name, value)
        if self.ready_state == CONNECTING:
            self._refuse(error)

    def _refuse(self, error: HandshakeError) -> None:
        """End before the beginning; a client has nothing to say then."""
        # (With the head out and hixie-76's challenge not yet here, an answer of HTTP would follow another.)
        if self._client is None and not self._started:
            self.outbox += refuse_request(error, self.method == "HEAD")
        self.ready_state = CLOSED
        try:
            self._write()
        finally:
            self._end_with(error, CloseEvent(1002, str(error)))

    def _open(self) -> None:
        self._make_decoder()
        self.ready_state = OPEN
        # Of a request that we have read, the head alone says all again.
        self._request = None
        self._checked = None
        self._plain = None
        queue, self._queue = self._queue, None
        self._delivering = True  # a host that delivers while it writes gets no message in before the event
        try:
            for name, arguments in queue or ():
                getattr(self, name)(*arguments)
            self._write()
            self._emit("open", _OPENED)
        finally:
            self._delivering = False
        if self._early is not None or self.observer is None:
            self.feed(b"", 0, 0)  # what came early

    def _make_decoder(self) -> None:
        """Set up what the agreed version and extensions want done with bytes."""
        options = self._options
        version = self._version
        if not version.framed:
            self._hixie = HixieDecoder(self._max_length, version.closing_frame)
            self.framing = "hixie"
            return
        masked = version.masking is Masking.PAYLOAD and not self._masks
        self._firsts = version.first_bytes
        self._decoder = FrameDecoder(
            MaskPlace.PAYLOAD if masked else MaskPlace.NOWHERE,
            min(self._max_length, MAX_FRAME),
            options.max_fragments,
            0,
            version.opcodes,
            version.more,
        )
        if version.masking is Masking.FRAME:
            self._unmasker = FrameUnmasker(None)
        elif version.masking is Masking.FRAME_BY_NONCE:
            key = masking_key_04(self.check()["HTTP_SEC_WEBSOCKET_KEY"].strip(" \t"), self._nonce)
            self._unmasker = FrameUnmasker(partial(frame_mask_04, masking_key=key))
        if self._extensions is not None:
            if self._extensions.active:
                self._decoder.reserved = self._extensions.reserved
                self._decoder.raw = not self._extensions.only_marked
            else:
                self._extensions = None
        self.unpacks = self._extensions is not None
        self.direct = not self.unpacks and not self._masks
        if self._masks:
            return
        if self._extensions is None:
            self.framing = self._firsts
        elif self._extensions.sharing_key is not None:
            self.framing = (self._firsts, self._extensions.sharing_key)

    def _connect(self, data: bytes) -> None:
        """Read on in the opening handshake."""
        try:
            event = self._read_handshake(data) if data else None
        except HandshakeError as error:
            self._refuse(error)
            return
        if event == "open":
            self._open()
        elif event == "connect":
            self._emit("connect", _CONNECTED)
        if self._wanted and self.connected:
            self._wanted = False
            self.start()
        elif self._started and self._client is None and self.ready_state == CONNECTING:
            self._challenged()

    def _read_handshake(self, data: bytes) -> str | None:
        """Return the event that the data completes, if any; what is behind the head is kept."""
        if self._client is not None:
            if not self._started:
                raise HandshakeError("the server spoke before it was asked", 0)
            rest = self._client.feed(data)
            if rest is None:
                return None
            self.protocol = self._client.protocol
            self._keep_early(rest)
            return "open"
        if self._reads_head:
            return "connect" if self._read_head(data) else None
        if len(data) + (0 if self._early is None else len(self._early)) > MAX_EARLY:
            raise HandshakeError(f"more than {MAX_EARLY} bytes came before the handshake was answered (MAX_EARLY)")
        self._keep_early(data)
        return None

    def _read_head(self, data: bytes) -> bool:
        """Read on in the head of the request; True where it is complete."""
        if self._reader is None:
            if self._options.reads_plain:
                self._plain = read_plain(data)
            if self._plain is not None:
                self._reads_head = False
                self._head = data
                return True
            self._reader = HeadReader(self._options.max_head_size)
        done = self._reader.feed(data)
        if done is None:
            return False
        self._reads_head = False
        self._reader = None
        self._request = parse_request(done[0], self._options.max_headers)
        self._head = done[0]
        self._keep_early(done[1])
        return True

    def _keep_early(self, data: bytes) -> None:
        if data:
            if self._early is None:
                self._early = bytearray()
            self._early += data

    # --- bytes in ---------------------------------------------------------------------------------------------------

    def parse(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes from the peer, any number, cut as they may be. Nothing that the peer sends raises here: a fault
        becomes an ``error`` event and a ``close``, and fails the connection (RFC 6455 §7.1.7).

        What a listener raises comes out; the bytes behind it are kept, and handled at the next call.
        """
        self.feed(data, 0, len(data))

    def eof(self) -> None:
        """Take note that no more bytes will come. Without a closing handshake before, that is a loss: 1006."""
        if self.observer is None and not self._delivering and self.ready_state != CONNECTING:
            self.feed(b"", 0, 0)  # what a listener that raised has left
        if self.ready_state == CLOSED:
            return
        connecting, self.ready_state = self.ready_state == CONNECTING, CLOSED
        try:
            if connecting and self._client is not None:
                self._emit("error", HandshakeError("the server ended the connection before it had answered", 0))
        finally:
            self._finish(CloseEvent(1006, "", False))

    def feed(self, data: BytesLike, start: int, end: int, frames: int = 0) -> int:
        """Take ``data[start:end]`` from the peer: :meth:`parse` without a slice.

        Args:
            frames: that are handled at most, about, 0 for no limit; a long one counts for several.

        Returns:
            where to go on: ``end``, unless there were more frames.
        """
        if self.ready_state == CONNECTING:
            self._connect(bytes(memoryview(data)[start:end]))
            return end
        if self.ready_state != CLOSED and self._fault is None:
            try:
                if self._early is not None:
                    early, self._early = self._early, None
                    self._decode(early, 0, len(early))
                if self._hixie is None and self._unmasker is None:
                    end = self._decoder.feed(data, start, end, self.inbox, frames)
                else:
                    end = self._decode_old(data, start, end, frames)
            except ProtocolError as fault:
                # Not raised: the messages before it come first.
                self._fault = fault
        if self.observer is not None:
            self._scan()
        elif not self._delivering:
            self._deliver()
        return end

    def room(self, most: int) -> memoryview | None:
        """Return memory for the next bytes from the peer, in the midst of a large message: they are not copied then.

        For observers. What was read into it is for :meth:`filled`; in between nothing else may be called.

        Args:
            most: bytes that the caller can use.

        Returns:
            None where there is none: then what comes is for :meth:`feed`.
        """
        if self._decoder is None or self._unmasker is not None or self._fault is not None:
            return None
        return self._decoder.room(most)

    def filled(self, count: int) -> None:
        """Take the first ``count`` bytes of what :meth:`room` returned: as :meth:`feed`."""
        try:
            self._decoder.filled(count, self.inbox)
        except ProtocolError as fault:
            self._fault = fault
        self._scan()

    def _decode_old(self, data: BytesLike, start: int, end: int, frames: int) -> int:
        if not frames:
            self._decode(data, start, end)
            return end
        # These versions' decoders count nothing: they are fed little by little.
        enough = len(self.inbox) + frames
        while start < end and len(self.inbox) < enough:
            stop = min(end, start + OLD_STEP)
            self._decode(data, start, stop)
            start = stop
        return start

    def _decode(self, data: BytesLike, start: int, end: int) -> None:
        """Decode all of it, in any version."""
        if self._hixie is not None:
            self._hixie.feed(data, start, end, self.inbox)
            return
        if self._unmasker is not None:
            data = self._unmasker.feed(bytes(memoryview(data)[start:end]))
            start, end = 0, len(data)
        self._decoder.feed(data, start, end, self.inbox)

    def _scan(self) -> None:
        """Handle the control frames among the new items; messages stay, and controls where somebody listens to them."""
        inbox = self.inbox
        length = len(inbox)
        index = self._delivered
        while index < length and type(inbox[index]) is not tuple:
            index += 1
        self._delivered = index
        if index < length:
            self._scan_tuples(index)
        if self._fault is not None:
            self._fail(self._fault)

    def _scan_tuples(self, index: int) -> None:
        """Go on from the first new item that is a control frame, or for an extension."""
        inbox = self.inbox
        length = len(inbox)
        kept = index
        try:
            while index < length:
                item: Any = inbox[index]
                index += 1
                opcode = item[0] if type(item) is tuple else 0
                if 0 < opcode < CLOSE:
                    item = self._unpack(item)
                if opcode < CLOSE or (self.keeps_controls and kept < MAX_CONTROLS):
                    if kept < index:
                        inbox[kept] = item
                    kept += 1
                if opcode >= CLOSE:
                    self._control(opcode, item[1])
        except ProtocolError as fault:
            # Of an extension: what came behind the message is nothing any more.
            index = length
            self._fault = fault
        finally:
            if kept < index:
                del inbox[kept:index]
            self._delivered = kept

    def _unpack(self, item: tuple[int, bytes, int]) -> str | bytes:
        """Pass a message through the extensions."""
        opcode, data, reserved = item
        limit = self._max_length
        assert self._extensions is not None
        data = self._extensions.process_incoming(opcode, data, reserved, limit)
        self.unpacked += len(data)
        if limit and len(data) > limit:
            raise too_big(len(data), limit)
        if opcode == BINARY:
            return data
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError:
            raise utf8_fault() from None

    def take_early(self) -> bytes:
        """Return what came before the handshake was through, where that is much or may unfold to much. For observers,
        at ``open``: they feed it little by little.
        """
        early = self._early
        if early is None or (len(early) <= EARLY_AT_ONCE and not self.unpacks):
            return b""
        self._early = None
        return bytes(early)

    def take_inbox(self, empty: list[Item]) -> list[Item]:
        """Return what the inbox holds; the empty list given becomes the new one. For observers."""
        full = self.inbox
        self.inbox = empty
        self._delivered = 0
        return full

    def _deliver(self) -> None:
        """Emit the items one by one. Each is done with before a listener runs: it may raise, send, close or parse."""
        self._delivering = True
        try:
            while self._delivered < len(self.inbox) and self.ready_state != CLOSED:
                item = self.inbox[self._delivered]
                self._delivered += 1
                if isinstance(item, (str, bytes)):
                    self._emit("message", MessageEvent(item))
                elif item[0] >= CLOSE:
                    self._control(item[0], item[1])
                    if item[0] == PING:
                        self._emit("ping", PingEvent(item[1]))
                else:
                    try:
                        message = self._unpack(item)
                    except ProtocolError as fault:
                        del self.inbox[self._delivered :]
                        self._fault = fault
                        break
                    self._emit("message", MessageEvent(message))
        finally:
            self._delivering = False
            if self._delivered == len(self.inbox) or self.ready_state == CLOSED:
                self.inbox.clear()
                self._delivered = 0
        if self._fault is not None:
            self._fail(self._fault)

    # --- control frames (RFC 6455 §5.5) -----------------------------------------------------------------------------

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            if self.ready_state == OPEN:
                if self.observer is not None and self.observer.is_blocked():
                    # A peer that pings and does not read gets the latest pong only (§5.5.3).
                    self._late_pong = payload
                else:
                    self._append(PONG, payload)
                    self._write()
        elif opcode == PONG:
            try:
                if self.observer is None:
                    self._emit("pong", PongEvent(payload))
            finally:
                self._answered(payload)
        elif opcode == CLOSE:
            self._received_close(payload)

    def _answered(self, payload: bytes) -> None:
        """Call back for a ping, and for all before it: its pong answers them too (§5.5.3)."""
        callbacks = self._callbacks
        if callbacks is None or payload not in callbacks:
            return
        answered = list(callbacks)
        for data in answered[: answered.index(payload) + 1]:
            called = callbacks.pop(data, ())
            self._unanswered -= len(called)
            for callback in called:
                callback()

    def _await_pong(self, payload: bytes, callback: Any) -> None:
        """Keep the callback of a ping; where too many are kept, forget the oldest."""
        if self._callbacks is None:
            self._callbacks = {}
        if self._unanswered == self._options.max_unanswered_pings:
            oldest = next(iter(self._callbacks))
            del self._callbacks[oldest][0]
            if not self._callbacks[oldest]:
                del self._callbacks[oldest]
            self._unanswered -= 1
        self._callbacks.setdefault(payload, []).append(callback)
        self._unanswered += 1

    def write_late_pong(self) -> None:
        """Write the pong that waited for a slow peer. For observers, when the outbox is empty again."""
        payload, self._late_pong = self._late_pong, None
        if payload is not None and self.ready_state == OPEN:
            self._append(PONG, payload)

    def _received_close(self, payload: bytes) -> None:
        if len(payload) == 1 and self._version.supports_close_codes:
            self._fail(ProtocolError("a close frame has a body of one byte"))
            return
        code, reason = 1005, ""
        if payload and self._version.supports_close_codes:
            code = int.from_bytes(payload[:2], "big")
            if not is_valid_close_code(code):
                self._fail(ProtocolError(f"a close frame has the invalid code {code}"))
                return
            try:
                reason = payload[2:].decode()
            except UnicodeDecodeError:
                self._fail(InvalidPayload("the reason of a close frame is not valid UTF-8"))
                return
        self.close_received = (code, reason)
        if self.ready_state == OPEN:
            self._append(CLOSE, payload)
            self.close_sent = (code, reason)
        self.ready_state = CLOSED
        try:
            self._write()
        finally:
            self._finish(CloseEvent(code, reason, True))

    def _fail(self, fault: ProtocolError) -> None:
        """Fail the connection (RFC 6455 §7.1.7): the one place where a peer's fault ends it."""
        self._fault = None
        if self.ready_state == CLOSED:
            return
        # The error may be kept for long, and the frames in which it was found hold the message; so does a decode error.
        fault.__traceback__ = None
        if fault.__cause__ is None:
            fault.__context__ = None
        if self.ready_state == OPEN:
            self._append_close(fault.code, str(fault))
        self.ready_state = CLOSED
        try:
            self._write()
        finally:
            self._end_with(fault, CloseEvent(fault.code, str(fault), False))

    def _end_with(self, error: WebSocketError, event: CloseEvent) -> None:
        try:
            self._emit("error", error)
        finally:
            self._finish(event)

    def _finish(self, event: CloseEvent) -> None:
        if self._extensions is not None:
            self._extensions.close()
        self._callbacks = None
        self._queue = None
        self._early = None
        self._decoder = None  # type: ignore[assignment]  # which may have much of a message
        self._hixie = None
        self._emit("close", event)

    # --- messages out -----------------------------------------------------------------------------------------------

    def text(self, message: str, compress: bool | None = None) -> bool:
        """Send a text message (RFC 6455 §5.6).

        Args:
            message: to be sent as UTF-8.
            compress: False keeps extensions from compressing this message.

        Returns:
            True when it was sent or queued, False when the connection takes no more.

        Raises:
            TypeError: it is no str.
            UnicodeEncodeError: it has a lone surrogate, which UTF-8 cannot carry.
        """
        if not isinstance(message, str):
            raise TypeError(f"text() takes a str, not {type(message).__name__}")
        return self._message("text", TEXT, message, compress)

    def binary(self, message: bytes | bytearray | memoryview, compress: bool | None = None) -> bool:
        """Send a binary message (RFC 6455 §5.6).

        Args:
            message: its payload.
            compress: False keeps extensions from compressing this message.

        Returns:
            True when it was sent or queued, False when the connection takes no more. The hixie versions have no binary
            messages: False.

        Raises:
            TypeError: it is not bytes-like.
        """
        if isinstance(message, str):
            raise TypeError("binary() takes bytes, not str")
        return self._message("binary", BINARY, message, compress)

    def _message(self, name: str, opcode: int, message: Any, compress: bool | None) -> bool:
        if self.ready_state == OPEN:
            if not self.send_data(opcode, message, compress):
                return False
            self._write()
            return True
        if self.ready_state == CONNECTING and (opcode == TEXT or self._version.framed):
            self._keep(name, message.encode().decode() if opcode == TEXT else bytes(memoryview(message)), compress)
            return True
        return False

    def send_data(self, opcode: int, message: str | BytesLike, compress: bool | None = None) -> bool:
        """Put a message into the outbox, where the state and the version allow. For observers: it writes nothing."""
        if self.ready_state != OPEN:
            return False
        if self._extensions is not None:
            self._append_data(opcode, message, compress)
        elif self._hixie is None:
            append_frame(self.outbox, self._firsts[opcode], message, masking_key() if self._masks else None)
        elif opcode == TEXT:
            append_text(self.outbox, message if isinstance(message, str) else bytes(message).decode())
        else:
            return False
        return True

    def frame(self, opcode: int, data: bytes) -> bytes | None:
        """Return the bytes that a message becomes, here and wherever ``framing`` is equal; nothing is sent.

        Returns:
            None where the version has no such message, or the connection is not open.

        Raises:
            WebSocketError: an extension failed; the connection is failed with it.
        """
        start = len(self.outbox)
        if not self.send_data(opcode, data):
            return None
        frame = bytes(self.outbox[start:])
        del self.outbox[start:]
        return frame

    def send_head(self, opcode: int, size: int) -> bool:
        """Put only the head of a data frame into the outbox, where the state allows: the caller writes the payload.

        For observers, where payloads go out as they are: ``direct``.
        """
        if self.ready_state != OPEN:
            return False
        append_head(self.outbox, self._firsts[opcode], size)
        return True

    def _append(self, opcode: int, payload: Any) -> None:
        if self._hixie is None:
            append_frame(self.outbox, self._firsts[opcode], payload, masking_key() if self._masks else None)
        elif opcode == TEXT:
            append_text(self.outbox, payload)
        elif opcode == CLOSE and self._version.closing_frame:
            self.outbox += CLOSING_FRAME

    def _append_close(self, code: int, reason: str) -> None:
        """Put a close frame into the outbox, saying as much as the version can say."""
        payload = close_payload(code, reason) if self._version.supports_close_codes else b""
        self._append(CLOSE, payload)
        self.close_sent = (code, payload[2:].decode()) if payload else (1005, "")

    def _append_data(self, opcode: int, message: str | BytesLike, compress: bool | None) -> None:
        """Put a message into the outbox, through the extensions.

        Raises:
            WebSocketError: an extension failed; the connection is failed with it.
        """
        assert self._extensions is not None
        if isinstance(message, str):
            data = message.encode()
        else:
            data = message if type(message) is bytes else bytes(memoryview(message))
        try:
            data, reserved = self._extensions.process_outgoing(opcode, data, compress)
        except WebSocketError as error:
            # What the peer knows of the extension's state is not known any more.
            self._fail(error if isinstance(error, ProtocolError) else ExtensionError(str(error)))
            raise
        key = masking_key() if self._masks else None
        append_frame(self.outbox, self._firsts[opcode] | reserved, data, key)

    def _keep(self, name: str, *arguments: Any) -> None:
        if self._queue is None:
            self._queue = []
        self._queue.append((name, arguments))

    def ping(self, data: str | bytes = b"", callback: Any = None) -> bool:
        """Send a ping (RFC 6455 §5.5.2); ``callback()`` is called when the pong with the same payload comes.

        Args:
            data: at most 125 bytes; a str goes out as UTF-8.
            callback: without arguments; None for none.

        Returns:
            False where the connection takes no more, or the version has no pings.

        Raises:
            ValueError: the payload is over 125 bytes (RFC 6455 §5.5).
        """
        payload = _control_payload("ping", data)
        if self.ready_state > OPEN or not self._version.pingable:
            return False
        if callback is not None:
            self._await_pong(payload, callback)
        if self.ready_state == CONNECTING:
            self._keep("ping", payload)
        else:
            self._append(PING, payload)
            self._write()
        return True

    def pong(self, data: str | bytes = b"") -> bool:
        """Send a pong that nobody asked for (RFC 6455 §5.5.3).

        Raises:
            ValueError: the payload is over 125 bytes.
        """
        payload = _control_payload("pong", data)
        if self.ready_state > OPEN or not self._version.pingable:
            return False
        if self.ready_state == CONNECTING:
            self._keep("pong", payload)
        else:
            self._append(PONG, payload)
            self._write()
        return True

    def close(self, code: int | None = 1000, reason: str = "") -> bool:
        """Begin the closing handshake (RFC 6455 §7.1.2). False where it has begun already.

        Args:
            code: what may stand in a close frame, or None for a frame without a code.
            reason: cut to 123 bytes of UTF-8.

        Raises:
            ValueError: the code may not stand in a close frame.
            TypeError: the reason is no str.
        """
        if code is not None and (isinstance(code, bool) or not isinstance(code, int) or not is_valid_close_code(code)):
            raise ValueError(f"{code!r} may not stand in a close frame (RFC 6455 §7.4)")
        if not isinstance(reason, str):
            raise TypeError(f"the reason must be a str, not {type(reason).__name__}")
        payload = close_payload(code, reason)
        if not self._version.supports_close_codes:
            payload = b""
        if self.ready_state == CONNECTING:
            self.ready_state = CLOSED
            self._finish(CloseEvent(1005 if code is None else code, reason, False))
            return True
        if self.ready_state != OPEN:
            return False
        self._append(CLOSE, payload)
        self.close_sent = (1005 if len(payload) < 2 else code or 1005, payload[2:].decode())
        if self._version.closing_frame:
            self.ready_state = CLOSING
            self._write()
        else:
            self.ready_state = CLOSED
            self._write()
            self._finish(CloseEvent(1006, "", False))  # there is no closing handshake that could be clean
        return True

    def _write(self) -> None:
        """Hand the outbox to the socket; an observer takes it by itself."""
        if self.observer is None and self.outbox:
            data = bytes(self.outbox)
            self.outbox.clear()
            self._socket.write(data)


def _control_payload(name: str, data: str | bytes) -> bytes:
    payload = data.encode() if isinstance(data, str) else bytes(memoryview(data))
    if len(payload) > 125:
        raise ValueError(f"a {name} carries at most 125 bytes, not {len(payload)}")
    return payload
