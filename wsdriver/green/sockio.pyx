# cython: language_level=3, binding=False
"""The compiled twin of ``sockio.py``, which documents it.

The GIL stays held: neither call waits, and letting go costs more than most of them take.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, errno

import sys

from _ssl import SSLEOFError, SSLError, SSLWantReadError, SSLWantWriteError, SSLZeroReturnError, _SSLSocket

from wsdriver.green.openssl import call_again, clear_errors

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()


cdef extern from "sockio.h":
    bint WSD_NATIVE
    Py_ssize_t wsd_recv(int fd, void *buffer, size_t size)
    Py_ssize_t wsd_send(int fd, const void *data, size_t size)
    Py_ssize_t wsd_send_both(int fd, void *a, size_t m, void *b, size_t n)
    bint wsd_has_input(int fd)


try:
    import fcntl
    from termios import TIOCOUTQ
except ImportError:  # Windows
    TIOCOUTQ = None

COMPILED = True
WANT_READ = -1
WANT_WRITE = -2
MAX_WRITE = 262144


cpdef unsigned long get_ident() noexcept:
    return PyThread_get_thread_ident()


cpdef Py_ssize_t read_into(sock, int fd, buffer) except -3:
    cdef Py_ssize_t count, size
    cdef char *to
    cdef Py_buffer view
    if WSD_NATIVE and fd >= 0:
        if type(buffer) is bytearray:
            to = PyByteArray_AS_STRING(buffer)
            size = PyByteArray_GET_SIZE(buffer)
        else:
            PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
            to = <char *>view.buf
            size = view.len
            PyBuffer_Release(&view)  # the caller's reference keeps the memory
        while True:
            count = wsd_recv(fd, to, size)
            if count >= 0:
                return count
            if errno == EAGAIN:
                return -1
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
    try:
        return sock.recv_into(buffer)
    except (BlockingIOError, SSLWantReadError):
        return -1
    except SSLWantWriteError:
        return -2
    except SSLZeroReturnError:
        return 0
    except OSError:
        if fd < 0:
            clear_errors()
        raise


cpdef Py_ssize_t write_from(sock, int fd, bytearray data) except -3:
    cdef Py_ssize_t count
    if WSD_NATIVE and fd >= 0:
        while True:
            count = wsd_send(fd, PyByteArray_AS_STRING(data), PyByteArray_GET_SIZE(data))
            if count >= 0:
                return count
            if errno == EAGAIN:
                return -2
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
    view = memoryview(data)
    part = view[:MAX_WRITE]
    try:
        return sock.send(part) or -2
    except (BlockingIOError, SSLWantWriteError):
        return -2
    except SSLWantReadError:
        return -1
    except OSError:
        clear_errors()
        raise
    finally:
        part.release()
        view.release()


cpdef Py_ssize_t write_both(sock, int fd, bytearray first, Py_ssize_t split, bytes second, Py_ssize_t start) except -3:
    cdef Py_ssize_t count
    if WSD_NATIVE and fd >= 0:
        if split > PyByteArray_GET_SIZE(first) or split < 0 or start < 0 or start > PyBytes_GET_SIZE(second):
            raise IndexError("write_both() was given bounds outside of its data")
        while True:
            if split == 0:  # send() does without the kernel's copies of a message header and its parts
                count = wsd_send(fd, PyBytes_AS_STRING(second) + start, PyBytes_GET_SIZE(second) - start)
            else:
                count = wsd_send_both(fd, PyByteArray_AS_STRING(first), split,
                                      PyBytes_AS_STRING(second) + start, PyBytes_GET_SIZE(second) - start)
            if count >= 0:
                return count
            if errno == EAGAIN:
                return -2
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
    view = memoryview(first)
    part = view[:split]
    rest = memoryview(second)[start:]
    try:
        return sock.sendmsg((part, rest))
    except BlockingIOError:
        return -2
    finally:
        part.release()
        view.release()


def inner_tls(sock):
    tls = getattr(sock, "_sslobj", None)
    return tls if isinstance(tls, _SSLSocket) and getattr(sock, "suppress_ragged_eofs", False) else None


cpdef Py_ssize_t read_tls(tls, bytearray buffer) except -3:
    try:
        return tls.read(PyByteArray_GET_SIZE(buffer), buffer)
    except SSLWantReadError:
        return -1
    except SSLWantWriteError:
        return -2
    except (SSLEOFError, SSLZeroReturnError):
        return 0
    except SSLError:
        raise
    except OSError as error:
        return call_again(error, tls.read, len(buffer), buffer)


cpdef Py_ssize_t write_tls(tls, bytearray data) except -3:
    try:
        if PyByteArray_GET_SIZE(data) <= MAX_WRITE:
            return tls.write(data)
        with memoryview(data) as view, view[:MAX_WRITE] as part:
            return tls.write(part)
    except SSLWantWriteError:
        return -2
    except SSLWantReadError:
        return -1
    except SSLError:
        raise
    except OSError as error:
        return call_again(error, tls.write, bytes(data[:MAX_WRITE]))


cpdef bint has_input(int fd) except -1:
    return wsd_has_input(fd)


def unacknowledged(sock):
    """Return how many bytes the system holds that the peer has not acknowledged; 0 where the system does not tell."""
    if TIOCOUTQ is None:
        return 0
    answer = bytearray(4)
    try:
        fcntl.ioctl(sock.fileno(), TIOCOUTQ, answer)
    except (OSError, ValueError):
        return 0
    return int.from_bytes(answer, sys.byteorder)
