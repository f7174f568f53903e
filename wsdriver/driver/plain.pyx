# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
"""The compiled twin of ``plain.py``, which documents it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memcmp

from wsdriver.http import MAX_FIELDS as _MAX_FIELDS
from wsdriver.http import MAX_HEAD as _MAX_HEAD
from wsdriver.options import TOKEN as _TOKEN

__all__ = ["COMPILED", "read_plain"]

COMPILED = True

ctypedef const unsigned char *Place

cdef Py_ssize_t MAX_HEAD = _MAX_HEAD
cdef int MAX_FIELDS = _MAX_FIELDS

#: Bytes of a header's name.
cdef unsigned char NAME[256]
cdef int _byte
for _byte in range(256):
    NAME[_byte] = chr(_byte) in _TOKEN

cdef struct Span:
    Place start
    Place end  # NULL where there is no such header

cdef enum:
    HOST, UPGRADE, CONNECTION, KEY, VERSION, PROTOCOL, EXTENSIONS, KNOWN
    OTHER, STRANGE, FORWARDED


cdef bint _is(Place p, const char *lower, Py_ssize_t size) noexcept nogil:
    """Compare letters, digits and dashes without regard to case."""
    cdef Py_ssize_t i
    for i in range(size):
        if p[i] | 0x20 != <unsigned char>lower[i]:
            return False
    return True


cdef int _kind(Place p, Py_ssize_t size) noexcept nogil:
    """Tell which header it is, by its name: bytes of tokens."""
    if size == 4:
        return HOST if _is(p, b"host", 4) else OTHER
    if size == 6:
        return STRANGE if _is(p, b"expect", 6) else OTHER
    if size == 7:
        return UPGRADE if _is(p, b"upgrade", 7) else OTHER
    if size == 10:
        return CONNECTION if _is(p, b"connection", 10) else OTHER
    if size >= 12 and _is(p, b"x-forwarded-", 12):
        return FORWARDED
    if size == 14:
        return STRANGE if _is(p, b"content-length", 14) else OTHER
    if size == 18:
        return STRANGE if _is(p, b"websocket-protocol", 18) else OTHER
    if size == 17 and _is(p, b"transfer-encoding", 17):
        return STRANGE
    if size < 17 or not _is(p, b"sec-websocket-", 14):
        return OTHER
    p += 14
    if size == 17:
        return KEY if _is(p, b"key", 3) else OTHER
    if size == 21:
        return VERSION if _is(p, b"version", 7) else OTHER
    if size == 22:
        return PROTOCOL if _is(p, b"protocol", 8) else OTHER
    if size == 24:
        return EXTENSIONS if _is(p, b"extensions", 10) else OTHER
    return OTHER


cdef bint _is_host(Place p, Place end) noexcept nogil:
    cdef Place start = p
    cdef int port = 0
    while p < end and (c'a' <= p[0] | 0x20 <= c'z' or c'0' <= p[0] <= c'9' or p[0] == c'.' or p[0] == c'-'):
        p += 1
    if p == start:
        return False
    if p == end:
        return True
    if p[0] != c':' or not 2 <= end - p <= 6:
        return False
    p += 1
    while p < end:
        if not c'0' <= p[0] <= c'9':
            return False
        port = port * 10 + p[0] - c'0'
        p += 1
    return port <= 65535


cdef bint _has_upgrade(Place p, Place end) noexcept nogil:
    """Look for the token in a comma-separated list."""
    cdef Place stop
    cdef Place last
    while p < end:
        stop = p
        while stop < end and stop[0] != c',':
            stop += 1
        last = stop
        while p < last and (p[0] == c' ' or p[0] == c'\t'):
            p += 1
        while p < last and ((last - 1)[0] == c' ' or (last - 1)[0] == c'\t'):
            last -= 1
        if last - p == 7 and _is(p, b"upgrade", 7):
            return True
        p = stop + 1
    return False


cdef bint _is_key(Place p, Place end) noexcept nogil:
    cdef int i
    if end - p != 24 or p[22] != c'=' or p[23] != c'=':
        return False
    for i in range(22):
        if not (c'a' <= p[i] | 0x20 <= c'z' or c'0' <= p[i] <= c'9' or p[i] == c'+' or p[i] == c'/'):
            return False
    return True


cdef bint _is_right(Span *found) noexcept nogil:
    cdef int kind
    for kind in range(PROTOCOL):
        if found[kind].end == NULL:
            return False
    return (
        _is_host(found[HOST].start, found[HOST].end)
        and found[UPGRADE].end - found[UPGRADE].start == 9
        and _is(found[UPGRADE].start, b"websocket", 9)
        and _has_upgrade(found[CONNECTION].start, found[CONNECTION].end)
        and found[VERSION].end - found[VERSION].start == 2
        and memcmp(found[VERSION].start, b"13", 2) == 0
        and _is_key(found[KEY].start, found[KEY].end)
    )


cdef str _text(Span span):
    return PyUnicode_DecodeLatin1(<const char *>span.start, span.end - span.start, NULL)


cpdef read_plain(bytes head):
    cdef Place p = <Place>PyBytes_AS_STRING(head)
    cdef Place end = p + PyBytes_GET_SIZE(head)
    cdef Place start
    cdef Span found[KNOWN]
    cdef Span target, value
    cdef int kind, fields = 0
    cdef bint forwarded = False
    # The bytes object ends with a 0, which stops all loops here.
    if end - p > MAX_HEAD or end - p < 16 or memcmp(p, b"GET /", 5) != 0:
        return None
    for kind in range(KNOWN):
        found[kind].start = found[kind].end = NULL
    p += 4
    target.start = p
    while c'!' <= p[0] <= c'~' and p[0] != c'#':
        p += 1
    target.end = p
    if end - p < 11 or memcmp(p, b" HTTP/1.1\r\n", 11) != 0:
        return None
    p += 11
    while p[0] != c'\r':
        start = p
        while NAME[p[0]]:
            p += 1
        if p == start or p[0] != c':':
            return None
        kind = _kind(start, p - start)
        p += 1
        while p[0] == c' ' or p[0] == c'\t':
            p += 1
        value.start = p
        while p[0] >= c' ' and p[0] != 0x7f or p[0] == c'\t':
            p += 1
        value.end = p
        if p[0] != c'\r' or p[1] != c'\n':
            return None
        p += 2
        while value.end > value.start and ((value.end - 1)[0] == c' ' or (value.end - 1)[0] == c'\t'):
            value.end -= 1
        fields += 1
        if kind < KNOWN:
            if found[kind].end != NULL:
                return None
            found[kind] = value
        elif kind == STRANGE:
            return None
        elif kind == FORWARDED:
            forwarded = True
    if p + 2 != end or p[1] != c'\n' or fields > MAX_FIELDS or not _is_right(found):
        return None
    return (
        _text(target),
        _text(found[KEY]),
        _text(found[PROTOCOL]) if found[PROTOCOL].end != NULL else "",
        _text(found[EXTENSIONS]) if found[EXTENSIONS].end != NULL else "",
        forwarded,
    )
