"""With or without gevent's patches, and whichever came first: everything works, and nothing warns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tls import Certificates, make_certificates

ROOT = Path(__file__).resolve().parents[2]

BEGINNINGS = {
    "unpatched": "import wsdriver",
    "patched before": "from gevent import monkey; monkey.patch_all(); import wsdriver",
    "patched behind": "import wsdriver; from gevent import monkey; monkey.patch_all()",
    "patched behind all of it": """
import wsdriver
import wsdriver.green.client.connecting, wsdriver.green.connection, wsdriver.green.gunicorn, wsdriver.green.pywsgi
import wsdriver.green.server, wsdriver.green.websocket
wsdriver.connect, wsdriver.WebSocketServer, wsdriver.WebSocket
from gevent import monkey; monkey.patch_all()
""",
    "partly patched": "from gevent import monkey; monkey.patch_all(thread=False); import wsdriver",
}

ROUNDTRIP = """
import ssl, sys, threading
import gevent
from gevent.monkey import get_original, is_module_patched

authority, certificate, key = sys.argv[1:]

def handler(ws):
    for message in ws:
        ws.send(message)

def talk(url, tls):
    with wsdriver.connect(url, tls=tls) as ws:
        for message in ("text", b"binary", "", "x" * 300000):
            ws.send(message)
            assert ws.receive(10) == message
        try:
            ws.receive(0.01)
        except TimeoutError:
            pass
        else:
            raise AssertionError("a message from nowhere")
        # Another thread: a greenlet where threads are patched, else a native one.
        thread = threading.Thread(target=ws.send, args=["from a thread"])
        thread.start()
        assert ws.receive(10) == "from a thread"
        gevent.get_hub().threadpool.apply(ws.send, ["from a native thread"])
        assert ws.receive(10) == "from a native thread"
        while thread.is_alive():
            gevent.sleep(0.001)
    assert (ws.close_code, ws.was_clean) == (1000, True)

with gevent.Timeout(30):
    for tls in ({}, {"certfile": certificate, "keyfile": key}):
        server = wsdriver.WebSocketServer(("127.0.0.1", 0), handler, **tls)
        server.start()
        url = f"{'wss' if tls else 'ws'}://localhost:{server.server_port}/"
        context = ssl.create_default_context(cafile=authority)
        gevent.joinall([gevent.spawn(talk, url, context) for _ in range(3)], raise_error=True)
        if tls:
            try:
                wsdriver.connect(url)
            except ssl.SSLCertVerificationError:
                pass
            else:
                raise AssertionError("a certificate that nobody trusts was accepted")
        server.stop(5)
        assert len(server.connections) == 0
print("socket patched:", is_module_patched("socket"))
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program that must not warn."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDEVMODE": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_server_and_client_work_and_nothing_warns(beginning: str, certificates: Certificates) -> None:
    program = BEGINNINGS[beginning] + ROUNDTRIP
    done = run(program, certificates.authority, certificates.certificate, certificates.key)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"socket patched: {beginning != 'unpatched'}\n"


def test_import_loads_no_gevent_and_patches_nothing() -> None:
    done = run("import sys, wsdriver; print(sorted({'gevent', 'greenlet', 'ssl', 'socket'} & set(sys.modules)))")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "[]\n")


def test_use_patches_nothing() -> None:
    done = run(
        "import socket, ssl, threading, time\n"
        "names = [(socket, 'socket'), (ssl, 'SSLContext'), (threading, 'Thread'), (time, 'sleep')]\n"
        "before = [getattr(*name) for name in names]\n"
        "import wsdriver\n"
        "wsdriver.connect, wsdriver.WebSocketServer, wsdriver.WebSocket, wsdriver.WebSocketHandler\n"
        "print(before == [getattr(*name) for name in names])"
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True\n")
