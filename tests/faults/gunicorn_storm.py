"""The long version of ``test_gunicorn_workers``: one mishap after the other, drawn by lot, under more clients.

python -m tests.faults.gunicorn_storm --rounds 60
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import gevent

from tests.faults.gunicorn_crowd import Crowd
from tests.faults.gunicorn_site import Site

WORKERS = 3


def strike(site: Site, kind: str) -> None:
    """Let something happen to the server."""
    workers = site.wait_for_workers(WORKERS)
    if kind == "kill":
        site.kill_worker(random.choice(workers))
    elif kind == "reload":
        site.signal(signal.SIGHUP)
    else:
        os.kill(random.choice(workers), signal.SIGTERM)


def storm(directory: Path, rounds: int, clients: int) -> None:
    """Strike so many times; check that nothing was lost but connections, and print how many."""
    kinds = [random.choice(("kill", "reload", "retire")) for _ in range(rounds)]
    began = time.monotonic()
    with Site(directory, "--workers", str(WORKERS)) as site:
        crowd = Crowd(site.url + "/echo")
        with crowd.at_work(clients):
            for kind in kinds:
                strike(site, kind)
                gevent.sleep(random.uniform(0, 1))
                crowd.wait_for_all()
            site.wait_for_workers(WORKERS)
        for one in crowd.sessions:
            assert (one.code, one.clean) in {(1000, True), (1001, True), (1006, False)}, one
            assert one.code != 1006 or one.pid in site.killed, one
        site.assert_ended_once()
        site.assert_quiet_but_for("was sent SIGKILL")
        site.signal(signal.SIGTERM)
        assert site.wait() == 0
        endings = dict(Counter(int(one.code or 0) for one in crowd.sessions))
        answers = sum(one.answered for one in crowd.sessions)
        failed = dict(Counter(map(str, crowd.refusals)))
        print(f"{time.monotonic() - began:.0f} s, {crowd.size} clients, {dict(Counter(kinds))}")
        print(f"{len(crowd.sessions)} sessions, which ended with {endings}; attempts that failed: {failed}")
        print(f"{answers} answers, each the one that was due")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--clients", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        storm(Path(directory) / "site", arguments.rounds, arguments.clients)


if __name__ == "__main__":
    main()
