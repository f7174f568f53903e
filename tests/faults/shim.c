/* Preloaded into a process: makes its system calls on sockets fail, and steps its wall clock. Called by ctypes.

   The monotonic clock is left alone: on a machine whose clock is set, it is, too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { ACCEPT, RECV, SEND, KINDS };

static struct {
    int error;  /* what errno is made; 0 for a short read or write */
    int every;  /* each so-manieth call is touched */
    int left;   /* as many times */
    int calls;
    int done;
} faults[KINDS];

static long long offset;
static int asked;

void fault_set(int kind, int error, int every, int left) {
    faults[kind].error = error;
    faults[kind].every = every;
    faults[kind].left = left;
    faults[kind].calls = 0;
    faults[kind].done = 0;
}

int fault_done(int kind) { return faults[kind].done; }

void clock_step(long long seconds) { offset += seconds; }

int clock_asked(void) { return asked; }

static int due(int kind) {
    if (faults[kind].left == 0 || ++faults[kind].calls % faults[kind].every != 0)
        return 0;
    faults[kind].left--;
    faults[kind].done++;
    return 1;
}

#define FAIL(kind) \
    if (due(kind)) { \
        if (faults[kind].error) { errno = faults[kind].error; return -1; } \
        size = size > 3 ? size / 3 : size; \
    }

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    size_t size = 0;
    FAIL(ACCEPT)
    return syscall(SYS_accept4, fd, address, length, flags);
}

int accept(int fd, struct sockaddr *address, socklen_t *length) { return accept4(fd, address, length, 0); }

ssize_t recv(int fd, void *buffer, size_t size, int flags) {
    FAIL(RECV)
    return syscall(SYS_recvfrom, fd, buffer, size, flags, NULL, NULL);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    FAIL(SEND)
    return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    size_t size = 0;
    if (due(SEND)) {
        if (faults[SEND].error) { errno = faults[SEND].error; return -1; }
        for (size_t i = 0; i < message->msg_iovlen && size == 0; i++)
            if (message->msg_iov[i].iov_len > 0) /* the first byte of it all */
                return syscall(SYS_sendto, fd, message->msg_iov[i].iov_base, (size_t)1, flags, NULL, 0);
    }
    return syscall(SYS_sendmsg, fd, message, flags);
}

/* What plain Python calls. */
static int is_socket(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

ssize_t readv(int fd, const struct iovec *parts, int count) {
    if (count == 1 && is_socket(fd))
        return recv(fd, parts[0].iov_base, parts[0].iov_len, 0);
    return syscall(SYS_readv, fd, parts, count);
}

ssize_t write(int fd, const void *data, size_t size) {
    if (is_socket(fd))
        return send(fd, data, size, 0);
    return syscall(SYS_write, fd, data, size);
}

static void shift(clockid_t clock, struct timespec *time) {
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        time->tv_sec += offset;
        asked++;
    }
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    shift(clock, time);
    return result;
}

time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to != NULL)
        *to = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

/* libev asks for the time in this way. */
long syscall(long number, ...) {
    static long (*real)(long, ...);
    va_list list;
    long a[6];
    if (real == NULL)
        real = dlsym(RTLD_NEXT, "syscall");
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    long result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (number == SYS_clock_gettime && result == 0)
        shift((clockid_t)a[0], (struct timespec *)a[1]);
    return result;
}
