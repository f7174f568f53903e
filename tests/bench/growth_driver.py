"""What the driver alone does with messages of every size and in every number of pieces: no socket, one process.

``python -m tests.bench.growth_driver`` prints, as JSON, the nanoseconds of each section. Under callgrind, with the
library that ``growth_marks.c`` becomes as ``--marks``, the instructions of each section lie in a dump of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from wsdriver import Driver, PermessageDeflate
from wsdriver.framing.hybi import apply_mask
from wsdriver.framing.opcodes import BINARY, CONTINUATION, TEXT

KIB, MIB = 1 << 10, 1 << 20
SIZES = (1, 16, 256, 4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB)
FRAGMENTS = (1, 16, 256, 4096, 65536)
READ = 256 * KIB  # what one read of a socket brings at most
KEY = b"\x37\xfa\x21\x3d"


@dataclass(frozen=True)
class Section:
    """One row: how many messages of what, and what is done with them."""

    table: str
    name: str
    units: int
    """Of what the table counts, in one message: bytes, fragments, segments."""
    messages: int
    prepare: Callable[[], Callable[[], object]]
    """Makes everything ready; what it returns is measured."""


class Observer:
    """The least that a driver with an inbox wants."""

    base_environ: dict[str, Any] = {}  # noqa: RUF012
    url = "ws://localhost/"

    def driver_event(self, name: str, event: object) -> None:
        if name == "error":
            raise AssertionError(event)

    def is_blocked(self) -> bool:
        return False


def pair(deflate: bool) -> tuple[Driver, Driver]:
    """Return a server's and a client's driver that are open."""
    options: dict[str, Any] = {"max_length": 0, "max_fragments": 1 << 20}
    if deflate:
        options["extensions"] = [PermessageDeflate()]
    server, client = Driver.server(Observer(), **options), Driver.client(Observer(), **options)
    for driver in (server, client):
        driver.observer = Observer()
        driver.start()
    server.parse(drain(client))
    client.parse(drain(server))
    assert server.state == client.state == "open"
    return server, client


def drain(driver: Driver) -> bytes:
    """Return what the driver wants to be sent."""
    data = bytes(driver.outbox)
    driver.outbox.clear()
    return data


def payload(size: int, kind: str = "text") -> Any:
    """Return a message: ASCII text, binary, or text that compresses as JSON does."""
    if kind == "binary":
        return bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    if kind == "json":
        digests = (hashlib.sha1(b"%d" % n).hexdigest()[:10] for n in range(size // 40 + 1))
        return "".join(f'{{"name": "{digest}", "value": 12}}, ' for digest in digests)[:size].ljust(size)
    return ("abcdefghijklmnopqrstuvwxyz" * (size // 26 + 1))[:size]


def how_many(size: int, quick: bool) -> int:
    """Return how many messages of a size are sent: enough to measure, and not more than about a MiB."""
    return max(1, min(500 if quick else 4000, MIB // size))


def receiver(driver: Driver, wire: bytes, step: int, messages: int) -> Callable[[], object]:
    """Return what feeds the driver all of it, in pieces of ``step`` bytes, and takes each message."""

    def receive() -> None:
        came, end = 0, len(wire)
        for start in range(0, end, step):
            driver.feed(wire, start, min(end, start + step))
            if driver.inbox:
                came += len(driver.take_inbox([]))
        assert came == messages, f"{came} messages came of {messages}"

    return receive


def sender(driver: Driver, opcode: int, message: Any, messages: int) -> Callable[[], object]:
    """Return what sends the message again and again; a socket takes it each time."""

    def send() -> None:
        for _ in range(messages):
            driver.send_data(opcode, message)
            driver.outbox.clear()

    return send


def receiving(role: str, kind: str, size: int, messages: int, step: int = READ) -> Callable[[], object]:
    """Return what receives messages that the other role's driver has made."""
    server, client = pair(kind == "json")
    driver, peer = (server, client) if role == "server" else (client, server)
    opcode, message = BINARY if kind == "binary" else TEXT, payload(size, kind)
    wire = bytearray()
    for _ in range(messages):
        peer.send_data(opcode, message)
        wire += drain(peer)
    return receiver(driver, bytes(wire), step, messages)


