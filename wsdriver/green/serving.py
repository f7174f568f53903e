"""A server that is the whole program: it runs until a signal ends it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

import gevent
from gevent import Greenlet, joinall, killall
from gevent.event import Event

from wsdriver.green.registry import Registry
from wsdriver.green.server import WebSocketServer
from wsdriver.green.websocket import WebSocket

__all__ = ["run_server", "serve"]

#: Seconds between two questions whether it is over.
POLL = 0.5


def serve(
    handler: Callable[[WebSocket], object] | Mapping[str, Callable[..., object]],
    host: str,
    port: int,
    **options: Any,
) -> None:
    """Serve WebSockets until SIGTERM or SIGINT comes.

    ::

        wsdriver.serve(handler, "0.0.0.0", 8080)

    At the first signal, no more connections are accepted, and all WebSockets are closed with 1001; this returns when
    the last handler has returned, or is cut at ``WebSocketServer.stop_timeout``. A second signal cuts them at once.
    The handlers of both signals are those from before then. Outside of the main thread, no signal is looked at.

    Args:
        handler: as for :class:`~wsdriver.WebSocketServer`: a handler, or a table of them by path.
        host: the address to listen at; ``''`` for all.
        port: the port.
        **options: of :class:`~wsdriver.WebSocketServer`.

    Raises:
        ConfigurationError: an option has a wrong name or value.
        OSError: the address cannot be listened at.
    """
    server = WebSocketServer((host, port), handler, **options)
    run_server(server, server.connections)


def run_server(
    server: Any,
    connections: Registry,
    started: Callable[[], object] | None = None,
    is_over: Callable[[], bool] | None = None,
) -> bool:
    """Do what :func:`serve` does, with a server that is made already.

    Args:
        server: a :class:`WebSocketServer`, or one of ``gevent.pywsgi`` that waits for its handlers when it stops.
        connections: its WebSockets.
        started: called once connections are accepted.
        is_over: called twice a second; True stops the server as a signal does.

    Returns:
        whether ``is_over`` ended it.

    Raises:
        OSError: the address cannot be listened at.
    """
    # A handler may have something to do behind the end of its WebSocket. (An unlimited pool of gevent's would wait for
    # them too, at a fourteenth of what a short connection costs.)
    handlers: set[Greenlet] = set()
    if isinstance(server, WebSocketServer):
        server._handlers = handlers
    asked = Event()
    over = False

    def stop() -> None:
        if asked.is_set():
            connections.close(0)
        asked.set()

    # From before the first connection on: who sees the port open may send a signal.
    with _signals_call(stop):
        try:
            server.start()
            if started is not None:
                started()
            while not asked.wait(None if is_over is None else POLL):
                if is_over is not None and is_over():
                    over = True
                    asked.set()
        finally:
            deadline = monotonic() + server.stop_timeout
            server.stop()
            joinall(list(handlers), max(0.0, deadline - monotonic()))
            killall(list(handlers), timeout=1)
    return over


@contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """Have SIGTERM and SIGINT call that, in a greenlet of the main thread."""
    if not gevent.get_hub().main_hub:
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [(number, signal.getsignal(number)) for number in numbers]
    # Those of gevent's loop: they wake it whichever thread the system gives the signal to.
    watchers = [gevent.signal_handler(number, stop) for number in numbers]
    try:
        yield
    finally:
        for watcher in watchers:
            watcher.cancel()
        for number, handler in before:
            if handler is not None:  # else it was not Python's
                signal.signal(number, handler)
