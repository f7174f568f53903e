"""serve(): a server that is the whole program."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import wsdriver
from tests.support.net import frame, free_port, read_frame, read_head, request, wait_for_port

ROOT = Path(__file__).resolve().parent.parent.parent

#: Serves, and says at its end whether the signal handlers are those from before.
PROGRAM = """
import signal, sys
import gevent
import wsdriver

def own(number, frame):
    raise AssertionError("the handler from before was called")

def handler(ws):
    try:
        for message in ws:
            if message == "sleep":
                gevent.sleep(100)
            ws.send(message)
    finally:
        gevent.sleep(0.05)
        print("handler", ws.close_code, flush=True)

signal.signal(signal.SIGTERM, own)
before = [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]
wsdriver.serve(handler, "127.0.0.1", int(sys.argv[1]))
assert [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)] == before
print("returned", flush=True)
signal.signal(signal.SIGTERM, lambda number, frame: print("mine again", flush=True))
signal.raise_signal(signal.SIGTERM)
"""

THREADS = """
import signal, sys, threading
import wsdriver

before = [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]
arguments = lambda ws: ws.send("there"), "127.0.0.1", int(sys.argv[1])
threading.Thread(target=wsdriver.serve, args=arguments, daemon=True).start()
for ws in wsdriver.reconnect("ws://127.0.0.1:" + sys.argv[1], initial_delay=0.01):
    print(ws.receive(20), flush=True)
    break
assert [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)] == before
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@contextmanager
def running(program: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run a program in an interpreter of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(port)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def opened(port: int) -> socket.socket:
    """Return a socket on which a WebSocket is open."""
    sock = socket.create_connection(("127.0.0.1", port), 20)
    sock.sendall(request())
    assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
    return sock


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_is_ended_cleanly_by_a_signal(number: signal.Signals) -> None:
    port = free_port()
    with running(PROGRAM, port) as process:
        wait_for_port(port)
        with opened(port) as one, opened(port) as other:
            one.sendall(frame(1, b"hello"))
            assert read_frame(one.recv) == (1, b"hello")
            process.send_signal(number)
            for sock in (one, other):
                assert read_frame(sock.recv) == (8, b"\x03\xe9server going away")
                sock.sendall(frame(8, b"\x03\xe9"))
                assert sock.recv(1) == b""
        out, err = process.communicate(timeout=30)
        assert err == ""
        assert out == "handler 1001\nhandler 1001\nreturned\nmine again\n"
        assert process.returncode == 0


def test_serve_without_connections_returns_at_once() -> None:
    port = free_port()
    with running(PROGRAM, port) as process:
        wait_for_port(port)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert (out, err, process.returncode) == ("returned\nmine again\n", "", 0)


def test_serve_is_cut_by_a_second_signal() -> None:
    """The peer does not answer the close: the first signal alone would take stop_timeout."""
    port = free_port()
    program = PROGRAM.replace(
        "wsdriver.serve(", "wsdriver.WebSocketServer.stop_timeout = 1000\nwsdriver.serve("
    ).replace('"127.0.0.1", int(sys.argv[1]))', '"127.0.0.1", int(sys.argv[1]), close_timeout=None)')
    with running(program, port) as process:
        wait_for_port(port)
        with opened(port) as sock:
            process.send_signal(signal.SIGINT)
            assert read_frame(sock.recv) == (8, b"\x03\xe9server going away")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        assert err == ""
        assert out.endswith("returned\nmine again\n")


def test_serve_outside_of_the_main_thread_touches_no_signals() -> None:
    with running(THREADS, free_port()) as process:
        out, err = process.communicate(timeout=30)
        assert (out, err, process.returncode) == ("there\ninterrupted\n", "", 0)


def test_serve_raises_where_the_address_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, running(PROGRAM, taken.getsockname()[1]) as process:
        out, err = process.communicate(timeout=30)
        assert out == ""
        assert "OSError" in err
        assert "in use" in err


def test_serve_raises_for_a_wrong_option() -> None:
    with pytest.raises(wsdriver.ConfigurationError, match="did you mean 'max_length'"):
        wsdriver.serve(print, "127.0.0.1", 0, max_lenght=1)
