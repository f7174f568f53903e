"""A server and a client, each in a network of its own, and the link between them, which can be made bad."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["End", "Network"]

ROOT = Path(__file__).resolve().parents[2]

SERVER = "10.99.0.1"
CLIENT = "10.99.0.2"

PATIENCE = 60.0


class End:
    """The process at one end."""

    def __init__(self, role: str, own: str, other: str, options: dict[str, Any]) -> None:
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(PATIENCE)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.end", role, str(theirs.fileno()), own, other, json.dumps(options)],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
            )
        self.cable = -1
        self.refusal = None
        if own:
            data, cables, _, _ = socket.recv_fds(self._channel, 4096, 1)
            self.refusal = json.loads(data)
            if cables:
                self.cable = cables[0]
                self.refusal = None
        self._lines = self._channel.makefile("rw")
        self.port = 0 if self.refusal else json.loads(self._lines.readline()).get("port", 0)

    def ask(self, name: str, *arguments: Any) -> Any:
        """Have the end's method called; return what it returns."""
        self._lines.write(json.dumps([name, *arguments]) + "\n")
        self._lines.flush()
        told = json.loads(self._lines.readline())
        assert not (isinstance(told, dict) and "error" in told), told
        return told

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self._lines.close()
        self._channel.close()
        if self.cable >= 0:
            os.close(self.cable)


class Network:
    """Both ends and the link. A context manager.

    Args:
        server: options of the server's connections.
        client: ... and of the client's.
        packets: whether to lose packets, too: if the machine lets us have networks of our own; else, as without this,
            a proxy delays what passes.

    Attributes:
        loses: whether packets can be lost: else only the other faults are there.
        kind: what it is, in words.
    """

    def __init__(self, server: dict[str, Any], client: dict[str, Any], packets: bool = True) -> None:
        self._link: subprocess.Popen[bytes] | None = None
        self.loses = packets
        self.kind = "packets" if packets else "a proxy"
        self._ends: list[End] = []
        try:
            if packets:
                self.server = self._end("server", SERVER, CLIENT, server)
                if self.server.refusal:
                    self.loses = False
                    self.kind = f"a proxy, for this machine lets us have no network ({self.server.refusal['error']})"
            if self.loses:
                self.client = self._end("client", CLIENT, SERVER, client)
                cables = (self.server.cable, self.client.cable)
                self._link = self._start("packets", *map(str, cables), descriptors=cables)
            else:
                self.server = self._end("server", "", "", server)
                self._link = self._start("stream", str(self.server.port))
                assert self._link.stdout is not None
                url = f"ws://127.0.0.1:{int(self._link.stdout.readline())}"
                self.client = self._end("client", "", "", {**client, "url": url})
        except BaseException:
            self.close()
            raise

    def _end(self, *arguments: Any) -> End:
        end = End(*arguments)
        self._ends.append(end)
        return end

    def _start(self, *arguments: str, descriptors: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.faults.link", *arguments]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=descriptors)

    def make(self, **conditions: Any) -> None:
        """Change conditions: ``loss`` (of 1), ``delay`` and ``jitter`` (seconds), ``held``, ``down``."""
        assert self._link is not None
        assert self._link.stdin is not None
        self._link.stdin.write(json.dumps(conditions).encode() + b"\n")
        self._link.stdin.flush()

    def close(self) -> None:
        """End all processes."""
        if self._link is not None:
            self._link.kill()
            self._link.communicate()
        for end in self._ends:
            end.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
