"""The client's examples, run as their first lines say; Locust is the real one."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent import subprocess

import wsdriver
from tests.support.net import free_port
from tests.support.peers import missing
from tests.support.recording import answering, http_proxy
from tests.support.serving import serving
from tests.support.tls import make_certificates

ROOT = Path(__file__).resolve().parent.parent


def start(*arguments: str, **environment: str) -> Any:
    """Start Python; the servers of this process go on while it runs."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run Python to its end; returns its exit status and what it wrote."""
    process = start(*arguments, **environment)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


class TestClient:
    def test_prints_the_answers(self) -> None:
        with serving() as server:
            done = run("examples/client.py", server.url, "hello", "world")
        assert done == (0, "hello\nworld\n", "")

    def test_goes_through_a_proxy_with_tls(self, tmp_path: Path) -> None:
        certificates = make_certificates(tmp_path)
        tls = {"certfile": str(certificates.certificate), "keyfile": str(certificates.key)}
        with serving(**tls) as server, http_proxy() as proxy:
            trust = ["--trust", str(certificates.authority)]
            url = f"http://127.0.0.1:{proxy.port}"
            done = run("examples/client.py", server.url, "a", "--proxy", url, "--header", "X-A: b", *trust)
            assert done == (0, "a\n", "")
            done = run(
                "examples/client.py", server.url, "b", "--proxy", "environment", *trust, wss_proxy=url, no_proxy=""
            )
            assert done == (0, "b\n", "")
            assert len(proxy.targets) == 2

    def test_says_what_failed(self) -> None:
        status, output, errors = run("examples/client.py", f"ws://127.0.0.1:{free_port()}/", "hello")
        assert (status, output) == (1, "")
        assert errors.startswith("client.py: ")
        assert "cannot connect to 127.0.0.1" in errors


class TestLocust:
    def load(self, url: str, enough: Callable[[], bool]) -> tuple[int, dict[str, dict[str, Any]]]:
        """Run two users until it is enough; returns the exit status, and the figures by kind of request."""
        if importlib.util.find_spec("locust") is None:  # not imported here: it patches the process
            missing("the Python package locust")
        process = start(
            *["-m", "locust", "-f", "examples/locustfile.py", "--headless", "--host", url],
            *["--users", "2", "--spawn-rate", "10", "--run-time", "60s", "--json", "--skip-log-setup"],
        )
        try:
            while not enough() and process.poll() is None:
                gevent.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        assert "Traceback" not in errors, errors
        figures = json.loads(output)
        return process.returncode, {figure["method"]: figure for figure in figures}

    def test_users_talk_and_are_timed(self) -> None:
        received: list[Any] = []

        def handler(ws: wsdriver.WebSocket) -> None:
            for message in ws:
                received.append(message)
                ws.send(message)

        with serving(handler) as server:
            status, figures = self.load(server.url, lambda: len(received) >= 6 and len(server.connections) == 2)
        assert status == 0
        assert set(figures) == {"ws connect", "ws echo", "ws close"}
        assert figures["ws connect"]["num_requests"] == figures["ws close"]["num_requests"] == 2
        echoes = figures["ws echo"]
        assert 6 <= echoes["num_requests"] <= len(received)
        assert echoes["num_failures"] == 0
        assert echoes["total_response_time"] > 0
        assert set(received) == {"hello"}

    def test_failures_are_counted(self) -> None:
        with answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") as server:
            status, figures = self.load(server.url, lambda: len(server.heads) >= 4)
        assert status == 1
        assert set(figures) == {"ws connect"}
        assert figures["ws connect"]["num_failures"] == figures["ws connect"]["num_requests"] >= 3
