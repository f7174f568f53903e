"""Load on a WebSocket server: many connections that send, and the time that each answer takes.

Closed loop: each connection sends its next message when the last one is answered. A server that stalls is asked less
then, and its worst moments are measured once where many users would have met them (coordinated omission).

Open loop: messages are sent when they are due, whatever has become of those before. A message that goes out late counts
from when it was due.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter, process_time

import gevent
from gevent.pool import Pool

from wsdriver.exceptions import ConfigurationError, ConnectionClosed, HandshakeError
from wsdriver.green.client.connecting import ClientWebSocket, open_websocket
from wsdriver.green.client.options import ClientOptions

__all__ = ["Load", "Outcome", "run_load"]

#: Connections that are opened at a time: a server's queue of new ones holds that many everywhere.
OPENING = 64

#: Seconds that a server has to greet its new connections.
GREETING = 0.1

#: Seconds between two calls of ``tick``.
TICK = 0.2

#: Seconds by which the system's timers may be late: they count milliseconds. That is no fault of the server's.
TIMER = 0.0015


@dataclass(frozen=True)
class Load:
    """What is to be done.

    Attributes:
        url, options: of the server.
        connections: how many at a time.
        message: that is sent each time.
        duration: seconds.
        rate: messages per second, of all connections together; None for a closed loop.
        answers: whether the server answers each message.
        patience: seconds that the last answers may take.
    """

    url: str
    options: ClientOptions
    connections: int
    message: str | bytes
    duration: float
    rate: float | None
    answers: bool
    patience: float


@dataclass
class Outcome:
    """What has been done so far.

    Attributes:
        opened: connections.
        sent, received: messages.
        errors: how many of each kind.
        elapsed: seconds of sending.
        cpu: seconds of the processor that this process has used meanwhile.
        interrupted: whether Ctrl-C ended it.
    """

    opened: int = 0
    sent: int = 0
    received: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    elapsed: float = 0.0
    cpu: float = 0.0
    interrupted: bool = False


def run_load(
    load: Load,
    describe: Callable[[Exception], str],
    opened: Callable[[float], object],
    answered: Callable[[float], object],
    tick: Callable[[Outcome], object],
) -> Outcome:
    """Put a load on a server.

    Args:
        load: what to do.
        describe: names the kind of an error.
        opened: called with the seconds that each connection took to open.
        answered: called with the seconds of each answer.
        tick: called a few times a second with what has been done so far.

    Raises:
        ConfigurationError: no connection can be made like this.
    """
    return _Run(load, describe, opened, answered, tick).run()


class _Run:
    def __init__(
        self,
        load: Load,
        describe: Callable[[Exception], str],
        opened: Callable[[float], object],
        answered: Callable[[float], object],
        tick: Callable[[Outcome], object],
    ) -> None:
        self._load = load
        self._describe = describe
        self._opened = opened
        self._answered = answered
        self._tick = tick
        self._outcome = Outcome()
        self._websockets: list[ClientWebSocket] = []
        self._end = 0.0
        self._unanswered = 0
        self._wrong: ConfigurationError | None = None

    def run(self) -> Outcome:
        outcome = self._outcome
        try:
            self._open_all()
            if self._websockets:
                self._drop_greetings()
                self._send_all()
        except KeyboardInterrupt:
            outcome.interrupted = True
        if self._unanswered:
            outcome.errors[f"no answer within {self._load.patience:g} s"] += self._unanswered
        self._close_all()
        return outcome

    def _open_all(self) -> None:
        pool = Pool(OPENING)
        try:
            for _ in range(self._load.connections):
                while not pool.wait_available(TICK):
                    self._tick(self._outcome)
                pool.spawn(self._open)
            while not pool.join(TICK):
                self._tick(self._outcome)
        finally:
            pool.kill()
        if self._wrong is not None:
            raise self._wrong

    def _open(self) -> None:
        before = perf_counter()
        try:
            ws = open_websocket(self._load.url, self._load.options)
        except ConfigurationError as error:  # what is only found out on the way: a package is missing
            self._wrong = error
            return
        except (OSError, HandshakeError) as error:
            self._outcome.errors[self._describe(error)] += 1
            return
        self._opened(perf_counter() - before)
        self._outcome.opened += 1
        self._websockets.append(ws)

    def _drop_greetings(self) -> None:
        """Forget what the server says by itself at the beginning: it would be taken for the first answer."""
        gevent.sleep(GREETING)
        for ws in self._websockets:
            try:
                while ws.receive(timeout=0) is not None:
                    pass
            except TimeoutError:
                pass

    def _send_all(self) -> None:
        load, outcome = self._load, self._outcome
        begin, cpu = perf_counter(), process_time()
        self._end = begin + load.duration
        talks: list[_Talk] = [self._talk(ws, place, begin) for place, ws in enumerate(self._websockets)]
        greenlets = [gevent.spawn(self._guarded, function, talk.ws) for talk in talks for function in talk.parts()]
        try:
            left = load.duration
            while left > 0 and len(gevent.joinall(greenlets, min(TICK, left))) < len(greenlets):
                outcome.elapsed, outcome.cpu = perf_counter() - begin, process_time() - cpu
                self._tick(outcome)
                left = self._end - perf_counter()
            outcome.elapsed, outcome.cpu = perf_counter() - begin, process_time() - cpu
            self._await_last(talks)
            self._unanswered = sum(talk.waiting() for talk in talks)
        finally:
            gevent.killall(greenlets)

    def _talk(self, ws: ClientWebSocket, place: int, begin: float) -> _Talk:
        load = self._load
        if load.rate is not None:
            first = begin + place / load.rate
            return _Paced(self, ws, first, len(self._websockets) / load.rate)
        return _Closed(self, ws) if load.answers else _Flood(self, ws)

    def _await_last(self, talks: list[_Talk]) -> None:
        """Give the last answers their time: without them, the slowest would be missing."""
        deadline = perf_counter() + self._load.patience
        while any(talk.waiting() for talk in talks) and perf_counter() < deadline:
            gevent.sleep(0.01)

    def _guarded(self, function: Callable[[], object], ws: ClientWebSocket) -> None:
        try:
            function()
        except ConnectionClosed:
            pass  # the one who receives tells it

    def lost(self, ws: ClientWebSocket) -> None:
        """Count a connection that has ended before its time."""
        reason = f" ({ws.close_reason})" if ws.close_reason else ""
        self._outcome.errors[f"closed with {ws.close_code}{reason}"] += 1

    def _close_all(self) -> None:
        for ws in self._websockets:
            ws._start_close(1000, "")
        for ws in self._websockets:
            ws._wait_released()


class _Talk:
    """What one connection does."""

    def __init__(self, run: _Run, ws: ClientWebSocket) -> None:
        self.ws = ws
        self._run = run
        self._message = run._load.message
        self._outcome = run._outcome
        self._end = run._end

    def parts(self) -> list[Callable[[], object]]:
        """Return what is to be done, each in a greenlet."""
        raise NotImplementedError

    def waiting(self) -> int:
        """Return how many messages are unanswered on a connection that is open."""
        raise NotImplementedError


class _Closed(_Talk):
    """Sends the next message when the last is answered."""

    def __init__(self, run: _Run, ws: ClientWebSocket) -> None:
        super().__init__(run, ws)
        self._waits = 0

    def parts(self) -> list[Callable[[], object]]:
        return [self._ask]

    def waiting(self) -> int:
        return self._waits

    def _ask(self) -> None:
        ws, message, outcome, end = self.ws, self._message, self._outcome, self._end
        answered = self._run._answered
        now = perf_counter()
        while now < end:
            try:
                ws.send(message)
                outcome.sent += 1
                self._waits = 1
                answer = ws.receive()
            except ConnectionClosed:
                answer = None
            self._waits = 0
            if answer is None:
                self._run.lost(ws)
                return
            before, now = now, perf_counter()
            outcome.received += 1
            answered(now - before)


class _Flood(_Talk):
    """Sends as fast as the server takes it."""

    def parts(self) -> list[Callable[[], object]]:
        return [self._send, self._drop]

    def waiting(self) -> int:
        return 0

    def _send(self) -> None:
        ws, message, outcome, end = self.ws, self._message, self._outcome, self._end
        while perf_counter() < end:
            ws.send(message)
            outcome.sent += 1

    def _drop(self) -> None:
        for _ in self.ws:
            self._outcome.received += 1
        self._run.lost(self.ws)


class _Paced(_Talk):
    """Sends each message when it is due."""

    def __init__(self, run: _Run, ws: ClientWebSocket, first: float, interval: float) -> None:
        super().__init__(run, ws)
        self._first = first
        self._interval = interval
        self._answers = run._load.answers
        self._due: deque[float] = deque()

    def parts(self) -> list[Callable[[], object]]:
        return [self._send, self._receive]

    def waiting(self) -> int:
        return len(self._due)

    def _send(self) -> None:
        ws, message, outcome = self.ws, self._message, self._outcome
        due = self._first
        while due < self._end:
            now = perf_counter()
            if now < due:
                gevent.sleep(due - now)
                now = perf_counter()
            if self._answers:
                self._due.append(now if now - due < TIMER else due)
            ws.send(message)
            outcome.sent += 1
            due += self._interval

    def _receive(self) -> None:
        outcome, due, answered = self._outcome, self._due, self._run._answered
        for _ in self.ws:
            outcome.received += 1
            if due:
                answered(perf_counter() - due.popleft())
        due.clear()
        self._run.lost(self.ws)
