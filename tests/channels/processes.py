"""The programs of these tests, as the tests start, watch and end them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from tests.channels import app, clients
from tests.support.gunicorn import Server
from tests.support.net import wait_for_port
from tests.support.wire import until

__all__ = ["ALARM", "PATIENCE", "Members", "Program", "Single"]

#: What no program says.
ALARM = re.compile(r"ERROR|CRITICAL|Traceback|Exception|Warning:")

#: Seconds that a test may wait for all of its messages.
PATIENCE = 100.0


class Program(Server):
    """A program of Python. Also one that serves nobody is watched and ended as a server is."""

    def run(self, ready: str, module: str, plan: Mapping[str, object]) -> None:
        """Start it, and wait until it has said ``ready``. Its plan is its one argument."""
        try:
            self.start(ready, "-m", module, json.dumps(plan))
        except BaseException:
            self.close()
            raise

    def wait_until_said(self, words: str) -> None:
        """Wait for these words in its output."""
        until(lambda: words in self.text() or self.has_ended, words, PATIENCE)
        assert words in self.text(), self.text()

    @property
    def has_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def assert_ends(self) -> None:
        """Wait for its end, and check that it is a good one."""
        assert self.wait() == 0, self.text()
        assert not ALARM.search(self.text()), self.text()


class Single(Program):
    """``wsdriver.serve`` in one process."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.run(app.STARTING, app.__name__, {"port": self.port})
        wait_for_port(self.port)


class Members(Program):
    """``tests.channels.clients``, or another that keeps account in the same words."""

    @property
    def missing(self) -> int | None:
        """How many messages have yet to come, or None where it has not yet said that."""
        found = re.findall(f"^{clients.MISSING}(\\d+)$", self.text(), re.M)
        return int(found[-1]) if found else None
