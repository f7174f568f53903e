"""Makes what the corpora begin with: bytes of real peers and of the vectors, put behind the choices of each target.

``python -m tests.fuzz.seeds`` writes them; what engines have found stays where it is. Files of seeds are named
``seed-...``.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

from tests.fuzz.corpora import CORPUS, inputs
from tests.fuzz.targets.frames import DEFLATE, ECHO, MIRROR, VERSIONS
from tests.fuzz.worlds import worlds
from tests.support.drafts import DraftClient
from tests.support.driving import (
    Wire,
    accept_for,
    bytes_of,
    frame,
    head_of,
    load_vectors,
    request,
    said,
    sent_key,
    split_head,
)

#: More is cut off: engines like small inputs.
MOST = 700

RECORDED = [
    vector
    for name in ("em_websocket", "websocket_driver_ruby", "websocket_driver_node")
    for vector in load_vectors(f"recorded_{name}")
]


def deflated(message: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-12)
    return (deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def sized(*parts: bytes, repeat: int = 0) -> bytes:
    return b"".join((repeat << 12 | len(part)).to_bytes(2, "big") + part for part in parts)


def recorded(version: str) -> bytes:
    """Return what a recorded client of that version said first; of the client of the tests where there is none."""
    for vector in RECORDED:
        if vector["version"] == version:
            return said(vector, "client")
    client = DraftClient(version, 80, seed=version)
    return client.head() + client.body


def server() -> Iterator[tuple[str, bytes]]:
    for number, version in enumerate(VERSIONS):
        data = recorded(version)
        yield f"recorded-{version}", bytes([number % 6, number % 3, number]) + data[:MOST]
    for number, vector in enumerate(load_vectors("requests_refused")):
        if number % 4 == 0:
            yield vector["name"], bytes([number % 6, number % 3, number]) + head_of(vector)[:MOST]
    extended = request(
        "/x?y", "Origin: null\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    )
    yield "deflate", b"\2\0\1" + extended + frame(1, deflated(b"Hello"), rsv=0x40) + frame(8, b"\x03\xe8bye")
    same = request("/", "Origin: http://localhost\r\nSec-WebSocket-Protocol: chat, b\r\n")
    yield "same-origin", b"\5\1\1" + same + frame(9, b"ping")


def frames() -> Iterator[tuple[str, bytes]]:
    for number, version in enumerate(VERSIONS):
        draft = DraftClient(version, 80, seed=version)
        data = draft.frame("text", "größer".encode()) + draft.frame("text", b"")
        if draft.draft.has_frames:
            data += draft.frame("binary", bytes(130))
            data += draft.frame("text", b"gr\xc3", final=False) + draft.frame("ping", b"p")
            data += draft.frame("continuation", b"\xb6\xc3\x9fer") + draft.frame("pong", b"q")
            data += draft.frame("close", b"\x03\xe8bye" if draft.draft.codes else b"")
        elif version == "hixie-76":
            data += b"\x80\x03abc\x01skip\xff\xff\x00"
        yield version, bytes([number, 0, ECHO, number]) + data
        behind = split_head(recorded(version))[1][(DraftClient(version, 80).body and 8) or 0 :]
        if version != "hybi-4":  # masked by keys that were agreed in that handshake
            yield f"recorded-{version}", bytes([number, 1, 0, number]) + behind[:MOST]
    for name in ("hybi13_frames", "hybi13_messages", "hybi13_closing"):
        for number, vector in enumerate(load_vectors(name)):
            data = bytes_of(vector.get("in", vector.get("frames", [])), "server")
            if number % 3 == 0 and len(data) < MOST and vector.get("side", "server") == "server":
                yield vector["name"], bytes([0, number % 4, number % 4, number]) + data
    packed = frame(1, deflated(b"Hello, hello"), rsv=0x40) + frame(2, deflated(bytes(3000)), rsv=0x40)
    for number, version in ((0, 13), (9, 7), (10, 8)):
        yield f"deflate-{version}", bytes([number, 2, ECHO | DEFLATE, 3]) + packed + frame(1, b"plain") + frame(8)
    mirrored = frame(1, b"olleH", rsv=0x20) + frame(2, b"\xff", rsv=0x20)
    yield "mirror", bytes([0, 2, ECHO | MIRROR, 3]) + mirrored
    both = frame(2, deflated(b"olleH"), rsv=0x60) + frame(1, b"\xbc\xc3", fin=False) + frame(0, b"") + frame(8)
    yield "mirror-deflate", bytes([9, 2, ECHO | MIRROR | DEFLATE, 2]) + both
    yield "large", bytes([0, 1, ECHO, 3]) + frame(2, bytes(9000), mask=bytes(4)) + frame(1, b"\xe2\x82\xac" * 100)


def client() -> Iterator[tuple[str, bytes]]:
    (world, *_) = worlds()
    wire = Wire("ws://example.com/")
    with world.pinned():
        world.Driver.client(wire).start()
    key = sent_key(wire.sent)
    for number, vector in enumerate(load_vectors("responses")):
        if number % 2 == 0:
            options = 1 if "protocols" in vector else 2 if "xtensions" in str(vector) else 0
            yield vector["name"], bytes([options, 0, number]) + head_of(vector, key)[:MOST]
    right = (
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_for(key)}\r\n"
    ).encode()
    talk = frame(1, "größer".encode(), mask=None) + frame(9, b"p", mask=None) + frame(8, b"\x03\xe8bye", mask=None)
    yield "talk", bytes([0, 0, 1]) + right + b"\r\n" + talk
    agreed = right + b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n\r\n"
    yield "deflate", bytes([2, 0, 1]) + agreed + frame(1, deflated(b"Hello"), rsv=0x40, mask=None) + talk
    tunnel = b"HTTP/1.1 200 Connection established\r\nContent-Length: 3\r\n\r\n"
    yield "proxy", bytes([0, 1, 1]) + tunnel + right + b"\r\n" + talk
    yield "proxy-interim", bytes([1, 1, 2]) + b"HTTP/1.1 100 Continue\r\n\r\n" + tunnel + right + b"\r\n"
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    yield "proxy-refuses", bytes([0, 1, 3]) + refusal
    yield "redirect", bytes([0, 0, 3]) + b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 4\r\n\r\nthere"


def header() -> Iterator[tuple[str, bytes]]:
    for number, text in enumerate(
        (
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits, permessage-deflate",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
            'permessage-deflate; client_max_window_bits="10"',
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=07",
            'a; b; c=08; d="x y", a; e=1; e',
            r'x; y="\c\"\\ z\c"; y=" ,;="',
            ",, ,\tx-webkit-deflate-frame ,,; ",
            'a; b="\\c\\c\\c\\c',
        )
    ):
        yield f"{number}", bytes([number, 37 * number % 256, 3 * number, 91 * number % 256]) + text.encode()


def heads() -> Iterator[tuple[str, bytes]]:
    for number, vector in enumerate(load_vectors("requests_accepted")):
        yield f"request-{vector['name']}", bytes([0, number]) + head_of(vector)[:MOST]
    for number, vector in enumerate(load_vectors("responses")):
        if number % 5 == 0:
            yield f"response-{vector['name']}", bytes([1, number]) + head_of(vector, "dGhlIHNhbXBsZSBub25jZQ==")[:MOST]
    chunked = (
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n"
    )
    yield "response-chunked", bytes([1, 7]) + chunked
    yield "response-sized", bytes([1, 7]) + b"HTTP/1.0 500 Error\r\nContent-Length: 200\r\n\r\n" + b"x" * 200
    yield "proxy-line", bytes([2, 1]) + b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\n"
    yield "proxy-line-6", bytes([2, 2]) + b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n"
    yield "proxy-line-unknown", bytes([2, 2]) + b"PROXY UNKNOWN ffff::1\r\nx"
    binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x19" + bytes([192, 0, 2, 1, 10, 0, 0, 1, 1, 2, 3, 4])
    yield "proxy-binary", bytes([2, 3]) + binary + b"\x20\0\5\1\0\0\0\0\4\0\2ab" + b"GET"
    yield "proxy-binary-local", bytes([2, 3]) + b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET"
    for number, text in enumerate(
        (
            "example.com:8080",
            "user:pass@[::1]:443",
            "ws://b\xfccher.example/\xfc?x=y",
            "https://example.com:443",
            "wss://user%40:p%20w@host/path#fragment",
            "[fe80::1%25eth0]:1",
            "203.0.113.5, [2001:db8::1]:4711, unknown",
            "keep-alive , Upgrade",
            "//other.example/x",
            "../y?z",
            "4 @1  46546xW%0l 1 0",
        )
    ):
        yield f"words-{number}", bytes([3, number]) + text.encode("latin-1")
    yield (
        "events",
        bytes([4, 9]) + "hello\r\nworld\xffping\x01type\x01id\xff\xffa\rb\x01e\nvil\xff: x\n\n".encode("latin-1"),
    )


def deflate() -> Iterator[tuple[str, bytes]]:
    rng = random.Random(7)
    text = b"the quick brown fox jumps over the lazy dog " * 4
    noise = rng.randbytes(300)
    yield "garble", bytes([0, 3, 0, 0]) + sized(deflated(text), deflated(noise), b"\x01\x05\0\xfa\xffhello")
    final = zlib.compressobj(wbits=-15)
    ended = final.compress(b"Hello") + final.flush()
    yield "garble-final", bytes([0, 6, 0, 1]) + sized(ended, ended + b"\0", deflated(text))
    yield "garble-bomb", bytes([0, 6, 0, 2]) + sized(deflated(bytes(60_000)))
    yield "damage", bytes([1, 2, 0, 0, 0, 9, 4, 1]) + sized(text, noise, text)
    yield "damage-limit", bytes([1, 6, 1, 3, 0, 0, 0, 0]) + sized(text, repeat=6) + sized(noise)
    yield "converse", bytes([2, 0, 0, 0, 0, 5, 0]) + sized(text, b"", noise, text, repeat=1)
    yield "converse-alone", bytes([2, 7, 9, 11, 250, 9, 3]) + sized(text, noise, repeat=5)


MAKERS = {
    "server": server,
    "frames": frames,
    "client": client,
    "header": header,
    "heads": heads,
    "deflate": deflate,
}


def main() -> None:
    for target, make in MAKERS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("seed-*"):
            path.unlink()
        for name, data in make():
            (folder / f"seed-{name}").write_bytes(data)
        print(f"{target}: {len(inputs(target))} inputs, {sum(map(len, inputs(target).values()))} bytes")


if __name__ == "__main__":
    main()
