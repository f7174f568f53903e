"""EventSource over real sockets, under gevent.pywsgi and under a server of threads, with TLS and without."""

from __future__ import annotations

import gc
import io
import logging
import os
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from socketserver import ThreadingMixIn
from time import monotonic
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import gevent
import gevent.pywsgi
import gevent.ssl
import pytest
from gevent import socket

import wsdriver
from tests.support.eventstream import PATIENCE, Client, Event
from tests.support.gunicorn import Gunicorn
from tests.support.leaks import assert_nothing_left, at_rest
from tests.support.tls import Certificates, make_certificates

PROMPT = 5.0  # seconds: far more than what should take a few tenths

KB = 1024
MB = 1024 * KB

#: A client that takes little, and a server whose system holds little for it.
SMALL = 8 * KB


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No wait in a test is for ever: this one, in the greenlet that runs it, ends all others."""
    with gevent.Timeout(40):
        yield


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Poll until a condition is true; return its value. The hub goes on meanwhile."""
    deadline = monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        gevent.sleep(0.005)


class Application:
    """Makes an event stream of each request; remembers what came of it.

    Args:
        act: what the handler does with its stream: waits for the end, unless given.
        **options: of the streams.

    Attributes:
        streams: in the order in which they began.
        outcomes: for each handler that has ended, what it raised, or None.
        told: the events that the listeners got, for those streams that :meth:`listen` was called with.
    """

    def __init__(self, act: Callable[[Any], object] = wsdriver.EventSource.run, **options: Any) -> None:
        self._act = act
        self._options = options
        self.streams: list[Any] = []
        self.outcomes: list[BaseException | None] = []
        self.told: list[Any] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/page":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"a page\n"]
        es = wsdriver.EventSource(environ, **self._options)
        self.streams.append(es)
        try:
            self._act(es)
        except BaseException as error:
            self.outcomes.append(error)
            raise
        self.outcomes.append(None)
        return es.wsgi_response()

    def stream(self, number: int = 0) -> Any:
        """Wait for a stream, by its number."""
        until(lambda: len(self.streams) > number, "the stream")
        return self.streams[number]

    def outcome(self, number: int = 0) -> BaseException | None:
        """Wait for the end of a handler."""
        until(lambda: len(self.outcomes) > number, "the end of the handler")
        return self.outcomes[number]

    def listen(self, es: Any) -> None:
        """Listen for the stream's end, and wait for it."""
        es.on("close", self.told.append)
        es.run()


class _ThreadServer(ThreadingMixIn, WSGIServer):
    """A server that has no idea of gevent, one thread per request."""

    daemon_threads = True
    request_queue_size = 128
    context: ssl.SSLContext | None = None
    errors: io.StringIO

    def get_request(self) -> Any:
        sock, address = super().get_request()
        if self.context is not None:
            sock = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock, address


class _Handler(WSGIRequestHandler):
    server: _ThreadServer

    def log_message(self, *arguments: object) -> None:
        """Be quiet."""

    def get_stderr(self) -> Any:
        return self.server.errors


class Site:
    """A server in this process.

    Args:
        kind: ``gevent`` or ``threads``; with ``-tls`` behind.
        application: to serve.
        certificates: for TLS.
        send_buffer: bytes for the kernel's send buffers.

    Attributes:
        errors: what the server of threads has logged.
    """

    def __init__(self, kind: str, application: Any, certificates: Certificates, send_buffer: int = 0) -> None:
        self.errors = io.StringIO()
        self._tls: Any = None
        if kind.endswith("-tls"):
            self._tls = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._tls.load_verify_locations(certificates.authority)
        self.server: Any
        if kind.startswith("gevent"):
            options = {}
            if self._tls:
                options["ssl_context"] = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                options["ssl_context"].load_cert_chain(certificates.certificate, certificates.key)
            self.server = gevent.pywsgi.WSGIServer(
                ("127.0.0.1", 0), application, handler_class=wsdriver.WebSocketHandler, log=None, **options
            )
            self.server.init_socket()
            self.stop = lambda: self.server.stop(timeout=1)
        else:
            self.server = _ThreadServer(("127.0.0.1", 0), _Handler)
            self.server.set_app(application)
            self.server.errors = self.errors
            if self._tls:
                self.server.context = certificates.server_context()
                self.server.base_environ["HTTPS"] = "on"
            self.stop = self._stop_threads
        if send_buffer:
            self.server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        if kind.startswith("gevent"):
            self.server.start()
        else:
            self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
            self._thread.start()
        self.port: int = self.server.socket.getsockname()[1]

    def _stop_threads(self) -> None:
        gevent.get_hub().threadpool.apply(self.server.shutdown)
        self.server.server_close()

    def client(self, **options: Any) -> Client:
        """Connect, and read the response's head."""
        return Client(self.port, tls=self._tls, **options)


