"""A server and its clients in one process, whose system calls are made to fail: see ``shim.c``, which is preloaded.

``python -m tests.faults.shimmed`` does what test_system_calls.py and test_clock.py ask for, and prints what came of it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import random
import sys
import time
from functools import partial
from time import monotonic
from typing import Any

import gevent
from gevent.event import Event

import wsdriver
from tests.faults.ends import Ends
from tests.support.serving import echo, serving
from tests.support.waiting import wait_for

#: As in ``shim.c``.
ACCEPT, RECV, SEND = range(3)
CALLS = {"accept": ACCEPT, "recv": RECV, "send": SEND}

#: What each system call may say that is no end: the call, the error's name ("" for a short count), each how-manieth
#: call fails, and how many in all.
PASSING = [
    ("accept", "EMFILE", 1, 1),
    ("accept", "ENFILE", 1, 1),
    ("accept", "ENOBUFS", 1, 1),
    ("accept", "ENOMEM", 1, 1),
    ("accept", "ECONNABORTED", 1, 3),
    ("accept", "EPROTO", 1, 3),
    ("accept", "EINTR", 1, 3),
    ("accept", "EAGAIN", 1, 3),
    ("recv", "ENOBUFS", 4, 3),
    ("recv", "ENOMEM", 4, 3),
    ("recv", "EINTR", 2, 50),
    ("recv", "EAGAIN", 2, 50),
    ("recv", "", 2, 200),
    ("send", "ENOBUFS", 4, 3),
    ("send", "ENOMEM", 4, 3),
    ("send", "EINTR", 2, 50),
    ("send", "EAGAIN", 2, 50),
    ("send", "", 2, 200),
]

#: What each may say that is the end of a connection.
FATAL = [
    ("recv", "ECONNRESET"),
    ("recv", "ETIMEDOUT"),
    ("recv", "EHOSTUNREACH"),
    ("send", "EPIPE"),
    ("send", "ECONNRESET"),
    ("send", "ETIMEDOUT"),
]

PATIENCE = 20.0


class Shim:
    """What ``shim.c`` takes. The two roles are in one process, and both have their share."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)

    def fault(self, call: str, name: str, every: int, times: int) -> None:
        self._library.fault_set(CALLS[call], getattr(errno, name) if name else 0, every, times)

    def done(self, call: str) -> int:
        """Return how many calls have been touched."""
        return int(self._library.fault_done(CALLS[call]))

    def step_clock(self, seconds: int) -> None:
        self._library.clock_step(ctypes.c_longlong(seconds))


def exchange(ws: Any, count: int, seed: int) -> bool:
    """Send messages of many sizes while their echoes are received; return whether all came back, in order."""
    sizes = random.Random(seed)
    messages = [sizes.randbytes(sizes.choice((0, 1, 125, 3000, 70_000, 200_000))) for _ in range(count)]

    def send() -> None:
        for message in messages:
            ws.send(message)

    sender = gevent.spawn(send)
    same = [ws.receive(PATIENCE) == message for message in messages]
    sender.get()
    return all(same)


def pass_over(shim: Shim, call: str, name: str, every: int, times: int) -> dict[str, Any]:
    """Talk while calls fail that may be tried again."""
    ends = Ends()
    right = []
    connected = Event()
    before = time.process_time()
    with serving(partial(ends.run, echo)) as server:

        def client(seed: int) -> None:
            with wsdriver.connect(server.url) as ws:
                ends.listen(ws)
                connected.wait()
                right.append(exchange(ws, 12, seed))

        if call == "accept":
            shim.fault(call, name, every, times)
        clients = [gevent.spawn(client, seed) for seed in range(3)]
        wait_for(lambda: ends.begun == 3, "the connections")
        if call != "accept":
            # (Not in the handshake: there a client is told of any error.)
            shim.fault(call, name, every, times)
        connected.set()
        gevent.joinall(clients, raise_error=True)
        touched = shim.done(call)
        shim.fault(call, "", 1, 0)
    cpu = time.process_time() - before
    return {"right": sum(right), "touched": touched, "cpu": cpu, **ends.settle()}


def be_cut(shim: Shim, call: str, name: str) -> dict[str, Any]:
    """Talk until one call says that a connection is lost; the other connection goes on."""
    ends = Ends()
    with (
        serving(partial(ends.run, echo)) as server,
        wsdriver.connect(server.url) as other,
        wsdriver.connect(server.url) as ws,
    ):
        ends.listen(other)
        ends.listen(ws)
        lost = error = None
        if not exchange(ws, 3, 1):
            raise AssertionError("no beginning")
        shim.fault(call, name, 2, 1)  # the server's: the client's send, and its own answer; or the client's read
        try:
            ws.send("last words")
            lost = ws.receive(PATIENCE) is None
        except wsdriver.ConnectionClosed:
            lost = True
        error = type(ws.close_error).__name__
        code = ws.close_code
        touched = shim.done(call)
        shim.fault(call, "", 1, 0)
        right = exchange(other, 5, 2)
    return {"lost": lost, "error": error, "code": code, "touched": touched, "right": right, **ends.settle()}


def step(shim: Shim) -> dict[str, Any]:
    """Step the wall clock to and fro while connections with short heartbeats and deadlines live."""
    ends = Ends()
    waits = []
    beats: dict[str, Any] = {"ping": 0.2, "ping_timeout": 0.4, "close_timeout": 5, "open_timeout": 5}
    wall, real = time.time(), monotonic()
    steps = (3 * 3600, -6 * 3600, 86400 * 365, -86400 * 365 * 2, 3 * 3600)
    with serving(partial(ends.run, echo), **beats) as server:
        idle = [wsdriver.connect(server.url, **beats) for _ in range(3)]
        with wsdriver.connect(server.url, **beats) as ws:
            for each in (ws, *idle):
                ends.listen(each)
            waiting = gevent.spawn(wait, ws, waits)
            for seconds in steps:
                gevent.sleep(0.25)
                shim.step_clock(seconds)
            waiting.get()
            jumped = time.time() - wall - (monotonic() - real)
            right = [exchange(each, 2, 3) for each in (ws, *idle)]
        shim.step_clock(-sum(steps))
        for each in idle:
            each.close()
    return {"right": sum(right), "waits": waits, "jumped": jumped, "steps": sum(steps), **ends.settle()}


def wait(ws: Any, waits: list[float]) -> None:
    """Receive with a timeout, a few times; note how long each took."""
    for _ in range(4):
        started = monotonic()
        try:
            ws.receive(0.4)
        except TimeoutError:
            waits.append(monotonic() - started)


def main() -> None:
    shim = Shim()
    outcomes: dict[str, Any] = {}
    for call, name, every, times in PASSING:
        outcomes[f"{call} {name}"] = pass_over(shim, call, name, every, times)
    for call, name in FATAL:
        outcomes[f"{call} {name}"] = be_cut(shim, call, name)
    outcomes["clock"] = step(shim)
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
