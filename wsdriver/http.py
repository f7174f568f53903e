"""Request and response heads (RFC 9112), parsed by h11 behind stricter gates.

h11 knows the grammar; plain requests, which could mean nothing else to it, are parsed without asking it. What it
tolerates for the sake of old peers, and a WebSocket endpoint must not, is refused before it sees a byte: bare line
feeds, folded lines and control characters (request smuggling), heads without an end, too many fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import h11

from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.options import TOKEN

__all__ = [
    "MAX_FIELDS",
    "MAX_HEAD",
    "MAX_INTERIM",
    "BodyReader",
    "HeadReader",
    "Headers",
    "Request",
    "Response",
    "authority_of",
    "check_header",
    "has_token",
    "is_interim",
    "parse_authority",
    "parse_host",
    "parse_plain",
    "parse_request",
    "parse_response",
    "serialize_head",
    "split_tokens",
    "without_password",
]

#: Bytes of a head, its end included; and its header fields. (Unless the options say otherwise.)
MAX_HEAD = 32 * 1024
MAX_FIELDS = 128

#: Informational answers (1xx) before the final one.
MAX_INTERIM = 10

_TOKEN_BYTES = frozenset(map(ord, TOKEN))
_BARE_LF = re.compile(rb"(?<!\r)\n")
_FOLDED = re.compile(rb"\r\n[ \t]")
#: What no line may hold, beside NUL, which h11 refuses, too (RFC 9110 §5.5).
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
#: A GET without oddities. No two of its repetitions can take the same byte, so that it needs no more than linear time.
_PLAIN = re.compile(rb"GET ([!-~]+) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t !-~\x80-\xff]*\r\n)+)\r\n")
#: What a GET asks for: a path or a URL (RFC 9112 §3.2), without a fragment (RFC 6455 §3).
_TARGET = re.compile(r"(?:/|[A-Za-z][A-Za-z0-9+.-]*://)[^#]*\Z")
_OF_BODIES = frozenset(("content-length", "transfer-encoding", "expect"))
_HOST = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._~-]+)?\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::(?P<port>[0-9]{0,5}))?",
    re.ASCII,
)


class Headers(Mapping[str, str]):
    """Header fields by name, in any case. Fields of one name are one value, joined by commas (RFC 9110 §5.2).

    ``get_all(name)`` returns them apart.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, list[tuple[str, str]]] = {}
        for name, value in fields:
            self._fields.setdefault(name.lower(), []).append((name, value))

    def __getitem__(self, name: str) -> str:
        fields = self._fields[name.lower()]
        return fields[0][1] if len(fields) == 1 else ", ".join([value for _, value in fields])

    def __iter__(self) -> Iterator[str]:
        return (fields[0][0] for fields in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({[field for fields in self._fields.values() for field in fields]!r})"

    def has_any(self, names: frozenset[str]) -> bool:
        """Tell whether there is a field of one of these names, which are in lower case."""
        return not names.isdisjoint(self._fields)

    def get_all(self, name: str) -> list[str]:
        """Return the value of each field of that name, in order."""
        return [value for _, value in self._fields.get(name.lower(), ())]


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head. ``target`` is as it was sent; text is latin-1, as in PEP 3333."""

    method: str
    target: str
    http_version: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class Response:
    """A response's head."""

    status: int
    reason: str
    headers: Headers


class HeadReader:
    """Collects a head from chunks of any size, in time linear in the bytes.

    Args:
        max_size: bytes that the head may have.
    """

    __slots__ = ("_buffer", "_seen", "max_size")

    def __init__(self, max_size: int = MAX_HEAD) -> None:
        self.max_size = max_size
        self._buffer = bytearray()
        self._seen = 0

    def feed(self, data: bytes | bytearray | memoryview) -> tuple[bytes, bytes] | None:
        """Take a chunk; return ``(head, rest)`` once the head is complete, else None.

        Raises:
            HandshakeError: it cannot become a head any more.
        """
        buffer = self._buffer
        buffer += data
        if buffer and buffer[0] not in _TOKEN_BYTES:
            raise HandshakeError(f"not HTTP: a head cannot begin with the byte 0x{buffer[0]:02x}")
        end = buffer.find(b"\r\n\r\n", self._seen)
        if end < 0:
            if len(buffer) >= self.max_size:
                raise self._too_long()
            # A bare line feed cannot become part of a head: do not wait for an end that will not come.
            self._refuse_bare_lf(self._seen, len(buffer))
            self._seen = max(0, len(buffer) - 3)
            return None
        end += 4
        if end > self.max_size:
            raise self._too_long()
        if buffer.count(b"\n", 0, end) != buffer.count(b"\r\n", 0, end):
            self._refuse_bare_lf(0, end)
        head, rest = bytes(buffer[:end]), bytes(buffer[end:])
        buffer.clear()
        self._seen = 0
        return head, rest

    def _too_long(self) -> HandshakeError:
        return HandshakeError(f"the head is longer than {self.max_size} bytes (max_head_size)", 431)

    def _refuse_bare_lf(self, start: int, end: int) -> None:
        if _BARE_LF.search(self._buffer, max(0, start - 1), end):
            raise HandshakeError("a line of the head ends with a bare line feed")


def parse_request(head: bytes, max_fields: int = MAX_FIELDS) -> Request:
    """Parse the head of a request, which may have so many header fields.

    Raises:
        HandshakeError: it is not HTTP/1.x, or asks for nothing that can be; ``.status`` is the answer it deserves.
    """
    request = parse_plain(head, max_fields) or _parse_any(head, max_fields)
    if request.method == "GET" and not _TARGET.match(request.target):
        raise HandshakeError(f"the request's target is neither a path nor a URL: {request.target[:80]!r}")
    return request


def parse_plain(head: bytes, max_fields: int = MAX_FIELDS) -> Request | None:
    """Parse a head as nearly all are, in a tenth of h11's time; None where h11 has to judge it.

    The pattern takes less than h11 does; what h11 checks beside the grammar is one Host, and how long a body is.
    """
    match = _PLAIN.fullmatch(head)
    if match is None or head.count(b"\r\n") - 2 > max_fields:
        return None
    fields = []
    hosts = 0
    for line in match[2][:-2].decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        known = name.lower()
        if known == "host":
            hosts += 1
        elif known in _OF_BODIES:
            return None
        fields.append((name, value.strip(" \t")))
    return Request("GET", match[1].decode("ascii"), "1.1", Headers(fields)) if hosts == 1 else None


def _parse_any(head: bytes, max_fields: int = MAX_FIELDS) -> Request:
    event = _parse(head, h11.SERVER, max_fields)
    assert isinstance(event, h11.Request)
    return Request(
        event.method.decode("latin-1"),
        event.target.decode("latin-1"),
        event.http_version.decode("ascii"),
        _headers(event.headers),
    )


def parse_response(head: bytes, max_fields: int = MAX_FIELDS) -> Response:
    """Parse the head of a response, which may have so many header fields.

    Raises:
        HandshakeError: it is not HTTP/1.x.
    """
    event = _parse(head, h11.CLIENT, max_fields)
    assert isinstance(event, (h11.Response, h11.InformationalResponse))
    return Response(event.status_code, event.reason.decode("latin-1"), _headers(event.headers))


class BodyReader:
    """Collects the first bytes of the body of a refusal: without its framing, chunks for one (RFC 9112 §6).

    Args:
        head: of the response, which has been parsed without an error.
        limit: bytes to keep; what comes behind is not looked at.

    Attributes:
        data: what has come so far.
        complete: whether all has come that will be kept.
    """

    __slots__ = ("_connection", "_limit", "complete", "data")

    def __init__(self, head: bytes, limit: int) -> None:
        # (Heads of chunks and trailers are as long as they are, whatever the head is.)
        self._connection = _asking(max(len(head), MAX_HEAD))
        self._connection.receive_data(head)
        self._limit = limit
        self.data = b""
        # An informational answer, 101 among them, has no body.
        self.complete = isinstance(self._connection.next_event(), h11.InformationalResponse)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes from behind the head."""
        if data and not self.complete:
            self._read(bytes(data))

    def eof(self) -> None:
        """Take note that no more will come."""
        if not self.complete:
            self._read(b"")

    def _read(self, data: bytes) -> None:
        try:
            self._connection.receive_data(data)
            while isinstance(event := self._connection.next_event(), h11.Data):
                self.data += event.data
        except h11.RemoteProtocolError:
            self.complete = True  # cut off, or wrong chunks: what has come is worth showing all the same
        else:
            self.complete = isinstance(event, h11.EndOfMessage)
        if len(self.data) >= self._limit:
            self.data = self.data[: self._limit]
            self.complete = True


def _asking(size: int) -> h11.Connection:
    """Return a connection that waits for a response with a head of that size."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=size + 1)
    # h11 reads a response only after a request; this one stands in for ours.
    connection.send(_ASKED)
    connection.send(h11.EndOfMessage())
    return connection


def _parse(head: bytes, role: type[h11.SERVER | h11.CLIENT], max_fields: int) -> object:
    if _FOLDED.search(head):
        raise HandshakeError("a header is folded over two lines")
    if _CONTROL.search(head):
        raise HandshakeError("the head has a control character in it")
    if head.count(b"\r\n") - 2 > max_fields:
        raise HandshakeError(f"the head has more than {max_fields} header fields (max_headers)", 431)
    size = len(head)
    connection = _asking(size) if role is h11.CLIENT else h11.Connection(role, max_incomplete_event_size=size + 1)
    try:
        connection.receive_data(head)
        return connection.next_event()
    except h11.ProtocolError as error:
        status = getattr(error, "error_status_hint", 400)
        raise HandshakeError(f"not HTTP: {str(error)[:120]}", status) from error


_ASKED = h11.Request(
    method="GET", target="/", headers=[("Host", "h"), ("Connection", "upgrade"), ("Upgrade", "websocket")]
)


def _headers(fields: h11._headers.Headers) -> Headers:
    return Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields.raw_items())


