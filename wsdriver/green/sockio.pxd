cpdef Py_ssize_t read_into(sock, int fd, bytearray buffer) except -3
cpdef Py_ssize_t write_from(sock, int fd, bytearray data) except -3
cpdef unsigned long get_ident() noexcept
cpdef Py_ssize_t write_both(sock, int fd, bytearray first, Py_ssize_t split, bytes second, Py_ssize_t start) except -3
cpdef Py_ssize_t read_tls(tls, bytearray buffer) except -3
cpdef Py_ssize_t write_tls(tls, bytearray data) except -3
cpdef bint has_input(int fd) except -1
