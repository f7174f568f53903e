"""A gunicorn whose code can be changed under it, and that keeps account of the workers that were killed."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from pathlib import Path

from tests.support.gunicorn import ALARM, CONFIG, Gunicorn, is_alive
from tests.support.waiting import wait_for
from tests.support.wire import until

__all__ = ["Site"]

MODULE = """\
from tests.faults.gunicorn_app import make_app

app = make_app({version!r})
"""


#: Not ``-m gunicorn``: what that executes anew at SIGUSR2 finds gunicorn's own folder first, and its ``http`` there.
LAUNCHER = """\
import os
import sys

sys.path.insert(0, os.getcwd())

from gunicorn.app.wsgiapp import run

run()
"""


class Site(Gunicorn):
    """A gunicorn that serves ``tests.faults.gunicorn_app``.

    Args:
        directory: where the application's module lies too.
        *arguments: more of the command line.
        hooks: Python code for gunicorn's configuration.
        code: the application's module, where it is to be another one.

    Attributes:
        killed: the workers that died in the middle of it all.
    """

    def __init__(self, directory: Path, *arguments: str, hooks: str = "", code: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.killed: list[int] = []
        self.publish("old", code)
        config = directory / "hooks.conf.py"
        config.write_text(CONFIG + hooks)
        launcher = directory / "launch.py"
        launcher.write_text(LAUNCHER)
        arguments = ("--config", str(config), "--pythonpath", str(directory), *arguments)
        super().__init__(directory, *arguments, application="published:app", launcher=str(launcher))

    def publish(self, version: str, code: str = "") -> None:
        """Write the code of another version; it says so to its clients."""
        (self.directory / "published.py").write_text(code or MODULE.format(version=version))
        # A file that is written anew within the second may look the same.
        shutil.rmtree(self.directory / "__pycache__", ignore_errors=True)

    def wait_for_workers(self, count: int) -> list[int]:
        """Wait until so many that have loaded the application are alive; return them, the eldest first."""

        def ready() -> list[int]:
            return [pid for pid in self.workers() if is_alive(pid) and (self.directory / f"ready-{pid}").exists()]

        wait_for(lambda: len(ready()) >= count, f"{count} workers")
        return ready()

    def kill_worker(self, pid: int) -> None:
        """Kill -9."""
        self.killed.append(pid)
        os.kill(pid, signal.SIGKILL)

    def assert_quiet_but_for(self, *known: str) -> None:
        """Check that the log has nothing above info in it but lines with one of these."""
        lines = [line for line in self.text().splitlines() if not any(what in line for what in known)]
        assert not [line for line in lines if ALARM.search(line)], self.text()[-4000:]

    def endings(self) -> dict[str, Counter[str]]:
        """What the application noted of each connection, counted: ``open``, ``close`` and its code, ``end``."""
        found: dict[str, Counter[str]] = {}
        for line in (self.directory / "events.log").read_text().splitlines():
            name, _, what = line.partition(" ")
            found.setdefault(name, Counter())[what] += 1
        return found

    def assert_ended_once(self) -> None:
        """Check that each connection had one ``close`` event, one ending and one line in the access log.

        With a worker that was killed it had none of them, or one.
        """
        faults: list[str] = []

        def all_well() -> bool:
            faults[:] = [
                f"{name}: {dict(seen)}" for name, seen in self.endings().items() if not self._is_well(name, seen)
            ]
            return not faults

        try:
            until(all_well, "the endings")
        except AssertionError:
            raise AssertionError(f"not one ending each: {faults}") from None
        survivors = [name for name in self.endings() if not self._was_killed(name)]
        others = len(self.endings()) - len(survivors)
        until(lambda: len(survivors) <= len(self.accesses("101 ")) <= len(survivors) + others, "the access log")

    def _was_killed(self, name: str) -> bool:
        return int(name.partition("-")[0]) in self.killed

    def _is_well(self, name: str, seen: Counter[str]) -> bool:
        closes = sum(count for what, count in seen.items() if what.startswith("close "))
        allowed = (0, 1) if self._was_killed(name) else (1,)
        return seen["open"] == 1 and closes in allowed and seen["end"] in allowed
