"""A server of each version, open, that hears any frames: it echoes, and what it says is right again.

An input is: the version, the limits, what the server does by itself, a seed for the pieces; then the bytes behind a
right request. The server of RFC 6455 was opened by our own client, which hears all that it says.
"""

from __future__ import annotations

from typing import Any

from tests.fuzz.checks import check_end, check_output, same, seen
from tests.fuzz.inputs import Input, segmentations
from tests.fuzz.worlds import World, worlds
from tests.support.drafts import DRAFTS, DraftClient
from tests.support.driving import Seen, Session, Wire, describe

__all__ = ["VERSIONS", "head_of", "target"]

#: The order is that of the corpus: new ones go to the end.
VERSIONS = (
    "hybi-13",
    "hixie-75",
    "hixie-76",
    "hybi-1",
    "hybi-2",
    "hybi-3",
    "hybi-4",
    "hybi-5",
    "hybi-6",
    "hybi-7",
    "hybi-8",
)

LIMITS: tuple[dict[str, int], ...] = (
    {"max_length": 200, "max_fragments": 5},
    {"max_length": 0, "max_fragments": 1000},
    {"max_length": 20_000, "max_fragments": 3},
    {"max_length": 1, "max_fragments": 1},
)

#: Bytes that an observer hands over at a time.
STEPS = (1, 2, 5, 100, 4096)

#: Bits of what the server does: echo, begin to close, agree to deflate, agree to an extension that sees all messages.
ECHO, CLOSE, DEFLATE, MIRROR = 1, 2, 4, 8


