"""What is done to em-websocket's server and to ours: test_em_websocket.py compares what comes of it.

A probe opens one connection, and the client notes all that the server says. It has to come to an end by itself with
both servers, without a wait for something that may not come: behind most frames goes one more, a text whose echo shows
that all before it has been handled.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.support.drafts import DraftClient, RefusedError
from tests.support.net import frame

HIXIE = ("hixie-75", "hixie-76")
OLD = ("hybi-3", "hybi-5", "hybi-6")
RFC = ("hybi-7", "hybi-8", "hybi-13")
FRAMED = (*OLD, *RFC)
CODES = ("hybi-6", *RFC)
FEW = ("hybi-6", "hybi-13")
ALL = (*HIXIE, *FRAMED)


# --- the client ------------------------------------------------------------------------------------------------------


def show(data: str | bytes) -> str:
    if len(data) <= 60:
        return repr(data)
    blob = data.encode() if isinstance(data, str) else data
    return f"{len(data)} {'characters' if isinstance(data, str) else 'bytes'} {hashlib.sha1(blob).hexdigest()[:8]}"


class Client(DraftClient):
    """A client whose bytes are the same for both servers, and that notes what they say.

    Attributes:
        lines: what was said.
        peer: its own port.
    """

    host = "example.test:81"

    def __init__(self, version: str, port: int, context: ssl.SSLContext | None = None) -> None:
        super().__init__(version, port, "/chat/a?b=c&d=e", seed=version)
        self.lines: list[str] = []
        self.peer = 0
        self._context = context
        self._closing = False

    def connect(self) -> Client:
        super().connect()
        assert self._sock is not None
        self.peer = self._sock.getsockname()[1]
        if self._context is not None:
            self._sock = self._context.wrap_socket(self._sock, server_hostname="localhost")
        return self

    def send(self, data: bytes) -> None:
        with suppress(ConnectionError):
            super().send(data)

    def ask(self, request: bytes | None = None) -> bool:
        """Connect, send a request, and note the answer; returns whether the connection is open."""
        self.connect()
        self.send(self.head() + self.body if request is None else request)
        return self.hear()

    def hear(self) -> bool:
        """Note the answer to the request."""
        try:
            status, *fields = self._read_up_to(b"\r\n\r\n").decode("latin-1").split("\r\n")
        except EOFError:
            self.lines.append(f"said {show(self._buffer)}" if self._buffer else "said nothing")
            return False
        self.lines.append(f"status {status}")
        if " 101 " not in status:
            # What a refusal says beside its status is not compared.
            self.rest()
            return False
        self.lines += sorted(f"header {field}" for field in fields)
        if self.draft.opening == "76":
            self.lines.append(f"challenge {self._read(16).hex()}")
        return True

    def rest(self) -> None:
        """Read to the end of the stream."""
        while self._receive():
            pass

    def talk(self, *segments: bytes, done: bool = True, answer: bool = False) -> None:
        """Open, send these frames, and hear what comes of them.

        Args:
            segments: frames.
            done: whether to put one more frame, a text, into the last segment; when it comes back, this closes.
            answer: whether to answer a close frame of the server, as it should be.
        """
        if self.ask():
            first, last = segments[:-1], segments[-1]
            for segment in first:
                self.send(segment)
            self.send(last + (self.frame("text", b"done") if done else b""))
            self.listen(answer)

    def listen(self, answer: bool = False) -> None:
        """Note what the server says, to its end."""
        while True:
            try:
                kind, data = self.recv()
            except EOFError:
                kind, data = "cut", b""
            except RefusedError:
                kind, data = "close", b""  # of hixie-75, which has no such frame
            if kind == "close" and self.draft.codes and len(data) >= 2:
                assert isinstance(data, bytes)
                code = int.from_bytes(data[:2], "big")
                # The words about a fault are each library's own.
                reason = "with words" if code in (1002, 1007, 1009) and len(data) > 2 else show(data[2:])
                self.lines.append(f"close {code} {reason}")
            else:
                self.lines.append(f"{kind} {show(data)}")
            if kind in ("end", "cut"):
                return
            if (kind, data) == ("text", "done"):
                self.finish()
            elif kind == "ping":
                assert isinstance(data, bytes)
                self.send(self.frame("pong", data))
            elif kind == "close" and answer and not self._closing:
                assert isinstance(data, bytes)
                self.finish(data)

    def finish(self, body: bytes | None = None) -> None:
        """Close in the way that the version has."""
        self._closing = True
        if body is None and self.draft.codes:
            body = struct.pack("!H", 1000)
        with suppress(OSError):  # both ends may do it at a time
            self.close(body=body or b"")

    def reset(self) -> None:
        """Cut the TCP connection with a reset."""
        assert self._sock is not None
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.hang_up()


# --- the probes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Probe:
    """What is done to both servers.

    Attributes:
        versions: of the protocol.
        do: does it.
        listener: which of the servers' listeners it goes to.
        facts: whether what the handshake said is compared.
    """

    versions: Sequence[str]
    do: Callable[[Client], None]
    listener: str = "plain"
    facts: bool = False


PROBES: dict[str, Probe] = {}


def frames(name: str, versions: Sequence[str], make: Callable[[Client], Any], **options: Any) -> None:
    """Add a probe that opens and sends frames: bytes, or a list of segments."""
    manner = {name: options.pop(name) for name in ("done", "answer") if name in options}

    def do(client: Client) -> None:
        made = make(client)
        client.talk(*([made] if isinstance(made, bytes) else made), **manner)

    PROBES[name] = Probe(versions, do, **options)


def order(name: str, versions: Sequence[str], *orders: str, **options: Any) -> None:
    """Add a probe that opens and gives orders."""
    frames(
        name,
        versions,
        lambda client: b"".join(client.frame("text", text.encode()) for text in orders),
        answer=True,
        **options,
    )


def asks(
    name: str, versions: Sequence[str], make: Callable[[bytes, Client], bytes], *, use: bool = True, **options: Any
) -> None:
    """Add a probe whose request is the right one, changed; where it is accepted, the connection is used and closed."""

    def do(client: Client) -> None:
        if client.ask(make(client.head() + client.body, client)):
            if use:
                client.send(client.frame("text", b"done"))
            client.listen(answer=not use)

    PROBES[name] = Probe(versions, do, **options)


def many(client: Client, kind: str, *payloads: bytes) -> bytes:
    return b"".join(client.frame(kind, payload) for payload in payloads)


# Messages, and the accounting of the handshake.
frames("request", ALL, lambda c: b"", facts=True)
frames("texts", ALL, lambda c: many(c, "text", b"Hello", "größer 日本 😀".encode(), b"", b"x" * 126, b"y" * 66000))
frames("binaries", FRAMED, lambda c: many(c, "binary", b"\x00\xff", b"", b"x" * 126, b"y" * 66000))
order("text_of_the_server", ALL, "/text 70000")
order("binary_of_the_server", FRAMED, "/binary 70000")
frames("two_fragments", FRAMED, lambda c: c.frame("text", b"a\xc3", False) + c.frame("continuation", b"\xa9b"))
frames(
    "three_fragments",
    FRAMED,
    lambda c: c.frame("binary", b"a", False) + c.frame("continuation", b"b", False) + c.frame("continuation", b"c"),
)
frames(
    "ping_between_fragments",
    FRAMED,
    lambda c: c.frame("text", b"a", False) + c.frame("ping", b"p") + c.frame("continuation", b"b"),
)
frames("bytes_one_by_one", ALL, lambda c: [bytes([byte]) for byte in c.frame("text", "größer".encode())])

# Pings and pongs.
frames("pings", FRAMED, lambda c: many(c, "ping", b"data", b"", b"x" * 125))
frames("ping_flood", FRAMED, lambda c: many(c, "ping", *(b"%d" % number for number in range(500))))
frames("pong_unasked", FRAMED, lambda c: many(c, "pong", b"data"))
order("ping_of_the_server", ALL, "/ping data")
order("pong_of_the_server", ALL, "/pong data")

# The end, by the client.
VALID = (1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999)
INVALID = (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)


def closing(body: bytes) -> Callable[[Client], bytes]:
    return lambda client: client.frame("close", body)


for code in VALID:
    frames(f"close_{code}", FEW, closing(struct.pack("!H", code)), done=False)
for code in INVALID:
    frames(f"close_invalid_{code}", FEW, closing(struct.pack("!H", code) + b"why"), done=False)
frames("close_with_reason", CODES, closing(struct.pack("!H", 1000) + "größer".encode()), done=False)
frames("close_without_code", ("hixie-76", *FRAMED), closing(b""), done=False)
frames("close_of_one_byte", FRAMED, closing(b"\x03"), done=False)
frames("close_with_a_reason_not_utf8", CODES, closing(struct.pack("!H", 1000) + b"\xff"), done=False)
frames("close_over_125_bytes", RFC, closing(struct.pack("!H", 1000) + b"x" * 124), done=False)
frames("close_then_text", ("hixie-76", *FRAMED), lambda c: c.frame("close") + c.frame("text", b"late"), done=False)


def drop(how: Callable[[Client], None]) -> Callable[[Client], None]:
    def do(client: Client) -> None:
        if client.ask():
            client.send_text("before")
            client.expect(("text", "before"))
            how(client)

    return do


def half_close(client: Client) -> None:
    assert client._sock is not None
    client._sock.shutdown(socket.SHUT_WR)
    client.listen()


PROBES["dropped_by_fin"] = Probe(ALL, drop(Client.hang_up))
PROBES["dropped_by_half_close"] = Probe(ALL, drop(half_close))
PROBES["dropped_by_rst"] = Probe(ALL, drop(Client.reset))
PROBES["dropped_in_a_frame"] = Probe(ALL, drop(lambda c: (c.send(c.frame("text", b"x" * 50)[:-3]), c.hang_up())[1]))

# The end, by the server.
order("closes", ALL, "/close", done=False)
for code in (1000, 1003, 1008, 1011, 3000, 4001, 4999):
    order(f"closes_{code}", ALL if code == 4001 else FEW, f"/close {code} bye bye", done=False)
for code in (0, 999, 1001, 1002, 1005, 1006, 1007, 1009, 1010, 1012, 1013, 1014, 1015, 2999, 5000):
    order(f"closes_refused_{code}", ("hybi-13",), f"/close {code}", done=False)
order("closes_twice", ALL, "/close 3001", "/close 3002", done=False)
order("closes_state", ALL, "/state", done=False)
order("sends_after_closing", ALL, "/late", done=False)
order("drops", ALL, "/drop", done=False)
order("raises", ALL, "/raise", done=False)
frames("closes_unanswered", ALL, lambda c: c.frame("text", b"/close 3001 bye"), listener="closing", done=False)

# Limits.
frames("limit_of_a_text", ALL, lambda c: c.frame("text", b"x" * 1000), listener="limit")
frames("limit_below", ALL, lambda c: c.frame("text", b"x" * 980), listener="limit")
frames("limit_exceeded", ALL, lambda c: c.frame("text", b"x" * 1001), listener="limit")
frames("limit_exceeded_by_a_head", RFC, lambda c: b"\x81\xff" + (1 << 31).to_bytes(8, "big"), listener="limit")
frames("limit_exceeded_by_64_bits", RFC, lambda c: b"\x82\xff" + b"\xff" * 8)
frames(
    "limit_exceeded_by_fragments",
    FRAMED,
    lambda c: c.frame("text", b"x" * 600, False) + c.frame("continuation", b"y" * 600),
    listener="limit",
)


def limit(client: Client) -> None:
    if client.ask():
        client.send(client.frame("text", b"/limit 500"))
        client.recv()  # what comes with an order may have been judged before
        client.send(client.frame("text", b"x" * 501) + client.frame("text", b"done"))
        client.listen()


PROBES["limit_of_a_connection"] = Probe(ALL, limit)
frames("limit_of_em_websocket", RFC, lambda c: b"\x82\xff" + (10 * 1024 * 1024 + 1).to_bytes(8, "big"))


# Faults.
def raw(*arguments: Any, **options: Any) -> Callable[[Client], bytes]:
    return lambda client: frame(*arguments, **options)


for opcode in (3, 7, 11, 15):
    frames(f"opcode_{opcode}", RFC, raw(opcode, b"x"))
for rsv in (0x40, 0x20, 0x10):
    frames(f"reserved_bit_{rsv:x}", RFC, raw(1, b"x", rsv=rsv))
frames("unmasked", RFC, raw(1, b"x", mask=None))
for name, bad in {"text_not_utf8": b"a\x80b", "text_cut_in_a_character": b"a\xc3"}.items():
    frames(name, (*HIXIE, *CODES), lambda c, bad=bad: c.frame("text", bad))
    # em-websocket closes there for the echo that it cannot send, and waits for the answer.
    frames(f"old_{name}", OLD[:2], lambda c, bad=bad: c.frame("text", bad), done=False, answer=True)
frames("fragments_not_utf8", CODES, lambda c: c.frame("text", b"a\x80", False) + c.frame("continuation", b"b"))
frames("continuation_of_nothing", FRAMED, lambda c: c.frame("continuation", b"x"))
frames("text_between_fragments", FRAMED, lambda c: c.frame("text", b"a", False) + c.frame("text", b"b"))
frames("ping_in_fragments", FRAMED, lambda c: c.frame("ping", b"a", False) + c.frame("continuation", b"b"))
frames("ping_over_125_bytes", FRAMED, lambda c: c.frame("ping", b"x" * 126))
frames("length_too_long_a_form", RFC, lambda c: b"\x81\xfe\x00\x01\x00\x00\x00\x00x")
frames("opcode_of_old_drafts", OLD, lambda c: old_frame(c, 0x8F))
frames("reserved_bit_of_old_drafts", OLD, lambda c: old_frame(c, 0x44 if c.draft.more else 0xC4))
frames("hixie_frame_of_type_1", HIXIE, lambda c: b"\x01x\xff")
frames("hixie_length_without_end", HIXIE, lambda c: b"\x80" + b"\x80" * 20)
frames("hixie_length_over_the_limit", HIXIE, lambda c: b"\x80\xff\xff\xff\xff\x7f")
frames("hixie_closing_frame", HIXIE, lambda c: b"\xff\x00")


def old_frame(client: Client, first: int) -> bytes:
    """Return a frame of two bytes as hybi-3, -5 or -6 masks it."""
    if client.draft.mask == "none":
        return bytes([first & 0x7F, 1]) + b"x"
    key = b"\x11\x22\x33\x44"
    plain = bytes([first, 1]) + b"x"
    return key + bytes(byte ^ key[index] for index, byte in enumerate(plain))


def drop_behind_a_length(client: Client) -> None:
    client.send(b"\x80\x03abc" + client.frame("text", b"done"))
    half_close(client)


PROBES["hixie_frame_of_a_length"] = Probe(HIXIE, drop(drop_behind_a_length))


# Requests.
def swap(old: bytes, new: bytes) -> Callable[[bytes, Client], bytes]:
    def change(request: bytes, client: Client) -> bytes:
        assert old in request
        return request.replace(old, new, 1)

    return change


def without(name: bytes) -> Callable[[bytes, Client], bytes]:
    def change(request: bytes, client: Client) -> bytes:
        head, body = request.split(b"\r\n\r\n", 1)
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(name.lower() + b":")]
        assert len(lines) < head.count(b"\r\n") + 1
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    return change


TARGET = b"/chat/a?b=c&d=e"
for name, target in {
    "plain": b"/",
    "percent": b"/a%20b?c=%20d",
    "plus": b"/?a=b+c",
    "no_value": b"/?a&b=",
    "two_of_a_name": b"/?a=1&a=2",
    "two_equals": b"/?a=b=c",
    "absolute": b"http://example.test:81/chat?x=y",
    "fragment": b"/chat#there",
    "brackets": b"/chat[1]",
    "no_path": b"?a=b",
}.items():
    asks(f"target_{name}", ("hixie-76", "hybi-13"), swap(TARGET, target), facts=True)
for name, line in {
    "one_protocol": b"Protocol: chat",
    "two_protocols": b"Protocol: chat, superchat",
    "extension": b"Extensions: permessage-deflate",
}.items():
    asks(f"request_{name}", ("hixie-76", *FRAMED), swap(b"Host:", b"Sec-WebSocket-" + line + b"\r\nHost:"))
asks("request_protocol_75", ("hixie-75",), swap(b"Host:", b"WebSocket-Protocol: chat\r\nHost:"))
asks(
    "request_without_origin",
    ALL,
    lambda r, c: without(b"Origin" if b"\r\nOrigin" in r else b"Sec-WebSocket-Origin")(r, c),
)
asks("request_without_host", ALL, without(b"Host"))
asks("request_without_upgrade", ALL, without(b"Upgrade"))
asks("request_without_connection", ("hixie-76", *FEW), without(b"Connection"))
asks(
    "request_upgrade_h2c",
    ALL,
    lambda r, c: swap(b"Upgrade: websocket" if c.draft.opening == "key" else b"Upgrade: WebSocket", b"Upgrade: h2c")(
        r, c
    ),
)
for name, line in {"of_firefox": b"keep-alive, Upgrade", "in_capitals": b"UPGRADE"}.items():
    asks(f"request_connection_{name}", ALL, swap(b"Connection: Upgrade", b"Connection: " + line))
asks("request_upgrade_in_capitals", FRAMED[1:], swap(b"Upgrade: websocket", b"Upgrade: WEBSOCKET"))
for deed in ("send", "ping"):
    asks(f"open_{deed}", ALL, swap(TARGET, b"/open/" + deed.encode()))
for deed in ("close", "raise"):
    asks(f"open_{deed}", ALL, swap(TARGET, b"/open/" + deed.encode()), use=False)
asks("close_raise", ALL, swap(TARGET, b"/close/raise"))
asks("request_post", ALL, swap(b"GET", b"POST"))
asks("request_head", ("hixie-76", *FEW), swap(b"GET", b"HEAD"))
asks("request_http_1_0", ALL, swap(b"HTTP/1.1", b"HTTP/1.0"))
asks("request_without_key", FRAMED[1:], without(b"Sec-WebSocket-Key"))
asks("request_with_a_bad_key", RFC, lambda r, c: swap(c._key.encode(), b"bad")(r, c))
for version in (b"0", b"9", b"12", b"14", b"x13", b"13x"):
    asks(
        f"request_version_{version.decode()}",
        ("hybi-13",),
        swap(b"Version: 13", b"Version: " + version),
        use=version != b"4",
    )
for draft in (b"0", b"4"):
    asks(f"request_draft_{draft.decode()}", ("hybi-3",), swap(b"Draft: 3", b"Draft: " + draft))
asks("request_without_key2", ("hixie-76", "hybi-3"), without(b"Sec-WebSocket-Key2"))
asks("request_without_spaces", ("hixie-76",), lambda r, c: swap(c.keys[0][0].encode(), b"a1234")(r, c))
asks("request_no_multiple", ("hixie-76",), lambda r, c: swap(c.keys[0][0].encode(), b"a 1 2 4")(r, c))
asks("request_number_too_large", ("hixie-76",), lambda r, c: swap(c.keys[0][0].encode(), b"4294967296 x")(r, c))
asks("request_with_an_early_frame", [v for v in ALL if v != "hixie-75"], lambda r, c: r + c.frame("text", b"early"))
asks("request_garbage", ("hybi-13",), lambda r, c: b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n")
asks("request_of_bare_lf", ("hybi-13",), lambda r, c: r.replace(b"\r\n", b"\n"))
asks("request_of_a_large_header", ("hybi-13",), swap(b"Host:", b"X: " + b"x" * 100_000 + b"\r\nHost:"))
asks("request_of_many_headers", ("hybi-13",), swap(b"Host:", b"X: x\r\n" * 1000 + b"Host:"))
asks("request_of_a_header_twice", ("hybi-13",), swap(b"Host:", b"X: a\r\nX: b\r\nHost:"), facts=True)
asks("request_for_health", FEW, lambda r, c: b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n", listener="health")
asks("request_for_a_flash_policy", ("hixie-75",), lambda r, c: b"<policy-file-request/>\0")


def hang_up_at_once(request: bytes, client: Client) -> None:
    if client.ask(request):
        client.hang_up()


PROBES["request_without_version"] = Probe(
    ("hybi-13",), lambda c: hang_up_at_once(without(b"Sec-WebSocket-Version")(c.head(), c), c)
)
PROBES["request_version_4"] = Probe(
    ("hybi-13",), lambda c: hang_up_at_once(swap(b"Version: 13", b"Version: 4")(c.head(), c), c)
)


def in_pieces(client: Client) -> None:
    client.connect()
    request = client.head() + client.body
    for index in range(len(request)):
        client.send(request[index : index + 1])
    if client.hear():
        client.send(client.frame("text", b"done"))
        client.listen()


def late_body(client: Client) -> None:
    client.connect()
    client.send(client.head())
    time.sleep(0.05)
    client.send(client.body)
    if client.hear():
        client.send(client.frame("text", b"done"))
        client.listen()


PROBES["request_in_pieces"] = Probe([v for v in ALL if v not in ("hixie-76", "hybi-3")], in_pieces)
PROBES["request_with_a_late_body"] = Probe(("hixie-76",), late_body)

# Options that are not about a probe.
frames("secure", ALL[1:], lambda c: c.frame("text", b"Hello"), listener="secure", facts=True)
frames("secure_proxy", ALL, lambda c: c.frame("text", b"Hello"), listener="proxy", facts=True)
frames("debug", ALL, lambda c: c.frame("text", b"Hello"), listener="debug")
