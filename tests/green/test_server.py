"""The server without WSGI: refusing, routing, limits, health checks and figures."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.event import AsyncResult
from gevent.pywsgi import WSGIServer

import wsdriver
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import echo, serving


def answer_to(port: int, *pieces: bytes) -> tuple[str, dict[str, str], bytes]:
    """Send a request, in pieces, and return the status line, headers and body of the answer, up to the stream's end."""
    with gevent.socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
            gevent.sleep(0)
        answer = b""
        while more := sock.recv(65536):
            answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    return status, dict(line.split(": ", 1) for line in lines), body


@contextmanager
def serving_wsgi(app: Any) -> Iterator[int]:
    """Serve a WSGI application under gevent.pywsgi; the value is its port."""
    server = WSGIServer(("127.0.0.1", 0), app, log=None, handler_class=wsdriver.WebSocketHandler)
    server.start()
    try:
        yield server.server_port
    finally:
        server.stop(timeout=1)


def until(condition: Any) -> None:
    """Wait for what comes soon."""
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.005)


class TestReject:
    def rejecting(self, seen: AsyncResult, *arguments: Any, **keywords: Any) -> Any:
        def handler(ws: wsdriver.WebSocket) -> None:
            ws.reject(*arguments, **keywords)
            seen.set(ws)

        return handler

    def test_reject_answers_403_with_a_sentence_and_the_end(self) -> None:
        seen: AsyncResult = AsyncResult()
        with serving(self.rejecting(seen)) as server:
            status, headers, body = answer_to(server.server_port, request())
            assert (status, body) == ("HTTP/1.1 403 Forbidden", b"Forbidden\n")
            assert headers["Connection"] == "close"
            assert headers["Content-Length"] == str(len(body))
            ws = seen.get(timeout=5)
            assert isinstance(ws.close_error, wsdriver.HandshakeError)
            assert ws.close_error.status == 403
            assert ws.state == "closed"
            assert ws.accept() is False
            assert ws.receive() is None
            for use in (lambda: ws.send("late"), ws.ping, ws.reject):
                with pytest.raises(wsdriver.ConnectionClosed, match="Forbidden"):
                    use()
            until(lambda: len(server.connections) == 0)

    def test_reject_status_message_and_headers_reach_the_client(self) -> None:
        seen: AsyncResult = AsyncResult()
        handler = self.rejecting(seen, 401, "Who is there? é", {"WWW-Authenticate": "Basic", "content-type": "text/x"})
        with serving(handler) as server:
            with pytest.raises(wsdriver.HandshakeError) as caught:
                wsdriver.connect(server.url)
            assert caught.value.status == 401
            assert caught.value.headers["WWW-Authenticate"] == "Basic"
            assert caught.value.headers["Content-Type"] == "text/x"
            assert caught.value.body == "Who is there? é\n".encode()

    @pytest.mark.parametrize("status", [204, 304])
    def test_reject_without_content_has_no_body(self, status: int) -> None:
        with serving(self.rejecting(AsyncResult(), status)) as server:
            line, headers, body = answer_to(server.server_port, request())
            assert line.startswith(f"HTTP/1.1 {status} ")
            assert body == b""
            assert "Content-Length" not in headers

    def test_reject_status_without_a_name_is_sent_as_it_is(self) -> None:
        with serving(self.rejecting(AsyncResult(), 499)) as server:
            assert answer_to(server.server_port, request())[0] == "HTTP/1.1 499 Error"

    @pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 600, 1000, -403, "403", None, 403.0, True])
    def test_reject_status_that_is_none_raises_and_sends_nothing(self, status: Any) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            with pytest.raises(wsdriver.ConfigurationError, match="status"):
                ws.reject(status)
            ws.send("open all the same")

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            assert ws.receive(5) == "open all the same"

    @pytest.mark.parametrize(
        ("message", "headers"),
        [
            (b"bytes", None),
            (None, None),
            ("", {"X": "a\r\nEvil: 1"}),
            ("", {"X Y": "a"}),
            ("", {"Content-Length": "0"}),
            ("", {"transfer-encoding": "chunked"}),
            ("", {"Connection": "keep-alive"}),
        ],
    )
    def test_reject_with_what_cannot_be_sent_raises_and_sends_nothing(self, message: Any, headers: Any) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            with pytest.raises(wsdriver.ConfigurationError):
                ws.reject(403, message, headers)
            ws.send("open all the same")

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            assert ws.receive(5) == "open all the same"

    def test_reject_after_the_handshake_is_a_mistake_and_changes_nothing(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            ws.accept()
            with pytest.raises(RuntimeError, match="close\\(\\) after it"):
                ws.reject()
            ws.send("still open")

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            assert ws.receive(5) == "still open"
            assert ws.receive(5) is None
            assert ws.close_code == 1000

    def test_reject_from_another_thread(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            gevent.get_hub().threadpool.apply(ws.reject, (404, "nobody here"))

        with serving(handler) as server:
            status, _, body = answer_to(server.server_port, request())
            assert (status, body) == ("HTTP/1.1 404 Not Found", b"nobody here\n")

    def test_reject_tells_the_listeners(self) -> None:
        heard: list[Any] = []

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.on("open", lambda event: heard.append("open"))
            ws.on("error", lambda error: heard.append(error.status))
            ws.on("close", lambda event: heard.append("close"))
            ws.reject(404)

        with serving(handler) as server:
            answer_to(server.server_port, request())
            until(lambda: len(heard) >= 2)
            until(lambda: len(server.connections) == 0)
        assert heard == [404, "close"]

    def test_reject_in_a_wsgi_application(self) -> None:
        seen: AsyncResult = AsyncResult()

        def app(environ: Any, start_response: Any) -> Any:
            ws = wsdriver.WebSocket(environ)
            ws.reject(429, "too many", {"Retry-After": "5"})
            seen.set(ws)
            return ws.wsgi_response()

        with serving_wsgi(app) as port:
            status, headers, body = answer_to(port, request())
            assert (status, body) == ("HTTP/1.1 429 Too Many Requests", b"too many\n")
            assert headers["Retry-After"] == "5"
            ws = seen.get(timeout=5)
            assert ws.close_error.status == 429
            with pytest.raises(wsdriver.ConnectionClosed):
                ws.send("late")

    def test_reject_in_a_wsgi_application_after_the_handshake_is_a_mistake(self) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            ws = wsdriver.WebSocket(environ)
            for message in ws:
                with pytest.raises(RuntimeError):
                    ws.reject()
                ws.send(message)
            return ws.wsgi_response()

        with serving_wsgi(app) as port, wsdriver.connect(f"ws://127.0.0.1:{port}/") as ws:
            ws.send("one")
            assert ws.receive(5) == "one"


class TestHealthcheck:
    GET = b"GET /healthcheck HTTP/1.1\r\nHost: h\r\n\r\n"

    def answer(self, *pieces: bytes, **options: Any) -> tuple[str, dict[str, str], bytes]:
        def handler(ws: wsdriver.WebSocket) -> None:
            raise AssertionError("a health check reached the handler")

        with serving(handler, **{"healthcheck": "/healthcheck", **options}) as server:
            return answer_to(server.server_port, *pieces)

    @pytest.mark.parametrize(
        "head",
        [
            GET,
            GET.replace(b"/healthcheck", b"/healthcheck?full=1&x=/y"),
            GET.replace(b"/healthcheck", b"/%68ealthcheck"),
            b"GET /healthcheck HTTP/1.0\r\n\r\n",
            request("/healthcheck"),
            request("/healthcheck", "Origin: http://evil.example\r\n"),
        ],
    )
    def test_get_is_answered_with_200(self, head: bytes) -> None:
        status, headers, body = self.answer(head, origins=["http://good.example"])
        assert (status, body) == ("HTTP/1.1 200 OK", b"OK\n")
        assert headers["Content-Length"] == "3"
        assert headers["Connection"] == "close"

    def test_get_in_single_bytes_is_answered_with_200(self) -> None:
        pieces = [self.GET[i : i + 1] for i in range(len(self.GET))]
        assert self.answer(*pieces)[0] == "HTTP/1.1 200 OK"

    def test_head_is_answered_without_a_body(self) -> None:
        status, headers, body = self.answer(self.GET.replace(b"GET", b"HEAD"))
        assert (status, body) == ("HTTP/1.1 200 OK", b"")
        assert headers["Content-Length"] == "3"

    @pytest.mark.parametrize(
        "head",
        [
            GET.replace(b"GET", b"POST"),
            GET.replace(b"GET", b"get"),
            GET.replace(b"/healthcheck", b"/healthcheck/"),
            GET.replace(b"/healthcheck", b"/healthchecks"),
            GET.replace(b"/healthcheck", b"/Healthcheck"),
            GET.replace(b"/healthcheck", b"/x/healthcheck"),
            GET.replace(b"/healthcheck", b"/?/healthcheck"),
            GET.replace(b"/healthcheck", b"/").replace(b"Host: h", b"Host: h\r\nX: GET /healthcheck"),
            GET.replace(b"Host: h\r\n", b""),
        ],
    )
    def test_another_request_is_no_health_check(self, head: bytes) -> None:
        assert self.answer(head)[0].startswith("HTTP/1.1 400 ")

    def test_without_the_option_there_is_none(self) -> None:
        assert self.answer(self.GET, healthcheck=None)[0].startswith("HTTP/1.1 400 ")

    def test_health_check_is_no_connection(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG", "wsdriver")
        with (
            serving(healthcheck="/healthcheck") as server,
            gevent.socket.create_connection(("127.0.0.1", server.server_port), 5) as sock,
        ):
            sock.sendall(self.GET)
            assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")
            assert len(server.connections) == 0
        assert caplog.records == []

    @pytest.mark.parametrize("path", ["", "healthcheck", "/a?b", "/a#b", 1, True, b"/healthcheck"])
    def test_path_that_is_none_raises(self, path: Any) -> None:
        with pytest.raises(wsdriver.ConfigurationError, match="healthcheck"):
            wsdriver.WebSocketServer(("127.0.0.1", 0), print, healthcheck=path)


def test_head_on_any_path_is_refused_without_a_body() -> None:
    with serving() as server:
        status, headers, body = answer_to(server.server_port, b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert status.startswith("HTTP/1.1 400 ")
        assert int(headers["Content-Length"]) > 0
        assert body == b""


class TestMaxConnections:
    def test_over_the_limit_is_503_until_one_leaves(self) -> None:
        with serving(max_connections=2, healthcheck="/healthcheck") as server:
            clients = [wsdriver.connect(server.url) for _ in range(2)]
            for _ in range(2):
                status, headers, _ = answer_to(server.server_port, request())
                assert status == "HTTP/1.1 503 Service Unavailable"
                assert int(headers["Retry-After"]) > 0
            assert answer_to(server.server_port, TestHealthcheck.GET)[0] == "HTTP/1.1 200 OK"
            clients[0].close()
            again = connected_at_last(server.url)
            for client in (clients[1], again):
                client.send("in")
                assert client.receive(5) == "in"
                client.close()

    def test_over_the_limit_of_an_address_is_429_until_one_leaves(self) -> None:
        with serving(max_connections_per_ip=1) as server:
            client = wsdriver.connect(server.url)
            status, headers, _ = answer_to(server.server_port, request())
            assert status == "HTTP/1.1 429 Too Many Requests"
            assert int(headers["Retry-After"]) > 0
            with gevent.socket.create_connection(("127.0.0.1", server.server_port), 5, ("127.0.0.2", 0)) as other:
                other.sendall(request())
                assert other.recv(100).startswith(b"HTTP/1.1 101 ")
            client.close()
            connected_at_last(server.url).close()

    def test_requests_that_are_refused_and_probes_take_no_room(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            if ws.handshake.path == "/no":
                ws.reject()
            elif ws.handshake.path == "/error":
                raise ZeroDivisionError
            else:
                echo(ws)

        with serving(handler, max_connections=1, max_connections_per_ip=1) as server:
            silent = gevent.socket.create_connection(("127.0.0.1", server.server_port), 5)
            for path in ("/no", "/error"):
                answer_to(server.server_port, request(path))
                answer_to(server.server_port, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            with connected_at_last(server.url) as ws:
                ws.send("in")
                assert ws.receive(5) == "in"
            silent.close()

    def test_handler_of_listeners_counts_until_the_end(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            ws.on("message", lambda event: ws.send(event.data))

        with serving(handler, max_connections=1) as server, wsdriver.connect(server.url) as ws:
            ws.send("in")
            assert ws.receive(5) == "in"
            assert answer_to(server.server_port, request())[0].startswith("HTTP/1.1 503 ")

    @pytest.mark.parametrize("name", ["max_connections", "max_connections_per_ip"])
    @pytest.mark.parametrize("value", [0, -1, 1.5, True, "10"])
    def test_limit_that_is_none_raises(self, name: str, value: Any) -> None:
        with pytest.raises(wsdriver.ConfigurationError, match=name):
            wsdriver.WebSocketServer(("127.0.0.1", 0), echo, **{name: value})


def connected_at_last(url: str) -> Any:
    """Connect as soon as there is room: the server notices a little later that somebody has left."""
    with gevent.Timeout(10):
        while True:
            try:
                return wsdriver.connect(url)
            except wsdriver.HandshakeError as error:
                if error.status not in (429, 503):
                    raise
                gevent.sleep(0.01)


class TestStats:
    def test_stats_of_a_new_server_are_zero(self) -> None:
        server = wsdriver.WebSocketServer(("127.0.0.1", 0), echo)
        assert asdict(server.stats()) == {
            "open": 0,
            "total": 0,
            "messages_received": 0,
            "messages_sent": 0,
            "bytes_received": 0,
            "bytes_sent": 0,
            "closes": {},
        }

    def test_stats_count_while_open_and_after_the_end(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            for message in ws:
                ws.send(message)
                ws.send(message)

        head = request()
        with serving(handler, ping=None) as server:
            answer_size = len(read_answer(server.server_port, head))
            until(lambda: server.stats().closes == {1006: 1})
            before = server.stats()
            assert (before.open, before.total) == (0, 1)
            with gevent.socket.create_connection(("127.0.0.1", server.server_port), 5) as sock:
                sock.sendall(head + frame(1, b"hello") + frame(2, b"12345678"))
                expected = answer_size + 2 * (2 + 5) + 2 * (2 + 8)
                received = 0
                while received < expected:
                    received += len(sock.recv(expected - received))
                now = server.stats()
                assert (now.open, now.total) == (1, 2)
                assert now.messages_received - before.messages_received == 2
                assert now.messages_sent - before.messages_sent == 4
                assert now.bytes_received - before.bytes_received == len(head) + 6 + 5 + 6 + 8
                assert now.bytes_sent - before.bytes_sent == expected
                sock.sendall(frame(8, b"\x0f\xa1"))
                assert read_frame(sock.recv) == (8, b"\x0f\xa1")
            until(lambda: server.stats().closes == {1006: 1, 4001: 1})
            after = server.stats()
            assert (after.open, after.total) == (0, 2)
            assert (after.messages_received, after.messages_sent) == (2, 4)
            assert after.bytes_sent - before.bytes_sent == expected + 4

    def test_stats_count_closes_by_code(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            code = int(ws.handshake.path[1:])
            if code == 1011:
                raise ZeroDivisionError
            if code == 403:
                ws.reject()
            else:
                ws.close(code)

        with serving(handler) as server:
            for code in (1000, 4000, 4000):
                with wsdriver.connect(f"{server.url}{code}") as ws:
                    assert ws.receive(5) is None
            with wsdriver.connect(f"{server.url}4001") as ws:
                assert ws.receive(5) is None
            answer_to(server.server_port, request("/403"))
            answer_to(server.server_port, request("/1011"))  # before the handshake: 500
            until(lambda: server.stats().closes == {1000: 1, 4000: 2, 4001: 1} and server.stats().total == 6)

    def test_stats_leave_out_health_checks_probes_and_refusals(self) -> None:
        with serving({"/": echo}, healthcheck="/healthcheck", max_connections=1) as server:
            answer_to(server.server_port, request("/nowhere"))
            gevent.socket.create_connection(("127.0.0.1", server.server_port), 5).close()
            answer_to(server.server_port, TestHealthcheck.GET)
            answer_to(server.server_port, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            with wsdriver.connect(server.url) as ws:
                ws.send("in")
                assert ws.receive(5) == "in"
                answer_to(server.server_port, request())
                assert server.stats().total == 1


def read_answer(port: int, head: bytes) -> bytes:
    """Open a WebSocket, drop it, and return the answer's head."""
    with gevent.socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(head)
        return read_head(sock.recv)