Serve = Callable[..., Site]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def serve(certificates: Certificates) -> Iterator[Serve]:
    """Serve an application for this test alone, under gevent unless said otherwise."""
    with ExitStack() as stack:

        def start(application: Any, kind: str = "gevent", **options: Any) -> Site:
            site = Site(kind, application, certificates, **options)
            stack.callback(site.stop)
            return site

        yield start


@pytest.fixture(params=["gevent", "gevent-tls", "threads", "threads-tls"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server."""
    return str(request.param)


# --- the response's head, and the options ---------------------------------------------------------------------------


class TestHead:
    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    def test_comes_at_once_with_the_first_bytes(self, serve: Serve, kind: str, version: str) -> None:
        application = Application()
        with serve(application, kind).client(version=version) as client:
            assert client.status == 200
            assert client.headers == {
                "content-type": "text/event-stream",
                "cache-control": "no-cache, no-transform",
                "x-accel-buffering": "no",
                "connection": "close",
            }
            client.read_until(lambda: client.retry is not None)
            assert client.retry == 5000
            assert application.stream().state == "open"
            assert application.stream().ready_state == 1

    @pytest.mark.parametrize(("retry", "told"), [(10, 10_000), (0.25, 250)])
    def test_tells_when_to_come_back(self, serve: Serve, retry: float, told: int) -> None:
        with serve(Application(retry=retry)).client() as client:
            client.read_until(lambda: client.retry is not None)
            assert client.retry == told

    def test_without_retry_a_comment_is_first(self, serve: Serve) -> None:
        with serve(Application(retry=None)).client() as client:
            client.read_until(lambda: client.comments)
            assert client.retry is None

    def test_has_the_headers_of_the_application(self, serve: Serve) -> None:
        headers = {"cache-control": "no-store", "X-Accel-Buffering": "yes", "Set-Cookie": "a=b; Path=/", "X-Latin": "é"}
        with serve(Application(headers=headers)).client() as client:
            assert client.headers == {
                "content-type": "text/event-stream",
                "connection": "close",
                "cache-control": "no-store",
                "x-accel-buffering": "yes",
                "set-cookie": "a=b; Path=/",
                "x-latin": "é",
            }

    def test_is_all_that_a_head_request_gets(self, serve: Serve, kind: str) -> None:
        def act(es: Any) -> None:
            es.on("close", application.told.append)
            es.send("nobody gets this")

        application = Application(act)
        with serve(application, kind).client(method="HEAD") as client:
            assert client.headers["content-type"] == "text/event-stream"
            assert not client.read()
            assert (client.events, client.comments, client.retry) == ([], [], None)
        outcome = application.outcome()
        assert isinstance(outcome, wsdriver.ConnectionClosed)
        assert outcome.__cause__ is None
        until(lambda: application.told, "the listener")
        assert application.told[0].was_clean
        assert application.stream().state == "closed"

    def test_environ_says_where_and_how_far_the_client_is(self, serve: Serve, kind: str) -> None:
        application = Application()
        site = serve(application, kind)
        with ExitStack() as clients:
            clients.enter_context(site.client(path="/news?from=1", headers="Last-Event-ID: Grüße 7\r\n"))
            first = application.stream(0)
            clients.enter_context(site.client())
            second = application.stream(1)
            assert first.url == f"http{'s' * kind.endswith('tls')}://localhost/news?from=1"
            assert first.environ["PATH_INFO"] == "/news"
            assert (first.last_event_id, second.last_event_id) == ("Grüße 7", "")


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"rety": 1}, "did you mean 'retry'"),
            ({"retry": 0}, "retry must be"),
            ({"retry": "5"}, "retry must be"),
            ({"retry": True}, "retry must be"),
            ({"retry": float("inf")}, "retry must be"),
            ({"retry": float("nan")}, "retry must be"),
            ({"ping": -1}, "ping must be"),
            ({"ping_timeout": 0}, "ping_timeout must be"),
            ({"send_timeout": 0}, "send_timeout must be"),
            ({"close_timeout": -1}, "close_timeout must be"),
            ({"write_limit": -1}, "write_limit must be"),
            ({"write_limit": None}, "write_limit must be"),
            ({"headers": [("X-A", "b")]}, "headers must be a mapping"),
            ({"headers": {"X A": "b"}}, "no header name"),
            ({"headers": {"X-A": "b\r\nX-Evil: 1"}}, "X-A must be a str without CR"),
            ({"headers": {"X-A": 1}}, "X-A must be a str"),
            ({"headers": {"X-A": "世"}}, "X-A must be latin-1"),
            ({"headers": {"content-type": "text/plain"}}, "the event stream's own"),
            ({"headers": {"Connection": "keep-alive"}}, "the event stream's own"),
            ({"headers": {"Content-Length": "5"}}, "the event stream's own"),
            ({"headers": {"Transfer-Encoding": "chunked"}}, "the event stream's own"),
        ],
    )
    def test_a_wrong_one_is_refused_at_the_call_and_the_request_is_still_the_servers(
        self, serve: Serve, options: dict[str, Any], message: str
    ) -> None:
        def application(environ: Any, start_response: Any) -> list[bytes]:
            try:
                wsdriver.EventSource(environ, **options)
            except wsdriver.ConfigurationError as error:
                start_response("400 Bad Request", [("Content-Type", "text/plain")])
                return [str(error).encode()]
            raise AssertionError("it was taken")

        with serve(application).client(version="1.0") as client:
            assert client.status == 400
            assert message in client.sock.recv(1000).decode()

    @pytest.mark.parametrize("environ", [None, "environ", 7, []])
    def test_the_environ_must_be_one(self, environ: Any) -> None:
        with pytest.raises(wsdriver.ConfigurationError, match="takes a WSGI environ"):
            wsdriver.EventSource(environ)

    def test_a_server_that_cannot_is_told_which_can(self) -> None:
        environ = {"REQUEST_METHOD": "GET", "SERVER_SOFTWARE": "waitress", "wsgi.input": io.BytesIO()}
        with pytest.raises(wsdriver.ConfigurationError) as caught:
            wsdriver.EventSource(environ)
        for name in ("waitress", "gunicorn -k wsdriver.worker", "gevent.pywsgi", "werkzeug", "wsgiref", "gthread"):
            assert name in str(caught.value)


# --- events ---------------------------------------------------------------------------------------------------------


class TestSend:
    def test_events_arrive_as_they_were_sent(self, serve: Serve, kind: str) -> None:
        def act(es: Any) -> None:
            es.send("plain")
            es.send("one\r\ntwo\rthree\n", event="lines", id="7")
            es.send("")
            es.ping()
            es.send("Grüße 🎉", id="")
            es.send("x" * 300_000, id="last")

        with serve(Application(act), kind).client() as client:
            assert client.read_to_end() == [
                Event("plain"),
                Event("one\ntwo\nthree\n", "lines", "7"),
                Event("", "message", "7"),
                Event("Grüße 🎉"),
                Event("x" * 300_000, "message", "last"),
            ]
            assert client.comments == [""]

    def test_one_that_is_refused_leaves_no_trace(self, serve: Serve) -> None:
        def act(es: Any) -> None:
            for arguments in (("x", "a\nb"), ("x", None, "a\0"), ("x", "a\r"), ("\ud800",)):
                with pytest.raises(ValueError, match=r"CR, LF or NUL|surrogates not allowed"):
                    es.send(*arguments)
            for arguments in ((b"x",), (None,), ("x", 1), ("x", None, 1)):
                with pytest.raises(TypeError):
                    es.send(*arguments)
            es.send("good")

        application = Application(act)
        with serve(application).client() as client:
            assert client.read_to_end() == [Event("good")]
        assert application.outcome() is None

    @pytest.mark.parametrize("kind", ["gevent", "gevent-tls", "threads"])
    def test_many_greenlets_and_threads_never_mix_their_events(self, serve: Serve, kind: str) -> None:
        def work(sender: str) -> None:
            for number in range(100):
                size = 30_000 if number % 50 == 49 else number * 37 % 200
                es.send(f"{number}\n{sender * size}", event=sender, id=f"{sender}-{number}")
                if number % 10 == 0:
                    es.ping()

        application = Application(write_limit=1000)
        with serve(application, kind).client(receive_buffer=SMALL) as client:
            es = application.stream()
            threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in "abcd"]
            for thread in threads:
                thread.start()
            # A call that waits blocks this thread where the stream is another's: so greenlets only where it is ours.
            names = "abcd" + ("efghij" if kind.startswith("gevent") else "")
            greenlets = [gevent.spawn(work, name) for name in names[4:]]
            events = client.take(len(names) * 100)
            gevent.joinall(greenlets, raise_error=True)
            for name in names:
                mine = [event for event in events if event.type == name]
                assert [event.last_event_id for event in mine] == [f"{name}-{number}" for number in range(100)]
                for number, event in enumerate(mine):
                    assert event.data.startswith(f"{number}\n")
                    assert set(event.data.partition("\n")[2]) <= {name}
            for thread in threads:
                gevent.get_hub().threadpool.apply(thread.join)


# --- the client goes ------------------------------------------------------------------------------------------------


def close(client: Client) -> None:
    client.sock.close()


def half_close(client: Client) -> None:
    client.sock.shutdown(socket.SHUT_WR)


def say_goodbye(client: Client) -> None:
    """Say so in TLS, and keep TCP open."""
    if isinstance(client.sock, gevent.ssl.SSLSocket):
        client.sock.settimeout(0)
        with suppress(ssl.SSLWantReadError):  # the answer
            client.sock._sslobj.shutdown()
    else:
        half_close(client)


class TestClientGone:
    @pytest.mark.parametrize("go", [close, Client.reset, half_close, say_goodbye])
    def test_is_noticed_while_nothing_is_sent(self, serve: Serve, kind: str, go: Callable[[Client], None]) -> None:
        application = Application(lambda es: application.listen(es), ping=None)
        site = serve(application, kind)
        with ExitStack() as clients:
            other = clients.enter_context(site.client())
            other_stream = application.stream(0)
            client = clients.enter_context(site.client())
            es = application.stream(1)
            client.read_until(lambda: client.retry)
            go(client)
            assert application.outcome() is None
            until(lambda: application.told, "the listener")
            assert es.state == "closed"
            assert es.ready_state == 3
            assert isinstance(es.close_error, OSError)
            for use in (lambda: es.send("x"), es.ping):
                with pytest.raises(wsdriver.ConnectionClosed) as caught:
                    use()
                assert caught.value.__cause__ is es.close_error
            es.close()
            es.terminate()
            es.run()
            assert es.buffered_amount == 0

            other_stream.send("you are still here")
            assert other.take(1) == [Event("you are still here")]
            assert [event.was_clean for event in application.told] == [False]
            assert application.told[0].code == 1006

    def test_is_noticed_by_the_next_send_at_the_latest(self, serve: Serve, kind: str) -> None:
        def act(es: Any) -> None:
            while True:
                es.send("tick")
                if kind.startswith("gevent"):
                    gevent.sleep(0.001)

        application = Application(act)
        site = serve(application, kind)
        with site.client() as client:
            client.take(10)
            client.reset()
        assert isinstance(application.outcome(), wsdriver.ConnectionClosed)
        with site.client() as client:
            assert client.take(1) == [Event("tick")]

    def test_wakes_who_waits_in_send(self, serve: Serve, kind: str) -> None:
        application = Application(lambda es: es.send("x" * 8 * MB))
        with serve(application, kind, send_buffer=SMALL).client(receive_buffer=SMALL) as client:
            es = application.stream()
            until(lambda: es.buffered_amount > MB, "the slow client")
            client.reset()
            outcome = application.outcome()
            assert isinstance(outcome, wsdriver.ConnectionClosed)
            assert isinstance(outcome.__cause__, OSError)

    def test_that_ends_what_it_sends_but_reads_on_gets_what_was_sent(self, serve: Serve) -> None:
        application = Application()
        with serve(application).client() as client:
            application.stream().send("x" * 10_000)
            half_close(client)
            assert client.read_to_end() == [Event("x" * 10_000)]


class TestListeners:
    def test_added_after_the_end_is_called_at_once_and_others_not_again(self, serve: Serve, kind: str) -> None:
        application = Application(lambda es: application.listen(es))
        with serve(application, kind).client() as client:
            client.read_until(lambda: client.retry)
        es = application.stream()
        until(lambda: application.told, "the listener")
        late: list[Any] = []
        assert es.on("close", late.append) == late.append
        until(lambda: late, "the late listener")
        decorated = []

        @es.on("close")
        def listener(event: Any) -> None:
            decorated.append(event)

        until(lambda: decorated, "the other late listener")
        assert application.told == late == decorated

    def test_removed_ones_are_not_called(self, serve: Serve) -> None:
        application = Application()
        told: list[str] = []

        def first(event: Any) -> None:
            told.append("first")

        def second(event: Any) -> None:
            told.append("second")

        site = serve(application)
        with site.client(), site.client():
            one, all_of_them = application.stream(0), application.stream(1)
            for es in (one, all_of_them):
                es.on("close", first)
                es.on("close", second)
            one.off("close", first)
            one.off("close", print)
            all_of_them.off("close")
        until(lambda: len(application.outcomes) == 2, "the end of both")
        until(lambda: told, "a listener")
        gevent.sleep(0.01)
        assert told == ["second"]

    @pytest.mark.parametrize("event", ["open", "message", "error", "Close"])
    def test_other_events_are_refused(self, serve: Serve, event: str) -> None:
        application = Application()
        with serve(application).client():
            for use in (application.stream().on, application.stream().off):
                with pytest.raises(ValueError, match="there is no event"):
                    use(event, print)

    def test_one_that_raises_is_logged_and_the_others_are_called(
        self, serve: Serve, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def act(es: Any) -> None:
            es.on("close", lambda event: 1 / 0)
            application.listen(es)

        application = Application(act)
        with serve(application, kind).client() as client:
            client.read_until(lambda: client.retry)
        assert application.outcome() is None
        until(lambda: application.told, "the second listener")
        until(lambda: caplog.records, "the log")
        (record,) = caplog.records
        assert "listener" in record.message
        assert "ZeroDivisionError" in caplog.text

    @pytest.mark.parametrize("kind", ["gevent", "threads"])
    def test_that_block_hold_up_no_other_stream(self, serve: Serve, kind: str) -> None:
        """Handlers that are threads have their listeners called in threads, of which there are only so many."""
        permit: Any = threading.Event() if kind == "threads" else gevent.event.Event()
        told = []

        def wait(event: Any) -> None:
            permit.wait(PATIENCE)
            told.append(event)

        def act(es: Any) -> None:
            es.on("close", wait)
            es.run()

        application = Application(act)
        site = serve(application, kind)
        try:
            with ExitStack() as stack:
                for _ in range(25):
                    stack.enter_context(site.client())
            until(lambda: len(application.outcomes) == 25, "the end of all handlers")
            assert not told
        finally:
            permit.set()
        until(lambda: len(told) == 25, "all listeners")


# --- the application returns ----------------------------------------------------------------------------------------


class TestWsgiResponse:
    def test_without_a_listener_it_ends_the_stream(self, serve: Serve, kind: str) -> None:
        application = Application(lambda es: es.send("only this"))
        with serve(application, kind).client() as client:
            assert client.read_to_end() == [Event("only this")]
        es = application.stream()
        until(lambda: es.state == "closed", "the end")
        assert es.close_error is None
        assert es.http_status == "200 OK"

    def test_with_a_listener_it_waits_for_the_end(self, serve: Serve, kind: str) -> None:
        application = Application(lambda es: es.on("close", application.told.append))
        with serve(application, kind).client() as client:
            es = application.stream()
            assert application.outcome() is None
            for number in range(3):
                es.send(str(number))
                gevent.sleep(0.02)
            assert client.take(3) == [Event(str(number)) for number in range(3)]
            assert not application.told
        until(lambda: application.told, "the listener")

    def test_is_ended_by_a_close_of_somebody_else(self, serve: Serve, kind: str) -> None:
        application = Application(lambda es: es.on("close", application.told.append))
        with serve(application, kind).client() as client:
            es = application.stream()
            es.send("last")
            gevent.get_hub().threadpool.apply(es._start_close)
            assert client.read_to_end() == [Event("last")]
            until(lambda: application.told, "the listener")
        assert application.told[0].was_clean

    @pytest.mark.parametrize("result", [None, [], iter(())])
    def test_may_be_forgotten(self, serve: Serve, result: Any) -> None:
        def application(environ: Any, start_response: Any) -> Any:
            wsdriver.EventSource(environ).send("x")
            return result

        with serve(application).client() as client:
            assert client.read_to_end() == [Event("x")]

    def test_may_come_from_a_generator(self, serve: Serve, kind: str) -> None:
        def application(environ: Any, start_response: Any) -> Any:
            es = wsdriver.EventSource(environ)
            es.send("x")
            yield from es.wsgi_response()

        with serve(application, kind).client() as client:
            assert client.read_to_end() == [Event("x")]


class TestErrors:
    def test_of_the_application_end_the_stream_and_are_logged(
        self, serve: Serve, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def act(es: Any) -> None:
            es.send("one")
            raise RuntimeError("the application failed")

        site = serve(Application(act), kind)
        for _ in range(2):
            with site.client() as client:
                client.read_to_end()
                assert client.events == [Event("one")]
        until(lambda: "the application failed" in caplog.text + site.errors.getvalue(), "the log")

    def test_a_second_one_on_a_request_is_refused(self, serve: Serve, kind: str) -> None:
        def act(es: Any) -> None:
            with pytest.raises(wsdriver.ConfigurationError, match="taken by another") as caught:
                wsdriver.EventSource(es.environ)
            es.send(str(caught.value))

        application = Application(act)
        with serve(application, kind).client() as client:
            (event,) = client.read_to_end()
            assert "EventSource" in event.data
        assert application.outcome() is None

    @pytest.mark.parametrize("kind", ["gevent", "threads"])
    def test_a_client_that_goes_is_none(self, serve: Serve, kind: str, caplog: pytest.LogCaptureFixture) -> None:
        def act(es: Any) -> None:
            es.run()
            es.send("too late")

        application = Application(act)
        site = serve(application, "gevent")
        with site.client() as client:
            client.read_until(lambda: client.retry)
        assert isinstance(application.outcome(), wsdriver.ConnectionClosed)
        gevent.sleep(0.01)
        assert [record for record in caplog.records if record.levelno > logging.INFO] == []


class TestOrdinaryApplications:
    """Requests that accept event streams, and applications that know nothing of EventSource."""

    def test_answer_as_ever_and_keep_the_connection(self, serve: Serve, kind: str) -> None:
        with serve(Application(), kind).client(path="/page") as client:
            assert client.status == 200
            assert client.headers["content-type"] == "text/plain"

    @pytest.mark.parametrize("status", ["401 Unauthorized", "204 No Content", "302 Found"])
    def test_may_refuse(self, serve: Serve, kind: str, status: str) -> None:
        def application(environ: Any, start_response: Any) -> list[bytes]:
            start_response(status, [("Content-Length", "0")])
            return []

        with serve(application, kind).client() as client:
            assert client.status == int(status[:3])

    def test_stream_by_themselves(self, serve: Serve, kind: str) -> None:
        permit = threading.Event() if kind.startswith("threads") else gevent.event.Event()

        def application(environ: Any, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            yield b"data: first\n\n"
            permit.wait(PATIENCE)
            yield b""
            yield b"data: second\n\n"

        with serve(application, kind).client(version="1.0") as client:
            assert client.headers["content-type"] == "text/event-stream"
            assert client.take(1) == [Event("first")]
            permit.set()
            with suppress(ssl.SSLEOFError):  # these servers end TCP only
                client.read_to_end()
            assert client.events == [Event("second")]

    def test_are_closed_once(self, serve: Serve) -> None:
        closed = []

        class Page:
            def __iter__(self) -> Iterator[bytes]:
                yield b"data: x\n\n"

            def close(self) -> None:
                closed.append(self)

        def application(environ: Any, start_response: Any) -> Page:
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return Page()

        with serve(application).client(version="1.0") as client:
            assert client.read_to_end() == [Event("x")]
        assert len(closed) == 1


# --- slow clients ---------------------------------------------------------------------------------------------------


class TestSlowClients:
    def test_hold_up_only_who_sends_to_them(self, serve: Serve, kind: str) -> None:
        block = "x" * 10_000
        sent = []

        def act(es: Any) -> None:
            if es.environ["PATH_INFO"] == "/slow":
                for number in range(100):
                    es.send(block, id=str(number))
                    sent.append(number)
            else:
                es.run()

        application = Application(act)
        site = serve(application, kind, send_buffer=SMALL)
        with ExitStack() as clients:
            slow = clients.enter_context(site.client(path="/slow", receive_buffer=SMALL))
            es = application.stream(0)
            fast = clients.enter_context(site.client())
            until(lambda: es.buffered_amount > 64 * KB, "the slow client")
            for number in range(50):
                application.stream(1).send(str(number))
                assert fast.take(1) == [Event(str(number))]
            assert len(sent) < 100
            assert es.buffered_amount <= 64 * KB + 11_000
            assert es.state == "open"
            events = slow.read_to_end()
            assert [event.last_event_id for event in events] == [str(number) for number in range(100)]
            assert {event.data for event in events} == {block}
        assert es.close_error is None

    def test_write_limit_says_how_much_may_wait(self, serve: Serve) -> None:
        application = Application(write_limit=500_000)
        with serve(application, send_buffer=SMALL).client(receive_buffer=SMALL):
            es = application.stream()
            es.send("x" * 490_000)
            sender = gevent.spawn(es.send, "x" * 300_000)
            gevent.sleep(0.05)
            assert not sender.ready()
            assert es.buffered_amount > 500_000
            sender.kill()
            assert es.state == "open"

    def test_send_timeout_cuts_them(self, serve: Serve, kind: str) -> None:
        application = Application(lambda es: es.send("x" * 4 * MB), send_timeout=0.2)
        with serve(application, kind, send_buffer=SMALL).client(receive_buffer=SMALL):
            outcome = application.outcome()
            assert isinstance(outcome, wsdriver.ConnectionClosed)
            assert isinstance(outcome.__cause__, TimeoutError)
            assert application.stream().state == "closed"

    @pytest.mark.parametrize("pause", [0.0, 0.002])
    def test_close_waits_until_all_is_through(self, serve: Serve, kind: str, pause: float) -> None:
        def act(es: Any) -> None:
            es.send("x" * MB, id="1")
            es.send("the last", id="2")
            es.close()
            left.append(es.buffered_amount)

        left: list[int] = []
        application = Application(act, write_limit=4 * MB)
        with serve(application, kind, send_buffer=SMALL).client(receive_buffer=SMALL) as client:
            until(lambda: application.stream().state == "closing", "the close")
            assert not left
            with pytest.raises(wsdriver.ConnectionClosed):
                application.stream().send("no more")
            while client.read(16_000):
                gevent.sleep(pause)
            assert [len(event.data) for event in client.events] == [MB, 8]
            assert application.outcome() is None
        assert left == [0]
        assert application.stream().close_error is None

    def test_close_timeout_cuts_them(self, serve: Serve, kind: str) -> None:
        def act(es: Any) -> None:
            es.on("close", application.told.append)
            es.send("x" * 4 * MB)
            es.close()

        application = Application(act, write_limit=8 * MB, close_timeout=0.2)
        with serve(application, kind, send_buffer=SMALL).client(receive_buffer=SMALL):
            assert application.outcome() is None
            assert isinstance(application.stream().close_error, TimeoutError)
            until(lambda: application.told, "the listener")
            assert not application.told[0].was_clean

    def test_terminate_waits_for_nothing(self, serve: Serve, kind: str) -> None:
        def act(es: Any) -> None:
            es.send("x" * 4 * MB)
            es.terminate()
            es.terminate()

        application = Application(act, write_limit=8 * MB, close_timeout=None)
        with serve(application, kind, send_buffer=SMALL).client(receive_buffer=SMALL):
            assert application.outcome() is None
            assert isinstance(application.stream().close_error, ConnectionAbortedError)
            assert application.stream().state == "closed"

    def test_a_client_that_does_not_close_its_side_is_not_waited_for(self, serve: Serve, kind: str) -> None:
        application = Application(lambda es: es.send("x"), close_timeout=PATIENCE)
        with serve(application, kind).client() as client:
            assert client.read_to_end() == [Event("x")]
            until(lambda: application.stream().state == "closed", "the end", PROMPT)
            assert application.stream().close_error is None


# --- liveness -------------------------------------------------------------------------------------------------------


class TestHeartbeat:
    def test_comments_come_without_any_doing(self, serve: Serve, kind: str) -> None:
        application = Application(ping=0.02)
        with serve(application, kind).client() as client:
            client.read_until(lambda: len(client.comments) >= 5)
            assert client.events == []
            assert application.stream().state == "open"

    def test_none_come_where_it_is_off(self, serve: Serve) -> None:
        application = Application(ping=None)
        with serve(application).client() as client:
            client.read_until(lambda: client.retry)
            gevent.sleep(0.1)
            application.stream().send("x")
            assert client.take(1) == [Event("x")]
            assert client.comments == []

    def test_none_come_between_the_lines_of_an_event(self, serve: Serve) -> None:
        application = Application(lambda es: es.send("line\n" * 200_000), ping=0.005)
        with serve(application, send_buffer=SMALL).client(receive_buffer=SMALL) as client:
            while client.read(60_000):
                gevent.sleep(0.002)
            assert client.events == [Event("line\n" * 200_000)]

    def test_a_client_that_acknowledges_nothing_has_vanished(self, serve: Serve, kind: str) -> None:
        application = Application(lambda es: es.send("x" * 4 * MB), ping=0.05, ping_timeout=0.2)
        with serve(application, kind, send_buffer=SMALL).client(receive_buffer=SMALL):
            outcome = application.outcome()
            assert isinstance(outcome, wsdriver.ConnectionClosed)
            assert isinstance(outcome.__cause__, TimeoutError)
            assert "acknowledged nothing" in str(outcome.__cause__)

    def test_nobody_is_judged_where_that_is_off(self, serve: Serve) -> None:
        application = Application(lambda es: es.send("x" * MB), ping=0.01, ping_timeout=None)
        with serve(application, send_buffer=SMALL).client(receive_buffer=SMALL) as client:
            gevent.sleep(0.3)
            assert application.stream().state == "open"
            assert len(client.read_to_end()) == 1

    @pytest.mark.parametrize("kind", ["gevent", "gevent-tls"])
    def test_a_slow_client_that_takes_something_lives(self, serve: Serve, kind: str) -> None:
        """In TLS small events make three times as many bytes on the wire: what is in flight is not to be mistaken."""

        def act(es: Any) -> None:
            while True:
                es.send("x")

        application = Application(act, ping=0.05, ping_timeout=1.0)
        with serve(application, kind, send_buffer=256 * KB).client(receive_buffer=SMALL) as client:
            es = application.stream()
            # It takes something while they fill: on a busy machine that takes longer than the timeout.
            until(lambda: client.sock.recv(100) and es.buffered_amount > 64 * KB, "the slow client")
            deadline = monotonic() + 2.2
            while monotonic() < deadline:
                for _ in range(1 if kind == "gevent" else 100):  # (TLS: an event each)
                    client.sock.recv(4000)
                gevent.sleep(0.02)
            assert es.state == "open"


# --- the server stops -----------------------------------------------------------------------------------------------


@contextmanager
def quick() -> Iterator[None]:
    """What is in here takes no longer than it should."""
    started = monotonic()
    yield
    assert monotonic() - started < PROMPT


class TestShutdown:
    @pytest.mark.parametrize("kind", ["gevent", "gevent-tls"])
    def test_stop_ends_all_streams_in_order(self, serve: Serve, kind: str) -> None:
        def act(es: Any) -> None:
            es.on("close", application.told.append)
            es.send("hello")
            while es.environ["PATH_INFO"] == "/busy":
                es.send("tick")
                gevent.sleep(0.005)
            es.run()

        application = Application(act)
        site = serve(application, kind)
        with ExitStack() as stack:
            clients = [stack.enter_context(site.client(path=path)) for path in ("/", "/busy", "/")]
            for client in clients:
                assert client.take(1) == [Event("hello")]

            def read_on(client: Client) -> None:
                client.read_to_end()
                client.sock.close()

            readers = [gevent.spawn(read_on, client) for client in clients]
            with quick():
                site.server.stop(timeout=30)
            gevent.joinall(readers, timeout=PATIENCE, raise_error=True)
            assert all(reader.ready() for reader in readers)
        until(lambda: len(application.outcomes) == 3, "the end of the handlers")
        assert [event.was_clean for event in application.told] == [True] * 3

    def test_stop_cuts_who_does_not_take_the_rest(self, serve: Serve) -> None:
        application = Application(lambda es: es.send("x" * 8 * MB), write_limit=16 * MB, close_timeout=None)
        site = serve(application, send_buffer=SMALL)
        with site.client(receive_buffer=SMALL):
            until(lambda: application.stream().buffered_amount > MB, "the slow client")
            with quick():
                site.server.stop(timeout=0.2)
            assert application.stream().state == "closed"

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_gunicorn_ends_all_streams_in_order(self, tmp_path: Path, number: signal.Signals) -> None:
        with (
            Gunicorn(tmp_path, "--graceful-timeout", "30", application="tests.green.streams:app") as server,
            ExitStack() as stack,
        ):
            clients = [
                stack.enter_context(Client(server.port, path=path)) for path in ("/idle", "/tick", "/idle", "/fail")
            ]
            for client in clients:
                assert client.take(1)[0].data == "hello"
            failed = clients.pop()
            failed.read_to_end()
            until(lambda: "the application failed" in server.text(), "the log")
            server.mark()
            server.signal(number)
            with quick():
                for client in clients:
                    client.read_to_end()
                    client.sock.close()
            if number == signal.SIGTERM:
                gevent.get_hub().threadpool.apply(server.assert_gone, (PROMPT,))
            else:
                until(lambda: len(server.workers()) == 2, "the new worker")
            server.assert_quiet()
            until(lambda: server.access_log.read_text().count("200 ") >= 4, "the access log")
            assert len(server.access_log.read_text().splitlines()) == 4


# --- nothing is left ------------------------------------------------------------------------------------------------


class TestLeaks:
    @staticmethod
    def count() -> dict[str, int]:
        gc.collect()
        kinds = [type(thing) for thing in gc.get_objects()]
        return {
            "descriptors": len(os.listdir("/proc/self/fd")),
            "greenlets": sum(issubclass(kind, gevent.Greenlet) for kind in kinds),
            "streams": sum(issubclass(kind, wsdriver.EventSource) for kind in kinds),
        }

    @pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
    def test_nothing_is_left_of_200_streams_however_they_ended(self, serve: Serve, kind: str) -> None:
        sleep = time.sleep if kind.startswith("threads") else gevent.sleep
        ended: list[None] = []

        def application(environ: Any, start_response: Any) -> Any:
            es = wsdriver.EventSource(environ, ping=0.01)
            try:
                if environ["PATH_INFO"] == "/listen":
                    es.on("close", lambda event: None)
                elif environ["PATH_INFO"] == "/busy":
                    while True:
                        es.send("x")
                        sleep(0.002)
                elif environ["PATH_INFO"] == "/run":
                    es.run()
                else:
                    es.send("x")
                return es.wsgi_response()
            except wsdriver.ConnectionClosed:
                return []
            finally:
                ended.append(None)

        def visit(path: str, go: Callable[[Client], None]) -> None:
            with site.client(path=path) as client:
                client.read_until(lambda: client.retry)
                go(client)

        def batch(times: int) -> None:
            ways = [(path, go) for path in ("/listen", "/busy", "/run", "/") for go in (close, Client.reset)]
            work = [gevent.spawn(visit, *way) for way in ways for _ in range(times)]
            gevent.joinall(work, raise_error=True)
            del ended[:-1]

        site = serve(application, kind)
        batch(2)
        before = at_rest(self.count)
        for _ in range(5):
            batch(5)
        assert_nothing_left(self.count, before)