def sending(role: str, kind: str, size: int, messages: int) -> Callable[[], object]:
    """Return what sends messages."""
    server, client = pair(kind == "json")
    driver = server if role == "server" else client
    return sender(driver, BINARY if kind == "binary" else TEXT, payload(size, kind), messages)


def fragmented(count: int, size: int) -> Callable[[], object]:
    """Return what receives one text of ``size`` bytes in that many frames."""
    server, _ = pair(False)
    data, wire = payload(size).encode(), bytearray()
    for i in range(count):
        piece = data[size * i // count : size * (i + 1) // count]
        wire.append((TEXT if i == 0 else CONTINUATION) | (0x80 if i == count - 1 else 0))
        length = len(piece)
        if length < 126:
            wire.append(0x80 | length)
        elif length < 65536:
            wire += b"\xfe" + length.to_bytes(2, "big")
        else:
            wire += b"\xff" + length.to_bytes(8, "big")
        wire += KEY + apply_mask(piece, KEY)
    return receiver(server, bytes(wire), READ, 1)


def in_words(size: int) -> str:
    """Return 65536 as 64 KiB."""
    for unit, scale in (("MiB", MIB), ("KiB", KIB)):
        if size >= scale and size % scale == 0:
            return f"{size // scale} {unit}"
    return f"{size:,} B"


def sections(quick: bool) -> Iterable[Section]:
    """Return all rows, table by table."""
    largest = 16 * MIB if quick else 64 * MIB
    most = 4096 if quick else 65536
    for table, make, role, kind in (
        ("server, text in", receiving, "server", "text"),
        ("server, binary in", receiving, "server", "binary"),
        ("client, binary in", receiving, "client", "binary"),
        ("server, text out", sending, "server", "text"),
        ("client, binary out", sending, "client", "binary"),
        ("server, permessage-deflate in", receiving, "server", "json"),
        ("server, permessage-deflate out", sending, "server", "json"),
    ):
        deflate = kind == "json"
        for size in (KIB, 16 * KIB, 256 * KIB, MIB, 16 * MIB) if deflate else SIZES:
            if size <= (MIB if quick and deflate else largest):
                count = max(1, 256 * KIB // size) if deflate else how_many(size, quick)
                yield Section(
                    table, in_words(size), size, count, lambda a=(make, role, kind, size, count): a[0](*a[1:])
                )
    for count in FRAGMENTS:
        if count <= most:
            yield Section(
                "server, text of 1 MiB in fragments", f"{count:,}", count, 1, lambda n=count: fragmented(n, MIB)
            )
    for count in FRAGMENTS[1:]:
        if count <= most:
            yield Section(
                "server, text in fragments of 1 byte", f"{count:,}", count, 1, lambda n=count: fragmented(n, n)
            )
    for size in (KIB, 16 * KIB, 128 * KIB, MIB):
        if size <= (16 * KIB if quick else MIB):
            yield Section(
                "server, a text that arrives in segments of 1 byte",
                in_words(size),
                size,
                1,
                lambda n=size: receiving("server", "text", n, 1, step=1),
            )


def main() -> None:
    """Run every section once; with marks, so that callgrind writes down each by itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--marks", help="the library that tells callgrind where a section begins and ends")
    options = parser.parse_args()
    marks = ctypes.CDLL(options.marks) if options.marks else None
    rows = []
    for number, section in enumerate(sections(options.quick)):
        if marks is None:
            best = 0.0
            for _ in range(3):
                run = section.prepare()
                gc.collect()
                start = time.perf_counter_ns()
                run()
                took = time.perf_counter_ns() - start
                best = min(best, took) if best else took
        else:
            run = section.prepare()
            gc.disable()
            marks.mark_begin()
            run()
            marks.mark_end(str(number).encode())
            gc.enable()
            best = 0.0
        rows.append(
            {
                "table": section.table,
                "name": section.name,
                "units": section.units,
                "messages": section.messages,
                "ns": best,
            }
        )
        print(section.table, section.name, file=sys.stderr, flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
