cimport cython

from wsdriver.driver.driver cimport Driver
from wsdriver.green.sockio cimport get_ident, has_input, read_into, read_tls
from wsdriver.green.transport cimport Transport


cdef Py_ssize_t MAX_FRAMES


cdef class Connection(Transport):
    cdef long long _acknowledged
    cdef double _awaited
    cdef bint _client
    cdef object _close_deadline
    cdef bint _close_dispatched
    cdef bint _coalescing
    cdef public Driver _driver
    cdef public object _emitter
    cdef bint _flush_scheduled
    cdef bint _heard
    cdef bint _in_large
    cdef bint _open_dispatched
    cdef list _opening
    cdef bint _paused
    cdef double _next_beat
    cdef long long _ping_end
    cdef bint _reading
    cdef list _ready
    cdef bytes _rest
    cdef Py_ssize_t _rest_start
    cdef bint _running
    cdef bytearray _scratch
    cdef bint _shut
    cdef long long _struggle
    cdef object _turn
    cdef Py_ssize_t _unread
    cdef object _waiter
    cdef public object close_code
    cdef public object close_reason
    cdef public object latency
    cdef readonly long long messages_received
    cdef readonly long long messages_sent
    cdef public bint was_clean

    cdef Py_ssize_t _inbound_limit
    cdef Py_ssize_t _inbound_messages

    @cython.locals(count=Py_ssize_t)
    cpdef bint _fill(self) except -1
    cpdef bint _broadcast(self, message) except -1
    cpdef _next(self, timeout, bint elsewhere=*)
    @cython.locals(size=Py_ssize_t)
    cpdef _handle_rest(self, bytes rest)
    cdef Py_ssize_t _unpack(self, data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef _keep_rest(self, bytes rest)
    @cython.locals(count=Py_ssize_t, stop=Py_ssize_t, rounds=int)
    cpdef _read(self)
    cpdef _resume_waiter(self)
    cpdef bint _unhandled(self)
    cpdef _wait_input(self, deadline, timeout)
    cpdef _written(self)
