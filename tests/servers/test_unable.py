"""Servers that cannot hand over a connection: the error says so, and names those that can."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.servers.matrix import UPGRADE, fetch
from tests.support.gunicorn import ROOT, Gunicorn
from tests.support.wire import PATIENCE

ABLE = ("gunicorn -k wsdriver.worker", "wsdriver.WebSocketHandler", "gthread", "gevent.pywsgi", "werkzeug", "wsgiref")

CGI = "from wsgiref.handlers import CGIHandler; from tests.servers.app import app; CGIHandler().run(app)"


def test_cgi() -> None:
    """A process for each request, which speaks through a pipe."""
    request = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in UPGRADE.items()}
    request |= {"REQUEST_METHOD": "GET", "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1"}
    for path in ("/echo", "/events"):
        result = subprocess.run(
            [sys.executable, "-c", CGI],
            env={**os.environ, **request, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=6 * PATIENCE,
            check=False,
        )
        assert result.stdout.startswith("Status: 500 "), result.stdout
        for name in ("ConfigurationError", *ABLE):
            assert name in result.stderr


def test_the_sync_worker_of_gunicorn(tmp_path: Path) -> None:
    """It could; but it would serve nobody else meanwhile, and be killed after its timeout."""
    with Gunicorn(tmp_path, worker="sync", application="tests.servers.app:app") as server:
        assert fetch(server, "/echo", UPGRADE).status == 500
        for name in ("ConfigurationError", "gunicorn -k wsdriver.worker", "-k gevent", "-k gthread"):
            assert name in server.text()
        assert fetch(server, "/plain").status == 200
