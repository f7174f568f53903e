/* recv and send on a descriptor, where descriptors are what sockets are. */
#ifndef WSDRIVER_SOCKIO_H
#define WSDRIVER_SOCKIO_H

#ifdef _WIN32
#define WSD_NATIVE 0
#define wsd_recv(fd, buffer, size) (-1)
#define wsd_send(fd, data, size) (-1)
#define wsd_send_both(fd, a, m, b, n) (-1)
#define wsd_has_input(fd) (1)
#else
#include <sys/ioctl.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>
#define WSD_NATIVE 1
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#define wsd_recv(fd, buffer, size) recv(fd, buffer, size, MSG_DONTWAIT)
#define wsd_send(fd, data, size) send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)

static inline ssize_t wsd_send_both(int fd, void *a, size_t m, void *b, size_t n) {
    struct iovec parts[2] = {{a, m}, {b, n}};
    struct msghdr message = {0};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static inline int wsd_has_input(int fd) {
    int count = 0;
    return ioctl(fd, FIONREAD, &count) != 0 || count != 0;
}
#endif

#endif
