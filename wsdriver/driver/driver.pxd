cimport cython

from wsdriver.framing.hybi cimport FrameDecoder, append_frame, append_head


cdef class Driver:
    cdef object __weakref__
    cdef object _callbacks
    cdef object _checked
    cdef object _client
    cdef FrameDecoder _decoder
    cdef Py_ssize_t _delivered
    cdef bint _delivering
    cdef bytearray _early
    cdef object _emitter
    cdef object _environ
    cdef object _extensions
    cdef object _extra
    cdef object _fault
    cdef bytes _firsts
    cdef bytes _head
    cdef object _hixie
    cdef object _io
    cdef bint _judged
    cdef object _late_pong
    cdef bint _masks
    cdef object _max_length
    cdef object _messages
    cdef object _nonce
    cdef object _options
    cdef tuple _plain
    cdef object _queue
    cdef object _reader
    cdef bint _reads_head
    cdef object _request
    cdef object _socket
    cdef bint _started
    cdef Py_ssize_t _unanswered
    cdef object _unmasker
    cdef object _version
    cdef bint _wanted
    cdef readonly object close_received
    cdef readonly object close_sent
    cdef readonly bint direct
    cdef readonly object framing
    cdef readonly list inbox
    cdef public bint keeps_controls
    cdef public object observer
    cdef readonly bytearray outbox
    cdef readonly object protocol
    cdef readonly int ready_state
    cdef public Py_ssize_t unpacked
    cdef readonly bint unpacks

    cpdef Py_ssize_t feed(self, data, Py_ssize_t start, Py_ssize_t end, Py_ssize_t frames=*) except -1
    cpdef room(self, Py_ssize_t most)
    cpdef filled(self, Py_ssize_t count)
    @cython.locals(length=Py_ssize_t, index=Py_ssize_t, inbox=list)
    cpdef _scan(self)
    cpdef _scan_tuples(self, Py_ssize_t index)
    cpdef list take_inbox(self, list empty)
    cpdef bint send_data(self, int opcode, object message, object compress=*) except -1
    cpdef bint send_head(self, int opcode, Py_ssize_t size) except -1
