"""A complete WebSocket system for Python on gevent.

``import wsdriver`` loads neither gevent nor a server, and patches nothing: the names that need gevent are loaded at
their first use.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if os.environ.get("WSDRIVER_PURE") == "1":
    from wsdriver.pure import SourceFinder

    sys.meta_path.insert(0, SourceFinder())

from wsdriver.driver import Driver
from wsdriver.environ import is_eventsource, is_websocket
from wsdriver.exceptions import (
    ConfigurationError,
    ConnectionClosed,
    ExtensionError,
    HandshakeError,
    InvalidPayload,
    MessageTooBig,
    ProtocolError,
    ProxyError,
    WebSocketError,
)
from wsdriver.extensions import PermessageDeflate
from wsdriver.version import __version__

if TYPE_CHECKING:
    from wsdriver.green.broadcasting import broadcast
    from wsdriver.green.channel.channel import Channel
    from wsdriver.green.client.connecting import connect
    from wsdriver.green.client.reconnecting import reconnect
    from wsdriver.green.eventsource import EventSource
    from wsdriver.green.gunicorn import WebSocketWorker as worker
    from wsdriver.green.monitor.middleware import Monitor as monitor
    from wsdriver.green.pywsgi import WebSocketHandler
    from wsdriver.green.server import WebSocketServer
    from wsdriver.green.serving import serve
    from wsdriver.green.websocket import WebSocket

__all__ = [
    "Channel",
    "ConfigurationError",
    "ConnectionClosed",
    "Driver",
    "EventSource",
    "ExtensionError",
    "HandshakeError",
    "InvalidPayload",
    "MessageTooBig",
    "PermessageDeflate",
    "ProtocolError",
    "ProxyError",
    "WebSocket",
    "WebSocketError",
    "WebSocketHandler",
    "WebSocketServer",
    "__version__",
    "broadcast",
    "connect",
    "is_eventsource",
    "is_websocket",
    "monitor",
    "reconnect",
    "serve",
    "worker",
]

#: Public names that need gevent, and where they live. No submodule of this package may bear one of them: importing it
#: would put the module in the place of the name.
_GREEN = {
    "Channel": ("wsdriver.green.channel.channel", "Channel"),
    "EventSource": ("wsdriver.green.eventsource", "EventSource"),
    "WebSocket": ("wsdriver.green.websocket", "WebSocket"),
    "WebSocketHandler": ("wsdriver.green.pywsgi", "WebSocketHandler"),
    "WebSocketServer": ("wsdriver.green.server", "WebSocketServer"),
    "broadcast": ("wsdriver.green.broadcasting", "broadcast"),
    "connect": ("wsdriver.green.client.connecting", "connect"),
    "monitor": ("wsdriver.green.monitor.middleware", "Monitor"),
    "reconnect": ("wsdriver.green.client.reconnecting", "reconnect"),
    "serve": ("wsdriver.green.serving", "serve"),
    "worker": ("wsdriver.green.gunicorn", "WebSocketWorker"),
}


if not TYPE_CHECKING:  # else any name would do

    def __getattr__(name: str) -> Any:
        if name not in _GREEN:
            raise AttributeError(f"module 'wsdriver' has no attribute {name!r}")
        module, attribute = _GREEN[name]
        value = getattr(importlib.import_module(module), attribute)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
