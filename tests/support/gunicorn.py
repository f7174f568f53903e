"""Servers in processes of their own: started, watched through their logs, and ended whatever happens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tests.support.net import free_port
from tests.support.peers import need_module
from tests.support.tls import Certificates
from tests.support.wire import PATIENCE, Wire, until

__all__ = ["CONFIG", "Gunicorn", "Server", "is_alive"]

S = TypeVar("S", bound="Server")

ROOT = Path(__file__).resolve().parents[2]

#: What a log has when something was not as it should be.
ALARM = re.compile(r"WARNING|ERROR|CRITICAL|Traceback|Exception|Warning:")

#: Seconds after which a server ends, should the tests' own process be killed and leave it behind.
LIFETIME = 300

#: Runs a program with an end to its life; the alarm outlives the exec.
MORTAL = f"import os, signal, sys; signal.alarm({LIFETIME}); os.execv(sys.argv[1], sys.argv[1:])"

CONFIG = """\
# Of gunicorn 25 and later; earlier ones pass it over. It would be one file for all servers of this user.
control_socket_disable = True
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has only not been waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return not Path("/proc/self").exists()
    return status.rpartition(")")[2].split()[0] != "Z"


class Server:
    """A server's process, the leader of a process group. A context manager that leaves none of the group behind.

    Args:
        directory: for its files: logs, and what the application and the test tell each other.
        certificates: that it serves with, where it serves with TLS.

    Attributes:
        port: on the loopback address.
    """

    def __init__(self, directory: Path, certificates: Certificates | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.certificates = certificates
        self.port = free_port()
        self.output = directory / "output.log"
        self.error_log = directory / "error.log"
        self.access_log = directory / "access.log"
        self._context = None if certificates is None else certificates.client_context()
        self._process: subprocess.Popen[bytes] | None = None
        self._marks: dict[Path, int] = {}

    def start(self, ready: str, *arguments: str, program: str = sys.executable) -> None:
        """Start ``program arguments``, which is Python unless named, and wait until it has logged ``ready``.

        No trial connection: it would be the server's first client, and leave traces in its logs.
        """
        kept = {
            name: value for name, value in os.environ.items() if name not in ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS")
        }
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", MORTAL, program, *arguments],
                cwd=ROOT,
                env={**kept, "WSDRIVER_TEST_DIRECTORY": str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        process = self._process
        try:
            until(lambda: ready in self.text() or process.poll() is not None, "the server")
            assert process.poll() is None
        except AssertionError:
            raise AssertionError(f"the server did not start:\n{self.text()}") from None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """The server's address, for WebSocket clients."""
        return f"ws://127.0.0.1:{self.port}" if self.certificates is None else f"wss://localhost:{self.port}"

    def dial(self, receive_buffer: int = 0) -> Wire:
        """Connect."""
        return Wire(self.port, self._context, receive_buffer)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait until the process has ended; return its status."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server was still there after {seconds:.1f} seconds:\n{self.text()}") from None

    def close(self) -> None:
        """End the whole group, at once."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait(PATIENCE)
            print(self.text()[-4000:])  # for the report of a test that failed

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- the logs ---------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """All that has been logged since the mark, but for the access log."""
        return "".join(self._since(path) for path in (self.error_log, self.output))

    def _since(self, path: Path) -> str:
        return path.read_bytes()[self._marks.get(path, 0) :].decode(errors="replace") if path.exists() else ""

    def mark(self) -> None:
        """Let what has been logged so far be forgotten."""
        self._marks = {path: path.stat().st_size for path in (self.error_log, self.output) if path.exists()}

    def assert_quiet(self) -> None:
        """Check that nothing above info has been logged since the mark."""
        text = self.text()
        assert not ALARM.search(text), f"the log is not quiet:\n{text[-4000:]}"

    def accesses(self, needle: str) -> list[str]:
        """The lines of the access log that have this in them."""
        lines = self.access_log.read_text().splitlines() if self.access_log.exists() else []
        return [line for line in lines if needle in line and " /state?" not in line]

    def access(self, needle: str) -> str:
        """Wait for the one line of the access log that has this in it."""
        until(lambda: self.accesses(needle), f"an access log line with {needle}")
        with self.dial() as wire:
            wire.get("/?" + os.urandom(4).hex())  # what would be logged too much has been by now
        lines = self.accesses(needle)
        assert len(lines) == 1, lines
        return lines[0]

    # --- the application --------------------------------------------------------------------------------------------

    def release(self, name: str) -> None:
        """Let the request of that name go on."""
        (self.directory / f"release-{name}").touch()

    def report(self, name: str) -> dict[str, Any]:
        """Wait for what the handler of that name reports at its end."""
        path = self.directory / f"report-{name}"
        until(path.exists, f"the report of {name}")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def state(self, name: str) -> Any:
        """What the WebSocket of that name says of itself, or None where there is none."""
        with self.dial() as wire:
            return json.loads(wire.get(f"/state?id={name}").body)


class Gunicorn(Server):
    """A gunicorn.

    Args:
        directory, certificates: as for :class:`Server`.
        *arguments: more of the command line.
        worker: the worker class.
        application: what to serve.
        launcher: a file that runs gunicorn, instead of ``-m gunicorn``.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        worker: str = "wsdriver.worker",
        application: str = "tests.green.apps:app",
        certificates: Certificates | None = None,
        launcher: str | None = None,
    ) -> None:
        need_module("gunicorn.workers.ggevent")
        super().__init__(directory, certificates)
        config = directory / "gunicorn.conf.py"
        config.write_text(CONFIG)
        command = ["-m", "gunicorn"] if launcher is None else [launcher]
        command += ["--config", str(config), "-k", worker, "--bind", f"127.0.0.1:{self.port}"]
        command += ["--error-logfile", str(self.error_log), "--access-logfile", str(self.access_log)]
        command += ["--access-logformat", "%(s)s %(D)s %(L)s %(B)s %(r)s"]
        if certificates is not None:
            command += ["--certfile", str(certificates.certificate), "--keyfile", str(certificates.key)]
        try:
            self.start("Booting worker", *command, *arguments, application)
        except BaseException:
            self.close()
            raise

    def workers(self) -> list[int]:
        """The process ids of all workers that were ever started."""
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.error_log.read_text())]

    def assert_gone(self, seconds: float) -> None:
        """Check that master and workers end within so many seconds."""
        deadline = time.monotonic() + seconds
        assert self.wait(seconds) == 0
        until(
            lambda: not any(map(is_alive, self.workers())),
            "the end of the workers",
            max(deadline - time.monotonic(), 0),
        )