def head_of(version: str, does: int) -> bytes:
    """Return a right request of a version, with all that belongs to it."""
    client = DraftClient(version, 80, seed=version)
    head = client.head()
    if does & DEFLATE:
        head = head[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    if does & MIRROR:
        head = head[:-2] + b"Sec-WebSocket-Extensions: x-mirror\r\n\r\n"
    return head + client.body


def extensions_of(world: World, does: int) -> list[Any]:
    """Return what either side has."""
    package = world["extensions"]

    class Mirror(package.ClientSession, package.ServerSession):  # type: ignore[misc, name-defined]
        """Turns messages around, and marks those of more than one byte."""

        def process_outgoing_message(self, message: Any) -> Any:
            message.data = message.data[::-1]
            message.rsv2 = len(message.data) > 1
            return message

        def process_incoming_message(self, message: Any, budget: int) -> Any:
            if message.data.startswith(b"\xff"):
                raise ValueError("a mirror breaks")
            message.data = message.data[::-1]
            return message

        def activate(self, params: Any) -> bool:
            return params == {}

    class Mirrors(package.Extension):  # type: ignore[misc, name-defined]
        name = "x-mirror"
        rsv2 = True

        def create_client_session(self) -> Any:
            return Mirror()

        def create_server_session(self, offers: Any) -> Any:
            return Mirror()

    return [package.PermessageDeflate(threshold=0)] * bool(does & DEFLATE) + [Mirrors()] * bool(does & MIRROR)


class Pair:
    """An open server, and the client that opened it, where there is one of its version."""

    def __init__(self, world: World, version: str, limits: dict[str, int], does: int) -> None:
        self.does = does
        extensions = extensions_of(world, does)
        wire = Wire()
        wire.base_environ = {"SERVER_NAME": "here", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
        self.server = Session(world.Driver.server(wire, extensions=extensions, **limits), wire, "server")
        self.server.driver.start()
        self.client: Session | None = None
        if version == "hybi-13":
            wire = Wire()
            driver = world.Driver.client(wire, extensions=extensions, max_length=0)
            self.client = Session(driver, wire, "client")
            driver.start()
            self.server.parse(wire.take())
            self.client.parse(self.server.wire.take())
        else:
            self.server.parse(head_of(version, does))
            self.server.wire.take()
        for session in filter(None, (self.server, self.client)):
            assert session.driver.state == "open", session.events
            assert session.driver.version == version
            session.forget()
        self.server.hook = self._hear

    def _hear(self, session: Session, event: Seen) -> None:
        if event[0] == "message":
            assert not session.driver.max_length or len(as_bytes(event[1])) <= session.driver.max_length
            self.answer(event[1])

    def answer(self, message: str | bytes) -> None:
        driver = self.server.driver
        if self.does & ECHO:
            driver.text(message) if isinstance(message, str) else driver.binary(message)
        if self.does & CLOSE:
            driver.close(4000, "bye")


def as_bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


def hear(pair: Pair, chunks: list[bytes]) -> list[Any]:
    """Give the server these chunks; return what it did, and what its client made of that."""
    server, client = pair.server, pair.client
    server.replay(chunks)
    events, sent = seen(server), server.wire.sent
    state = server.driver.state
    if DRAFTS[server.driver.version].has_frames:
        check_frames(server.driver.version, sent)
    if client is not None:
        check_client(client, sent, pair.does & ECHO, server)
    check_end(server, opened=True)
    return [events, sent, state]


def check_frames(version: str, sent: bytes) -> None:
    if version not in ("hybi-13", "hybi-8", "hybi-7"):  # other opcodes
        return
    check_output(sent, masked=False)


def check_client(client: Session, sent: bytes, echoed: int, server: Session) -> None:
    """What a server says is understood: every message comes back, and its close."""
    client.parse(sent)
    assert "error" not in client.names, client.events
    if echoed:
        expected = server.messages
        assert client.messages == expected[: len(client.messages)], "the echo is not what was heard"
        assert len(client.messages) == len(expected) or server.driver.state != "open"
    said = server.driver.close_sent
    assert bool(client.closes) is (said is not None)
    if said is not None:
        assert client.closes[0][1:3] == said


class Observer:
    """Drives a driver as the green layer does."""

    def __init__(self) -> None:
        self.events: list[Seen] = []

    def driver_event(self, name: str, event: object) -> None:
        self.events.append(describe(name, event))

    def is_blocked(self) -> bool:
        return False


def observe(pair: Pair, data: bytes, step: int) -> list[Any]:
    """Give the server the bytes as the green layer does: few frames at a time, large ones into memory of its own."""
    driver = pair.server.driver
    pair.server.hook = None
    driver.observer = observer = Observer()
    messages: list[Any] = []
    sent = b""
    at = 0
    while at < len(data) and driver.state != "closed":
        room = driver.room(step)
        if room is not None:
            count = min(len(room), step, len(data) - at)
            room[:count] = data[at : at + count]
            room.release()
            driver.filled(count)
            at += count
        else:
            end = min(len(data), at + step)
            before, at = at, driver.feed(data, at, end, 2)
            assert before <= at <= end
        for message in driver.take_inbox([]):
            assert isinstance(message, (str, bytes)), message
            messages.append(message)
            if driver.state != "closed":
                pair.answer(message)
        sent += bytes(driver.outbox)
        driver.outbox.clear()
    names = [event[0] for event in observer.events]
    assert names in ([], ["close"], ["error", "close"]), names
    return [messages, [event[1:] for event in observer.events if event[0] == "close"], sent, driver.state]


def target(data: bytes) -> None:
    given = Input(data)
    version = given.pick(VERSIONS)
    limits = given.pick(LIMITS)
    does = given.byte()
    seed = given.byte()
    data = given.rest()
    outcomes = []
    for chunks in segmentations(data, seed):
        results = []
        for world in worlds():
            with world.pinned():
                results.append(hear(Pair(world, version, limits, does), chunks))
        same(results[0], results[-1], "the plain and the compiled driver differ")
        outcomes.append(results[0])
    for other in outcomes[1:]:
        same(outcomes[0], other, "it depends on the segments")
    events = outcomes[0][0]
    messages = [event[1] for event in events if event[0] == "message"]
    closes = [event[1:] for event in events if event[0] == "close"]
    for world in worlds():
        with world.pinned():
            heard, ended, sent, state = observe(Pair(world, version, limits, does), data, STEPS[seed % len(STEPS)])
        if does & CLOSE:
            # It closes when the first messages are taken, which may be later.
            assert heard[:1] == messages[:1]
        elif does & ECHO:
            # ... and echoes later, so that what it says stands in another order, and after a fault is not said.
            same([messages, closes], [heard, ended], "an observer hears something else")
        else:
            same([messages, closes, outcomes[0][1], outcomes[0][2]], [heard, ended, sent, state], "an observer")
