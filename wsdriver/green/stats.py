"""What a server has done since it was made, in figures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsdriver.exceptions import HandshakeError

if TYPE_CHECKING:
    from wsdriver.green.websocket import WebSocket

__all__ = ["Ledger", "ServerStats"]


@dataclass(frozen=True, slots=True)
class ServerStats:
    """The figures of a server. ``dataclasses.asdict`` makes them a dict, for JSON.

    Attributes:
        open: WebSockets that are open now.
        total: those that have come to a handler so far. Health checks, and requests that are refused before that, are
            no WebSockets.
        messages_received: messages that handlers have taken.
        messages_sent: messages that handlers have sent.
        bytes_received: what that was on the wire, without TLS; handshakes and pings included.
        bytes_sent: likewise.
        closes: how many have ended with each close code; what a handler rejected has none.
    """

    open: int
    total: int
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    closes: dict[int, int]


class Ledger:
    """Adds up what a server's WebSockets do."""

    __slots__ = ("_closes", "_ended", "_live", "_total")

    def __init__(self) -> None:
        self._live: set[WebSocket] = set()
        self._total = 0
        self._ended = (0, 0, 0, 0)
        self._closes: Counter[int] = Counter()

    def begin(self, ws: WebSocket) -> None:
        """Count a WebSocket that comes to its handler."""
        self._live.add(ws)
        self._total += 1

    def end(self, ws: WebSocket) -> None:
        """Keep the figures of a WebSocket that has ended, if it was counted."""
        if ws not in self._live:
            return
        self._live.discard(ws)
        self._ended = _sum(self._ended, _figures(ws))
        if ws.close_code is not None and not isinstance(ws.close_error, HandshakeError):
            self._closes[ws.close_code] += 1

    @property
    def live(self) -> tuple[WebSocket, ...]:
        """Those that have not ended."""
        return tuple(self._live)

    @property
    def ended(self) -> ServerStats:
        """The figures of those that have ended, and the total of all."""
        return ServerStats(0, self._total, *self._ended, closes=dict(self._closes))

    def stats(self) -> ServerStats:
        """Return the figures of now."""
        figures = self._ended
        for ws in self._live:
            figures = _sum(figures, _figures(ws))
        is_open = sum(ws.ready_state == 1 for ws in self._live)
        return ServerStats(is_open, self._total, *figures, closes=dict(self._closes))


_Figures = tuple[int, int, int, int]


def _figures(ws: WebSocket) -> _Figures:
    return ws.messages_received, ws.messages_sent, ws.bytes_received, ws.bytes_sent


def _sum(one: _Figures, other: _Figures) -> _Figures:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]
