"""Servers that are libraries, each in a process of its own::

    python -m tests.servers.serve wsgiref --port 8000

Each prints LISTENING once it listens, and serves until it is killed.
"""

from __future__ import annotations

import argparse
import socketserver
import wsgiref.simple_server
from typing import Any

from tests.servers.app import app

LISTENING = "this server is listening"


def serve_pywsgi(port: int, tls: dict[str, str], **options: Any) -> None:
    from gevent.pywsgi import WSGIServer

    server = WSGIServer(("127.0.0.1", port), app, **tls, **options)
    server.start()
    print(LISTENING, flush=True)
    server.serve_forever()


def serve_pywsgi_with_handler(port: int, tls: dict[str, str]) -> None:
    import wsdriver

    serve_pywsgi(port, tls, handler_class=wsdriver.WebSocketHandler)


def serve_werkzeug(port: int, tls: dict[str, str]) -> None:
    """The development server, as Flask's ``app.run`` and ``flask run`` start it."""
    from werkzeug.serving import make_server

    context = (tls["certfile"], tls["keyfile"]) if tls else None
    server = make_server("127.0.0.1", port, app, threaded=True, ssl_context=context)
    print(LISTENING, flush=True)
    server.serve_forever()


class ThreadingWsgiServer(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """A thread for each request."""

    daemon_threads = True
    request_queue_size = 128


def serve_wsgiref(port: int, tls: dict[str, str]) -> None:
    assert not tls
    server = wsgiref.simple_server.make_server("127.0.0.1", port, app, ThreadingWsgiServer)
    print(LISTENING, flush=True)
    server.serve_forever()


def serve_django(port: int, tls: dict[str, str]) -> None:
    """Django's development server, as ``manage.py runserver`` starts it."""
    from django.core.servers.basehttp import WSGIServer, run

    import examples.frameworks.django_app  # noqa: F401  # the settings, of which a process has one

    assert not tls

    class Announcing(WSGIServer):
        def server_activate(self) -> None:
            super().server_activate()
            print(LISTENING, flush=True)

    run("127.0.0.1", port, app, threading=True, server_cls=Announcing)


SERVERS = {
    "django": serve_django,
    "pywsgi": serve_pywsgi,
    "pywsgi-handler": serve_pywsgi_with_handler,
    "werkzeug": serve_werkzeug,
    "wsgiref": serve_wsgiref,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certfile")
    parser.add_argument("--keyfile")
    given = parser.parse_args()
    SERVERS[given.server](given.port, {"certfile": given.certfile, "keyfile": given.keyfile} if given.certfile else {})


if __name__ == "__main__":
    main()
