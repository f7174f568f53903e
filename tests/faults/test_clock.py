"""Clocks that jump, and processes that stand still."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import gevent
import pytest

import wsdriver
from tests.faults.serving import Peer

PACKAGE = Path(wsdriver.__file__).parent

#: What asks for the time of day, by file: only where it is told to people, or is part of an id.
TIME_OF_DAY = {"green/channel/room.py", "green/monitor/figures.py"}


def test_steps_of_the_wall_clock_end_no_wait_and_no_connection(outcomes: dict[str, Any]) -> None:
    """By hours and years, to and fro, while heartbeats and deadlines of tenths of a second run."""
    outcome = outcomes["clock"]
    assert abs(outcome["jumped"] - outcome["steps"]) < 1  # or nothing was stepped
    assert outcome["right"] == 4
    assert len(outcome["waits"]) == 4
    assert all(0.39 <= seconds < 2 for seconds in outcome["waits"])
    assert (outcome["unfinished"], outcome["told"], outcome["codes"]) == (0, {"1": 8}, {"1000": 8})


def test_nothing_is_measured_by_the_time_of_day() -> None:
    asking = re.compile(r"\btime\(\)|\b(?:now|utcnow|today)\(|\bgettimeofday\b|CLOCK_REALTIME|localtime|gmtime")
    sources = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.h")]
    found = {str(path.relative_to(PACKAGE)) for path in sources if asking.search(path.read_text())}
    assert found == TIME_OF_DAY


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_server_that_stood_still_longer_than_its_timeouts_keeps_the_living(tmp_path: Path) -> None:
    """Their pongs wait in its sockets; and those whose pings it has not sent yet are not silent."""
    with Peer(tmp_path, "stream", ping=0.3, ping_timeout=0.3) as server:
        clients = [wsdriver.connect(f"{server.url}/echo", ping=None) for _ in range(5)]
        gevent.sleep(0.4)
        os.kill(server.pid, signal.SIGSTOP)
        gevent.sleep(0.8)
        os.kill(server.pid, signal.SIGCONT)
        gevent.sleep(0.5)
        for ws in clients:
            ws.send("still here")
            assert ws.receive(5) == "still here"
            ws.close()
        assert server.ends(5) == {"unfinished": 0, "told": {"1": 5}, "codes": {"1000": 5}}


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_server_that_stands_still_is_noticed_by_its_clients(tmp_path: Path) -> None:
    with Peer(tmp_path, "stream") as server:
        ws = wsdriver.connect(f"{server.url}/echo", ping=0.3, ping_timeout=0.3)
        os.kill(server.pid, signal.SIGSTOP)
        started = time.monotonic()
        assert ws.receive(10) is None
        assert time.monotonic() - started < 5
        assert (ws.close_code, ws.was_clean) == (1006, False)
        os.kill(server.pid, signal.SIGCONT)
        assert server.ends(1)["told"] == {"1": 1}
