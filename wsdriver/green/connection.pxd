from wsdriver.driver.driver cimport Driver
from wsdriver.green.sockio cimport get_ident, read_into, write_both, write_from


cdef class Connection:
    cdef object __weakref__
    cdef long long _acknowledged
    cdef double _awaited
    cdef Py_ssize_t _burst
    cdef bint _client
    cdef object _close_deadline
    cdef bint _close_dispatched
    cdef bint _coalescing
    cdef public Driver _driver
    cdef list _drained
    cdef public object _emitter
    cdef list _ended
    cdef int _fd
    cdef bint _flush_scheduled
    cdef bint _heard
    cdef public object _hub
    cdef bytes _large
    cdef Py_ssize_t _large_start
    cdef object _loop
    cdef public object _on_release
    cdef list _opening
    cdef bytearray _out
    cdef bint _paused
    cdef double _next_beat
    cdef long long _ping_end
    cdef Py_ssize_t _position
    cdef object _reader
    cdef list _ready
    cdef public bint _released
    cdef bytearray _scratch
    cdef bint _secure
    cdef bint _shut
    cdef Py_ssize_t _split
    cdef public object _sock
    cdef unsigned long _thread
    cdef object _timer
    cdef Py_ssize_t _unread
    cdef object _waiter
    cdef bint _write_blocked
    cdef bint _write_for_read
    cdef object _writer
    cdef readonly long long bytes_received
    cdef readonly long long bytes_sent
    cdef public object close_code
    cdef public object close_error
    cdef public object close_reason
    cdef public object latency
    cdef readonly long long messages_received
    cdef readonly long long messages_sent
    cdef readonly object options
    cdef public bint was_clean

    cdef Py_ssize_t _write_limit
    cdef Py_ssize_t _inbound_limit
    cdef Py_ssize_t _inbound_messages

    cpdef _flush(self)
    cpdef _next(self, timeout)
    cpdef _read(self)
    cpdef _resume_waiter(self)
    cpdef bint _unhandled(self)
    cpdef Py_ssize_t _unsent(self)
    cpdef _wait_input(self, deadline, timeout)
    cpdef _written(self)
