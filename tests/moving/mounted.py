"""Several applications in one server, each under its name. COMPAT is put before the names of what they import."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any
from wsgiref.util import shift_path_info

APPLICATIONS = {
    "bottle": "tests.moving.bottle_app",
    "eventlet": "tests.moving.eventlet_app",
    "flask-sock": "tests.moving.flask_sock_app",
    "flask-sockets": "tests.moving.flask_sockets_app",
}


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Dispatch by path; an application is loaded at its first request."""
    name = shift_path_info(environ)
    result: Iterable[bytes] = import_module(APPLICATIONS[name or ""]).app(environ, start_response)
    return result
