"""The protocol versions: what differs between them is a row here, and nothing else branches on a version.

The four axes on which they differ: the opening handshake, where frames begin and end (``framing``, ``more``), what is
masked, and what a close frame says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from wsdriver.exceptions import HandshakeError
from wsdriver.framing.opcodes import BINARY, CLOSE, CONTINUATION, OPCODES, PING, PONG, TEXT

__all__ = ["HYBI_13", "VERSIONS", "Masking", "Opening", "Version", "version_of"]


class Opening(Enum):
    """How the server answers the request."""

    ECHO = 1  # hixie-75: origin and location
    CHALLENGE = 2  # hixie-76: MD5 of two numbers and 8 bytes behind the head
    ACCEPT = 3  # hybi-04 on: SHA-1 of the key


class Masking(Enum):
    """What a client masks."""

    NOTHING = 0
    PAYLOAD = 1  # by 4 bytes in the header
    FRAME = 2  # header and payload, by 4 bytes before them
    FRAME_BY_NONCE = 3  # the same, by 20 bytes made from the handshake's keys and the 4 bytes


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the protocol.

    Attributes:
        name: as ``driver.version`` gives it.
        opening: how the opening handshake goes.
        framed: whether it has frames with opcodes and lengths (hybi), and not texts between two bytes (hixie).
        opcodes: what the 16 opcodes on the wire mean; 255 for nothing.
        more: whether a frame's first bit says that more fragments follow, instead of that this is the last.
        masking: what a client masks.
        pingable: whether it has pings.
        supports_close_codes: whether its close frames carry a code.
        closing_frame: whether it has a closing handshake at all.
        extensible: whether extensions are negotiated.
        first_bytes: by opcode, the first byte of an unfragmented frame; 0 where there is no such frame.
    """

    name: str
    opening: Opening = Opening.ACCEPT
    framed: bool = True
    opcodes: bytes = OPCODES
    more: bool = False
    masking: Masking = Masking.PAYLOAD
    pingable: bool = True
    supports_close_codes: bool = True
    closing_frame: bool = True
    extensible: bool = False
    first_bytes: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        table = bytearray(16)
        for wire, opcode in enumerate(self.opcodes):
            if opcode != 255:
                table[opcode] = wire if self.more else 0x80 | wire
        object.__setattr__(self, "first_bytes", bytes(table))


#: The opcodes before hybi-07: 0 continuation, 1 close, 2 ping, 3 pong, 4 text, 5 binary.
_OLD_OPCODES = bytes([CONTINUATION, CLOSE, PING, PONG, TEXT, BINARY]) + b"\xff" * 10


def _draft(number: int) -> Version:
    return Version(
        f"hybi-{number}",
        Opening.CHALLENGE,
        opcodes=_OLD_OPCODES,
        more=True,
        masking=Masking.NOTHING,
        supports_close_codes=False,
    )


HIXIE_75 = Version(
    "hixie-75",
    Opening.ECHO,
    framed=False,
    masking=Masking.NOTHING,
    pingable=False,
    supports_close_codes=False,
    closing_frame=False,
)
HIXIE_76 = Version(
    "hixie-76", Opening.CHALLENGE, framed=False, masking=Masking.NOTHING, pingable=False, supports_close_codes=False
)
HYBI_13 = Version("hybi-13", extensible=True)

#: By the value of Sec-WebSocket-Draft.
_BY_DRAFT = {str(number): _draft(number) for number in (1, 2, 3)}

#: By the value of Sec-WebSocket-Version.
_BY_NUMBER = {
    "4": Version("hybi-4", opcodes=_OLD_OPCODES, masking=Masking.FRAME_BY_NONCE, supports_close_codes=False),
    "5": Version("hybi-5", opcodes=_OLD_OPCODES, masking=Masking.FRAME, supports_close_codes=False),
    "6": Version("hybi-6", opcodes=_OLD_OPCODES, masking=Masking.FRAME),
    "7": Version("hybi-7", extensible=True),
    "8": Version("hybi-8", extensible=True),
    "13": HYBI_13,
}

#: All of them by name, oldest first.
VERSIONS: Mapping[str, Version] = {
    version.name: version for version in (HIXIE_75, HIXIE_76, *_BY_DRAFT.values(), *_BY_NUMBER.values())
}


def version_of(environ: Mapping[str, Any], allowed: Mapping[str, Version] = VERSIONS) -> Version:
    """Return the version that a WebSocket request asks for.

    Raises:
        HandshakeError: there is no such version, or it is not allowed here.
    """
    number = environ.get("HTTP_SEC_WEBSOCKET_VERSION")
    draft = environ.get("HTTP_SEC_WEBSOCKET_DRAFT")
    version: Version | None
    if number is not None:
        number = number.strip(" \t")
        asked = f"version {number[:20]!r}"
        version = _BY_NUMBER.get(number)
    elif draft is not None:
        draft = draft.strip(" \t")
        asked = f"draft {draft[:20]!r}"
        version = _BY_DRAFT.get(draft)
    elif "HTTP_SEC_WEBSOCKET_KEY" in environ:
        raise HandshakeError("the Sec-WebSocket-Version header is missing")
    else:
        version = HIXIE_76 if "HTTP_SEC_WEBSOCKET_KEY1" in environ or "HTTP_SEC_WEBSOCKET_KEY2" in environ else HIXIE_75
        asked = version.name
    if version is None or version.name not in allowed:
        raise HandshakeError(f"WebSocket {asked} is not supported", 426, {"Sec-WebSocket-Version": "13"})
    return version
