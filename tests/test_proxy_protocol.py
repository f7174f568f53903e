"""The PROXY protocol's heads: vectors, in pieces of any size, cut off, and nonsense."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsdriver.exceptions import HandshakeError
from wsdriver.proxy_protocol import MAX_SIZE, ProxyHead, ProxyHeadReader

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
INET = ip_address("192.0.2.1").packed + ip_address("198.51.100.1").packed + struct.pack("!HH", 56324, 443)
INET6 = ip_address("2001:db8::1").packed + ip_address("2001:db8::2").packed + struct.pack("!HH", 56324, 443)
UNIX = b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")


def binary(family: int, rest: bytes, command: int = 0x21) -> bytes:
    """Return a head of version 2, by the book."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


SSL = tlv(0x20, b"\x01\0\0\0\0" + tlv(0x21, b"TLSv1.3"))
NO_SSL = tlv(0x20, b"\0\0\0\0\0")

V4 = ("192.0.2.1", 56324)
V6 = ("2001:db8::1", 56324)

HEADS = {
    "v1 TCP4": (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", ProxyHead(False, V4, False)),
    "v1 TCP6": (b"PROXY TCP6 2001:DB8:0:0::1 2001:db8::2 56324 443\r\n", ProxyHead(False, V6, False)),
    "v1 port 0": (b"PROXY TCP4 192.0.2.1 198.51.100.1 0 65535\r\n", ProxyHead(False, ("192.0.2.1", 0), False)),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", ProxyHead(False, None, False)),
    "v1 UNKNOWN, and the longest line": (b"PROXY UNKNOWN".ljust(105, b" ") + b"\r\n", ProxyHead(False, None, False)),
    "v2 TCP4": (binary(0x11, INET), ProxyHead(False, V4, False)),
    "v2 TCP6": (binary(0x21, INET6), ProxyHead(False, V6, False)),
    "v2 Unix": (binary(0x31, UNIX), ProxyHead(False, None, False)),
    "v2 UNSPEC": (binary(0, b""), ProxyHead(False, None, False)),
    "v2 UNSPEC with bytes": (binary(0, b"\x20\xff"), ProxyHead(False, None, False)),
    "v2 LOCAL": (binary(0, b"", 0x20), ProxyHead(True, None, False)),
    "v2 LOCAL with bytes of any kind": (binary(0x99, b"xyz", 0x20), ProxyHead(True, None, False)),
    "v2 TLVs": (binary(0x11, INET + tlv(1, b"h2") + tlv(4, b"") + tlv(0xEE, b"?" * 300)), ProxyHead(False, V4, False)),
    "v2 TLS": (binary(0x11, INET + tlv(1, b"h2") + SSL + tlv(4, b"x")), ProxyHead(False, V4, True)),
    "v2 TLS, Unix": (binary(0x31, UNIX + SSL), ProxyHead(False, None, True)),
    "v2 a TLV that says no TLS": (binary(0x21, INET6 + NO_SSL), ProxyHead(False, V6, False)),
    "v2 the longest": (binary(0x11, INET + tlv(4, b"x" * (MAX_SIZE - 16 - 12 - 3))), ProxyHead(False, V4, False)),
}

WRONG = {
    "HTTP": b"GET / HTTP/1.1\r\n",
    "the first byte": b"X",
    "lower case": b"proxy TCP4",
    "a prefix": b"PROXYX",
    "v1 another family": b"PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
    "v1 nothing": b"PROXY \r\n",
    "v1 two spaces": b"PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
    "v1 a space at the end": b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n",
    "v1 no ports": b"PROXY TCP4 192.0.2.1 198.51.100.1\r\n",
    "v1 one port": b"PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n",
    "v1 a port too large": b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
    "v1 a port with a sign": b"PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n",
    "v1 a port with a zero": b"PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
    "v1 a wrong second port": b"PROXY TCP4 192.0.2.1 198.51.100.1 1 x\r\n",
    "v1 IPv6 as TCP4": b"PROXY TCP4 2001:db8::1 198.51.100.1 1 2\r\n",
    "v1 IPv4 as TCP6": b"PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
    "v1 a name": b"PROXY TCP4 localhost 198.51.100.1 1 2\r\n",
    "v1 a wrong destination": b"PROXY TCP4 192.0.2.1 localhost 1 2\r\n",
    "v1 other bytes": b"PROXY TCP4 192.0.2.\xb2 198.51.100.1 1 2\r\n",
    "v1 without an end": b"PROXY UNKNOWN".ljust(107, b"x"),
    "v1 one byte too long": b"PROXY UNKNOWN".ljust(106, b"x") + b"\r\n",
    "v2 a broken signature": b"\r\n\r\n\0\r\nQUIX",
    "v2 version 1": binary(0x11, INET, 0x11),
    "v2 version 3": binary(0x11, INET, 0x31),
    "v2 another command": binary(0x11, INET, 0x22),
    "v2 UDP": binary(0x12, INET),
    "v2 another family": binary(0x41, INET),
    "v2 half a family": binary(0x10, INET),
    "v2 an address cut off": binary(0x11, INET[:-1]),
    "v2 an IPv6 address cut off": binary(0x21, INET),
    "v2 a Unix address cut off": binary(0x31, UNIX[:-1]),
    "v2 a TLV without a length": binary(0x11, INET + b"\x04\0"),
    "v2 a TLV cut off": binary(0x11, INET + b"\x04\0\x02x"),
    "v2 a TLV cut off behind TLS": binary(0x11, INET + SSL + b"\x04"),
    "v2 too long": SIGNATURE + struct.pack("!BBH", 0x21, 0x11, MAX_SIZE - 15),
    "v2 the longest length": SIGNATURE + b"\x21\x11\xff\xff",
}


def read(data: bytes, cuts: Any = ()) -> tuple[ProxyHead | None, int]:
    """Give a reader the data, cut at these places; return the head, and how many bytes it took."""
    reader = ProxyHeadReader()
    taken = 0
    places = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(places):
        count = reader.feed(data[start:end])
        taken += count
        if reader.head is not None:
            break
        assert count == end - start
    return reader.head, taken


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("rest", [b"", b"G", b"\r\n", b"\x16\x03\x01PROXY TCP4 \r\n"])
def test_head_is_read_and_not_a_byte_more(name: str, rest: bytes) -> None:
    data, head = HEADS[name]
    assert read(data + rest) == (head, len(data))
    assert read(data + rest, range(1, len(data + rest))) == (head, len(data))


@pytest.mark.parametrize("name", HEADS)
def test_head_that_is_cut_off_is_waited_for(name: str) -> None:
    data, _ = HEADS[name]
    for end in range(len(data)):
        assert read(data[:end]) == (None, end)


@given(name=st.sampled_from(sorted(HEADS)), rest=st.binary(max_size=20), data=st.data())
def test_head_in_any_pieces_is_the_same(name: str, rest: bytes, data: Any) -> None:
    sent, head = HEADS[name]
    cuts = data.draw(st.sets(st.integers(1, len(sent)), max_size=10))
    assert read(sent + rest, cuts) == (head, len(sent))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_head_is_refused_however_it_is_cut(name: str) -> None:
    data = WRONG[name]
    with pytest.raises(HandshakeError):
        read(data)
    with pytest.raises(HandshakeError):
        read(data, range(1, len(data)))


@given(
    start=st.sampled_from(
        [b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11", SIGNATURE + b"\x21\x21"]
    ),
    rest=st.binary(max_size=300),
)
def test_nonsense_is_refused_waited_for_or_read_but_raises_nothing_else(start: bytes, rest: bytes) -> None:
    data = start + rest
    try:
        head, taken = read(data)
    except HandshakeError:
        return
    assert taken <= len(data)
    assert head is not None or taken == len(data)
