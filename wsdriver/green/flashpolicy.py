"""What Flash's sockets ask a server before they connect: who may. web-socket-js, the WebSocket of old browsers, did."""

from __future__ import annotations

from time import monotonic
from typing import Any

import gevent

from wsdriver.green.waiting import read_some, write_all

__all__ = ["POLICY", "REQUEST", "answer_policy"]

REQUEST = b"<policy-file-request/>\0"

#: As em-websocket has it: everybody may connect, to any port.
POLICY = b'<?xml version="1.0"?><cross-domain-policy><allow-access-from domain="*" to-ports="*"/></cross-domain-policy>'


def answer_policy(sock: Any, deadline: float | None) -> bytes | None:
    """Answer a connection that asks for the policy.

    Args:
        sock: the peer's; a socket of gevent, with TLS or without.
        deadline: by the monotonic clock.

    Returns:
        the bytes that were read to find out that it does not ask; None where it did, or is lost.
    """
    sock.settimeout(0)
    data = b""
    try:
        with gevent.Timeout(None if deadline is None else max(0.0, deadline - monotonic()), False):
            while len(data) < len(REQUEST) and REQUEST.startswith(data):
                more = read_some(sock)
                if not more:
                    return None
                data += more
            if data.startswith(REQUEST):
                write_all(sock, POLICY)
                return None
    except OSError:
        return None
    return data
