"""The client in programs of every kind: plain, patched before or behind, with threads; nothing warns."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.peers import missing
from tests.support.tls import Certificates, make_certificates

ROOT = Path(__file__).resolve().parents[2]

BEGINNINGS = {
    "plain": "",
    "patched before": "from gevent import monkey; monkey.patch_all()",
    "patched behind": """
import wsdriver
import wsdriver.green.client, wsdriver.green.reconnecting
wsdriver.connect, wsdriver.reconnect, wsdriver.WebSocketServer
from gevent import monkey; monkey.patch_all()
""",
}

#: Contexts of the time before, our own among them, cannot wrap sockets any more. gevent does not like it either.
USED_BEFORE = """
import ssl, sys, warnings
import wsdriver
from tests.support.serving import serving

early = ssl.create_default_context(cafile=sys.argv[1])
with serving(certfile=sys.argv[2], keyfile=sys.argv[3]) as server:
    wsdriver.connect(server.url, tls=early).close()
    try:
        wsdriver.connect(server.url)
    except ssl.SSLCertVerificationError:
        pass
from gevent import monkey
with warnings.catch_warnings():
    warnings.simplefilter("ignore", monkey.MonkeyPatchWarning)
    monkey.patch_all()
"""

PROGRAM = """
import ssl, sys
import gevent
import wsdriver
from pathlib import Path
from tests.support.recording import http_proxy, socks_proxy
from tests.support.serving import serving
from tests.support.tls import Certificates

certificates = Certificates(*map(Path, sys.argv[1:]))
files = {"certfile": sys.argv[2], "keyfile": sys.argv[3]}
tls = {"root_cert_file": sys.argv[1]}


def talk(url, **options):
    with wsdriver.connect(url, **options) as ws:
        for message in ("text", b"binary", "x" * 300000):
            ws.send(message)
            assert ws.receive(20) == message
    assert (ws.close_code, ws.was_clean) == (1000, True)


def fails(kind, stage, url, **options):
    try:
        wsdriver.connect(url, **options)
    except kind as error:
        assert error.stage == stage, (error, error.stage)
    else:
        raise AssertionError("it connected")


with gevent.Timeout(50), serving() as plain, serving(**files) as secure:
    with http_proxy() as http, http_proxy(certificates) as https, socks_proxy() as socks:
        ways = [
            None,
            f"http://127.0.0.1:{http.port}",
            {"origin": f"https://127.0.0.1:{https.port}", "tls": tls},
            f"socks5h://127.0.0.1:{socks.port}",
            f"socks5://127.0.0.1:{socks.port}",
        ]
        for proxy in ways:
            talk(plain.url, proxy=proxy)
            contexts = [ssl.create_default_context(cafile=sys.argv[1])]
            if "early" in globals():
                contexts.append(early)
            for setting in (tls, *contexts):
                talk(secure.url, tls=setting, proxy=proxy)
            fails(ssl.SSLCertVerificationError, "tls", secure.url, proxy=proxy)
        gevent.joinall([gevent.spawn(talk, secure.url, tls=tls, proxy=ways[2]) for _ in range(5)], raise_error=True)
    fails(OSError, "resolve", "ws://nobody.invalid/")
    fails(OSError, "connect", "ws://127.0.0.1:1/")
    fails(wsdriver.ProxyError, "proxy", "ws://127.0.0.1:1/", proxy="http://127.0.0.1:1")
    for number, ws in enumerate(wsdriver.reconnect(secure.url, tls=tls, initial_delay=0.001)):
        ws.send("again")
        assert ws.receive(20) == "again"
        if number == 2:
            break
    assert ws.state == "closed"
print("done")
"""

THREADS = """
import sys, threading
import wsdriver

url, authority = sys.argv[1:]
wrong = []

def talk():
    try:
        with wsdriver.connect(url, tls={"root_cert_file": authority}) as ws:
            for number in range(20):
                ws.send(str(number))
                assert ws.receive(20) == str(number)
        for ws in wsdriver.reconnect(url, tls={"root_cert_file": authority}):
            ws.send("again")
            assert ws.receive(20) == "again"
            break
    except BaseException as error:
        wrong.append(error)
        raise

threads = [threading.Thread(target=talk) for _ in range(6)]
for thread in threads:
    thread.start()
talk()
for thread in threads:
    thread.join()
assert not wrong, wrong
print("done")
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def run(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a program that must not warn."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check(process: subprocess.Popen[str]) -> None:
    try:
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, output, errors) == (0, "done\n", "")


@pytest.mark.parametrize("beginning", [*BEGINNINGS.values(), USED_BEFORE], ids=[*BEGINNINGS, "used before"])
def test_every_way_works_and_nothing_warns(beginning: str, certificates: Certificates) -> None:
    if importlib.util.find_spec("python_socks") is None:
        missing("the Python package python_socks")
    program = beginning + PROGRAM
    check(run(program, certificates.authority, certificates.certificate, certificates.key))


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_threads_each_have_their_own(beginning: str, certificates: Certificates) -> None:
    server = run(
        "import sys, gevent, wsdriver\n"
        "from tests.support.serving import serving\n"
        "with serving(certfile=sys.argv[1], keyfile=sys.argv[2]) as server:\n"
        "    print(server.url, flush=True)\n"
        "    gevent.sleep(60)\n",
        certificates.certificate,
        certificates.key,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        check(run(BEGINNINGS[beginning] + THREADS, url, certificates.authority))
    finally:
        server.kill()
        server.communicate()
