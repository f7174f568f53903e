"""A parser of event streams by the letter of the HTML standard (§9.2.5 and §9.2.6), and a client that uses it.

Independent of the code under test.
"""

from __future__ import annotations

import codecs
import re
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

from gevent import socket
from gevent.ssl import SSLContext

__all__ = ["Client", "Event", "Parser", "parse"]

#: Seconds that anything may take before a test fails.
PATIENCE = 20.0

DIGITS = frozenset("0123456789")
LINE_END = re.compile("\r\n|\r|\n")


class Event(NamedTuple):
    """What a page's listener gets."""

    data: str
    type: str = "message"
    last_event_id: str = ""


class Parser:
    """Interprets a stream, in pieces of any size.

    Attributes:
        events: what has been dispatched so far.
        comments: what stood behind the colons of the comments.
        last_event_id: what the client would send when it comes back.
        retry: the reconnection time in milliseconds, or None.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.comments: list[str] = []
        self.last_event_id = ""
        self.retry: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_first = True
        self._after_cr = False
        self._line: list[str] = []
        self._data: list[str] = []
        self._type = self._id = ""

    def feed(self, piece: bytes) -> None:
        """Take a piece of the stream."""
        text = self._decoder.decode(piece)
        if self._is_first and text:
            self._is_first = False
            text = text.removeprefix("\ufeff")
        if not text:
            return
        if self._after_cr:
            text = text.removeprefix("\n")  # of a CRLF in two pieces
        self._after_cr = text.endswith("\r")
        beginning, *lines = LINE_END.split(text)
        self._line.append(beginning)
        for line in lines:
            ended, self._line = "".join(self._line), [line]
            self._end_line(ended)

    def _end_line(self, line: str) -> None:
        if line == "":
            self._dispatch()
        elif line[0] == ":":
            self.comments.append(line[1:])
        else:
            name, _, value = line.partition(":")
            self._process_field(name, value[1:] if value[:1] == " " else value)

    def _process_field(self, name: str, value: str) -> None:
        if name == "event":
            self._type = value
        elif name == "data":
            self._data.append(value)
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry" and value and DIGITS.issuperset(value):
            self.retry = int(value)

    def _dispatch(self) -> None:
        self.last_event_id = self._id
        if self._data:
            self.events.append(Event("\n".join(self._data), self._type or "message", self._id))
        self._data = []
        self._type = ""


def parse(stream: bytes) -> list[Event]:
    """Return the events of a whole stream."""
    parser = Parser()
    parser.feed(stream)
    return parser.events


class Client(Parser):
    """A client that does what it is told and nothing else: it does not come back.

    Args:
        port: of the loopback address.
        method, path, version, headers: of its request.
        receive_buffer: bytes for the kernel's receive buffer, to be a client that takes little.
        tls: the context of a client.

    Attributes:
        status: of the response.
        headers: of the response, with names in lower case.
        sock: the connection.
    """

    def __init__(
        self,
        port: int,
        *,
        method: str = "GET",
        path: str = "/",
        version: str = "1.1",
        headers: str = "",
        receive_buffer: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__()
        self.sock: Any = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(("127.0.0.1", port))
        if tls is not None:
            assert isinstance(tls, SSLContext)
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost", suppress_ragged_eofs=False)
        request = f"{method} {path} HTTP/{version}\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n"
        self.sock.sendall(request.encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.sock.recv(1)
            assert byte, f"the head ends after {head!r}"
            head += byte
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        fields = [line.partition(": ") for line in lines[1:-2]]
        self.headers = {name.lower(): value for name, _, value in fields}
        assert len(self.headers) == len(fields), f"a header came twice: {lines}"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *details: object) -> None:
        self.sock.close()

    def read(self, size: int = 65536) -> bool:
        """Read once; return whether the stream goes on."""
        piece = self.sock.recv(size)
        self.feed(piece)
        return bool(piece)

    def read_until(self, condition: Callable[[], object]) -> None:
        """Read until a condition of what has come is true."""
        while not condition():
            assert self.read(), "the stream has ended"

    def take(self, count: int) -> list[Event]:
        """Wait for so many events, and take them out."""
        self.read_until(lambda: len(self.events) >= count)
        taken, self.events = self.events[:count], self.events[count:]
        return taken

    def read_to_end(self) -> list[Event]:
        """Read on to the end of the stream, which must be in order; return the events."""
        while self.read():
            pass
        return self.events

    def reset(self) -> None:
        """Go away with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        # Of an SSLSocket too this is the plain close: no closing alert.
        self.sock.close()
