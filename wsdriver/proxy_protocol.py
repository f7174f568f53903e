"""The head of HAProxy's PROXY protocol, versions 1 and 2: what a proxy says of its client before the client's bytes.

::

    version 1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 CR LF            at most 107 bytes

    version 2   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A | version, command | family | length, 2 bytes |
                source, destination, ports | type, length, value | type, length, value | ...

What the head says is believed, so who may send one is for the caller to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from wsdriver.exceptions import HandshakeError

__all__ = ["MAX_SIZE", "ProxyHead", "ProxyHeadReader"]

#: Bytes of a head of version 2. Without TLVs it has at most 232; a client's certificate may be among these.
MAX_SIZE = 4096

#: Bytes of the line of version 1, its end included.
MAX_LINE = 107

_LINE = b"PROXY "
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_PREFIX = len(_SIGNATURE) + 4  # ... with command, family and length

#: Version 2: the bytes that both addresses and ports take, by family and transport; all others are not TCP.
_ADDRESSES = {0x00: 0, 0x11: 12, 0x21: 36, 0x31: 216}

_TLV_SSL = 0x20
_CLIENT_SSL = 0x01


@dataclass(frozen=True, slots=True)
class ProxyHead:
    """What a proxy says.

    Attributes:
        local: whether the connection is the proxy's own, such as a health check: then it has no client.
        source: the client's address and port; None where the proxy does not know, or the client has none.
        secure: whether the client spoke TLS to the proxy.
    """

    local: bool
    source: tuple[str, int] | None
    secure: bool


class ProxyHeadReader:
    """Collects a head from chunks of any size.

    Attributes:
        head: once it is complete.
    """

    __slots__ = ("_buffer", "head")

    def __init__(self) -> None:
        self._buffer = b""
        self.head: ProxyHead | None = None

    def feed(self, data: bytes) -> int:
        """Take bytes; return how many of them are the head's, which may be fewer once it is complete.

        Raises:
            HandshakeError: this is no head, or a wrong one.
        """
        before = len(self._buffer)
        buffer = self._buffer + data
        size = _size_of(buffer)
        if size is not None and len(buffer) >= size:
            buffer = buffer[:size]
            self.head = _parse_line(buffer) if buffer.startswith(_LINE) else _parse_binary(buffer)
        self._buffer = buffer
        return len(buffer) - before


def _size_of(data: bytes) -> int | None:
    """Return the size of the head that begins so, or None where that is not known yet."""
    if data.startswith(_LINE[: len(data)]):
        end = data.find(b"\r\n", 0, MAX_LINE)
        if end < 0 and len(data) >= MAX_LINE:
            raise HandshakeError(f"the line of the PROXY protocol is longer than {MAX_LINE} bytes")
        return None if end < 0 else end + 2
    if not data.startswith(_SIGNATURE[: len(data)]):
        raise HandshakeError("the connection does not begin with the PROXY protocol")
    if len(data) < _PREFIX:
        return None
    size = _PREFIX + int.from_bytes(data[14:16], "big")
    if size > MAX_SIZE:
        raise HandshakeError(f"the head of the PROXY protocol is longer than {MAX_SIZE} bytes")
    return size


def _parse_line(line: bytes) -> ProxyHead:
    """Parse a head of version 1."""
    try:
        words = line[:-2].decode("ascii").split(" ")
        if words[1] == "UNKNOWN":  # whatever follows
            return ProxyHead(False, None, False)
        family, source, destination, *ports = words[1:]
        kind = {"TCP4": IPv4Address, "TCP6": IPv6Address}[family]
        port, _ = map(_parse_port, ports)
        kind(destination)
        return ProxyHead(False, (str(kind(source)), port), False)
    except (KeyError, ValueError):
        raise HandshakeError(f"a wrong line of the PROXY protocol: {line!r}") from None


def _parse_port(text: str) -> int:
    port = int(text)
    if str(port) != text or not 0 <= port <= 65535:
        raise ValueError(f"{text!r} is no port")
    return port


def _parse_binary(data: bytes) -> ProxyHead:
    """Parse a head of version 2."""
    command, family = data[12:14]
    if command == 0x20:  # LOCAL: the rest means nothing
        return ProxyHead(True, None, False)
    if command != 0x21:
        raise HandshakeError(f"an unknown version or command of the PROXY protocol: 0x{command:02x}")
    size = _ADDRESSES.get(family)
    if size is None or len(data) < _PREFIX + size:
        raise HandshakeError(f"a wrong address in the PROXY protocol, of the family 0x{family:02x}")
    source = None
    if family in (0x11, 0x21):
        width = (size - 4) // 2
        port = int.from_bytes(data[_PREFIX + 2 * width : _PREFIX + 2 * width + 2], "big")
        source = (str(ip_address(data[_PREFIX : _PREFIX + width])), port)
    return ProxyHead(False, source, bool(size) and _is_secure(data[_PREFIX + size :]))


def _is_secure(data: bytes) -> bool:
    """Tell whether one of these TLVs says that the client spoke TLS; all are looked at."""
    secure = False
    while data:
        end = 3 + int.from_bytes(data[1:3], "big")
        if len(data) < end:
            raise HandshakeError("the PROXY protocol ends within a TLV")
        if data[0] == _TLV_SSL and end > 3:
            secure = secure or bool(data[3] & _CLIENT_SSL)
        data = data[end:]
    return secure
