"""examples/eventsource.py with plain clients: all get the ticks, come back for what they missed, and hurt no other."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest
from gevent import socket
from gevent.pywsgi import WSGIServer

import wsdriver
from examples import eventsource as example
from tests.support.eventstream import Client

SMALL = 8192  # bytes in the buffers of a slow client


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The example, faster, and with large ticks."""
    monkeypatch.setattr(example, "INTERVAL", 0.02)
    monkeypatch.setattr(example, "data_of", lambda number: f"{number} " + "x" * 10_000)
    monkeypatch.setattr(example, "ticker", example.Ticker())
    server = WSGIServer(("127.0.0.1", 0), example.app, handler_class=wsdriver.WebSocketHandler, log=None)
    server.init_socket()
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    server.start()
    try:
        with gevent.Timeout(40):
            yield server.server_port
    finally:
        server.stop(timeout=1)


def take(client: Client, count: int) -> list[int]:
    """Wait for so many ticks; return their numbers."""
    events = client.take(count)
    assert {event.type for event in events} == {"tick"}
    assert all(event.data.startswith(event.last_event_id + " ") for event in events)
    return [int(event.last_event_id) for event in events]


def test_all_get_the_same_ticks_whatever_one_of_them_does(port: int) -> None:
    with (
        Client(port, path="/ticks", receive_buffer=SMALL) as slow,
        Client(port, path="/ticks") as one,
        Client(port, path="/ticks") as other,
    ):
        count = example.HISTORY + 30
        for numbers in (reader.get() for reader in [gevent.spawn(take, client, count) for client in (one, other)]):
            assert numbers == list(range(numbers[0], numbers[0] + count))
        # The slow one reads on, from where it was; only what has left the history is lost to it.
        assert slow.retry is None
        behind = take(slow, count)
        assert behind == sorted(set(behind))
        assert behind[0] <= numbers[0]
        assert slow.retry == 1000


def test_who_comes_back_gets_what_was_missed(port: int) -> None:
    with Client(port, path="/ticks") as client:
        last = take(client, example.HISTORY + 5)[-1]
    gevent.sleep(0.1)
    with Client(port, path="/ticks", headers=f"Last-Event-ID: {last}\r\n") as client:
        assert take(client, 30) == list(range(last + 1, last + 31))


@pytest.mark.parametrize("last", ["", "x", "-1", "9" * 50, "1e9", "\u0663", "0"])
def test_who_says_nothing_of_use_gets_the_history(port: int, last: str) -> None:
    with Client(port, path="/ticks", headers=f"Last-Event-ID: {last}\r\n") as client:
        numbers = take(client, example.HISTORY + 3)
        assert numbers == list(range(numbers[0], numbers[0] + example.HISTORY + 3))


def test_the_page_is_served_and_nothing_else(port: int) -> None:
    for path, status in (("/", 200), ("/ticker.js", 200), ("/ticker.css", 200), ("/ticker.py", 404), ("/../x", 404)):
        with Client(port, path=path) as client:
            assert client.status == status
