/* growthload: the other end of the growth tables; each mode opens its connections, prints "ready", and waits for a line.
 *
 * growthload hold PORT CONNS
 *     keeps them open and silent until stdin ends.
 * growthload echo PORT CONNS ACTIVE WINDOW MESSAGES SIZE [raw]
 *     MESSAGES echoes of SIZE bytes of text, WINDOW of them in flight, on the first ACTIVE connections, which take turns.
 *     ACTIVE, if less, is the window. Prints the seconds that took, then goes on as hold does, and takes further lines.
 * growthload quiet PORT CONNS PERIOD_US SECONDS
 *     on each connection one text of 32 bytes every half to one and a half PERIOD_US, whatever the others do. Prints
 *     round trips, and their p50, p99 and maximum in us.
 * growthload flood PORT SIZE [mute]
 *     one connection, written to in 64 KiB as fast as it takes them. It reads all echoes, with "mute" none. At the end of stdin
 *     it prints how many messages it sent, and how many came back.
 * growthload lone PORT SIZE ROUNDS PAUSE_US [raw]
 *     one connection, one message in flight, ROUNDS round trips per line of stdin, each PAUSE_US after the one before. Prints
 *     their p50 and p99 in ns.
 * With "raw", no handshake and no frames. Build: cc -O2 -o growthload growthload.c */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 65536, QUIET = 32, SAMPLES = 1 << 20, PATIENCE_S = 60 };
static int port, raw;
static unsigned char *frame; /* a masked text message, or with raw its payload alone */
static size_t frame_len, echo_len;
static unsigned char block[BLOCK * 4];

static uint64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static void die(const char *what) { perror(what); exit(1); }
static void ready(void) { puts("ready"); fflush(stdout); }
static int next_line(void) { char line[64]; return fgets(line, sizeof line, stdin) != NULL; }

static void make_frame(size_t size) {
  static const unsigned char key[4] = {0x37, 0xfa, 0x21, 0x3d};
  size_t at = 0, head;
  frame = malloc(size + 14);
  if (!raw) {
    frame[at++] = 0x81;
    if (size < 126) frame[at++] = 0x80 | size;
    else if (size < 65536) { frame[at++] = 0x80 | 126; frame[at++] = size >> 8; frame[at++] = size; }
    else { frame[at++] = 0x80 | 127; for (int i = 7; i >= 0; i--) frame[at++] = (uint64_t)size >> (8 * i); }
    memcpy(frame + at, key, 4); at += 4;
  }
  head = at;
  for (size_t i = 0; i < size; i++) frame[at++] = ('a' + i % 26) ^ (raw ? 0 : key[i & 3]);
  frame_len = at;
  echo_len = raw ? size : size + head - 4;
}
static int open_socket(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1, tries = 0;
  if (fd < 0) die("socket");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  while (connect(fd, (void *)&to, sizeof to)) { if (++tries > 50) die("connect"); usleep(20000); }
  if (!raw) {
    char request[512];
    int size = snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", port);
    if (send(fd, request, size, 0) != size) die("send");
  }
  return fd;
}
static void finish_handshake(int fd) {
  char head[4096]; size_t have = 0;
  while (!raw && (have < 4 || memcmp(head + have - 4, "\r\n\r\n", 4))) {
    if (have + 1 >= sizeof head || recv(fd, head + have, 1, 0) != 1) { fprintf(stderr, "the handshake failed\n"); exit(1); }
    if (++have == 12 && memcmp(head, "HTTP/1.1 101", 12)) { fprintf(stderr, "the handshake was refused\n"); exit(1); }
  }
}
static int *open_all(int count) {
  enum { AT_ONCE = 64 };
  int *fds = malloc(count * sizeof *fds);
  for (int i = 0; i < count + AT_ONCE; i++) {
    if (i < count) fds[i] = open_socket();
    if (i >= AT_ONCE) finish_handshake(fds[i - AT_ONCE]);
  }
  ready();
  return fds;
}
static void send_frame(int fd) {
  for (size_t at = 0; at < frame_len;) {
    ssize_t sent = send(fd, frame + at, frame_len - at, MSG_NOSIGNAL);
    if (sent < 0) die("send");
    at += sent;
  }
}
/* Returns how many bytes came, at least one. */
static size_t receive(int fd) {
  ssize_t got = recv(fd, block, sizeof block, 0);
  if (got <= 0) { fprintf(stderr, "the server ended the connection\n"); exit(1); }
  return got;
}
static int watch(const int *fds, int count) {
  int queue = epoll_create1(0);
  for (int i = 0; i < count; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    if (epoll_ctl(queue, EPOLL_CTL_ADD, fds[i], &event)) die("epoll_ctl");
  }
  return queue;
}
static int ascending(const void *a, const void *b) { uint64_t x = *(uint64_t *)a, y = *(uint64_t *)b; return x < y ? -1 : x > y; }

static void hold(void) { while (next_line()) {} }

