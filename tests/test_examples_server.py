"""The server's examples, run as their first lines say, with real clients."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket, subprocess
from gevent.event import Event

import wsdriver
from tests.support.net import free_port
from tests.support.redis import RedisServer

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 20  # seconds that anything may take before a test fails


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    with gevent.Timeout(3 * PATIENCE):
        yield


class Example:
    """An example's process.

    Attributes:
        port, url: where it serves.
        lines: what it has written; all of it, once it has been stopped.
    """

    def __init__(self, name: str, **environment: str) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/"
        self.lines: list[str] = []
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, f"examples/{name}.py", "--port", str(self.port)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "CHANNEL_URL": "", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
        self._reader = gevent.spawn(self._read)

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def connect(self) -> Any:
        """Connect, as soon as that is possible."""
        while self.process.poll() is None:
            try:
                return wsdriver.connect(self.url)
            except ConnectionRefusedError:
                gevent.sleep(0.02)
        raise AssertionError(f"the example has ended: {self.lines}")

    def stop(self) -> int:
        """Stop it as a process manager does; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status: int = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status


@contextmanager
def example(name: str, **environment: str) -> Iterator[Example]:
    """Run an example, and leave nothing of it behind."""
    running = Example(name, **environment)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()
        running.process.stdout.close()


def test_echo_answers_each_message_with_itself() -> None:
    with example("echo") as server:
        with server.connect() as ws:
            for message in ("Grüße", b"\0\xff", "", "x" * 100_000):
                ws.send(message)
                assert ws.receive(PATIENCE) == message
        assert server.stop() == 0
    assert server.lines == [f"echo on {server.url}"]


def test_ping_shows_what_comes_and_how_long_its_own_take() -> None:
    with example("ping") as server:
        with server.connect() as ws:
            assert re.fullmatch(r"\d+\.\d\d ms", ws.receive(PATIENCE))
            answered = Event()
            ws.ping(b"are you there?", answered.set)
            assert answered.wait(PATIENCE)
            assert re.fullmatch(r"\d+\.\d\d ms", ws.receive(PATIENCE))  # it goes on
            ws.close(1000, "enough")
        assert server.stop() == 0
    lines = [re.sub(r"^127\.0\.0\.1:\d+ ", "client ", line) for line in server.lines]
    lines = [re.sub(r"\d+\.\d\d ms", "T", line) for line in lines]
    assert lines[:2] == [f"pinging on {server.url}", "client is here; pings: yes"]
    assert lines[-1] == "client is gone: 1000 enough"
    assert set(lines[2:-1]) == {
        "client is T away",
        "client sent a ping: b'are you there?'",
        "client sent a pong: b'hello'",
    }


def test_ping_leaves_those_alone_that_know_no_pings() -> None:
    with example("ping") as server:
        server.connect().close()  # it is there
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as hixie_75:
            hixie_75.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n")
            hixie_75.sendall(b"Origin: http://x\r\n\r\n")
            assert hixie_75.recv(4096).startswith(b"HTTP/1.1 101 ")
        assert server.stop() == 0
    assert any(line.endswith(" is here; pings: no") for line in server.lines)
    assert not any("Traceback" in line for line in server.lines), "\n".join(server.lines)


def test_multicast_tells_everyone_what_everyone_says() -> None:
    with example("multicast") as server:
        talk(server, server)
        assert server.stop() == 0
    assert server.lines == [f"multicast on {server.url}"]


def test_multicast_reaches_other_processes_through_redis(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path) as redis,
        example("multicast", CHANNEL_URL=redis.url) as server,
        example("multicast", CHANNEL_URL=redis.url) as other,
    ):
        talk(server, other)
        assert server.stop() == other.stop() == 0
    assert server.lines == [f"multicast on {server.url}"]


def talk(server: Example, other: Example) -> None:
    """Two clients, each of which gets all that both say, in the same order."""
    with server.connect() as ada:
        joined = ada.receive(PATIENCE)
        with other.connect() as grace:
            grace_joined = grace.receive(PATIENCE)
            assert ada.receive(PATIENCE) == grace_joined != joined
            ada.send("Hello Grace")
            name = joined.removesuffix(" joined")
            assert ada.receive(PATIENCE) == grace.receive(PATIENCE) == f"<{name}> Hello Grace"
            grace.send(b"\0\xff")
            assert ada.receive(PATIENCE) == grace.receive(PATIENCE) == b"\0\xff"
        assert ada.receive(PATIENCE) == grace_joined.replace("joined", "left")
