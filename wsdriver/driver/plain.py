"""The request that nearly every client sends, judged in one pass over its bytes.

What :func:`read_plain` takes is right by the rules of ``http``, ``environ`` and ``server`` together, and means the same
to all of them; whatever it leaves is theirs to judge. ``plain.pyx`` is the compiled twin.
"""

from __future__ import annotations

import re

from wsdriver.driver.server import PLAIN_KEY
from wsdriver.http import MAX_HEAD, Headers, has_token, parse_plain

__all__ = ["COMPILED", "read_plain"]

COMPILED = False

_HOST = re.compile(r"[A-Za-z0-9.-]+(?::([0-9]{1,5}))?")

#: Headers that are looked at here, and so may come once.
_KNOWN = (
    "Host",
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
)


def read_plain(head: bytes) -> tuple[str, str, str, str, bool] | None:
    """Return what a plain request for a WebSocket of RFC 6455 says; None where it is anything else.

    Args:
        head: all bytes that have come; a plain request is the whole of them.

    Returns:
        its target, its Sec-WebSocket-Key, -Protocol and -Extensions (``""`` where there is none), and whether it has
        headers of proxies (``X-Forwarded-...``).
    """
    request = parse_plain(head) if len(head) <= MAX_HEAD else None
    if request is None or not request.target.startswith("/") or "#" in request.target:
        return None
    headers = request.headers
    if "WebSocket-Protocol" in headers:  # hixie-75's, which is heard in any request
        return None
    if any(len(headers.get_all(name)) > 1 for name in _KNOWN) or not _is_right(headers):
        return None
    return (
        request.target,
        headers["Sec-WebSocket-Key"],
        headers.get("Sec-WebSocket-Protocol", ""),
        headers.get("Sec-WebSocket-Extensions", ""),
        any(name.lower().startswith("x-forwarded-") for name in headers),
    )


def _is_right(headers: Headers) -> bool:
    host = _HOST.fullmatch(headers.get("Host", ""))
    return (
        host is not None
        and int(host[1] or 0) <= 65535
        and headers.get("Upgrade", "").lower() == "websocket"
        and has_token(headers.get("Connection", ""), "upgrade")
        and headers.get("Sec-WebSocket-Version") == "13"
        and PLAIN_KEY.fullmatch(headers.get("Sec-WebSocket-Key", "")) is not None
    )