static void echo(int conns, int active, int window, long messages) {
  int *fds = open_all(conns), queue = watch(fds, active), turn = 0;
  struct epoll_event events[256];
  size_t *have = calloc(active, sizeof *have);
  if (window > active) window = active;
  while (next_line()) {
    uint64_t start = now_ns();
    long sent = 0, done = 0;
    while (sent < window && sent < messages) { send_frame(fds[turn]); turn = (turn + 1) % active; sent++; }
    while (done < messages) {
      int count = epoll_wait(queue, events, 256, PATIENCE_S * 1000);
      if (count == 0) { fprintf(stderr, "no answer\n"); exit(1); }
      for (int i = 0; i < count; i++) {
        int which = events[i].data.u32;
        have[which] += receive(fds[which]);
        for (; have[which] >= echo_len; have[which] -= echo_len) {
          done++;
          if (sent == messages) continue;
          sent++;
          if (window == active) send_frame(fds[which]);
          else { send_frame(fds[turn]); turn = (turn + 1) % active; }
        }
      }
    }
    printf("%.6f\n", (now_ns() - start) / 1e9);
    fflush(stdout);
  }
}
static void quiet(int conns, uint64_t period, double seconds) {
  int *fds = open_all(conns), queue = watch(fds, conns);
  uint64_t *due = calloc(conns, sizeof *due), *asked = calloc(conns, sizeof *asked), *took = malloc(SAMPLES * sizeof *took);
  size_t *have = calloc(conns, sizeof *have);
  struct epoll_event events[256];
  srandom(1);
  while (next_line()) {
    uint64_t start = now_ns(), end = start + seconds * 1e9;
    size_t count = 0;
    memset(asked, 0, conns * sizeof *asked);
    for (int i = 0; i < conns; i++) due[i] = start + random() % period;
    for (;;) {
      uint64_t now = now_ns(), next = end, waiting = 0;
      for (int i = 0; i < conns; i++) {
        if (asked[i]) { waiting++; continue; }
        if (due[i] <= now && now < end) { asked[i] = now_ns(); send_frame(fds[i]); due[i] = now + period / 2 + random() % period; waiting++; }
        else if (due[i] < next) next = due[i];
      }
      now = now_ns();
      if (now >= end && !waiting) break;
      if (now >= end + PATIENCE_S * 1000000000ull) { fprintf(stderr, "no answer\n"); exit(1); }
      uint64_t rest = next > now ? next - now : now >= end ? 1000000 : 0;
      struct timespec timeout = {rest / 1000000000, rest % 1000000000};
      struct pollfd queued = {.fd = queue, .events = POLLIN};
      ppoll(&queued, 1, &timeout, NULL);
      int ready_ones = epoll_wait(queue, events, 256, 0);
      for (int i = 0; i < ready_ones; i++) {
        int which = events[i].data.u32;
        have[which] += receive(fds[which]);
        if (have[which] < echo_len) continue;
        have[which] -= echo_len;
        if (!asked[which]) { fprintf(stderr, "an echo that nobody asked for on %d: %zu\n", which, have[which]); exit(1); }
        if (count < SAMPLES) took[count++] = now_ns() - asked[which];
        asked[which] = 0;
      }
    }
    qsort(took, count, sizeof *took, ascending);
    if (!count) { fprintf(stderr, "no answer\n"); exit(1); }
    printf("%zu %.1f %.1f %.1f\n", count, took[count / 2] / 1e3, took[count * 99 / 100] / 1e3, took[count - 1] / 1e3);
    fflush(stdout);
  }
}
static void flood(int mute) {
  int *fds = open_all(1), fd = fds[0];
  size_t frames = frame_len > BLOCK ? 1 : BLOCK / frame_len, size = frames * frame_len, at = 0;
  uint64_t sent = 0, came = 0;
  unsigned char *out = malloc(size);
  for (size_t i = 0; i < frames; i++) memcpy(out + i * frame_len, frame, frame_len);
  if (!next_line()) return;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  for (;;) {
    struct pollfd both[2] = {{.fd = fd, .events = POLLOUT | (mute ? 0 : POLLIN)}, {.fd = 0, .events = POLLIN}};
    if (poll(both, 2, -1) < 0) die("poll");
    if (both[1].revents) break;
    if (both[0].revents & POLLIN) came += receive(fd);
    if (both[0].revents & (POLLERR | POLLHUP)) { fprintf(stderr, "the server ended the connection\n"); exit(1); }
    if (both[0].revents & POLLOUT) {
      ssize_t count = send(fd, out + at, size - at, MSG_NOSIGNAL);
      if (count < 0) { if (errno != EAGAIN) die("send"); continue; }
      sent += count;
      at = (at + count) % size;
    }
  }
  printf("%llu %llu\n", (unsigned long long)(sent / frame_len), (unsigned long long)(came / echo_len));
}
static void lone(long rounds, unsigned pause) {
  int fd = open_all(1)[0];
  uint64_t *took = malloc(rounds * sizeof *took);
  while (next_line()) {
    for (long i = 0; i < rounds; i++) {
      uint64_t start = now_ns();
      send_frame(fd);
      for (size_t have = 0; have < echo_len;) have += receive(fd);
      took[i] = now_ns() - start;
      if (pause) usleep(pause);
    }
    qsort(took, rounds, sizeof *took, ascending);
    printf("%llu %llu\n", (unsigned long long)took[rounds / 2], (unsigned long long)took[rounds * 99 / 100]);
    fflush(stdout);
  }
}
int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  for (int i = 2; i < argc; i++) raw |= !strcmp(argv[i], "raw");
  if (argc > 2) port = atoi(argv[2]);
  if (!strcmp(mode, "hold") && argc >= 4) { int conns = atoi(argv[3]); open_all(conns); hold(); }
  else if (!strcmp(mode, "echo") && argc >= 8) { make_frame(atol(argv[7])); echo(atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atol(argv[6])); }
  else if (!strcmp(mode, "quiet") && argc >= 6) { make_frame(QUIET); quiet(atoi(argv[3]), atol(argv[4]) * 1000, atof(argv[5])); }
  else if (!strcmp(mode, "flood") && argc >= 4) { make_frame(atol(argv[3])); flood(argc > 4 && !strcmp(argv[4], "mute")); }
  else if (!strcmp(mode, "lone") && argc >= 6) { make_frame(atol(argv[3])); lone(atol(argv[4]), atoi(argv[5])); }
  else { fprintf(stderr, "usage: see the head of growthload.c\n"); return 2; }
  return 0;
}
