"""The protocol versions: what differs between them is a row here."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HYBI_13", "VERSIONS", "Version"]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the protocol.

    Attributes:
        name: as ``driver.version`` gives it.
        number: the value of Sec-WebSocket-Version.
        pingable: whether it has pings.
        supports_close_codes: whether its close frames carry a code.
    """

    name: str
    number: str
    pingable: bool = True
    supports_close_codes: bool = True


HYBI_13 = Version("hybi-13", "13")

#: By the value of Sec-WebSocket-Version.
VERSIONS = {version.number: version for version in (HYBI_13,)}
