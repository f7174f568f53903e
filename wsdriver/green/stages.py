"""The stages of opening a connection, under one deadline: what failed, and at which of them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import gevent

__all__ = ["Deadline", "closing_on_error", "is_own_timeout", "reason_of"]

#: OpenSSL's words, of several versions, for an answer that is no TLS.
_NO_TLS = ("HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "WRONG_VERSION_NUMBER")


class Deadline:
    """The time that all stages together may take, by wall clock.

    Args:
        seconds: None for any time.
    """

    __slots__ = ("_end", "seconds")

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else monotonic() + seconds

    def remaining(self) -> float | None:
        """Return the seconds that are left, or None."""
        return None if self._end is None else max(self._end - monotonic(), 0.0)

    @contextmanager
    def stage(self, name: str, failure: str) -> Iterator[None]:
        """Time what is done inside; an ``OSError`` that leaves it says what could not be done.

        Its type and its traceback stay, so that users can catch what they know.

        Args:
            name: becomes the error's ``.stage``.
            failure: begins the error's sentence, such as ``"cannot connect to localhost:80"``.

        Raises:
            TimeoutError: the deadline has passed.
        """
        timeout = gevent.Timeout(self.remaining())
        try:
            with timeout:
                yield
        except gevent.Timeout as passed:
            # Not a TimeoutError from the beginning: libraries on the way catch that, as an error of the socket.
            if passed is not timeout:
                raise
            error = TimeoutError(f"{failure} within {self.seconds} seconds")
            error.stage = name  # type: ignore[attr-defined]
            raise error from None
        except OSError as error:
            sentence = f"{failure}: {reason_of(error)}"
            if error.errno is None:
                error.args = (sentence,)
            else:
                error.strerror = sentence
            error.stage = name  # type: ignore[attr-defined]
            raise


def reason_of(error: BaseException) -> str:
    """Return why it failed, without numbers in brackets, and what may help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason: str = error.verify_message.rstrip(".")
        # OpenSSL's X509_V_ERR_: no issuer, and self-signed, at the end of a chain or alone.
        if error.verify_code in (18, 19, 20, 21):
            reason += " (tls={'root_cert_file': ...} trusts another authority)"
        return reason
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return "the other end does not speak TLS there: is it ws:// instead of wss://, or http:// instead of https://?"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def is_own_timeout(error: BaseException) -> bool:
    """Tell whether a deadline of ours has passed, rather than one of the system."""
    return isinstance(error, TimeoutError) and error.errno is None


@contextmanager
def closing_on_error(sock: Any) -> Iterator[None]:
    """Close a socket where what is done with it fails, or is killed."""
    try:
        yield
    except BaseException:
        sock.close()
        raise
