"""Node's shape of a driver: a stream of bytes on its wire side, a stream of messages on the application's side.

::

                                         +--------+
    wire --------- io.write(bytes) ----->|        |----- messages.on('data'), read(), iter() ----> application
                                         | Driver |
    wire <---- io.on('data'), read() ----|        |<---- messages.write(str | bytes) ------------- application
                                         +--------+

What comes out of a side goes to its ``data`` listeners as it comes. Where there are none, or while the side is paused,
it is kept in order until it is read, or the side is resumed; nothing is dropped.

Back-pressure goes through the driver as in websocket-driver-node (streams.js), with a high-water mark where that
pauses at once:

- while many messages are kept, ``io.write`` returns False; ``io`` emits ``drain`` when they are gone;
- while much output is kept, ``messages.write`` returns False; ``messages`` emits ``drain`` when it is gone;
- ``io.write`` also returns False while much output is kept that *answers* what it was given: else a peer that sends
  pings and reads nothing would fill our memory with pongs. Other output does not hold it up: two peers that both write
  much before they read would wait for each other for ever.

False asks the writer to wait; what was given with that call has been taken all the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from wsdriver.driver.roles import Socket
from wsdriver.events import CloseEvent, Emitter, MessageEvent
from wsdriver.exceptions import ConfigurationError, WebSocketError

__all__ = ["HIGH_WATER_BYTES", "HIGH_WATER_MESSAGES", "IO", "Messages", "Tee", "Wire"]

#: Over either, writers are asked to wait. Node's own marks for streams are 16 objects and 16 KiB to 64 KiB.
HIGH_WATER_MESSAGES = 16
HIGH_WATER_BYTES = 64 * 1024

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T", bound="str | bytes")


class StreamDriver(Protocol):
    """What the streams want of a driver."""

    @property
    def state(self) -> str: ...

    @property
    def io(self) -> IO: ...

    @property
    def messages(self) -> Messages: ...

    def on(self, event: str, callback: Callable[[Any], object], /) -> object: ...

    def listener_count(self, event: str, /) -> int:
        """Return how many listeners an event has, those of the streams included."""

    def parse(self, data: bytes | bytearray | memoryview, /) -> None: ...

    def eof(self) -> None: ...

    def text(self, message: str, /) -> bool: ...

    def binary(self, message: bytes | bytearray | memoryview, /) -> bool: ...

    def close(self) -> bool: ...


class Stream(Emitter, Generic[T]):
    """What both sides have in common: pieces that are kept until somebody takes them, and an end."""

    __slots__ = ("_blocked", "_closed", "_ended", "_flowing", "_kept", "_paused", "_size")

    events: ClassVar[tuple[str, ...]] = ("data", "end", "error", "drain", "close")

    def __init__(self) -> None:
        super().__init__()
        self._kept: deque[T] = deque()
        self._size = 0  # of all in it
        self._paused = False
        self._flowing = False
        self._blocked = False
        self._closed = False
        self._ended = False

    @property
    def readable(self) -> bool:
        """Whether something waits, or may come later."""
        return bool(self._kept) or not self._closed

    @property
    def blocked(self) -> bool:
        """Whether who writes is asked to wait for ``drain``."""
        return self._blocked

    def pause(self) -> None:
        """Keep what comes from the ``data`` listeners until :meth:`resume`."""
        self._paused = True

    def resume(self) -> None:
        """Let it flow again, what was kept first."""
        self._paused = False
        self._flow()

    def attach(self, driver: StreamDriver) -> None:
        """Hear of the driver's errors and of its end."""
        self._closed = driver.state == "closed"
        driver.on("error", self._report)
        driver.on("close", self._close)

    def _added(self, event: str) -> None:
        if event == "data":
            self._flow()

    def _keep(self, piece: T) -> None:
        self._kept.append(piece)
        self._size += len(piece)
        self._flow()

    def _take(self) -> T:
        """Return what is next of what is kept."""
        piece = self._kept.popleft()
        self._size -= len(piece)
        return piece

    def _read(self) -> T | None:
        """Return what is next, or None. The end is told when there is nothing: whoever reads has done the rest."""
        if not self._kept:
            self._settle()
            return None
        piece = self._take()
        try:
            self._settle(may_end=False)
        except BaseException:
            self._kept.appendleft(piece)
            self._size += len(piece)
            raise
        return piece

    def _flow(self) -> None:
        if self._flowing:
            return  # the loop below, further up the stack, will come to it
        self._flowing = True
        try:
            while self._kept and not self._paused and self.has_listeners("data"):
                self.emit("data", self._take())
        finally:
            self._flowing = False
            self._settle()

    def _settle(self, may_end: bool = True) -> None:
        """Tell those who wait for all to be taken."""
        if self._kept or self._flowing:
            return
        self._emptied()
        if self._closed and may_end and not self._ended:
            self._ended = True
            self.emit("end")
            self.emit("close")

    def _emptied(self) -> None:
        """Let those go on who were held up by what was kept."""

    def _unblock(self) -> None:
        if self._blocked:
            self._blocked = False
            self.emit("drain")

    def _report(self, error: WebSocketError) -> None:
        self.emit("error", error)

    def _close(self, _: CloseEvent) -> None:
        self._closed = True
        self._settle()