def check_header(name: str, value: str) -> None:
    """Refuse a header that could not be sent, or would be read as two (response splitting).

    Raises:
        ConfigurationError: a name that is no token, or CR, LF or NUL in the value.
    """
    if not isinstance(name, str) or not name or not TOKEN.issuperset(name):
        raise ConfigurationError(f"{name!r} is no header name")
    if not isinstance(value, str) or any(char in "\r\n\0" for char in value):
        raise ConfigurationError(f"the value of header {name} must be a str without CR, LF and NUL, not {value!r}")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ConfigurationError(f"the value of header {name} must be latin-1, not {value!r}") from None


def serialize_head(start_line: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Return the bytes of a head; the fields have been checked."""
    lines = [start_line, *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def parse_host(value: str) -> tuple[str, int | None]:
    """Return ``(host, port)`` of a Host header; the port is None where none is given.

    urllib accepts spaces, slashes and user names here, and raises errors of its own on the rest.

    Raises:
        HandshakeError: it is not host[:port] (RFC 9110 §7.2).
    """
    match = _HOST.fullmatch(value)
    port = match["port"] if match else None
    if match is None or (port and int(port) > 65535):
        raise HandshakeError(f"the Host header is not host[:port]: {value[:80]!r}")
    return match["host"], int(port) if port else None


def parse_authority(netloc: str) -> tuple[str, str, int | None]:
    """Return ``(user, host, port)`` of the authority of a URL; a host that is not ASCII is put into IDNA.

    Raises:
        HandshakeError: the host or the port is not valid.
    """
    user, _, hostport = netloc.rpartition("@")
    if not hostport.isascii():
        name, colon, number = hostport.partition(":")
        try:
            hostport = name.encode("idna").decode() + colon + number
        except UnicodeError as error:
            raise HandshakeError(f"the host is no domain name: {error}") from None
    return user, *parse_host(hostport)


def authority_of(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    return re.sub(r"//.*@", "//...@", url, flags=re.DOTALL)


def is_interim(status: int) -> bool:
    """Tell whether another answer follows this one (RFC 9110 §15.2); 101 ends HTTP on its connection."""
    return 100 <= status < 200 and status != 101


def split_tokens(value: str) -> list[str]:
    """Return the members of a comma-separated list, stripped, without empty ones (RFC 9110 §5.6.1), in linear time."""
    return [part for part in (part.strip(" \t") for part in value.split(",")) if part]


def has_token(value: str, token: str) -> bool:
    """Tell whether a comma-separated list has a token, which is in lower case, in any case."""
    value = value.lower()
    return value == token or (token in value and token in split_tokens(value))
