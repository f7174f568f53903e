"""What TCP knows of the peer's host, where the peer itself cannot be asked."""

from __future__ import annotations

import socket as stdlib_socket
import sys
from math import ceil
from typing import Any

__all__ = ["has_vanished", "struggle", "watch_host"]

#: Fields of Linux's ``struct tcp_info``: probes of a closed window without an answer, segments in flight, milliseconds
#: since the host acknowledged anything, segments that were sent again, and segments that came out of order.
_PROBES = slice(3, 4)
_IN_FLIGHT = slice(24, 28)
_SINCE_ACKNOWLEDGED = slice(56, 60)
_SENT_AGAIN = slice(100, 104)
_OUT_OF_ORDER = slice(224, 228)  # from Linux 5.4 on
_SIZE = 228

#: Probes that the system sends to a host that does not answer, before it takes it for lost.
_COUNT = 3


def _tell(sock: Any, *fields: slice) -> list[int] | None:
    """Return what the system tells of a connection; None where it does not (it is not Linux, or this is no TCP)."""
    if sys.platform != "linux":
        return None
    try:
        info: bytes = sock.getsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_INFO, _SIZE)
    except OSError:
        return None
    return [int.from_bytes(info[field], sys.byteorder) for field in fields]


def has_vanished(sock: Any, seconds: float) -> bool:
    """Tell whether the peer's host has said nothing at all for so long, though TCP wants an answer of it.

    A host answers for a process that does not read, and says that it has no room: that is life. False where the system
    does not tell.
    """
    told = _tell(sock, _PROBES, _IN_FLIGHT, _SINCE_ACKNOWLEDGED)
    if told is None:
        return False
    probes, in_flight, since = told
    # (One probe may be on its way; a second one goes out only where the first has not been answered.)
    return since >= seconds * 1000 and (in_flight > 0 or probes > 1)


def struggle(sock: Any) -> tuple[int, float]:
    """Return how many segments were lost or late so far, either way, and the seconds since the host's last word.

    Where that number grows, and the host does speak, it is the network that keeps a peer's answer. It never grows where
    the system does not tell.
    """
    told = _tell(sock, _SENT_AGAIN, _OUT_OF_ORDER, _SINCE_ACKNOWLEDGED)
    if told is None:
        return 0, 0.0
    again, out_of_order, since = told
    return again + out_of_order, since / 1000


def watch_host(sock: Any, ping: float, timeout: float) -> None:
    """Have the system ask the host after so many seconds of silence, and give it up where it does not answer in time.

    That is for versions of the protocol that have no pings. (While data is on its way, the system asks by itself, and
    takes its own time: a quarter of an hour on Linux.)
    """
    try:
        sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", ceil(ping)),
            ("TCP_KEEPINTVL", ceil(timeout / _COUNT)),
            ("TCP_KEEPCNT", _COUNT),
        ):
            option = getattr(stdlib_socket, name, None)
            if option is not None:
                sock.setsockopt(stdlib_socket.IPPROTO_TCP, option, value)
    except OSError:
        pass  # no TCP, or times that the system does not take
