"""One message to many connections."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["broadcast"]


def broadcast(
    websockets: Iterable[Any],
    message: str | bytes,
    slow: str = "close",
    id: str | None = None,  # noqa: A002
) -> int:
    """Send a message to many WebSockets."""
    count = 0
    for ws in tuple(websockets):
        if ws.ready_state == 1:
            if not hasattr(ws, "last_event_id"):
                ws.send(message)
            elif isinstance(message, str):
                ws.send(message, id=id)
            count += 1
    return count
