"""A disk without room, where the logs go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import wsdriver
from tests.faults.serving import KINDS, Peer


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("kind", KINDS)
def test_logs_on_a_full_disk_cost_nobody_a_connection(kind: str, tmp_path: Path) -> None:
    """Access log, error log, stdout and stderr, a log of each frame, and a handler that raises."""
    options = {"debug": True} if kind == "stream" else {}
    with Peer(tmp_path, kind, **options) as server:
        residents = [wsdriver.connect(f"{server.url}/echo") for _ in range(3)]
        assert server.ask("fill") > 1
        for number in range(5):
            with wsdriver.connect(f"{server.url}/fail") as ws:
                ws.send("an error is logged")
                assert ws.receive(10) is None
                assert ws.close_code == 1011
            with wsdriver.connect(f"{server.url}/echo") as ws:
                ws.send("new")
                assert ws.receive(10) == "new"
            for ws in residents:
                ws.send(str(number))
                assert ws.receive(10) == str(number)
        for ws in residents:
            ws.close()
        assert server.ends(13) == {"unfinished": 0, "told": {"1": 13}, "codes": {"1000": 8, "1011": 5}}
