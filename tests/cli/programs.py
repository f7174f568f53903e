"""The command line as its users start it: in a pipe, and in a terminal whose screen can be read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent
from gevent import subprocess
from gevent.os import nb_read

from tests.support.peers import need_module
from tests.support.waiting import wait_for

__all__ = ["ROOT", "Terminal", "in_terminal", "run", "started"]

ROOT = Path(__file__).resolve().parents[2]

COMMAND = [sys.executable, "-m", "wsdriver"]


def environment(**more: str) -> dict[str, str]:
    """Return what a program gets: this package, and none of the settings of whoever runs the tests."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and name not in ("NO_COLOR", "COLUMNS", "LINES", "WSDRIVER_LISTENER")
    }
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def started(*arguments: str, cwd: Path = ROOT, **settings: Any) -> Iterator[Any]:
    """Run a command, with pipes, while servers of this process go on."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(**settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            with suppress(OSError):
                stream.close()


def run(*arguments: str, given: bytes = b"", **settings: Any) -> tuple[int, str, str]:
    """Run a command to its end, with that as its standard input; returns exit status, output and errors."""
    with started(*arguments, **settings) as process:
        output, errors = process.communicate(given, timeout=60)
        return process.returncode, output.decode(), errors.decode()


class Terminal:
    """A terminal emulator with a program in it.

    Attributes:
        written: all that has come to the terminal, control sequences included.
    """

    def __init__(self, process: Any, fd: int, columns: int, rows: int) -> None:
        pyte = need_module("pyte")
        self._process = process
        self._fd = fd
        self._screen: Any = pyte.HistoryScreen(columns, rows, 1000)
        self._screen.write_process_input = lambda data: os.write(fd, data.encode())  # such as where the cursor is
        self._stream: Any = pyte.ByteStream(self._screen)
        self.written = b""
        self._reader = gevent.spawn(self._read)

    def _read(self) -> None:
        while True:
            try:
                data = nb_read(self._fd, 65536)
            except OSError:
                return  # the program has ended
            if not data:
                return
            self.written += data
            self._stream.feed(data)

    def type(self, text: str) -> None:
        """Type something; ``\\r`` is Enter."""
        os.write(self._fd, text.encode())

    @property
    def lines(self) -> list[str]:
        """The lines on the screen, without those that are empty."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def shows(self, text: str) -> bool:
        """Tell whether a line of the screen begins with that."""
        return any(line.startswith(text) for line in self.lines)

    def await_line(self, text: str) -> None:
        """Wait until a line of the screen begins with that."""
        try:
            wait_for(lambda: self.shows(text), f"{text!r} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.lines}") from None

    def await_prompt(self, text: str = "") -> None:
        """Wait until that is what stands at the prompt, in its first line."""

        def stands() -> bool:
            return next((line for line in reversed(self.lines) if line.startswith(">")), "") == f"> {text}".rstrip()

        try:
            wait_for(stands, f"{text!r} at the prompt")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.lines}") from None

    def status(self) -> int:
        """Wait for the program's end, and return its exit status."""
        status: int = self._process.wait(20)
        self._reader.join(2)
        return status

    def close(self) -> None:
        """End the program, if it has not ended, and let the terminal go."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.kill()
        os.close(self._fd)


@contextmanager
def in_terminal(*arguments: str, columns: int = 80, rows: int = 30, **settings: str) -> Iterator[Terminal]:
    """Run a command in a terminal."""
    import fcntl
    import struct
    import termios

    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment(TERM="xterm-256color", **settings),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        preexec_fn=lambda: _take_terminal(follower),
    )
    os.close(follower)
    os.set_blocking(leader, False)
    terminal = Terminal(process, leader, columns, rows)
    try:
        yield terminal
    finally:
        terminal.close()


def _take_terminal(fd: int) -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
