from libc.stdint cimport uint64_t


cdef extern from "bytes.h":
    ctypedef struct wsd_utf8:
        unsigned char needed, lower, upper


cpdef Py_ssize_t append_frame(bytearray out, int first, object payload, bytes key) except -1
cpdef int append_head(bytearray out, int first, size_t size) except -1


cdef class FrameDecoder:
    cdef readonly bint closed
    cdef public int reserved
    cdef public uint64_t max_length
    cdef public unsigned int max_fragments
    cdef public bint raw
    cdef bint _masked
    cdef bytes _opcodes
    cdef unsigned char _flip

    # What waits for more bytes: a header, or a whole control frame.
    cdef unsigned char _buffer[14 + 125]
    cdef unsigned int _have

    # The data message that is being read, into `_message`: allocated at once where one frame holds all of it, else
    # it grows.
    cdef bint _in_message
    cdef int _opcode
    cdef int _rsv
    cdef bint _ascii
    cdef unsigned int _fragments
    cdef wsd_utf8 _utf8
    cdef bytes _message
    cdef size_t _size

    # Its current frame.
    cdef bint _fin
    cdef unsigned char _key[4]
    cdef unsigned int _offset
    cdef size_t _left

    cpdef object room(self, Py_ssize_t most)
    cpdef int filled(self, Py_ssize_t count, list out) except -1
    cpdef Py_ssize_t feed(self, data, Py_ssize_t start, Py_ssize_t end, list out, Py_ssize_t frames=*) except -1
    cdef const unsigned char *_feed(self, const unsigned char *p, const unsigned char *end, list out,
                                    Py_ssize_t frames) except NULL
    cdef const unsigned char *_frame(self, const unsigned char *p, const unsigned char *end, list out) except NULL
    cdef Py_ssize_t _read(self, const unsigned char *base, Py_ssize_t start, Py_ssize_t end, Py_ssize_t size, list out,
                          Py_ssize_t frames) except -1
    cdef int _resume(self, list out) except -1
    cdef int _payload(self, const unsigned char *p, size_t n, list out) except -1
    cdef int _taken(self, unsigned char *to, size_t n, bint ascii, list out) except -1
    cdef int _reserve(self, size_t more) except -1
    cdef int _resize(self, size_t size) except -1
    cdef int _end_message(self, list out) except -1
