"""The fixtures, in suites of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

APP = """
import pytest
import wsdriver

@pytest.fixture
def app():
    def app(environ, start_response):
        ws = wsdriver.WebSocket(environ)
        for message in ws:
            if message == "crash":
                raise LookupError("the application's own")
            ws.send(message)
        return ws.wsgi_response()
    return app
"""


def run(folder: Path, conftest: str, tests: str) -> str:
    """Run pytest in a folder; return what it says. (As an installed wsdriver does it, but for ``-p``.)"""
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_wsdriver", "-p", "no:cacheprovider", "-q", "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_fixture_is_a_client_for_the_suites_app(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        APP,
        "def test_chat(websocket_client):\n"
        "    with websocket_client.websocket('/chat') as ws:\n"
        "        ws.send('hello')\n"
        "        assert ws.receive() == 'hello'\n"
        "def test_forgotten(websocket_client):\n"
        "    websocket_client.websocket('/chat').send('crash')\n",
    )
    # The second passes, and at its end its connection is closed, which shows what the application raised.
    assert "2 passed, 1 error" in said
    assert "LookupError: the application's own" in said
    assert "ERROR at teardown of test_forgotten" in said


def test_fixture_without_an_app_says_what_is_missing(tmp_path: Path) -> None:
    said = run(tmp_path, "", "def test_chat(websocket_client):\n    pass\n")
    assert "write a fixture 'app' (or 'websocket_app') that returns it" in said


def test_error_in_the_suites_own_fixture_stays_what_it_is(tmp_path: Path) -> None:
    conftest = "import pytest\n@pytest.fixture\ndef app(database):\n    pass\n"
    said = run(tmp_path, conftest, "def test_chat(websocket_client):\n    pass\n")
    assert "fixture 'database' not found" in said


def test_fixture_app_may_be_overridden(tmp_path: Path) -> None:
    conftest = APP.replace("def app():", "def websocket_app():")
    tests = "def test_chat(websocket_client):\n    websocket_client.websocket('/chat').close()\n"
    assert "1 passed" in run(tmp_path, conftest, tests)


def test_plugin_loads_nothing_until_it_is_used(tmp_path: Path) -> None:
    tests = (
        "import sys\n"
        "def test_modules():\n"
        "    assert {'wsdriver', 'gevent', 'greenlet', 'h11'} & set(sys.modules) == set()\n"
    )
    assert "1 passed" in run(tmp_path, "", tests)


def test_plugin_is_registered() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"pytest_wsdriver": "pytest_wsdriver"}
    assert project["tool"]["setuptools"]["py-modules"] == ["pytest_wsdriver"]
