"""The options of a connection that does its own I/O."""

from __future__ import annotations

from dataclasses import dataclass

from wsdriver.driver.options import DriverOptions
from wsdriver.options import check_bool, check_int, check_seconds

__all__ = ["ConnectionOptions"]


@dataclass(frozen=True)
class ConnectionOptions(DriverOptions):
    """The options of a WebSocket, beside those of its driver.

    Attributes:
        ping: seconds between the pings that keep a connection alive and measure its latency; None for none.
        ping_timeout: seconds that the peer may be silent after such a ping; None to never judge. While we do not read,
            because ``receive`` is not called, it is the peer's host that must not be: it acknowledges what it is sent
            (on Linux). It counts once more where the network has lost packets meanwhile.
        open_timeout: seconds for the whole opening handshake, TLS and connecting included.
        close_timeout: seconds that the closing handshake may take before the connection is cut.
        send_timeout: seconds that ``send`` may wait for a slow peer before the connection is cut.
        write_limit: bytes that may wait for a slow peer before ``send`` waits.
        outbound_limit: bytes that may wait for a slow peer when one more message comes, else it is cut off. None
            for never by ``send``, which waits, and for 1 MiB by a broadcast.
        inbound_limit: bytes that may wait for ``receive`` before reading pauses, on the wire or inflated.
        inbound_messages: messages that may wait for ``receive`` before reading pauses.
        debug: whether each frame is logged, at DEBUG on the logger ``wsdriver``: its kind, length and first bytes, and
            of the opening handshake the first lines. Slow.
    """

    ping: float | None = 20
    ping_timeout: float | None = 20
    open_timeout: float | None = 10
    close_timeout: float | None = 10
    send_timeout: float | None = None
    write_limit: int = 64 * 1024
    outbound_limit: int | None = None
    inbound_limit: int = 1024 * 1024
    inbound_messages: int = 4096
    debug: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("ping", "ping_timeout", "open_timeout", "close_timeout", "send_timeout"):
            check_seconds(name, getattr(self, name))
        check_bool("debug", self.debug)
        check_int("write_limit", self.write_limit, 0)
        if self.outbound_limit is not None:
            check_int("outbound_limit", self.outbound_limit, 1)
        check_int("inbound_limit", self.inbound_limit, 1)
        check_int("inbound_messages", self.inbound_messages, 1)
