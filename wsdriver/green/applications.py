"""A WSGI application that is the whole program: ``gevent.pywsgi``'s server, with WebSockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.pool import Pool
from gevent.pywsgi import WSGIServer
from gevent.ssl import PROTOCOL_TLS_SERVER, SSLContext

from wsdriver.exceptions import ConfigurationError
from wsdriver.green.pywsgi import WebSocketHandler, connections_of
from wsdriver.green.serving import run_server

__all__ = ["run_application"]


def run_application(
    application: Any,
    listener: Any,
    started: Callable[[], object] | None = None,
    is_over: Callable[[], bool] | None = None,
    certfile: str | None = None,
    keyfile: str | None = None,
) -> bool:
    """Serve an application until a signal comes, as :func:`~wsdriver.green.serving.run_server` does.

    Args:
        application: a WSGI application.
        listener: a listening socket.
        started, is_over: as there.
        certfile, keyfile: for TLS.

    Raises:
        ConfigurationError: the certificate cannot be used.
    """
    tls: dict[str, Any] = {}
    if certfile is not None:
        context = tls["ssl_context"] = SSLContext(PROTOCOL_TLS_SERVER)
        try:
            # Here, where it can be said: the server itself would find out at its first connection.
            context.load_cert_chain(certfile, keyfile)
        except OSError as error:
            raise ConfigurationError(f"the certificate {certfile!r} cannot be used: {error}") from error
    # With a pool, its stop waits for the requests.
    server = WSGIServer(listener, application, handler_class=WebSocketHandler, spawn=Pool(), **tls)
    server.stop_timeout = 10
    return run_server(server, connections_of(server), started, is_over)
