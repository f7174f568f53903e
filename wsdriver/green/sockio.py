"""One non-blocking read, one non-blocking write: the two system calls of the hot path, and the same for TLS.

The plain twin of ``sockio.pyx``, which goes past the socket object to the descriptor.
"""

from __future__ import annotations

import os
import sys
from _ssl import (  # type: ignore[attr-defined]  # the stubs have no _SSLSocket
    SSLEOFError,
    SSLError,
    SSLWantReadError,
    SSLWantWriteError,
    SSLZeroReturnError,
    _SSLSocket,
)
from collections.abc import Callable
from typing import Any

from gevent.monkey import get_original

from wsdriver.green.openssl import call_again, clear_errors

try:
    import fcntl
    from termios import FIONREAD, TIOCOUTQ
except ImportError:  # Windows
    FIONREAD = TIOCOUTQ = None  # type: ignore[assignment, misc]

__all__ = [
    "WANT_READ",
    "WANT_WRITE",
    "get_ident",
    "has_input",
    "inner_tls",
    "read_into",
    "read_tls",
    "unacknowledged",
    "write_both",
    "write_from",
    "write_tls",
]

COMPILED = False

#: Which thread this is; the real one: gevent's patch makes the name mean a greenlet.
get_ident: Callable[[], int] = get_original("_thread", "get_ident")

#: Instead of a count: try again when the socket is readable, or writable. (TLS may want either for both.)
WANT_READ = -1
WANT_WRITE = -2

#: Where a descriptor is enough, past the methods of gevent's sockets, which are Python.
NATIVE = hasattr(os, "readv")

#: Bytes offered to a socket object at once: TLS would encrypt all it is offered before it can say that less fits.
MAX_WRITE = 262144


def read_into(sock: Any, fd: int, buffer: bytearray | memoryview) -> int:
    """Read once, without waiting.

    Args:
        sock: a non-blocking socket.
        fd: its descriptor, or -1 where only the socket object may read (TLS).
        buffer: takes the bytes.

    Returns:
        the count of bytes, 0 at the end of the stream, WANT_READ or WANT_WRITE.

    Raises:
        OSError: the connection is lost.
    """
    try:
        if NATIVE and fd >= 0:
            return os.readv(fd, (buffer,))
        return sock.recv_into(buffer)  # type: ignore[no-any-return]
    except (BlockingIOError, SSLWantReadError):
        return WANT_READ
    except SSLWantWriteError:
        return WANT_WRITE
    except SSLZeroReturnError:
        return 0
    except OSError:
        # (Not called again, other than below: a second call may make something else of this socket's own error, as
        # gevent's sockets make an end of a reset; so it cannot be told from one that another connection has left.)
        if fd < 0:
            clear_errors()
        raise


def write_from(sock: Any, fd: int, data: bytearray) -> int:
    """Write once, without waiting; return the count of bytes that went out, WANT_READ or WANT_WRITE.

    Raises:
        OSError: the connection is lost.
    """
    if NATIVE and fd >= 0:
        try:
            return os.write(fd, data)
        except BlockingIOError:
            return WANT_WRITE
    view = memoryview(data)
    part = view[:MAX_WRITE]
    try:
        # (0: gevent's SSLSocket does not raise where it would have to wait.)
        return sock.send(part) or WANT_WRITE
    except (BlockingIOError, SSLWantWriteError):
        return WANT_WRITE
    except SSLWantReadError:
        return WANT_READ
    except OSError:
        clear_errors()
        raise
    finally:
        # While a view lives, the buffer cannot grow; a traceback could keep it.
        part.release()
        view.release()


def write_both(sock: Any, fd: int, first: bytearray, split: int, second: bytes, start: int) -> int:
    """Write ``first[:split]`` and ``second[start:]`` with one system call, without joining them.

    Not for TLS. Returns and raises as :func:`write_from`.
    """
    view = memoryview(first)
    part = view[:split]
    rest = memoryview(second)[start:]
    try:
        return sock.sendmsg((part, rest))  # type: ignore[no-any-return]
    except BlockingIOError:
        return WANT_WRITE
    finally:
        part.release()
        view.release()


def inner_tls(sock: Any) -> Any:
    """Return what does the TLS inside of a socket, for the functions below; None where that is not known.

    A socket of gevent, or of the standard library, spends more time around it than in it. It reads one record from the
    system at a time and keeps none back, so that the descriptor tells whether there is more.
    """
    tls = getattr(sock, "_sslobj", None)
    return tls if isinstance(tls, _SSLSocket) and getattr(sock, "suppress_ragged_eofs", False) else None


def read_tls(tls: Any, buffer: bytearray) -> int:
    """Read one record, as :func:`read_into` does; the buffer has room for it."""
    try:
        return tls.read(len(buffer), buffer)  # type: ignore[no-any-return]
    except SSLWantReadError:
        return WANT_READ
    except SSLWantWriteError:
        return WANT_WRITE
    except (SSLEOFError, SSLZeroReturnError):
        return 0
    except SSLError:
        raise
    except OSError as error:
        return call_again(error, tls.read, len(buffer), buffer)


def write_tls(tls: Any, data: bytearray) -> int:
    """Write once, as :func:`write_from` does.

    After WANT_READ or WANT_WRITE, what is given next begins with the same bytes: they are encrypted already.
    """
    try:
        if len(data) <= MAX_WRITE:
            return tls.write(data)  # type: ignore[no-any-return]
        with memoryview(data) as view, view[:MAX_WRITE] as part:
            return tls.write(part)  # type: ignore[no-any-return]
    except SSLWantWriteError:
        return WANT_WRITE
    except SSLWantReadError:
        return WANT_READ
    except SSLError:
        raise
    except OSError as error:
        return call_again(error, tls.write, bytes(data[:MAX_WRITE]))


def has_input(fd: int) -> bool:
    """Tell whether bytes wait to be read; True, too, where the system does not tell."""
    if FIONREAD is None:
        return True
    answer = bytearray(4)
    try:
        fcntl.ioctl(fd, FIONREAD, answer)
    except (OSError, ValueError):
        return True
    return any(answer)


def unacknowledged(sock: Any) -> int:
    """Return how many bytes the system holds that the peer has not acknowledged; 0 where the system does not tell."""
    if TIOCOUTQ is None:
        return 0
    answer = bytearray(4)
    try:
        fcntl.ioctl(sock.fileno(), TIOCOUTQ, answer)
    except (OSError, ValueError):
        return 0
    return int.from_bytes(answer, sys.byteorder)
