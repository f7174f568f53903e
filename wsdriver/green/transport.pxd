cimport cython

from wsdriver.green.sockio cimport get_ident, write_both, write_from, write_tls


cdef class Transport:
    cdef object __weakref__
    cdef Py_ssize_t _burst
    cdef list _drained
    cdef public bint _due
    cdef list _ended
    cdef public int _fd
    cdef public object _hub
    cdef bytes _large
    cdef Py_ssize_t _large_start
    cdef public object _loop
    cdef public object _on_release
    cdef public bytearray _out
    cdef readonly Py_ssize_t _outbound_limit
    cdef public object _reader
    cdef public bint _released
    cdef public bint _secure
    cdef Py_ssize_t _split
    cdef public object _sock
    cdef unsigned long _thread
    cdef public object _timer
    cdef public object _tls
    cdef public bint _write_blocked
    cdef public bint _write_for_read
    cdef object _writer
    cdef Py_ssize_t _write_limit
    cdef public long long bytes_received
    cdef public long long bytes_sent
    cdef public object close_error
    cdef readonly object options

    @cython.locals(count=Py_ssize_t, of_out=Py_ssize_t)
    cpdef _flush(self)
    cpdef bint _is_behind(self)
    cpdef _pace(self)
    cpdef _share(self, bytes data, bint later)
    cpdef Py_ssize_t _unsent(self)
