"""What there is to be seen of a server: made when somebody looks, of counters that are there anyway."""

from __future__ import annotations

import heapq
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent

from wsdriver.environ import split_target
from wsdriver.forwarded import client_host
from wsdriver.green.stats import Ledger
from wsdriver.green.websocket import WebSocket
from wsdriver.version import __version__

__all__ = ["INTERVAL", "Meter"]

#: Seconds between two looks of a page.
INTERVAL = 1.0

#: Looks that a page finds when it comes, if others have looked before.
KEPT = 120

#: Connections that are looked at in one turn of the loop: others have theirs each millisecond or so.
SLICE = 250

#: Peers that are named.
NAMED = 10


class Meter:
    """Makes figures.

    Args:
        ledger: of the WebSockets.
        count_streams: returns how many event streams are open.
    """

    def __init__(self, ledger: Ledger, count_streams: Callable[[], int]) -> None:
        self._ledger = ledger
        self._count_streams = count_streams
        # The time of day is read once: rates are by intervals, which a step of the clock must not change.
        self._since = time.time()
        self._behind = self._since - time.monotonic()
        self._last: dict[str, Any] | None = None
        self._making = False
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def look(self) -> dict[str, Any]:
        """Return the figures of now. However many look, they are made twice a second at most."""
        last, now = self._last, self._behind + time.monotonic()
        if last is not None and (self._making or now - last["time"] < INTERVAL / 2):
            return last
        self._making = True
        try:
            figures = self._last = self._make(now)
        finally:
            self._making = False
        self._kept.append({name: figures[name] for name in figures if name not in ("slowest", "process")})
        return figures

    def history(self) -> list[dict[str, Any]]:
        """Return the figures of the last looks, without the peers."""
        return list(self._kept)

    def _make(self, now: float) -> dict[str, Any]:
        ended, live = self._ledger.ended, self._ledger.live
        received, sent = ended.messages_received, ended.messages_sent
        bytes_received, bytes_sent = ended.bytes_received, ended.bytes_sent
        is_open = buffered = 0
        latencies = []
        ranks = []
        for number, ws in enumerate(live, 1):
            if number % SLICE == 0:
                gevent.sleep(0)
            received += ws.messages_received
            sent += ws.messages_sent
            bytes_received += ws.bytes_received
            bytes_sent += ws.bytes_sent
            if ws.ready_state != 1:
                continue
            is_open += 1
            waiting, latency = ws.buffered_amount, ws.latency
            buffered += waiting
            if latency is not None:
                latencies.append(latency)
            ranks.append((waiting, latency or 0.0, number))
        latencies.sort()
        slowest = [live[number - 1] for _, _, number in heapq.nlargest(NAMED, ranks)]
        return {
            "time": round(now, 3),
            "open": is_open,
            "total": ended.total,
            "messages_received": received,
            "messages_sent": sent,
            "bytes_received": bytes_received,
            "bytes_sent": bytes_sent,
            "closes": {str(code): count for code, count in sorted(ended.closes.items())},
            "event_streams": self._count_streams(),
            "buffered": buffered,
            "latency": {
                "measured": len(latencies),
                "p50": _percentile(latencies, 0.5),
                "p90": _percentile(latencies, 0.9),
                "max": _percentile(latencies, 1.0),
            },
            "slowest": [_peer(ws) for ws in slowest if ws.ready_state == 1],
            "process": {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "uptime": round(now - self._since, 1),
                "wsdriver": __version__,
                "python": ".".join(map(str, sys.version_info[:3])),
            },
        }


def _percentile(values: list[float], share: float) -> float | None:
    """Return the least of sorted values that this share of them does not exceed."""
    if not values:
        return None
    return round(values[max(0, -int(-share * len(values) // 1) - 1)], 6)


def _peer(ws: WebSocket) -> dict[str, Any]:
    """Say who is slow, without the query of its URL, which may hold secrets."""
    request = getattr(ws, "request", None)  # a WebSocketServer's, whose environ would cost memory for as long as it is
    if request is None:
        environ = ws.environ
        host = client_host(environ)
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        path = path.encode("latin-1", "replace").decode("utf-8", "replace")
    else:
        address = ws.remote_address
        host = str(address[0]) if isinstance(address, tuple) else None
        path = split_target(request.target)[0]
    driver = ws._driver  # environ["wsgi.websocket"] has gevent-websocket's `version` and `protocol`
    return {
        "address": host or None,
        "path": path,
        "buffered": ws.buffered_amount,
        "latency": None if ws.latency is None else round(ws.latency, 6),
        "messages_received": ws.messages_received,
        "messages_sent": ws.messages_sent,
        "version": driver.version,
        "protocol": driver.protocol,
    }
