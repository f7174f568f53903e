# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
"""The compiled twin of ``hybi.py``, which documents it. One pass over the bytes: parse, unmask, decode."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE, _PyBytes_Resize
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.unicode cimport PyUnicode_AsUTF8String, PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from wsdriver.framing.faults import header_fault, packed_limit, too_big, too_many_fragments, utf8_fault
from wsdriver.framing.opcodes import OPCODES as _OPCODES


cdef extern from "bytes.h":
    uint64_t wsd_xor(unsigned char *dst, const unsigned char *src, size_t n, const unsigned char *key, unsigned int offset) nogil
    uint64_t wsd_copy(unsigned char *dst, const unsigned char *src, size_t n) nogil
    uint64_t wsd_xor_here(unsigned char *p, size_t n, const unsigned char *key, unsigned int offset) nogil
    void wsd_keep_freed(size_t n) nogil
    bint wsd_utf8_feed(wsd_utf8 *state, const unsigned char *p, size_t n) nogil


cdef extern from "Python.h":
    object PyMemoryView_FromMemory(char *memory, Py_ssize_t size, int flags)
    enum: PyBUF_WRITE
    Py_ssize_t PY_SSIZE_T_MAX
    object PyUnicode_New(Py_ssize_t size, unsigned int maxchar)
    unsigned char *PyUnicode_1BYTE_DATA(object o)
    bint PyUnicode_IS_COMPACT_ASCII(object o)
    Py_ssize_t PyUnicode_GET_LENGTH(object o)


__all__ = ["BytesLike", "FrameDecoder", "Item", "append_frame", "append_head", "apply_mask"]

BytesLike = "bytes | bytearray | memoryview"
Item = "str | bytes | tuple[int, bytes, int]"
COMPILED = True

cdef enum:
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    SMALL = 4096  # below this, a text is unmasked on the stack
    ROOM = 1 << 16  # bytes of a frame that are worth a read of their own
    KEPT = 1 << 22  # half of what is not given back to the system, see there
    WEIGHT = 2048  # bytes of a whole frame that count as one frame more
    WHOLE = 1 << 26  # above this, memory is taken only as the bytes come, whatever length was declared


def apply_mask(data, bytes key not None, unsigned int offset=0):
    cdef Py_buffer view
    if len(key) != 4:
        raise ValueError("a masking key has 4 bytes")
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        result = PyBytes_FromStringAndSize(NULL, view.len)
        wsd_xor(<unsigned char *>PyBytes_AS_STRING(result), <const unsigned char *>view.buf, view.len,
                <const unsigned char *>PyBytes_AS_STRING(key), offset & 3)
        return result
    finally:
        PyBuffer_Release(&view)


cdef inline unsigned int _head(unsigned char *head, int first, unsigned char mask_bit, size_t length) noexcept:
    cdef unsigned int i
    head[0] = first
    if length < 126:
        head[1] = mask_bit | length
        return 2
    if length < 65536:
        head[1] = mask_bit | 126
        head[2] = length >> 8
        head[3] = length
        return 4
    head[1] = mask_bit | 127
    for i in range(8):
        head[2 + i] = <uint64_t>length >> (56 - 8 * i)
    return 10


cpdef int append_head(bytearray out, int first, size_t size) except -1:
    cdef unsigned char head[14]
    cdef unsigned int count = _head(head, first, 0, size)
    cdef size_t old = PyByteArray_GET_SIZE(out)
    PyByteArray_Resize(out, old + count)
    memcpy(<unsigned char *>PyByteArray_AS_STRING(out) + old, head, count)
    return 0


cdef inline int _append(bytearray out, int first, const unsigned char *payload, size_t length, bytes key) except -1:
    cdef unsigned char head[14]
    cdef unsigned int size = _head(head, first, 0 if key is None else 0x80, length)
    cdef size_t old = PyByteArray_GET_SIZE(out)
    cdef unsigned char *p
    if key is not None:
        memcpy(head + size, PyBytes_AS_STRING(key), 4)
        size += 4
    PyByteArray_Resize(out, old + size + length)
    p = <unsigned char *>PyByteArray_AS_STRING(out) + old
    memcpy(p, head, size)
    if key is None:
        memcpy(p + size, payload, length)
    else:
        wsd_xor(p + size, payload, length, head + size - 4, 0)
    return 0


cpdef Py_ssize_t append_frame(bytearray out, int first, object payload, bytes key) except -1:
    cdef Py_buffer view
    cdef bytes data
    cdef Py_ssize_t length
    if type(payload) is str:
        if PyUnicode_IS_COMPACT_ASCII(payload):
            length = PyUnicode_GET_LENGTH(payload)
            _append(out, first, PyUnicode_1BYTE_DATA(payload), length, key)
            return length
        data = PyUnicode_AsUTF8String(payload)
    elif type(payload) is bytes:
        data = <bytes>payload
    elif isinstance(payload, str):
        data = PyUnicode_AsUTF8String(payload)
    else:
        view_of = memoryview(payload)
        if not view_of.c_contiguous:
            data = bytes(view_of)
        else:
            PyObject_GetBuffer(view_of, &view, PyBUF_SIMPLE)
            try:
                _append(out, first, <const unsigned char *>view.buf, view.len, key)
                return view.len
            finally:
                PyBuffer_Release(&view)
    length = PyBytes_GET_SIZE(data)
    _append(out, first, <const unsigned char *>PyBytes_AS_STRING(data), length, key)
    return length


cdef class FrameDecoder:

    def __init__(self, int mask, uint64_t max_length, unsigned int max_fragments, int reserved=0,
                 bytes opcodes=_OPCODES, bint more=False):
        if opcodes is None or len(opcodes) != 16:
            raise ValueError("the table of opcodes has 16 entries")
        self._masked = mask == 1
        self.max_length = max_length
        self.max_fragments = max_fragments
        self.reserved = reserved
        self.raw = False
        self._opcodes = opcodes
        self._flip = 0x80 if more else 0

    cpdef Py_ssize_t feed(self, data, Py_ssize_t start, Py_ssize_t end, list out, Py_ssize_t frames=0) except -1:
        cdef Py_buffer view
        cdef const unsigned char *p
        if frames == 0:
            frames = PY_SSIZE_T_MAX
        if self.closed or start >= end:
            return end
        if type(data) is bytes:
            p = <const unsigned char *>PyBytes_AS_STRING(<bytes>data)
            return self._read(p, start, end, PyBytes_GET_SIZE(<bytes>data), out, frames)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self._read(<const unsigned char *>view.buf, start, end, view.len, out, frames)
        finally:
            PyBuffer_Release(&view)

    cpdef object room(self, Py_ssize_t most):
        cdef size_t n = self._left
        if n < ROOM or self._have or self.closed:
            return None
        if n > <size_t>most:
            n = most
        self._reserve(n)
        return PyMemoryView_FromMemory(PyBytes_AS_STRING(self._message) + self._size, n, PyBUF_WRITE)

    cpdef int filled(self, Py_ssize_t count, list out) except -1:
        cdef unsigned char *to
        cdef bint ascii = False
        if count < 0 or <size_t>count > self._left or self._message is None \
                or <size_t>count > PyBytes_GET_SIZE(self._message) - self._size:
            raise IndexError("filled() was given more than there was room")
        to = <unsigned char *>PyBytes_AS_STRING(self._message) + self._size
        if self._masked:
            ascii = not wsd_xor_here(to, count, self._key, self._offset)
        return self._taken(to, count, ascii, out)

    cdef Py_ssize_t _read(self, const unsigned char *base, Py_ssize_t start, Py_ssize_t end, Py_ssize_t size, list out,
                          Py_ssize_t frames) except -1:
        cdef const unsigned char *p
        cdef const unsigned char *stop
        if start < 0 or end > size:
            raise IndexError("feed() was given bounds outside of its data")
        p = base + start
        stop = base + end
        # Finish what waits for more bytes; it is at most 14 + 125 long, so this loop is short.
        while self._have and p < stop:
            self._buffer[self._have] = p[0]
            self._have += 1
            p += 1
            if self._have >= 2:
                size = self._have
                self._resume(out)
                if self.closed:
                    return end
                if not self._have:
                    frames -= 1 + (<size_t>size + self._left) // WEIGHT
        return self._feed(p, stop, out, frames) - base

    cdef int _resume(self, list out) except -1:
        """Try the waiting bytes again, with one more."""
        cdef unsigned int have = self._have
        cdef const unsigned char *end = self._buffer + have
        cdef const unsigned char *p
        self._have = 0
        p = self._frame(self._buffer, end, out)
        if p == self._buffer:
            self._have = have
        return 0

    cdef const unsigned char *_feed(self, const unsigned char *p, const unsigned char *end, list out,
                                    Py_ssize_t frames) except NULL:
        cdef const unsigned char *next
        cdef size_t n
        while p < end:
            if self._left:
                n = end - p
                if n > self._left:
                    n = self._left
                self._payload(p, n, out)
                p += n
                continue
            if frames <= 0:
                return p
            next = self._frame(p, end, out)
            frames -= 1 + (<size_t>(next - p) + self._left) // WEIGHT
            if self.closed:
                return end
            if next == p:
                # Not all of it is here. What can wait is short: a header, or a control frame.
                n = end - p
                memcpy(self._buffer, p, n)
                self._have = n
                return end
            p = next
        return p

    cdef const unsigned char *_frame(self, const unsigned char *p, const unsigned char *end, list out) except NULL:
        """Read one frame's header, and its payload where all of it is here; return where to read on, ``p`` for nothing done."""
        cdef unsigned char first, second
        cdef const unsigned char *at
        cdef const unsigned char *key = NULL
        cdef uint64_t length, size
        cdef int opcode
        cdef bint odd = False
        cdef unsigned int i
        if end - p < 2:
            return p
        first = p[0] ^ self._flip
        second = p[1]
        length = second & 0x7F
        at = p + 2
        if length == 126:
            at += 2
            if at > end:
                return p
            length = <unsigned int>p[2] << 8 | p[3]
            odd = length < 126
        elif length == 127:
            at += 8
            if at > end:
                return p
            length = 0
            for i in range(8):
                length = length << 8 | p[2 + i]
            odd = length < 65536 or length >> 63
        opcode = (<const unsigned char *>PyBytes_AS_STRING(self._opcodes))[first & 15]
        if (
            odd
            or first & 0x70 & ~self.reserved
            or (second >= 0x80) != self._masked
            or opcode == 255
            or (
                (first < 0x80 or first & 0x70 or length > 125)
                if opcode >= CLOSE
                else (not self._in_message or first & 0x70)
                if opcode == CONTINUATION
                else self._in_message
            )
        ):
            raise header_fault(
                first=first, second=second, opcode=opcode, fin=first >= 0x80, reserved=self.reserved,
                masked=self._masked, in_message=self._in_message, length=-1 if odd else length,
            )
        if opcode < CLOSE:
            size = length + (self._size if self._in_message else 0)
            if self.max_length and size > self.max_length:
                # What an extension has packed may be a little longer than what it unpacks to; that is judged later.
                if not (first & 0x70 or (self._in_message and self._rsv)) or size > packed_limit(self.max_length):
                    raise too_big(size, self.max_length)
        if self._masked:
            key = at
            at += 4
            if at > end:
                return p
        if opcode >= CLOSE:
            if <uint64_t>(end - at) < length:
                return p
            payload = PyBytes_FromStringAndSize(NULL, length)
            if key == NULL:
                memcpy(PyBytes_AS_STRING(payload), at, length)
            else:
                wsd_xor(<unsigned char *>PyBytes_AS_STRING(payload), at, length, key, 0)
            out.append((opcode, payload, 0))
            if opcode == CLOSE:
                self.closed = True
            return at + length
        if first >= 0x80 and opcode != CONTINUATION and <uint64_t>(end - at) >= length:
            # A whole message in one frame that is all here: the usual case.
            if self.raw or first & 0x70:
                out.append((opcode, _message(BINARY, at, length, key), first & 0x70))
            else:
                out.append(_message(opcode, at, length, key))
            return at + length
        if opcode != CONTINUATION:
            self._in_message = True
            self._opcode = opcode
            self._rsv = first & 0x70
            self._fragments = 0
            self._ascii = True
            self._utf8.needed = 0
            self._size = 0
            if first >= 0x80 and length <= WHOLE:
                self._reserve(length)
        self._fragments += 1
        if self._fragments > self.max_fragments:
            raise too_many_fragments(self.max_fragments)
        self._fin = first >= 0x80
        self._offset = 0
        if key != NULL:
            memcpy(self._key, key, 4)
        self._left = length
        if not length and self._fin:
            self._end_message(out)
        return at

    cdef int _payload(self, const unsigned char *p, size_t n, list out) except -1:
        """Read on in the unfinished data frame."""
        cdef unsigned char *to
        cdef bint ascii
        self._reserve(n)
        to = <unsigned char *>PyBytes_AS_STRING(self._message) + self._size
        if self._masked:
            ascii = not wsd_xor(to, p, n, self._key, self._offset)
        else:
            ascii = not wsd_copy(to, p, n)
        return self._taken(to, n, ascii, out)

    cdef int _taken(self, unsigned char *to, size_t n, bint ascii, list out) except -1:
        """Take note of payload that now lies at the end of the message."""
        self._offset = (self._offset + n) & 3
        self._size += n
        self._left -= n
        if self._opcode == TEXT and not self._rsv and not self.raw and (not ascii or self._utf8.needed):
            # Fail at the first bad byte, not at the end of the message (RFC 6455 section 8.1).
            if not wsd_utf8_feed(&self._utf8, to, n):
                raise utf8_fault()
        if not self._left and self._fin:
            self._end_message(out)
        return 0

    cdef int _reserve(self, size_t more) except -1:
        """See that the message has room for so many bytes more."""
        cdef size_t needed = self._size + more
        cdef size_t had
        if self._message is None:
            self._message = _allocate(needed)
            return 0
        had = PyBytes_GET_SIZE(self._message)
        if needed > had:
            if needed < had + had // 2:
                needed = had + had // 2
            self._resize(needed)
        return 0

    cdef int _resize(self, size_t size) except -1:
        cdef PyObject *message = <PyObject *>self._message
        Py_INCREF(self._message)
        self._message = None  # the one reference is ours now, which only this may have
        self.closed = True  # for good where there is no memory, and the message is gone with that
        _PyBytes_Resize(&message, size)
        self.closed = False
        self._message = <bytes>message
        Py_DECREF(self._message)
        return 0

    cdef int _end_message(self, list out) except -1:
        cdef size_t size = self._size
        cdef bytes message
        self._in_message = False
        self._size = 0
        if self._opcode == TEXT and not self._rsv and not self.raw:
            message = self._message
            self._message = None
            if self._utf8.needed:
                raise utf8_fault()
            out.append(PyUnicode_DecodeUTF8(PyBytes_AS_STRING(message), size, NULL) if size else "")
        else:
            if not size:
                message = b""
            else:
                if <size_t>PyBytes_GET_SIZE(self._message) > size:
                    self._resize(size)
                message = self._message
            self._message = None
            out.append((self._opcode, message, self._rsv) if self._rsv or self.raw else message)
        return 0


