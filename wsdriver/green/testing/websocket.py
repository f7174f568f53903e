"""The client's side of a WebSocket in a test."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

import gevent

from wsdriver.exceptions import ConnectionClosed
from wsdriver.green.client.connecting import ClientWebSocket
from wsdriver.green.client.options import ClientOptions
from wsdriver.green.testing.exchange import Exchange

__all__ = ["DEFAULT", "TestedWebSocket"]

#: Stands for the client's own timeout: None is none.
DEFAULT: Any = object()


class TestedWebSocket(ClientWebSocket):
    """A client's WebSocket: all that :func:`wsdriver.connect` returns, and a few things more.

    ``receive`` and iteration wait at most ``timeout`` seconds of the client. What the application raises comes out of
    whatever notices the end: ``receive``, ``send``, ``close``, the end of the ``with``. ``close`` waits until the
    application is done.

    Args:
        url: of the application.
        options: as of :func:`wsdriver.connect`.
        exchange: the application.
        timeout: seconds.
        raise_errors: whether what the application raises is raised here.
    """

    __slots__ = ("_exchange", "_patience", "_raises")
    __test__ = False  # for pytest, which collects what is called so

    def __init__(
        self, url: str, options: ClientOptions, exchange: Exchange, timeout: float | None, raise_errors: bool
    ) -> None:
        super().__init__(url, options)
        self._exchange = exchange
        self._patience = timeout
        self._raises = raise_errors

    def receive(self, timeout: float | None = DEFAULT) -> str | bytes | None:
        """Wait for the next message; None once the connection is closed.

        Args:
            timeout: seconds; the client's unless given.

        Raises:
            TimeoutError: nothing came in time.
            Exception: what the application has raised, if that was the end.
        """
        __tracebackhide__ = True
        try:
            message = super().receive(self._patience if timeout is DEFAULT else timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; {self._exchange.where()}") from None
        if message is None:
            self._raise_error()
        return message

    def __next__(self) -> str | bytes:
        __tracebackhide__ = True
        message = self.receive()
        if message is None:
            raise StopIteration
        return message

    def run(self) -> None:
        """Receive until the end, as ever, handing each message to the listeners.

        Raises:
            TimeoutError: the end has not come within the client's timeout.
            Exception: what the application has raised, if that was the end.
        """
        with gevent.Timeout(self._patience, TimeoutError(f"the end has not come within {self._patience} seconds")):
            super().run()
        self._raise_error()

    def receive_json(self, timeout: float | None = DEFAULT) -> Any:
        """Wait for the next message, and return what it says in JSON.

        Raises:
            ConnectionClosed: there is none: the connection is closed.
        """
        __tracebackhide__ = True
        message = self.receive(timeout)
        if message is None:
            raise self._closed_error()
        return json.loads(message)

    def send(self, message: Any, binary: bool | None = None, compress: bool | None = None) -> None:
        """Send a message, as ever; raises what the application has raised, if that was the end."""
        __tracebackhide__ = True
        try:
            super().send(message, binary, compress)
        except ConnectionClosed as error:
            closed = error
        else:
            return
        self._raise_error()
        raise closed

    def send_json(self, data: Any) -> None:
        """Send what it is in JSON, as text."""
        self.send(json.dumps(data))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, as ever, and wait until the application is done.

        Raises:
            TimeoutError: it is not; the message says where it is.
            Exception: what the application has raised.
        """
        __tracebackhide__ = True
        self._exchange.hung_up = self._exchange.hung_up or self.state == "open"
        super().close(code, reason)
        self._exchange.finish(self._patience)
        self._raise_error()

    def terminate(self) -> None:
        """Drop the connection, as a lost network does; does not wait for the application."""
        self._exchange.hung_up = True
        super().terminate()

    def __enter__(self) -> TestedWebSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        try:
            if error is None:
                self.close()
            else:
                self._abandon()
        finally:
            self._leave()

    def _abandon(self) -> None:
        """The test has failed: what goes wrong here does not matter."""
        self._exchange.hung_up = True
        super().terminate()
        self._exchange.abandon()

    def _raise_error(self) -> None:
        __tracebackhide__ = True
        if self._raises:
            self._exchange.raise_error()
