"""No descriptor left: accepting waits, what is open lives on, and all goes on when there are some again."""

from __future__ import annotations

import errno
import os
import socket as stdlib_socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest
from gevent import socket

import wsdriver
from tests.faults.serving import KINDS, Peer
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import serving

resource = pytest.importorskip("resource")

TEXT = 1
CLOSE = 8

WAIT = 0.8  # seconds without a descriptor


@contextmanager
def starving() -> Iterator[None]:
    """Let this process open nothing more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("kind", KINDS)
def test_server_without_descriptors_keeps_what_it_has_and_takes_the_others_later(kind: str, tmp_path: Path) -> None:
    with Peer(tmp_path, kind) as server:
        residents = [wsdriver.connect(f"{server.url}/echo") for _ in range(5)]
        server.ask("starve")
        before = server.ask("cpu")
        waiting = []
        for _ in range(5):
            sock = socket.create_connection(("127.0.0.1", server.server.port), 10)
            sock.sendall(request("/echo") + frame(TEXT, b"waited"))
            waiting.append(sock)
        deadline = gevent.get_hub().loop.now() + WAIT
        while gevent.get_hub().loop.now() < deadline:
            for ws in residents:
                ws.send("still here")
                assert ws.receive(10) == "still here"
            gevent.sleep(0.1)
        assert server.ask("cpu") - before < WAIT / 3  # a server that tries in a circle takes all there is
        server.ask("feed")
        for sock in waiting:
            assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
            assert read_frame(sock.recv) == (TEXT, b"waited")
            sock.sendall(frame(CLOSE, b"\x03\xe8"))
            assert read_frame(sock.recv) == (CLOSE, b"\x03\xe8")
            sock.close()
        with wsdriver.connect(f"{server.url}/echo") as ws:
            ws.send("new")
            assert ws.receive(10) == "new"
        for ws in residents:
            ws.close()
        assert server.ends(11) == {"unfinished": 0, "told": {"1": 11}, "codes": {"1000": 11}}
        if kind != "pywsgi":  # whose server is gevent's own, which tells each time
            text = server.server.text()
            assert text.count("no connections are accepted for now: [Errno 24] Too many open files") == 1
            assert "Traceback" not in text


def test_client_without_descriptors_says_so_and_comes_through_later() -> None:
    with serving() as server:
        for _ in range(2):  # the first loads what it needs
            with wsdriver.connect(server.url) as ws:
                ws.send("there is something to open")
        with starving(), pytest.raises(OSError, match="Too many open files") as caught:
            wsdriver.connect(server.url)
        assert caught.value.errno == errno.EMFILE
        with wsdriver.connect(server.url) as ws:
            ws.send("now")
            assert ws.receive(10) == "now"


def test_reconnecting_client_without_descriptors_tries_again() -> None:
    with serving() as server:
        for ws in wsdriver.reconnect(server.url, initial_delay=0.05, max_delay=0.1):
            ws.send("first")
            assert ws.receive(10) == "first"
            break
        connected = []

        def reconnect() -> None:
            for ws in wsdriver.reconnect(server.url, initial_delay=0.05, max_delay=0.1):
                connected.append(ws)
                ws.close()
                break

        with starving():
            trying = gevent.spawn(reconnect)
            gevent.sleep(0.3)
            assert not connected
            assert not trying.ready()
        trying.get(timeout=10)
        assert len(connected) == 1


def test_connection_that_is_reset_in_the_queue_holds_up_nobody() -> None:
    """On some systems accept fails of it; the others behind it are taken at once."""
    with serving() as server:
        port = server.server_port
        for _ in range(20):
            sock = stdlib_socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            sock.close()
        with wsdriver.connect(server.url, open_timeout=5) as ws:
            ws.send("behind them")
            assert ws.receive(10) == "behind them"


def test_shortage_that_comes_and_goes_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "wsdriver")
    with serving() as server:
        for _ in range(3):
            with socket.socket() as sock:
                sock.settimeout(10)
                with starving():
                    sock.connect(("127.0.0.1", server.server_port))
                    gevent.sleep(0.1)
                sock.sendall(request())
                assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith("no connections are accepted for now: ")
    assert told[1].startswith("connections are accepted again, after 0.")
    assert len(told) == 2
