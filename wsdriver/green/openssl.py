"""OpenSSL's queue of errors, of which each thread has one, and which CPython leaves filled.

A TLS call that fails is judged by the first error in the queue. CPython takes its errors out where it raises an
``SSLError``, but not where it raises another ``OSError`` (https://github.com/python/cpython/issues/148594; seen with
Python 3.14 and OpenSSL 3.6: a write to a peer that is gone). From then on every TLS socket of that thread that has
nothing to read raises that error, instead of ``SSLWantReadError``.
"""

from __future__ import annotations

import _ssl
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["call_again", "clear_errors"]


def clear_errors() -> None:
    """Empty the queue: to be called at once where a call on a TLS object has raised an ``OSError``.

    OpenSSL's ``ERR_clear_error`` cannot be called from Python; making a TLS object does it.
    """
    _context()._wrap_bio(_ssl.MemoryBIO(), _ssl.MemoryBIO(), True)


@cache
def _context() -> Any:
    return _ssl._SSLContext(_ssl.PROTOCOL_TLS_SERVER)


def call_again(error: OSError, call: Callable[..., int], *arguments: Any) -> int:
    """Call what has raised an error once more with an empty queue: the error may have been another connection's.

    It was, where this call moves bytes, or would have to wait: neither is to be had of a connection that is lost.

    Returns:
        what the call returns; -1 or -2, as in ``sockio``, where it wants to read or to write.

    Raises:
        OSError: the error, which was this connection's.
    """
    clear_errors()
    try:
        return call(*arguments)
    except _ssl.SSLWantReadError:
        return -1
    except _ssl.SSLWantWriteError:
        return -2
    except OSError:
        clear_errors()
        raise error from None