class Wire:
    """What a driver without a socket writes to: the output side of its :class:`IO`.

    Attributes:
        url: of a client; None on a server.
    """

    __slots__ = ("_io", "url")

    def __init__(self, io: IO, url: str | None) -> None:
        self._io = io
        self.url = url

    def write(self, data: bytes) -> None:
        """Take bytes for the peer."""
        self._io.produce(data)


class Tee:
    """What a driver with a socket writes to once somebody asks for its :class:`IO`: the socket, and the listeners.

    All else that a driver reads from its socket, it reads through this.
    """

    __slots__ = ("_io", "_socket")

    def __init__(self, io: IO, socket: Socket) -> None:
        self._io = io
        self._socket = socket

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def write(self, data: bytes) -> None:
        """Take bytes for the peer."""
        self._socket.write(data)
        self._io.produce(data)


class IO(Stream[bytes]):
    """The wire side of a driver: bytes from the wire in, bytes for the wire out.

    Events: ``data`` (bytes for the wire), ``drain`` (the writer that was told to wait may go on), ``error`` (the
    driver's), ``end`` (no more output will come, and all has been taken), then ``close``. Only ``data`` and ``error``
    carry something.

    A driver without a socket keeps its output here. With a socket, the socket gets all output at once, and ``data`` is
    a second look at it; :meth:`read` then finds only what a paused listener has yet to see.
    """

    __slots__ = ("_driver", "_messages", "_replies", "_replying", "_teed", "_writable")

    def __init__(self, driver: StreamDriver | None = None) -> None:
        super().__init__()
        self._driver: StreamDriver | None = None
        self._messages: Messages | None = None
        self._teed = False
        self._replies = 0  # bytes kept that answer what came in
        self._replying = False
        self._writable = True
        if driver is not None:
            self.attach(driver)

    # --- construction -----------------------------------------------------------------------------------------------

    def wire(self, url: str | None = None) -> Wire:
        """Return what a driver without a socket is to write to."""
        return Wire(self, url)

    def tee(self, socket: Socket) -> Tee:
        """Return what a driver with a socket is to write to from now on."""
        self._teed = True
        return Tee(self, socket)

    def attach(self, driver: StreamDriver) -> None:
        """Take the driver whose bytes these are."""
        self._driver = driver
        super().attach(driver)

    def link(self, messages: Messages) -> None:
        """Take the other side of the driver."""
        self._messages = messages

    # --- bytes from the wire ----------------------------------------------------------------------------------------

    @property
    def writable(self) -> bool:
        """Whether bytes from the wire still mean something."""
        return self._writable and not self._closed

    def write(self, data: bytes | bytearray | memoryview) -> bool:
        """Take bytes from the wire, any number.

        Returns:
            False where the writer is to wait for ``drain`` with more, or after :meth:`end`.
        """
        if not self._writable:
            return False
        driver = self._attached()
        if self._messages is None:
            self._messages = driver.messages  # made in time: what comes now may be read later
        outer, self._replying = self._replying, True
        try:
            driver.parse(data)
        finally:
            self._replying = outer
            if not self._closed and self._is_full():
                self._blocked = True
        return not self._blocked

    def end(self) -> None:
        """Take note that no more bytes will come from the wire."""
        if self._writable:
            self._writable = False
            self._attached().eof()

    def release(self) -> None:
        """Let a blocked writer go on: a side is empty. Not where the other side is full."""
        if self._closed or not self._is_full():
            self._unblock()

    def _attached(self) -> StreamDriver:
        if self._driver is None:
            raise ConfigurationError("this IO has no driver yet")
        return self._driver

    def _is_full(self) -> bool:
        return self._replies >= HIGH_WATER_BYTES or (self._messages is not None and self._messages.full)

    def _close(self, event: CloseEvent) -> None:
        self._closed = True
        self.release()
        super()._close(event)

    # --- bytes for the wire -----------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether so much output is kept that nobody should make more."""
        return self._size >= HIGH_WATER_BYTES

    def produce(self, data: bytes) -> None:
        """Take output from the driver."""
        if self._teed and not self.has_listeners("data"):
            return  # the socket has it, and nobody else asked
        if self._replying:
            self._replies += len(data)
        self._keep(data)

    def read(self) -> bytes:
        """Return all output that waits, ``b""`` where none does; paused or not.

        ``end`` is emitted by the call that finds nothing, so that what the last one returned can be sent before.
        """
        return self._read() or b""

    def _take(self) -> bytes:
        data = b"".join(self._kept)
        self._kept.clear()
        self._size = self._replies = 0
        return data

    def _emptied(self) -> None:
        if self._messages is not None:
            self._messages.release()
        self.release()