cdef bint _large_are_kept = False

cdef bytes _allocate(size_t size):
    """Return bytes to be filled."""
    global _large_are_kept
    if size >= ROOM and not _large_are_kept:
        _large_are_kept = True
        wsd_keep_freed(KEPT)
    return PyBytes_FromStringAndSize(NULL, size)


cdef object _message(int opcode, const unsigned char *p, size_t length, const unsigned char *key):
    """Build the str or bytes of a message that is all here."""
    cdef unsigned char small[SMALL]
    cdef object result
    cdef bint ascii
    if opcode == BINARY:
        result = PyBytes_FromStringAndSize(NULL, length)
        if key == NULL:
            memcpy(PyBytes_AS_STRING(result), p, length)
        else:
            wsd_xor(<unsigned char *>PyBytes_AS_STRING(result), p, length, key, 0)
        return result
    try:
        if not length:
            return ""
        if key == NULL:
            return PyUnicode_DecodeUTF8(<const char *>p, length, NULL)
        if length <= SMALL:
            if wsd_xor(small, p, length, key, 0):
                return PyUnicode_DecodeUTF8(<const char *>small, length, NULL)
            if length == 1:
                return PyUnicode_DecodeUTF8(<const char *>small, 1, NULL)
            result = PyUnicode_New(length, 127)
            memcpy(PyUnicode_1BYTE_DATA(result), small, length)
            return result
        result = PyUnicode_New(length, 127)
        if not wsd_xor(PyUnicode_1BYTE_DATA(result), p, length, key, 0):
            return result
        result = PyBytes_FromStringAndSize(NULL, length)
        wsd_xor(<unsigned char *>PyBytes_AS_STRING(result), p, length, key, 0)
        return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(result), length, NULL)
    except UnicodeDecodeError:
        raise utf8_fault() from None
