"""The choice of a subprotocol as other libraries make it: by the client's preference."""

from __future__ import annotations

from collections.abc import Iterable

from wsdriver.environ import Environ

__all__ = ["by_client"]


def by_client(environ: Environ, supported: Iterable[str]) -> list[str]:
    """Return the subprotocols that the client asks for and the server has, in the client's order."""
    supported = list(supported)
    asked = (name.strip() for name in environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(","))
    return [name for name in asked if name in supported]
