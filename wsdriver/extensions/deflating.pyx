# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
"""The compiled twin of ``deflating.py``, which documents it: zlib itself, with streams that are used again.

A deflater is large, 38 KiB by default, and only what it compressed last is worth keeping: the rest can be made again
from that. So no more than ``HOT`` connections have one, those that sent last; each other keeps the end of what it sent.
(Where more than that send in turn, making it again costs no more time than the processor's cache did that they shared.)

Whoever calls holds the GIL until the call ends, and nothing here runs Python code between taking what is shared and
leaving it (no object is made that the garbage collector tracks): so one stream and one buffer serve for all.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.ref cimport PyObject, Py_XDECREF
from libc.string cimport memcpy, memmove, memset

from wsdriver.exceptions import InvalidPayload, MessageTooBig
from wsdriver.framing.faults import too_big


cdef extern from "zlib.h":
    ctypedef struct z_stream:
        unsigned char *next_in
        unsigned int avail_in
        unsigned char *next_out
        unsigned int avail_out
        const char *msg
        void *(*zalloc)(void *, unsigned int, unsigned int) noexcept
        void (*zfree)(void *, void *) noexcept
        void *opaque

    enum:
        Z_OK, Z_STREAM_END, Z_BUF_ERROR, Z_MEM_ERROR, Z_NO_FLUSH, Z_SYNC_FLUSH, Z_DEFLATED

    int deflateInit2(z_stream *z, int level, int method, int bits, int mem_level, int strategy)
    int deflateReset(z_stream *z)
    int deflateSetDictionary(z_stream *z, const unsigned char *data, unsigned int size)
    int deflateGetDictionary(z_stream *z, unsigned char *data, unsigned int *size)
    int deflate(z_stream *z, int flush)
    int deflateEnd(z_stream *z)
    int inflateInit2(z_stream *z, int bits)
    int inflateReset(z_stream *z)
    int inflateSetDictionary(z_stream *z, const unsigned char *data, unsigned int size)
    int inflate(z_stream *z, int flush)


cdef extern from "Python.h":
    PyObject *new_bytes "PyBytes_FromStringAndSize" (const char *data, Py_ssize_t size) except NULL
    int _PyBytes_Resize(PyObject **data, Py_ssize_t size) except -1
    char *bytes_data "PyBytes_AS_STRING" (PyObject *data)


__all__ = ["MAX_STREAMS", "Deflater", "Inflater"]

COMPILED = True

cdef enum:
    STREAMS = 1024
    HOTTEST = 128  # deflaters of connections that keep their context, at most
    SMALL = 4096  # a payload up to this is put together with the tail, for one call instead of two
    SCRATCH = 65536
    STEP = 1 << 30  # zlib counts in 32 bits
    TAIL_SIZE = 9

MAX_STREAMS = STREAMS
HOT = HOTTEST

cdef unsigned char *TAIL = <unsigned char *>b"\x00\x00\xff\xff\x01\x00\x00\xff\xff"


cdef void *_allocate(void *opaque, unsigned int items, unsigned int size) noexcept:
    return PyMem_RawMalloc(<size_t>items * size)


cdef void _free(void *opaque, void *data) noexcept:
    PyMem_RawFree(data)


# --- what comes out --------------------------------------------------------------------------------------------------

cdef unsigned char _scratch[SCRATCH]

cdef struct Output:
    PyObject *large  # the bytes to be, where the scratch was too small
    unsigned char *data
    size_t room


cdef void _begin(Output *out, size_t limit) noexcept:
    out.large = NULL
    out.data = _scratch
    out.room = limit if limit < SCRATCH else SCRATCH


cdef int _grow(Output *out, z_stream *z, size_t limit) except -1:
    """Make room for more, where there was none left; not beyond the limit."""
    cdef size_t size = out.room
    cdef size_t room = limit if size > limit // 2 else size * 2
    if out.large == NULL:
        out.large = new_bytes(NULL, room)
        memcpy(bytes_data(out.large), _scratch, size)
    else:
        _PyBytes_Resize(&out.large, room)
    out.data = <unsigned char *>bytes_data(out.large)
    out.room = room
    _point(out, z, size)
    return 0


cdef void _point(Output *out, z_stream *z, size_t size) noexcept:
    cdef size_t left = out.room - size
    z.next_out = out.data + size
    z.avail_out = left if left < STEP else STEP


cdef bytes _end(Output *out, size_t size):
    cdef bytes result
    if out.large == NULL:
        return PyBytes_FromStringAndSize(<char *>_scratch, size)
    _PyBytes_Resize(&out.large, size)
    result = <bytes>out.large
    Py_XDECREF(out.large)
    out.large = NULL
    return result


# --- out --------------------------------------------------------------------------------------------------------------

cdef struct Settings:
    int level, bits, mem_level, strategy


cdef struct Stream:
    z_stream z
    Settings settings


cdef Stream *_shared = NULL  # for messages on their own
cdef void *_hot[HOTTEST]  # the Deflaters that have a stream, borrowed: each takes itself out when it goes
cdef int _hot_count = 0
cdef int _hand = 0


cdef bint _alike(Settings *a, Settings *b) noexcept:
    return a.level == b.level and a.bits == b.bits and a.mem_level == b.mem_level and a.strategy == b.strategy


cdef void _end_stream(Stream *stream) noexcept:
    if stream != NULL:
        deflateEnd(&stream.z)
        PyMem_RawFree(stream)


cdef Stream *_ready(Stream *stream, Settings *settings) except NULL:
    """Return a stream at its beginning: the one given, or where that is none or of other settings a new one."""
    cdef int code
    if stream != NULL:
        if _alike(&stream.settings, settings):
            deflateReset(&stream.z)
            return stream
        _end_stream(stream)
    stream = <Stream *>PyMem_RawMalloc(sizeof(Stream))
    if stream == NULL:
        raise MemoryError()
    memset(stream, 0, sizeof(Stream))
    stream.z.zalloc = _allocate
    stream.z.zfree = _free
    stream.settings = settings[0]
    code = deflateInit2(&stream.z, settings.level, Z_DEFLATED, -settings.bits, settings.mem_level, settings.strategy)
    if code != Z_OK:
        PyMem_RawFree(stream)
        if code == Z_MEM_ERROR:
            raise MemoryError()
        raise ValueError("zlib has no such deflater")
    return stream


cdef class Deflater:
    cdef Settings _settings
    cdef bint _takeover
    cdef bint _used  # since the hand passed
    cdef int _place  # among the hot
    cdef Stream *_stream
    cdef unsigned char *_history  # of one that had a stream
    cdef unsigned int _length

    def __cinit__(self, int level, int bits, int mem_level, int strategy, bint takeover):
        self._settings = Settings(level, bits, mem_level, strategy)
        self._takeover = takeover

    def __dealloc__(self):
        _end_stream(self._leave())
        PyMem_RawFree(self._history)

    def pack(self, bytes data not None):
        global _shared
        cdef Stream *stream
        if self._takeover:
            if self._stream == NULL:
                self._enter()
            stream = self._stream
            self._used = True
        else:
            stream = _shared
            _shared = NULL
            stream = _shared = _ready(stream, &self._settings)
        return _pack(&stream.z, <unsigned char *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef Stream *_leave(self) noexcept:
        """Give up the stream, if there is one, and the place among the hot."""
        global _hot_count
        cdef Stream *stream = self._stream
        cdef Deflater last
        if stream != NULL:
            self._stream = NULL
            _hot_count -= 1
            if self._place != _hot_count:
                last = <Deflater>_hot[_hot_count]
                last._place = self._place
                _hot[self._place] = <void *>last
        return stream

    cdef int _enter(self) except -1:
        """Take a stream, where there are many already from who has not sent for a while; it knows again what this one sent."""
        global _hot_count
        cdef Stream *stream = NULL
        if _hot_count == HOTTEST:
            stream = _oldest()._park()
        stream = _ready(stream, &self._settings)
        if self._history != NULL:
            deflateSetDictionary(&stream.z, self._history, self._length)
            PyMem_RawFree(self._history)
            self._history = NULL
        self._stream = stream
        self._place = _hot_count
        _hot[_hot_count] = <void *>self
        _hot_count += 1
        return 0

    cdef Stream *_park(self) except NULL:
        """Keep what the stream could refer to, and leave it to another."""
        cdef unsigned int length = 0
        deflateGetDictionary(&self._stream.z, NULL, &length)
        self._history = <unsigned char *>PyMem_RawMalloc(length if length else 1)
        if self._history == NULL:
            raise MemoryError()
        deflateGetDictionary(&self._stream.z, self._history, &length)
        self._length = length
        return self._leave()


cdef Deflater _oldest():
    """Return one of the hot that was not used since the hand passed it last."""
    global _hand
    cdef Deflater found
    while True:
        if _hand >= _hot_count:
            _hand = 0
        found = <Deflater>_hot[_hand]
        _hand += 1
        if not found._used:
            return found
        found._used = False


cdef bytes _pack(z_stream *z, unsigned char *data, size_t left):
    cdef Output out
    cdef unsigned int step
    cdef int flush
    _begin(&out, SCRATCH)
    _point(&out, z, 0)
    try:
        while True:
            step = left if left < STEP else STEP
            left -= step
            flush = Z_NO_FLUSH if left else Z_SYNC_FLUSH
            z.next_in = data
            z.avail_in = step
            data += step
            while True:
                deflate(z, flush)
                if z.avail_out:
                    break
                if <size_t>(z.next_out - out.data) == out.room:
                    _grow(&out, z, <size_t>-1)
                else:
                    _point(&out, z, z.next_out - out.data)
            if not left:
                return _end(&out, z.next_out - out.data - 4)
    finally:
        Py_XDECREF(out.large)


# --- in ---------------------------------------------------------------------------------------------------------------

cdef z_stream _inflater
cdef bint _has_inflater = False


cdef class Inflater:
    cdef bint _takeover
    cdef unsigned char *_history
    cdef size_t _window, _length, _room

    def __cinit__(self, int bits, bint takeover):
        self._window = <size_t>1 << bits
        self._takeover = takeover

    def __dealloc__(self):
        PyMem_RawFree(self._history)

    def unpack(self, bytes data not None, size_t budget):
        global _has_inflater
        cdef z_stream *z = &_inflater
        cdef unsigned char joined[SMALL + TAIL_SIZE]
        cdef unsigned char *next = <unsigned char *>PyBytes_AS_STRING(data)
        cdef size_t left = PyBytes_GET_SIZE(data)  # of the payload, then of the tail, not yet handed to zlib
        cdef size_t limit = budget + 1 if budget else <size_t>-1
        cdef size_t size, rest, begin = 0
        cdef bint in_tail = False
        cdef int code, streams = 0
        cdef Output out
        if not _has_inflater:
            z.zalloc = _allocate
            z.zfree = _free
            if inflateInit2(z, -15) != Z_OK:
                raise MemoryError()
            _has_inflater = True
        else:
            inflateReset(z)
        if self._length and inflateSetDictionary(z, self._history, self._length) != Z_OK:
            raise MemoryError()
        if left <= SMALL:
            memcpy(joined, next, left)
            memcpy(joined + left, TAIL, TAIL_SIZE)
            next = joined
            left += TAIL_SIZE
            in_tail = True
        z.avail_in = 0
        _begin(&out, limit)
        _point(&out, z, 0)
        try:
            while True:
                if not z.avail_out:
                    size = z.next_out - out.data
                    if size == out.room:
                        _grow(&out, z, limit)
                    else:
                        _point(&out, z, size)
                elif not z.avail_in:
                    if not left:
                        if in_tail:
                            raise InvalidPayload("a message is not DEFLATE data: it breaks off within a block")
                        next = TAIL
                        left = TAIL_SIZE
                        in_tail = True
                    z.next_in = next
                    z.avail_in = left if left < STEP else STEP
                    next += z.avail_in
                    left -= z.avail_in
                code = inflate(z, Z_SYNC_FLUSH)
                size = z.next_out - out.data
                if code != Z_OK and code != Z_BUF_ERROR and code != Z_STREAM_END:
                    if code == Z_MEM_ERROR:
                        raise MemoryError()
                    said = f": {z.msg.decode()}" if z.msg != NULL else ""
                    raise InvalidPayload(f"a message is not DEFLATE data: Error {code} while decompressing data{said}")
                if budget and size > budget:
                    raise too_big(size, budget)
                if code == Z_STREAM_END:
                    rest = z.avail_in + left + (0 if in_tail else TAIL_SIZE)
                    if not rest:
                        break
                    # A final block of the peer's: see the twin.
                    self._length = 0
                    begin = size
                    if rest == TAIL_SIZE:
                        break
                    streams += 1
                    if streams > STREAMS:
                        raise MessageTooBig(f"a message has more than {STREAMS} final DEFLATE blocks")
                    inflateReset(z)
            if self._takeover:
                self._remember(out.data + begin, size - begin)
            return _end(&out, size)
        finally:
            Py_XDECREF(out.large)

    cdef int _remember(self, unsigned char *data, size_t size) except -1:
        """Add to the history, of which no more is kept than the window."""
        cdef size_t room, kept = self._length
        cdef unsigned char *grown
        if size > self._window:
            data += size - self._window
            size = self._window
        if kept > self._window - size:
            kept = self._window - size
        if kept + size > self._room:
            room = (kept + size + 255) & ~<size_t>255
            grown = <unsigned char *>PyMem_RawRealloc(self._history, room)
            if grown == NULL:
                raise MemoryError()
            self._history = grown
            self._room = room
        if kept < self._length:
            memmove(self._history, self._history + self._length - kept, kept)
        if size:
            memcpy(self._history + kept, data, size)
        self._length = kept + size
        return 0
