"""The fixtures, in suites of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# pytester forgets the modules that a suite loads, and some of gevent's cannot be loaded twice.
import wsdriver.testing  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]

pytest_plugins = ["pytester"]

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


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite that has no plugin but ours. (An installed wsdriver is found without ``-p``.)"""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\naddopts = -p wsdriver.pytest_plugin -p no:cacheprovider")
    return pytester


def test_fixture_is_a_client_for_the_suites_app(suite: pytest.Pytester) -> None:
    suite.makeconftest(APP)
    suite.makepyfile(
        "def test_chat(websocket_client):\n"
        "    with websocket_client.websocket('/chat') as ws:\n"
        "        ws.send('hello')\n"
        "        assert ws.receive() == 'hello'\n"
        "def test_forgotten(websocket_client):\n"
        "    websocket_client.websocket('/chat').send('crash')\n"
    )
    result = suite.runpytest_inprocess()
    # The second passes, and at its end its connection is closed, which shows what the application raised.
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_forgotten*", "*LookupError: the application's own*"])


def test_fixture_without_an_app_says_what_is_missing(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_chat(websocket_client):\n    pass\n")
    result = suite.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*write a fixture 'app' (or 'websocket_app') that returns it*"])


def test_error_in_the_suites_own_fixture_stays_what_it_is(suite: pytest.Pytester) -> None:
    suite.makeconftest("import pytest\n@pytest.fixture\ndef app(database):\n    pass\n")
    suite.makepyfile("def test_chat(websocket_client):\n    pass\n")
    suite.runpytest_inprocess().stdout.fnmatch_lines(["*fixture 'database' not found*"])


def test_fixture_app_may_be_overridden(suite: pytest.Pytester) -> None:
    suite.makeconftest(APP.replace("def app():", "def websocket_app():"))
    suite.makepyfile("def test_chat(websocket_client):\n    websocket_client.websocket('/chat').close()\n")
    suite.runpytest_inprocess().assert_outcomes(passed=1)


def test_plugin_loads_no_gevent_until_it_is_used() -> None:
    program = "import sys, wsdriver.pytest_plugin; print({'gevent', 'greenlet', 'wsdriver.testing'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_plugin_is_registered() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"wsdriver": "wsdriver.pytest_plugin"}
