"""gevent-websocket's interface: put ``wsdriver.compat.`` before its name wherever it is imported.

::

    from wsdriver.compat.geventwebsocket import Resource, WebSocketApplication, WebSocketError, WebSocketServer

docs/moving/gevent-websocket.md says what changes by that, and what is different on purpose.
"""

from __future__ import annotations

from wsdriver.compat.geventwebsocket.exceptions import WebSocketError
from wsdriver.compat.geventwebsocket.resource import Resource, WebSocketApplication
from wsdriver.compat.geventwebsocket.server import WebSocketServer

__all__ = ["Resource", "WebSocketApplication", "WebSocketError", "WebSocketServer", "get_version"]


def get_version() -> str:
    """Return this package's version."""
    from wsdriver.version import __version__

    return __version__