class Messages(Stream["str | bytes"]):
    """The application's side of a driver: messages in and out, str for text and bytes for binary.

    Events: ``data`` (a message), ``drain`` (the writer that was told to wait may go on), ``error`` (the driver's; it
    overtakes messages that are kept), ``end`` (the connection is closed, and all messages have been taken), then
    ``close``. Only ``data`` and ``error`` carry something.

    A message that nobody takes is kept. Listeners of the driver's own ``message`` event have taken it, too.
    """

    __slots__ = ("_driver", "_io")

    def __init__(self, driver: StreamDriver) -> None:
        super().__init__()
        self._driver = driver
        self._io = driver.io
        self._io.link(self)
        driver.on("message", self._receive)
        self.attach(driver)

    # --- messages to the peer ---------------------------------------------------------------------------------------

    @property
    def writable(self) -> bool:
        """Whether the driver takes messages."""
        return self._driver.state in ("connecting", "open")

    def write(self, message: str | bytes | bytearray | memoryview) -> bool:
        """Send a message: str as text, bytes as binary.

        Returns:
            False where :attr:`blocked` asks the writer to wait for ``drain`` with more, since the wire is slow;
            this message has been taken. Else False where the driver does not take it: the connection is closing, or
            its version has no binary messages.

        Raises:
            TypeError: it is neither str nor bytes-like.
        """
        driver = self._driver
        taken = driver.text(message) if isinstance(message, str) else driver.binary(message)
        if taken and self._io.full:
            self._blocked = True
        return taken and not self._blocked

    def end(self) -> None:
        """Close the connection; messages of the peer may still come until it has answered."""
        self._driver.close()

    def release(self) -> None:
        """Let a blocked writer go on: the output is gone."""
        self._unblock()

    # --- messages from the peer -------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether so many messages are kept that no more should come in."""
        return len(self._kept) >= HIGH_WATER_MESSAGES or self._size >= HIGH_WATER_BYTES

    def read(self) -> str | bytes | None:
        """Return the next message that waits, None where none does; paused or not. Never blocks.

        ``end`` is emitted by the call that finds nothing.
        """
        return self._read()

    def __iter__(self) -> Iterator[str | bytes]:
        """Yield the messages that wait, and stop when there are none.

        Unlike a stream of Node, or a :class:`~wsdriver.WebSocket`, this never blocks: it ends whenever all that came
        so far has been taken, and may be iterated again when more has come. :attr:`readable` says whether it may.
        """
        while (message := self.read()) is not None:
            yield message

    def _receive(self, event: MessageEvent) -> None:
        in_use = self._paused or self.has_listeners("data")
        if not in_use and self._driver.listener_count("message") > 1:
            return  # the application listens to the driver itself
        self._keep(event.data)

    def _emptied(self) -> None:
        self._io.release()
