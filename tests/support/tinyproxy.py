"""A proxy that we did not write: tinyproxy, with Basic authentication."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.net import free_port, wait_for_port
from tests.support.peers import need_program
from tests.support.wire import until

__all__ = ["Tinyproxy", "tinyproxy"]

CONFIGURATION = """\
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
BasicAuth user secret
Timeout 60
MaxClients 50
LogFile "{log}"
LogLevel Connect
"""


@dataclass(frozen=True)
class Tinyproxy:
    """One that runs.

    Attributes:
        port: on the loopback address.
        log: the file where it says what was asked of it.
    """

    port: int
    log: Path

    @property
    def url(self) -> str:
        """Its URL, with user and password."""
        return f"http://user:secret@127.0.0.1:{self.port}"

    def assert_asked(self, request: str) -> None:
        """Check that somebody sent it a request with such a first line (a regular expression, without the version)."""
        line = re.compile(rf"^CONNECT .*: {request} HTTP/1\.[01]$", re.MULTILINE)
        until(lambda: line.search(self.log.read_text()), f"{request} at tinyproxy")


@contextmanager
def tinyproxy(directory: Path) -> Iterator[Tinyproxy]:
    """Run one, with its files in that directory."""
    program = need_program("tinyproxy")
    proxy = Tinyproxy(free_port(), directory / "log")
    settings = directory / "tinyproxy.conf"
    settings.write_text(CONFIGURATION.format(port=proxy.port, log=proxy.log))
    process = subprocess.Popen([program, "-d", "-c", str(settings)], stdout=subprocess.DEVNULL)
    try:
        wait_for_port(proxy.port)
        yield proxy
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
