"""A load test with Locust: users that open a WebSocket, and time how long each message takes to come back.

    pip install locust && locust -f examples/locustfile.py --host ws://127.0.0.1:8080 --users 50 --spawn-rate 10

It needs a server that echoes, such as examples/echo.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from locust import User, constant_pacing, task

import wsdriver


class WebSocketUser(User):
    """A user with one WebSocket, from its first task to its last; a new one where the server ends it."""

    wait_time = constant_pacing(0.1)
    ws = None

    def on_start(self) -> None:
        """Connect, before any task."""
        self.open()

    def on_stop(self) -> None:
        """Close, and tell Locust how long that took."""
        if self.ws is not None:
            with self.timed("close", self.host):
                self.ws.close()

    @task
    def echo(self) -> None:
        """Send a message and wait for its echo."""
        if self.ws is None or self.ws.state != "open":
            self.open()
            return
        with self.timed("echo", "hello") as request:
            self.ws.send("hello")
            answer = self.ws.receive(timeout=10)
            if answer is None:
                raise wsdriver.ConnectionClosed(f"the server closed with {self.ws.close_code}")
            request["response_length"] = len(answer)

    def open(self) -> None:
        """Connect; where that fails, Locust counts it, and the next task tries again."""
        with self.timed("connect", self.host):
            self.ws = wsdriver.connect(self.host)

    @contextmanager
    def timed(self, kind: str, name: str) -> Iterator[dict[str, object]]:
        """Report what happens inside as one request, with its time, and its error if there is one."""
        request = {"request_type": f"ws {kind}", "name": name, "response_length": 0, "exception": None}
        started = time.perf_counter()
        try:
            yield request
        except (OSError, wsdriver.WebSocketError) as error:
            request["exception"] = error
        # Not where Locust stops the user meanwhile: that is no request.
        milliseconds = (time.perf_counter() - started) * 1000
        self.environment.events.request.fire(response_time=milliseconds, context={}, **request)
