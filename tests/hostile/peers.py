"""Those who attack, those who are attacked, and those who stand by and must notice nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
from gevent import socket
from gevent.server import StreamServer
from gevent.subprocess import PIPE, Popen

import wsdriver
from tests.hostile.victim import MAX_LENGTH
from tests.support.net import read_head
from tests.support.serving import serving

__all__ = ["BOUND", "PATIENCE", "Attacker", "Victim", "hostile_server", "undisturbed"]

#: Seconds that anything may take before a test fails.
PATIENCE = 20.0

ROOT = Path(__file__).resolve().parents[2]

#: What an attack may cost the victim beside what it had: the promise.
BOUND = 2 * MAX_LENGTH + 1024 * 1024


class Victim:
    """A process of :mod:`tests.hostile.victim`.

    Attributes:
        port: of a server.
    """

    def __init__(self, role: str) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        self._process = Popen(
            [sys.executable, "-m", "tests.hostile.victim", role],
            stdin=PIPE,
            stdout=PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
        )
        first = self.line()
        self.port = int(first) if role == "server" else 0
        self._before = 0

    def line(self) -> str:
        """Return the next line that it prints."""
        with gevent.Timeout(PATIENCE, TimeoutError("the victim says nothing")):
            return self._process.stdout.readline().decode().strip()

    def ending(self) -> tuple[int, str]:
        """Return how its next connection has ended: the code, and the error."""
        code, _, error = self.line().partition(" ")
        return int(code), error

    def visit(self, url: str, proxy: str = "") -> None:
        """Have a client connect to that."""
        self._process.stdin.write(f"{url} {proxy}".strip().encode() + b"\n")
        self._process.stdin.flush()

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"this system does not tell {name}")

    def take_note(self) -> None:
        """What it has now is what it is to be compared with, in all attacks that follow."""
        self._before = self._status("VmRSS")

    @property
    def grown(self) -> int:
        """Bytes of memory that it had at its peak, over what it had when note was taken."""
        return self._status("VmHWM") - self._before

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


class Attacker:
    """One connection, of a client or a server that is hostile: it pours bytes in, and collects what is said to it.

    Attributes:
        received: all that came.
    """

    def __init__(self, sock: Any, received: bytes = b"") -> None:
        self.sock = sock
        self.received = bytearray(received)
        self._reader = gevent.spawn(self._read)

    @classmethod
    def connected(cls, port: int) -> Attacker:
        """Connect to a server of the loopback address."""
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock)

    def _read(self) -> None:
        try:
            while data := self.sock.recv(65536):
                self.received += data
        except OSError:
            pass

    def head(self) -> bytes:
        """Wait for a head, and take it off what was received."""
        deadline = monotonic() + PATIENCE
        while b"\r\n\r\n" not in self.received:
            assert not self._reader.ready(), f"the stream ended behind {bytes(self.received)!r}"
            assert monotonic() < deadline, "no answer came"
            gevent.sleep(0.001)
        head, _, rest = bytes(self.received).partition(b"\r\n\r\n")
        self.received[:] = rest
        return head

    def pour(self, chunks: Iterable[bytes], pace: bool = False) -> int:
        """Send until all is sent, or the other side has said enough; return how many bytes that were.

        Args:
            chunks: may be endless.
            pace: whether each is to arrive by itself.
        """
        already = len(self.received)
        sent = 0
        try:
            for chunk in chunks:
                self.sock.sendall(chunk)
                sent += len(chunk)
                gevent.sleep(0.0001 if pace else 0)
                if self._reader.ready() or len(self.received) > already + 1_000_000 or self._is_told(already):
                    break
        except OSError:
            pass
        return sent

    def _is_told(self, already: int) -> bool:
        """Whether a close frame, or an answer of HTTP, has come: no victim says anything else of that size."""
        said = bytes(self.received[already:])
        return said.startswith((b"\x88", b"HTTP/1.1", b"\xff\x00"))

    def end(self) -> bytes:
        """Wait until the other side has said all, hang up, and return what it has said."""
        deadline = monotonic() + PATIENCE
        while not self._reader.ready():
            assert monotonic() < deadline, "the connection was not ended"
            gevent.sleep(0.001)
        self.sock.close()
        return bytes(self.received)

    def hang_up(self) -> None:
        """Go away."""
        self._reader.kill()
        self.sock.close()


@contextmanager
def hostile_server(attack: Callable[[Attacker, bytes], object]) -> Iterator[int]:
    """A server that reads one request on each connection, and calls ``attack(attacker, request)``; yields its port."""

    def serve(sock: Any, address: Any) -> None:
        head = read_head(sock.recv)
        attacker = Attacker(sock)
        try:
            attack(attacker, head)
        finally:
            attacker.hang_up()

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    try:
        yield server.server_port
    finally:
        server.stop(timeout=1)


@contextmanager
def undisturbed(port: int | None = None) -> Iterator[None]:
    """Echo on another connection meanwhile, to the server at that port or to one of this process, and afterwards.

    It fails where one answer is wrong, or takes longer than anybody else may be made to wait.
    """
    if port is None:
        with (
            serving(lambda ws: [ws.send(str(len(message))) for message in ws]) as server,
            undisturbed(server.server_port),
        ):
            yield
        return
    slowest = 0.0
    with wsdriver.connect(f"ws://127.0.0.1:{port}/") as ws:

        def ask(number: int) -> None:
            nonlocal slowest
            began = monotonic()
            ws.send("x" * (number % 100))
            assert ws.receive(PATIENCE) == str(number % 100)
            slowest = max(slowest, monotonic() - began)

        def echo() -> None:
            number = 0
            while not over:
                ask(number)
                number += 1
                gevent.sleep(0.002)

        over: list[bool] = []
        ask(1)
        echoing = gevent.spawn(echo)
        try:
            yield
        finally:
            over.append(True)
            echoing.get(timeout=PATIENCE)
            ask(2)
    assert slowest < PATIENCE / 2, f"another connection waited {slowest:.1f} seconds for its answer"
