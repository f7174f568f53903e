"""The client's examples, run as their first lines say; Locust is the real one."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

from gevent import subprocess

import wsdriver
from tests.support.net import free_port
from tests.support.peers import missing
from tests.support.recording import http_proxy
from tests.support.serving import serving
from tests.support.tls import make_certificates

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str, **environment: str) -> Any:
    """Run Python beside the servers of this process."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=60,
        check=False,
    )


class TestClient:
    def test_prints_the_answers(self) -> None:
        with serving() as server:
            done = run("examples/client.py", server.url, "hello", "wörld", PYTHONIOENCODING="utf-8")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == ["hello", "wörld"]

    def test_goes_through_a_proxy_with_tls(self, tmp_path: Path) -> None:
        certificates = make_certificates(tmp_path)
        tls = {"certfile": str(certificates.certificate), "keyfile": str(certificates.key)}
        with serving(**tls) as server, http_proxy() as proxy:
            trust = ["--trust", str(certificates.authority)]
            url = f"http://127.0.0.1:{proxy.port}"
            done = run("examples/client.py", server.url, "a", "--proxy", url, "--header", "X-A: b", *trust)
            assert (done.returncode, done.stdout, done.stderr) == (0, "a\n", "")
            done = run(
                "examples/client.py", server.url, "b", "--proxy", "environment", *trust, all_proxy=url, no_proxy=""
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, "b\n", "")
            assert len(proxy.targets) == 2

    def test_says_what_failed(self) -> None:
        done = run("examples/client.py", f"ws://127.0.0.1:{free_port()}/", "hello")
        assert done.returncode == 1
        assert "cannot connect to 127.0.0.1" in done.stderr
        assert "Traceback" not in done.stderr


class TestLocust:
    def load(self, url: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """Run two users for a second; returns the exit status, and the figures by kind of request."""
        if importlib.util.find_spec("locust") is None:  # not imported here: it patches the process
            missing("the Python package locust")
        done = run(
            *["-m", "locust", "-f", "examples/locustfile.py", "--headless", "--host", url],
            *["--users", "2", "--spawn-rate", "10", "--run-time", "1s", "--json", "--skip-log-setup"],
        )
        assert "Traceback" not in done.stderr, done.stderr
        figures = json.loads(done.stdout)
        return done.returncode, {figure["method"]: figure for figure in figures}

    def test_users_talk_and_are_timed(self) -> None:
        received: list[Any] = []

        def handler(ws: wsdriver.WebSocket) -> None:
            for message in ws:
                received.append(message)
                ws.send(message)

        with serving(handler) as server:
            status, figures = self.load(server.url)
        assert status == 0
        assert set(figures) == {"ws connect", "ws echo", "ws close"}
        assert figures["ws connect"]["num_requests"] == figures["ws close"]["num_requests"] == 2
        echoes = figures["ws echo"]
        assert echoes["num_requests"] == len(received) >= 2
        assert echoes["num_failures"] == 0
        assert echoes["total_response_time"] > 0
        assert set(received) == {"hello"}

    def test_failures_are_counted(self) -> None:
        status, figures = self.load(f"ws://127.0.0.1:{free_port()}/")
        assert status == 1
        assert set(figures) == {"ws connect"}
        assert figures["ws connect"]["num_failures"] == figures["ws connect"]["num_requests"] >= 2
