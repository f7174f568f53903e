"""A handler that blocks gunicorn's worker: the log says where, and what the others have of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

import wsdriver
from tests.faults import gunicorn_app
from tests.faults.gunicorn_site import Site
from tests.support.waiting import wait_for
from tests.support.wire import PATIENCE

TIMEOUT = 2


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("blocked"), "--timeout", str(TIMEOUT)) as site:
        yield site


@pytest.fixture
def site(shared: Site) -> Site:
    shared.wait_for_workers(1)
    shared.mark()
    return shared


def line_of(text: str) -> int:
    """The line of the application's code that has this in it."""
    [found] = [
        number for number, line in enumerate(Path(gunicorn_app.__file__).read_text().splitlines(), 1) if text in line
    ]
    return found


def stack(function: str, line: int) -> str:
    return f'tests/faults/gunicorn_app.py", line {line} in {function}\n'


def block(site: Site, how: str) -> tuple[Any, Any]:
    """Let one of two handlers block; return both clients when it is over."""
    with wsdriver.connect(site.url + "/block") as culprit, wsdriver.connect(site.url + "/echo") as other:
        other.receive(PATIENCE)
        culprit.send(how)
        wait_for(lambda: culprit.receive(PATIENCE) is None, "the end of the one that blocks")
        other.close()
    return culprit, other


def test_a_call_that_never_returns_to_python_is_named(site: Site) -> None:
    """The worker cannot do anything any more; the arbiter kills it."""
    [victim] = site.wait_for_workers(1)
    site.killed.append(victim)
    culprit, other = block(site, "call")
    assert (culprit.close_code, other.close_code) == (1006, 1006)
    wait_for(lambda: "WORKER TIMEOUT" in site.text() and "was sent SIGKILL" in site.text(), "the end of the worker")
    assert stack("block", line_of("hashlib.pbkdf2_hmac")) in site.text()
    assert site.wait_for_workers(1) != [victim]
    site.assert_ended_once()


def test_python_code_is_named_and_the_others_are_told_to_go(site: Site) -> None:
    """And the log says so in words, once there is somebody to say it. (It was moved away before, as by logrotate.)"""
    [victim] = site.wait_for_workers(1)
    site.error_log.rename(site.error_log.with_suffix(".1"))
    site.mark()
    site.signal(signal.SIGUSR1)
    wait_for(site.error_log.exists, "the new log")
    gevent.sleep(0.2)  # the worker's turn comes after the master's
    culprit, other = block(site, "python")
    assert (culprit.close_code, other.close_code) == (1001, 1001)
    assert stack("block", line_of("spin(float(")) in site.text()
    assert "nothing else could run: a handler blocks this worker" in site.text()
    assert site.wait_for_workers(1) != [victim]
    site.assert_ended_once()
