"""A client that comes back: open WebSockets again and again, with ever longer pauses between attempts that fail."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from time import monotonic
from typing import Any

import gevent

from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.green.client.connecting import ClientWebSocket, open_websocket
from wsdriver.green.client.opening import check_url
from wsdriver.green.client.options import ClientOptions
from wsdriver.http import without_password
from wsdriver.log import log
from wsdriver.options import check_int, check_seconds, make_options

__all__ = ["Backoff", "is_permanent", "reconnect"]

#: Where the jitter comes from.
random = secrets.SystemRandom()


def is_permanent(error: Exception) -> bool:
    """Tell whether another attempt would fail as well: who may not come in, where nothing is."""
    return isinstance(error, HandshakeError) and error.status in (401, 403, 404, 407)


@dataclass(frozen=True)
class Backoff:
    """The options of :func:`wsdriver.reconnect`, beside those of ``connect``.

    Attributes:
        initial_delay: seconds that the first pause lasts at most; it doubles with each attempt that fails.
        max_delay: seconds that any pause lasts at most.
        stable_after: seconds after which a connection counts as a good one: then it begins with the first pause again.
        give_up: called with the error of an attempt; True ends it all with that error.
        max_attempts: how many attempts in a row may fail; None for any number.
    """

    initial_delay: float = 1
    max_delay: float = 60
    stable_after: float = 10
    give_up: Callable[[Exception], bool] = is_permanent
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        for name in ("initial_delay", "max_delay", "stable_after"):
            if getattr(self, name) is None:
                raise ConfigurationError(f"{name} must be a positive number of seconds")
            check_seconds(name, getattr(self, name))
        if self.max_delay < self.initial_delay:
            raise ConfigurationError(f"max_delay {self.max_delay} is less than initial_delay {self.initial_delay}")
        if not callable(self.give_up):
            raise ConfigurationError(f"give_up must be callable with an error, not {self.give_up!r}")
        if self.max_attempts is not None:
            check_int("max_attempts", self.max_attempts, 1)

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row; at random, so that not all come back at once."""
        most = min(self.max_delay, self.initial_delay * 2.0 ** min(failures, 1000))
        return random.uniform(0, most)


def reconnect(
    url: str,
    protocols: Any = (),
    *,
    initial_delay: float = 1,
    max_delay: float = 60,
    stable_after: float = 10,
    give_up: Callable[[Exception], bool] = is_permanent,
    max_attempts: int | None = None,
    **options: Any,
) -> Iterator[ClientWebSocket]:
    """Yield an open WebSocket; when the loop's body is done with it, close it and yield the next one.

    ::

        for ws in wsdriver.reconnect("wss://host/prices"):
            try:
                ws.send("subscribe")
                for message in ws:
                    print(message)
            except wsdriver.ConnectionClosed:
                pass  # go on with the next one; what the body raises would end the loop

    Between two attempts it waits, at random up to ``initial_delay``, twice that, and so on up to ``max_delay``. Each
    attempt that fails is logged.

    Args:
        url, protocols: as for :func:`wsdriver.connect`.
        initial_delay, max_delay, stable_after, max_attempts: see
            :class:`~wsdriver.green.client.reconnecting.Backoff`.
        give_up: the same. Unless it says otherwise, 401, 403, 404 and a proxy's 407 end it.
        **options: as for :func:`wsdriver.connect`.

    Yields:
        :class:`~wsdriver.green.client.connecting.ClientWebSocket`, open.

    Raises:
        ConfigurationError: the URL or an option is wrong; at the call.
        OSError, HandshakeError: the error of the last attempt, where it gives up.
    """
    chosen = make_options(ClientOptions, {"protocols": protocols, **options}, [field.name for field in fields(Backoff)])
    if chosen.sock is not None:
        raise ConfigurationError("sock is one connection, and cannot come back")
    check_url(url, chosen)
    backoff = Backoff(initial_delay, max_delay, stable_after, give_up, max_attempts)
    chosen.warn(2)
    return _connections(url, chosen, backoff)


def _connections(url: str, options: ClientOptions, backoff: Backoff) -> Iterator[ClientWebSocket]:
    shown = without_password(url)
    unstable = failed = 0
    while True:
        try:
            ws = open_websocket(url, options)
        except (OSError, HandshakeError) as error:
            failed += 1
            if backoff.give_up(error) or failed == backoff.max_attempts:
                raise
            delay = backoff.delay(unstable)
            log.warning("no connection to %s: %s; next attempt in %.1f seconds", shown, error, delay)
        else:
            failed = 0
            opened = monotonic()
            try:
                yield ws
            finally:
                ws.close()
            if monotonic() - opened >= backoff.stable_after:
                unstable = 0
            delay = backoff.delay(unstable)
            log.info("%s; next attempt in %.1f seconds", _ending(ws, shown), delay)
        unstable += 1
        gevent.sleep(delay)


def _ending(ws: ClientWebSocket, shown: str) -> str:
    reason = f" {ws.close_reason}" if ws.close_reason else ""
    return f"the connection to {shown} ended with {ws.close_code}{reason}"
