"""The client's side of an event stream in a test."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import gevent

from wsdriver.exceptions import HandshakeError
from wsdriver.framing.eventstream import Event, EventReader
from wsdriver.green.client.answers import read_answer, read_body
from wsdriver.green.client.stages import Deadline
from wsdriver.green.testing.exchange import Exchange
from wsdriver.green.testing.websocket import DEFAULT
from wsdriver.green.waiting import read_some, write_all
from wsdriver.http import MAX_HEAD, BodyReader, parse_response

__all__ = ["TestedEventSource"]

#: Bytes of a refusal's body that are looked at, and of a stream, between two looks.
MOST = 64 * 1024 * 1024


class TestedEventSource:
    """A client's event stream: what the application sends, event by event.

    Args:
        exchange: the application.
        request: the bytes of the request.
        timeout: seconds.
        raise_errors: whether what the application raises is raised here.

    Attributes:
        status: of the application's answer.
        headers: of the application's answer.

    Raises:
        HandshakeError: the answer is no event stream; ``.status``, ``.headers`` and ``.body`` say what it is.
    """

    __test__ = False  # for pytest, which collects what is called so

    def __init__(self, exchange: Exchange, request: bytes, timeout: float | None, raise_errors: bool) -> None:
        self._exchange = exchange
        self._sock = exchange.sock
        self._patience = timeout
        self._raises = raise_errors
        self._reader = EventReader()
        self._events: deque[Event] = deque()
        deadline = Deadline(timeout)
        try:
            with deadline.stage("handshake", "no answer from the application"):
                write_all(self._sock, request)
                _, head, rest = read_answer(self._sock, b"", MAX_HEAD)
        except TimeoutError as error:
            error.args = (f"{error}; {exchange.where()}",)
            self._sock.close()
            exchange.kill(timeout=1)
            raise
        if not head:
            self._end()
            raise HandshakeError("the application closed the connection without an answer", 0)
        response = parse_response(head)
        self.status = response.status
        self.headers = response.headers
        self._body = BodyReader(head, MOST)
        self._body.feed(rest)
        if self.status != 200 or not self.headers.get("Content-Type", "").startswith("text/event-stream"):
            body = read_body(self._sock, self._body, deadline)
            self._end()
            sentence = f"the application answered with {self.status} {response.reason}, and no event stream"
            raise HandshakeError(sentence, self.status, self.headers, body)

    @property
    def last_event_id(self) -> str:
        """The id that a browser would repeat as Last-Event-ID; empty for none."""
        return self._reader.last_event_id

    @property
    def retry(self) -> float | None:
        """Seconds that the application lets a client wait before it comes back; None where it does not say."""
        return self._reader.retry

    def receive(self, timeout: float | None = DEFAULT) -> Event | None:
        """Wait for the next event; None once the stream has ended.

        Args:
            timeout: seconds; the client's unless given.

        Raises:
            TimeoutError: nothing came in time.
            Exception: what the application has raised, if that was the end.
        """
        __tracebackhide__ = True
        seconds = self._patience if timeout is DEFAULT else timeout
        sentence = f"no event came within {seconds} seconds"
        try:
            with gevent.Timeout(seconds, TimeoutError(sentence)):
                while not self._events:
                    self._take()
                    if self._events or self._body.complete:
                        break
                    data = read_some(self._sock)
                    if data:
                        self._body.feed(data)
                    else:
                        self._body.eof()
        except TimeoutError:
            raise TimeoutError(f"{sentence}; {self._exchange.where()}") from None
        if self._events:
            return self._events.popleft()
        self._sock.close()
        self._raise_error()
        return None

    def _take(self) -> None:
        data, self._body.data = self._body.data, b""
        self._events += self._reader.feed(data)

    def __iter__(self) -> Iterator[Event]:
        while (event := self.receive()) is not None:
            yield event

    def close(self) -> None:
        """Go away, and wait until the application is done.

        Raises:
            TimeoutError: it is not; the message says where it is.
            Exception: what the application has raised.
        """
        __tracebackhide__ = True
        self._end()

    def _end(self) -> None:
        __tracebackhide__ = True
        self._exchange.hung_up = True
        self._sock.close()
        self._exchange.finish(self._patience)
        self._raise_error()

    def _raise_error(self) -> None:
        __tracebackhide__ = True
        if self._raises:
            self._exchange.raise_error()

    def __enter__(self) -> TestedEventSource:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        __tracebackhide__ = True
        if error is None:
            self.close()
            return
        self._exchange.hung_up = True
        self._sock.close()
        self._exchange.abandon()
