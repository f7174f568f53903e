"""Connections made and ended in turn, each kind of ending by itself, and what is left of them.

``python -m tests.soak.endings KIND..`` prints a line of JSON for each kind and side.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import gevent.ssl
from gevent import socket
from gevent.server import StreamServer

import wsdriver
from tests.soak.census import census, count_objects, resident_mib, traced_growth
from tests.soak.kinds import KINDS, Kind
from tests.soak.peer import Peer
from tests.soak.tally import Tally
from tests.support.leaks import assert_nothing_left, at_rest
from tests.support.tls import Certificates, make_certificates

SIDES = ("server", "client")

#: What the report shows before and behind.
COUNTS = ("descriptors", "greenlets", "watchers", "active")

#: Objects that may be more, of Python's own types: the looking itself takes a few.
SPARE = 20

#: Where the kernel keeps little, a send blocks soon.
SMALL_BUFFER = 4096

#: Bytes that may be left behind, however many connections there were: 50,000 of one byte each are more.
TRACED, RESIDENT_MIB = 48 * 1024, 4.0


@dataclass
class Outcome:
    """What came of one kind, on one side: one row of the report.

    Attributes:
        title, side: of what.
        connections, secure: how many were made, and how many of these with TLS.
        opened: how many became a WebSocket.
        seconds: that it took.
        codes: close codes, by how many listeners heard them.
        before, after: descriptors, greenlets and watchers.
        objects: that the garbage collector knows, but for what the imports made, before and after.
        resident: MiB before, at half time, and after. What leaks grows in the second half as well.
        traced: bytes that a tenth of the connections left, of what Python allocates.
        faults: what was wrong.
    """

    title: str
    side: str
    connections: int
    secure: int = 0
    opened: int = 0
    seconds: float = 0.0
    codes: dict[int, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    objects: tuple[int, int] = (0, 0)
    resident: tuple[float, float, float] = (0.0, 0.0, 0.0)
    traced: int = 0
    faults: list[str] = field(default_factory=list)


class Trial:
    """One kind of ending, on one side.

    Args:
        kind: of ending.
        certificates: for what is done with TLS.
    """

    def __init__(self, kind: Kind, certificates: Certificates) -> None:
        self.kind = kind
        self.tally = Tally()
        self.of_servers = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
        self.of_servers.load_cert_chain(certificates.certificate, certificates.key)
        self.of_clients = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
        self.of_clients.load_verify_locations(certificates.authority)
        self._made = 0

    def run(self, count: int) -> None:
        """Make so many connections; return when all have ended."""
        numbers = iter(range(self._made, self._made + count))
        self._made += count

        def work() -> None:
            for number in numbers:
                self.one(number, number % self.kind.secure == 0)

        gevent.joinall([gevent.spawn(work) for _ in range(min(count, self.kind.at_once))], raise_error=True)

    def one(self, number: int, secure: bool) -> None:
        """Make one connection; return when it has ended."""
        raise NotImplementedError

    def faults(self) -> list[str]:
        """What is wrong by now, when no connection should be left."""
        tally, kind = self.tally, self.kind
        told = tally.heard.total()
        most = self._made // kind.opens if kind.opens else 0
        wrong = {
            f"{told} were told of their end, of {tally.opened}": told != tally.opened,
            f"{tally.twice} were told twice": tally.twice > 0,
            f"{tally.opened} opened, not {most}": tally.opened != most,
            f"{tally.went_through} sends did not block": tally.went_through > 0,
        }
        stuck = [f"{number} peers: {what}" for what, number in tally.stuck.items()]
        return [what for what, is_so in wrong.items() if is_so] + stuck

    def _script(self, sock: Any, secure: bool, number: int, path: str | None) -> None:
        """Be the peer."""
        peer = Peer(sock, self.of_servers if path is None else self.of_clients, path)
        try:
            if not self.kind.bare:
                if secure:
                    peer.start_tls()
                peer.open()
            self.kind.peer(peer, number)
        except (OSError, AssertionError) as error:
            self.tally.stuck[f"{type(error).__name__}: {error}"] += 1
        finally:
            peer.sock.close()

    def _live(self, ws: Any, number: int, wait: Callable[[], object]) -> None:
        """Be the side under test, once its WebSocket is there."""
        self.kind.act(ws, wait, self.tally, number)
        wait()


def drain(ws: Any) -> None:
    """Receive until the end."""
    for _ in ws:
        pass


def ignore(event: object) -> None:
    """The listener for messages."""


class OfServer(Trial):
    """The server is ours: blocking handlers and ones of listeners in turn, plain and with TLS."""

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        self.servers = []
        for tls in ({}, {"ssl_context": self.of_servers}):
            listener = socket.socket()
            if self.kind.slow:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
            listener.bind(("127.0.0.1", 0))
            listener.listen(1024)
            server = wsdriver.WebSocketServer(listener, self.handle, **self.kind.options, **tls)
            server.start()
            self.servers.append(server)
        try:
            yield
        finally:
            for server in self.servers:
                server.stop(timeout=1)

    def one(self, number: int, secure: bool) -> None:
        sock = socket.socket()
        if self.kind.slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        sock.connect(("127.0.0.1", self.servers[secure].server_port))
        self._script(sock, secure, number, f"/{number}")

    def handle(self, ws: wsdriver.WebSocket) -> None:
        number = int(ws.handshake.path[1:])
        self.tally.begin(ws)
        if number // 2 % 2:
            ws.on("open", lambda event: self.kind.act(ws, ws.run, self.tally, number))
            ws.on("message", ignore)
        else:
            ws.accept()
            self._live(ws, number, partial(drain, ws))

    def faults(self) -> list[str]:
        found = super().faults()
        figures = [server.stats() for server in self.servers]
        left = sum(len(server.connections) for server in self.servers)
        ended: dict[int, int] = {}
        for figure in figures:
            for code, number in figure.closes.items():
                ended[code] = ended.get(code, 0) + number
        if left or any(figure.open for figure in figures):
            found.append(f"{left} connections are left")
        if sum(figure.total for figure in figures) != self.tally.opened:
            found.append(
                f"the server counts {sum(figure.total for figure in figures)}, the handlers {self.tally.opened}"
            )
        if ended != dict(self.tally.heard):
            found.append(f"the server counts the ends {ended}, the listeners {dict(self.tally.heard)}")
        return found + [f"code {code}" for code in ended if code not in self.kind.codes[0]]


class OfClient(Trial):
    """The client is ours: blocking ones and ones with listeners in turn, plain and with TLS."""

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        listener = socket.socket()
        if self.kind.slow:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        # A connection is known by its client's port.
        self.numbers: dict[int, tuple[int, bool]] = {}
        server = StreamServer(listener, lambda sock, address: self._script(sock, *self.asked(address[1]), None))
        server.start()
        self.port = server.server_port
        try:
            yield
        finally:
            server.stop(timeout=1)

    def asked(self, port: int) -> tuple[bool, int]:
        number, secure = self.numbers.pop(port)
        return secure, number

    def one(self, number: int, secure: bool) -> None:
        sock = socket.socket()
        if self.kind.slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        sock.bind(("127.0.0.1", 0))
        self.numbers[sock.getsockname()[1]] = (number, secure)
        sock.connect(("127.0.0.1", self.port))
        gevent.spawn(self.connect, sock, number, secure).join()

    def connect(self, sock: Any, number: int, secure: bool) -> None:
        url = f"{'wss' if secure else 'ws'}://localhost:{self.port}/"
        try:
            ws = wsdriver.connect(url, sock=sock, tls=self.of_clients, **self.kind.options)
        except (OSError, wsdriver.HandshakeError):
            self.tally.refused += 1
            return
        self.tally.begin(ws)
        try:
            with ws:
                if number // 2 % 2:
                    ws.on("message", ignore)
                    self._live(ws, number, ws.run)
                else:
                    self._live(ws, number, partial(drain, ws))
        except (gevent.Timeout, ZeroDivisionError):
            pass

    def faults(self) -> list[str]:
        found = super().faults()
        if self.tally.opened + self.tally.refused != self._made:
            found.append(f"{self.tally.refused} refused, {self.tally.opened} opened, of {self._made}")
        return found + [f"code {code}" for code in self.tally.heard if code not in self.kind.codes[1]]


def soak(name: str, side: str, connections: int, certificates: Certificates) -> Outcome:
    """Run one kind on one side, and compare what is there before and behind it."""
    kind = KINDS[name]
    trial: Any = (OfServer if side == "server" else OfClient)(kind, certificates)
    outcome = Outcome(kind.title, side, connections, -(-connections // kind.secure))
    # As many as there ever are at once: what is kept for the next use is there then.
    warm = min(connections, 2 * kind.at_once)
    with trial.ready():
        trial.run(warm)
        at_rest(few)
        before = census()
        objects, resident = count_objects(), resident_mib()
        began = time.monotonic()
        trial.run(connections - connections // 2)
        half = resident_mib()
        trial.run(connections // 2)
        outcome.seconds = time.monotonic() - began
        try:
            assert_nothing_left(census, before)
        except AssertionError as error:
            outcome.faults.append(str(error))
        after = census()
        outcome.objects = (objects, count_objects())
        outcome.resident = (resident, half, resident_mib())
        # (A partial would be an object more.)
        outcome.traced, most = traced_growth(lambda: again(trial, max(connections // 10, 20), before))
        outcome.faults += trial.faults()
    outcome.opened = trial.tally.opened
    outcome.codes = dict(trial.tally.heard)
    for counts, kept in ((before, outcome.before), (after, outcome.after)):
        kept.update({what: counts[what] for what in COUNTS})
    if outcome.objects[1] - outcome.objects[0] > SPARE:
        outcome.faults.append(f"{outcome.objects[1] - outcome.objects[0]} objects more than before")
    if outcome.traced > TRACED:
        outcome.faults.append(f"{outcome.traced:,} bytes more are allocated than before: {most}")
    grown = outcome.resident[2] - outcome.resident[1]
    if grown > RESIDENT_MIB:
        outcome.faults.append(f"{grown:.1f} MiB more are resident than at half time")
    return outcome


def again(trial: Any, connections: int, before: Counter[str]) -> None:
    """Run some more, and wait until they have gone."""
    trial.run(connections)
    with contextlib.suppress(AssertionError):  # which is told already
        assert_nothing_left(few, before)


def few() -> dict[str, int]:
    """Count what comes to rest, whoever looks."""
    counts = census()
    return {what: counts[what] for what in COUNTS}


def main() -> int:
    """Run kinds, and print an outcome for each and side."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.endings", description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--connections", type=int, default=1000)
    options = parser.parse_args()
    # 50,000 tracebacks of handlers that were meant to fail are for nobody.
    logging.getLogger("wsdriver").setLevel(logging.CRITICAL)
    # What the imports have made is of no interest, and would make each count take its time.
    gc.collect()
    gc.freeze()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="wsdriver-soak-") as folder:
        certificates = make_certificates(Path(folder))
        for name in options.kinds:
            for side in options.sides.split(","):
                outcome = soak(name, side, options.connections, certificates)
                print(json.dumps(asdict(outcome)), flush=True)
                bad += bool(outcome.faults)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
