"""The ways in which connections end: what the side under test does, and what its peer does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gevent

from tests.soak.peer import Peer
from tests.soak.tally import Tally

__all__ = ["KINDS", "Act", "Kind"]

#: What the side under test does once its WebSocket is open; ``wait`` receives until the end. It gets a number too, by
#: which it may vary.
Act = Callable[[Any, Callable[[], object], Tally, int], object]

#: Far more than the buffers of two sockets that were told to have small ones.
LARGE = bytes(300_000)

#: Seconds that the closing handshake may take where its peer is to be too slow for it, and that the peer takes.
CLOSE_TIMEOUT, TOO_LONG = 0.2, 0.4

#: Seconds of the opening where the peer says nothing; the heartbeat's where it does not answer; of a gevent.Timeout.
OPEN_TIMEOUT, HEARTBEAT, MOMENT = 0.25, 0.2, 0.005


def wait_for_the_end(ws: Any, wait: Callable[[], object], tally: Tally, number: int) -> None:
    """Only receive."""


def close(ws: Any, wait: Callable[[], object], tally: Tally, number: int) -> None:
    ws.close(4000, "enough")


def fail(ws: Any, wait: Callable[[], object], tally: Tally, number: int) -> None:
    raise ZeroDivisionError("in the handler")


def die_in_receive(ws: Any, wait: Callable[[], object], tally: Tally, number: int) -> None:
    gevent.spawn(gevent.getcurrent().kill, block=False)


def die_in_send(ws: Any, wait: Callable[[], object], tally: Tally, number: int) -> None:
    gevent.spawn(gevent.getcurrent().kill, block=False)
    ws.send(LARGE)
    tally.went_through += 1


def time_out_in_receive(ws: Any, wait: Callable[[], object], tally: Tally, number: int) -> None:
    timed(wait, ws, number)


def time_out_in_send(ws: Any, wait: Callable[[], object], tally: Tally, number: int) -> None:
    def send() -> None:
        ws.send(LARGE)
        tally.went_through += 1

    timed(send, ws, number)


def timed(call: Callable[[], object], ws: Any, number: int) -> None:
    """Call under a ``gevent.Timeout``: an odd one lets it out, an even one takes it and closes."""
    if number % 2:
        with gevent.Timeout(MOMENT):
            call()
    else:
        with gevent.Timeout(MOMENT, False):
            call()
        ws.close(4001)


def close_behind_a_blocked_send(ws: Any, wait: Callable[[], object], tally: Tally, number: int) -> None:
    def send() -> None:
        try:
            ws.send(LARGE)
        except Exception:  # that is what it is told when the connection ends
            return
        if number % READ_BY_EACH != 0:
            tally.went_through += 1

    gevent.spawn(send)
    gevent.sleep(0)
    assert ws.buffered_amount > 0
    ws.close(4002)


# --- what the peer does -----------------------------------------------------------------------------------------------


def closing(peer: Peer, number: int) -> None:
    peer.close()


def answer_close(peer: Peer, number: int) -> None:
    peer.answer_close()


def reset(peer: Peer, number: int) -> None:
    peer.be_heard()
    peer.reset()


def half_close(peer: Peer, number: int) -> None:
    peer.half_close()
    peer.to_the_end()


def read_only(peer: Peer, number: int) -> None:
    peer.to_the_end()


#: One in so many peers of a blocked send reads after all, and answers.
READ_BY_EACH = 7


def do_not_read(peer: Peer, number: int) -> None:
    if number % READ_BY_EACH == 0:
        peer.answer_close()
    else:
        peer.ignore(TOO_LONG)


def silence(peer: Peer, number: int) -> None:
    """Say nothing at all, or begin and stop."""
    if number % 2:
        peer.sock.sendall(b"GET / HTTP/1.1\r\nHost: local" if peer.is_client else b"HTTP/1.1 101 Switch")
    peer.to_the_end()


def abort_tls(peer: Peer, number: int) -> None:
    """Break off: in no TLS at all, in the TLS handshake, behind it in the opening, behind that without a word."""
    phase = number % 4
    if phase == 0:
        peer.sock.sendall(b"GET / HTTP/1.1\r\n\r\n" if peer.is_client else b"HTTP/1.1 400 No\r\n\r\n")
        peer.to_the_end()
    elif phase == 1:
        # The beginning of a record with a hello of 512 bytes, of which most is missing.
        peer.sock.sendall(b"\x16\x03\x01\x02\x00" + (b"\x01" if peer.is_client else b"\x02") + b"\x00\x01\xfc\x03\x03")
        if number % 8 == 1:
            peer.reset()
    else:
        peer.start_tls()
        if phase == 2:
            peer.sock.sendall(b"GET / HTTP/1.1\r\nHost: local" if peer.is_client else b"HTTP/1.1 101 Switch")
        else:
            peer.open()
            peer.be_heard()
        if number % 8 > 3:
            peer.reset()


@dataclass(frozen=True)
class Kind:
    """One way to end.

    Attributes:
        title: what the report says.
        codes: the close codes that may come of it, on a server and on a client.
        options: of the side under test.
        at_once: how many connections there are at a time.
        slow: whether the sockets have small buffers, and the peer does not read.
        bare: whether the peer has to do the opening by itself.
        opens: of how many connections one becomes a WebSocket; 0 for none.
        secure: of how many connections one has TLS.
    """

    title: str
    act: Act
    peer: Callable[[Peer, int], object]
    codes: tuple[set[int], set[int]]
    options: dict[str, Any] = field(default_factory=dict)
    at_once: int = 100
    slow: bool = False
    bare: bool = False
    opens: int = 1
    secure: int = 10


BLOCKED: dict[str, Any] = {"close_timeout": CLOSE_TIMEOUT, "write_limit": 1024}


def both(*codes: int) -> tuple[set[int], set[int]]:
    return set(codes), set(codes)


KINDS: dict[str, Kind] = {
    "peer-closes": Kind("closed by the peer", wait_for_the_end, closing, both(1000)),
    "closes": Kind("closed by us", close, answer_close, both(4000)),
    "reset": Kind("RST", wait_for_the_end, reset, both(1006)),
    "half-close": Kind("half-close", wait_for_the_end, half_close, both(1006)),
    "silence": Kind(
        "silence in the handshake",
        wait_for_the_end,
        silence,
        both(),
        {"open_timeout": OPEN_TIMEOUT},
        at_once=1000,
        bare=True,
        opens=0,
    ),
    "ping-timeout": Kind(
        "ping timeout",
        wait_for_the_end,
        read_only,
        both(1006),
        {"ping": HEARTBEAT, "ping_timeout": HEARTBEAT},
        at_once=1000,
    ),
    "tls-abort": Kind("TLS abort", wait_for_the_end, abort_tls, both(1006), bare=True, opens=4, secure=1),
    "exception": Kind("exception in the handler", fail, answer_close, both(1011)),
    "kill-receive": Kind("kill in receive", die_in_receive, answer_close, both(1006)),
    "kill-send": Kind("kill in send", die_in_send, do_not_read, both(1006), BLOCKED, at_once=500, slow=True),
    "timeout-receive": Kind(
        "gevent.Timeout around receive", time_out_in_receive, answer_close, ({1011, 4001}, {1006, 4001})
    ),
    "timeout-send": Kind(
        "gevent.Timeout around send",
        time_out_in_send,
        do_not_read,
        ({1006, 1011, 4001}, {1006, 4001}),
        BLOCKED,
        at_once=500,
        slow=True,
    ),
    "close-send": Kind(
        "close while a send is blocked",
        close_behind_a_blocked_send,
        do_not_read,
        both(1006, 4002),
        BLOCKED,
        at_once=500,
        slow=True,
    ),
}
