"""The test client with event streams."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gevent
import pytest

import wsdriver
from wsdriver.framing.eventstream import EventReader, serialize_event, serialize_retry
from wsdriver.testing import Client, Event

Environ = dict[str, Any]


def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/stream":  # of an application that does it without us
        start_response("200 OK", [("Content-Type", "text/event-stream; charset=utf-8")])
        return (serialize_event(str(number)) for number in range(3))
    if path == "/page":
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"nothing here"]
    es = wsdriver.EventSource(environ, retry=3)
    es.send(f"{es.last_event_id} {es.url}\nGrüße", event="news", id="7")
    if path == "/crash":
        raise LookupError("the application's own")
    if path == "/endless":
        while True:
            gevent.sleep(0.001)
            es.send("tick")
    if path == "/stuck":
        gevent.sleep(1000)
    return es.wsgi_response()


def test_events_come_as_a_page_gets_them() -> None:
    with Client(app).eventsource("/events?a=b", last_event_id="6") as events:
        assert events.status == 200
        assert events.headers["Cache-Control"] == "no-cache, no-transform"
        assert events.receive() == Event("6 http://testserver/events?a=b\nGrüße", "news", "7")
        assert events.receive(timeout=1) is None
        assert (events.last_event_id, events.retry) == ("7", 3)


def test_stream_of_any_application_is_read() -> None:
    with Client(app).eventsource("/stream") as events:
        assert [event.data for event in events] == ["0", "1", "2"]


def test_client_that_goes_ends_the_application() -> None:
    with Client(app).eventsource("/endless") as events:
        events.receive()
        assert events.receive() == Event("tick", id="7")


def test_refusal_is_a_handshake_error() -> None:
    with pytest.raises(wsdriver.HandshakeError, match="404 Not Found, and no event stream") as refused:
        Client(app).eventsource("/page")
    assert (refused.value.status, refused.value.body) == (404, b"nothing here")


def test_error_of_the_application_is_raised() -> None:
    events = Client(app).eventsource("/crash")
    events.receive()
    with pytest.raises(LookupError, match="the application's own"):
        events.receive()
    with pytest.raises(LookupError), Client(app).eventsource("/crash"):
        pass


def test_silence_times_out_and_says_where_the_application_is() -> None:
    events = Client(app, timeout=0.1).eventsource("/stuck")
    events.receive()
    with pytest.raises(TimeoutError, match=r"no event came within 0.1 seconds; the application is still in app\(\)"):
        events.receive()
    with pytest.raises(TimeoutError, match=r"0.1 seconds later the application is still in app\(\)"):
        events.close()


def test_answer_that_does_not_come_times_out() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        gevent.sleep(1000)
        return []

    with pytest.raises(TimeoutError, match=r"no answer .* within 0.1 seconds; the application is still in app\(\)"):
        Client(app, timeout=0.1).eventsource("/")


STREAM = (
    b"\xef\xbb\xbf: a comment\n\n"
    + serialize_retry(2.5)
    + serialize_event("one\r\ntwo\rthree", "news", "1")
    + "data:grün\r\ndata\r\ndata:  two\r\n\r\n".encode()
    + b"event: gone\n\nid\nretry: soon\nunknown: x\ndata: last\n\nid: \0\ndata: \n\ndata: unfinished\n"
)
EVENTS = [
    Event("one\ntwo\nthree", "news", "1"),
    Event("grün\n\n two", id="1"),
    Event("last"),
    Event(""),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_reader_takes_pieces_of_any_size(size: int) -> None:
    reader = EventReader()
    events = []
    for start in range(0, len(STREAM), size):
        events += reader.feed(STREAM[start : start + size])
    assert events == EVENTS
    assert (reader.last_event_id, reader.retry) == ("", 2.5)
