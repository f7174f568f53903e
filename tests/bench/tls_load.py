"""The load generator for TLS: what wsload.c does, as far as the rows for TLS need it.

``python -m tests.bench.tls_load HOST PORT PATH CONNS SIZE DEPTH SECONDS text|bin CAFILE [PID..]`` keeps DEPTH messages
in flight on each connection, and prints one line as wsload does. Given the server's process ids, it adds what processor
time a message took there, without the handshakes: that does not depend on how fast this program is.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import sys
import time
from collections import deque
from typing import Any

from tests.bench import process

REQUEST = (
    "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: https://%s:%d\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MASK = b"\x37\xfa\x21\x3d"
WARM_UP = 0.3
GIVE_UP = 5.0


def frame_head(opcode: int, size: int, mask: int) -> bytes:
    """Return the header of a whole message."""
    if size < 126:
        return bytes((0x80 | opcode, mask | size))
    if size < 65536:
        return bytes((0x80 | opcode, mask | 126)) + size.to_bytes(2, "big")
    return bytes((0x80 | opcode, mask | 127)) + size.to_bytes(8, "big")


def frames(kind: str, size: int) -> tuple[bytes, bytes]:
    """Return a client's frame, and its echo."""
    if kind == "text":
        opcode, payload = 1, (b"abcdefghijklmnopqrstuvwxyz" * (size // 26 + 1))[:size]
    else:
        opcode, payload = 2, bytes((i * 31 + 7) & 255 for i in range(size))
    key = (MASK * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
    return frame_head(opcode, size, 0x80) + MASK + masked, frame_head(opcode, size, 0) + payload


class Connection:
    """One connection of the load."""

    __slots__ = ("echo", "frame", "have", "offset", "pending", "sent", "sock", "tls")

    def __init__(self, sock: ssl.SSLSocket, frame: bytes, echo: bytes) -> None:
        self.sock = sock
        self.tls: Any = sock._sslobj  # type: ignore[attr-defined]  # half of the time would go into the wrapper
        self.frame = frame
        self.echo = echo
        self.pending = 0  # frames still to write
        self.offset = 0  # within the frame that is being written
        self.have = 0  # bytes of the echo that is being read
        self.sent: deque[float] = deque()

    def write(self) -> bool:
        """Write what can be written; False where it has to wait."""
        try:
            while self.pending:
                if self.offset:
                    count = self.tls.write(memoryview(self.frame)[self.offset :])
                else:
                    count = self.tls.write(self.frame)
                self.offset += count
                if self.offset == len(self.frame):
                    self.offset = 0
                    self.pending -= 1
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return False
        return True

    def read(self, buffer: bytearray) -> int:
        """Read what is there; return how many echoes are complete now."""
        echo, size, done = self.echo, len(self.echo), 0
        while True:
            try:
                count = self.tls.read(len(buffer), buffer)
            except ssl.SSLWantReadError:
                return done
            if not count:
                raise ConnectionError("connection closed by server")
            if not self.have and buffer[0] != echo[0]:
                raise ConnectionError(f"not an echo: {bytes(buffer[:count])!r:.100}")
            self.have += count
            done += self.have // size
            self.have %= size
            if count < 16384 and not self.tls.pending():
                return done


def connect(host: str, port: int, path: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Open a WebSocket."""
    sock = context.wrap_socket(socket.create_connection((host, port), GIVE_UP), server_hostname=host)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall((REQUEST % (path, host, port, host, port)).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(1)
        if not data:
            break
        head += data
    if not head.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(f"handshake failed: {head!r}")
    sock.setblocking(False)
    return sock


def main(arguments: list[str]) -> int:
    """Do what the command line says."""
    host, port, path, count, size, depth, seconds, kind, authority, *pids = arguments
    context = ssl.create_default_context(cafile=authority)
    frame, echo = frames(kind, int(size))
    buffer = bytearray(262144)
    poll = select.epoll()
    connections = {}
    for _ in range(int(count)):
        sock = connect(host, int(port), path, context)
        connections[sock.fileno()] = Connection(sock, frame, echo)
        poll.register(sock.fileno(), select.EPOLLIN)
    clock = time.perf_counter
    servers = [int(pid) for pid in pids]
    trips: list[float] = []
    start = end = cpu = 0.0
    warm = clock() + WARM_UP

    def write(fd: int, connection: Connection) -> None:
        poll.modify(fd, select.EPOLLIN if connection.write() else select.EPOLLIN | select.EPOLLOUT)

    for connection in connections.values():
        connection.pending = int(depth)
        connection.sent.extend([clock()] * int(depth))
        if not connection.write():
            poll.modify(connection.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
    while True:
        ready = poll.poll(GIVE_UP)
        now = clock()
        if not ready:
            raise TimeoutError("the server stopped answering")
        if not start and now > warm:
            start, cpu = now, process.cpu_time(servers)
            end = now + float(seconds)
            trips.clear()
        elif start and now > end:
            break
        for fd, event in ready:
            connection = connections[fd]
            if event & ~select.EPOLLOUT:
                done = connection.read(buffer)
                now = clock()
                for _ in range(done):
                    trips.append(now - connection.sent.popleft())
                    connection.sent.append(now)
                connection.pending += done
                if connection.pending and (event & select.EPOLLOUT or not connection.write()):
                    write(fd, connection)
            else:
                write(fd, connection)
    cpu = process.cpu_time(servers) - cpu
    report(trips, now - start, int(size), cpu if servers else None)
    sys.stdout.flush()
    os._exit(0)  # no goodbyes: they would be the next server's load


def report(trips: list[float], took: float, size: int, cpu: float | None) -> None:
    """Print the line."""
    if not trips:
        raise TimeoutError("not one message came back")
    trips.sort()
    total = len(trips)
    p50, p99, most = (trips[index] * 1e6 for index in ((total - 1) // 2, (total - 1) * 99 // 100, total - 1))
    line = f"{total / took:.0f} msg/s  {total / took * size / 1e6:.1f} MB/s  p50 {p50:.0f} us  p99 {p99:.0f} us"
    line += f"  max {most:.0f} us"
    if cpu is not None:
        line += f"  cpu {cpu / total * 1e6:.2f} us"
    print(line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
