"""The WebSocket that applications see: its calls, its listeners and its attributes."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult

import wsdriver
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import echo, serving


def seen_by(handler: Any, url_path: str = "", extra: str = "", **options: Any) -> Any:
    """Connect to a server and return what ``handler(ws)`` returned there."""
    result: AsyncResult = AsyncResult()

    def handle(ws: wsdriver.WebSocket) -> None:
        try:
            result.set(handler(ws))
        except BaseException as error:
            result.set_exception(error)
            raise

    with serving(handle, **options) as server:
        with wsdriver.connect(server.url + url_path) as ws:
            ws.receive()
        return result.get(timeout=5)


class TestReceive:
    def test_receive_text_and_binary_are_str_and_bytes(self) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            ws.send("héllo")
            ws.send(b"\x00\xff")
            assert [ws.receive(5), ws.receive(5)] == ["héllo", b"\x00\xff"]

    def test_receive_empty_messages_are_messages(self) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            ws.send("")
            ws.send(b"")
            assert [ws.receive(5), ws.receive(5)] == ["", b""]

    def test_receive_after_close_returns_none_again_and_again(self) -> None:
        with serving(lambda ws: ws.close(4001, "enough")) as server, wsdriver.connect(server.url) as ws:
            assert ws.receive(5) is None
            assert ws.receive(5) is None
            assert ws.receive(0) is None
            assert list(ws) == []
            assert (ws.close_code, ws.close_reason, ws.was_clean) == (4001, "enough", True)

    def test_receive_what_came_before_the_close_is_not_lost(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            for number in range(1000):
                ws.send(str(number))

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            while ws.close_code is None:
                gevent.sleep(0.01)
            assert list(ws) == [str(number) for number in range(1000)]

    def test_receive_with_timeout_raises_and_loses_nothing(self) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    ws.receive(0.01)
            ws.send("still here")
            assert ws.receive(5) == "still here"

    def test_receive_by_two_greenlets_is_refused(self) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            waiting = gevent.spawn(ws.receive)
            gevent.sleep(0)
            with pytest.raises(RuntimeError, match="another greenlet"):
                ws.receive()
            ws.send("for the first")
            assert waiting.get(timeout=5) == "for the first"


class TestSend:
    @pytest.mark.parametrize("message", [None, 1, 1.5, ["a"], {"a": 1}, object()])
    def test_send_of_another_type_raises_and_sends_nothing(self, message: Any) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            with pytest.raises(TypeError, match="send\\(\\) takes str or bytes"):
                ws.send(message)
            ws.send("next")
            assert ws.receive(5) == "next"

    def test_send_of_a_lone_surrogate_raises_and_sends_nothing(self) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            with pytest.raises(UnicodeEncodeError):
                ws.send("\ud800")
            ws.send("next")
            assert ws.receive(5) == "next"

    @pytest.mark.parametrize("message", [bytearray(b"abc"), memoryview(b"abc"), memoryview(b"aXbXcX")[::2]])
    def test_send_of_bytes_like_is_binary(self, message: Any) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            ws.send(message)
            assert ws.receive(5) == b"abc"

    def test_send_with_binary_says_otherwise(self) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            ws.send("é", binary=True)
            ws.send("é".encode(), binary=False)
            assert [ws.receive(5), ws.receive(5)] == ["é".encode(), "é"]
            with pytest.raises(UnicodeDecodeError):
                ws.send(b"\xff", binary=False)

    def test_send_after_the_end_says_how_it_ended(self) -> None:
        with serving(lambda ws: ws.close(4002, "full")) as server, wsdriver.connect(server.url) as ws:
            assert ws.receive(5) is None
            with pytest.raises(wsdriver.ConnectionClosed, match=r"4002 \(full\)") as caught:
                ws.send("late")
            assert caught.value.received == (4002, "full")
            assert caught.value.sent == (4002, "full")
            with pytest.raises(wsdriver.ConnectionClosed):
                ws.ping()


class TestPing:
    def test_ping_calls_back_when_its_pong_comes(self) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            answered: AsyncResult = AsyncResult()
            ws.ping("are you there", lambda: answered.set(True))
            assert answered.get(timeout=5)

    def test_ping_over_125_bytes_raises(self) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            with pytest.raises(ValueError, match="125"):
                ws.ping(b"x" * 126)
            with pytest.raises(ValueError, match="125"):
                ws.pong(b"x" * 126)

    def test_heartbeat_measures_latency(self) -> None:
        with serving() as server, wsdriver.connect(server.url, ping=0.02) as ws:
            with gevent.Timeout(5):
                while ws.latency is None:
                    gevent.sleep(0.01)
            assert 0 <= ws.latency < 5


class TestClose:
    @pytest.mark.parametrize(
        "code", [0, 999, 1001, 1002, 1004, 1005, 1006, 1007, 1010, 1014, 1015, 2999, 5000, "1000", True]
    )
    def test_close_with_a_code_that_is_not_an_applications_raises(self, code: Any) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            with pytest.raises(ValueError, match="close code"):
                ws.close(code)
            with pytest.raises(TypeError, match="reason"):
                ws.close(1000, b"bytes")  # type: ignore[arg-type]
            assert ws.state == "open"

    @pytest.mark.parametrize("code", [1000, 1003, 1008, 1009, 1011, 1012, 1013, 3000, 4999])
    def test_close_code_reaches_the_peer(self, code: int) -> None:
        ended: AsyncResult = AsyncResult()

        def handler(ws: wsdriver.WebSocket) -> None:
            list(ws)
            ended.set((ws.close_code, ws.close_reason, ws.was_clean))

        with serving(handler) as server:
            wsdriver.connect(server.url).close(code, "grüße")
            assert ended.get(timeout=5) == (code, "grüße", True)

    def test_close_twice_is_harmless(self) -> None:
        with serving() as server:
            ws = wsdriver.connect(server.url)
            ws.close(4000)
            ws.close(4001)
            ws.terminate()
            assert ws.close_code == 4000

    def test_close_unanswered_ends_after_close_timeout(self) -> None:
        ended: AsyncResult = AsyncResult()

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.close(4000)
            ended.set((ws.close_code, ws.was_clean, type(ws.close_error)))

        with serving(handler, close_timeout=0.1) as server:
            sock = gevent.socket.create_connection(("127.0.0.1", server.server_port))
            sock.sendall(request())
            assert ended.get(timeout=5) == (1006, False, TimeoutError)
            read_head(sock.recv)
            assert read_frame(sock.recv) == (8, b"\x0f\xa0")
            sock.close()

    def test_close_reason_that_is_too_long_is_cut_between_characters(self) -> None:
        with serving(lambda ws: ws.close(1000, "é" * 100)) as server, wsdriver.connect(server.url) as ws:
            assert ws.receive(5) is None
            assert ws.close_reason == "é" * 61

    def test_terminate_is_1006_on_both_sides(self) -> None:
        with serving(lambda ws: ws.terminate() if ws.accept() else None) as server:
            ws = wsdriver.connect(server.url)
            assert ws.receive(5) is None
            assert (ws.close_code, ws.was_clean) == (1006, False)


class TestListeners:
    def test_listeners_hear_everything_in_order_and_the_end_once(self) -> None:
        heard: list[Any] = []
        done: AsyncResult = AsyncResult()

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.on("open", lambda event: heard.append("open"))
            ws.on("message", lambda event: heard.append(event.data))
            ws.on("ping", lambda event: heard.append(("ping", event.data)))
            ws.on("pong", lambda event: heard.append(("pong", event.data)))
            ws.on("close", lambda event: done.set((event.code, event.reason, event.was_clean)))
            ws.on("close", lambda event: heard.append("close"))

        with serving(handler) as server:
            ws = wsdriver.connect(server.url)
            ws.send("one")
            ws.ping(b"p")
            ws.send(b"two")
            ws.pong(b"q")
            ws.close(4000, "bye")
            assert done.get(timeout=5) == (4000, "bye", True)
            gevent.sleep(0.05)
        assert heard == ["open", "one", ("ping", b"p"), b"two", ("pong", b"q"), "close"]

    def test_listener_may_send_and_close(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            @ws.on("message")
            def answer(event: Any) -> None:
                ws.send(event.data.upper())
                if event.data == "last":
                    ws.close(4000)

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            ws.send("first")
            ws.send("last")
            assert list(ws) == ["FIRST", "LAST"]
            assert ws.close_code == 4000

    def test_listener_that_raises_closes_with_1011(self) -> None:
        heard: list[Any] = []

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.on("message", lambda event: 1 / 0)
            ws.on("error", lambda error: heard.append(type(error)))
            ws.on("close", lambda event: heard.append(event.code))

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            ws.send("x")
            assert ws.receive(5) is None
            assert ws.close_code == 1011
        assert heard == [ZeroDivisionError, 1011]

    def test_open_listener_that_raises_closes_with_1011(self, caplog: pytest.LogCaptureFixture) -> None:
        heard: list[Any] = []

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.on("open", lambda event: 1 / 0)
            ws.on("error", lambda error: heard.append(type(error)))
            ws.on("close", lambda event: heard.append(event.code))

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            assert ws.receive(5) is None
            assert ws.close_code == 1011
        assert heard == [ZeroDivisionError, 1011]
        assert [record.message for record in caplog.records if record.exc_info] == ["error in a handler"]

    def test_close_listener_runs_where_nobody_receives(self) -> None:
        closed: AsyncResult = AsyncResult()

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.on("close", lambda event: closed.set(event.code))
            ws.accept()
            gevent.sleep(5)

        with serving(handler) as server:
            wsdriver.connect(server.url).close(4009)
            assert closed.get(timeout=3) == 4009

    def test_off_removes_and_misspelt_events_raise(self) -> None:
        with serving() as server, wsdriver.connect(server.url) as ws:
            heard: list[Any] = []
            ws.on("message", heard.append)
            ws.off("message", heard.append)
            ws.off("close")
            with pytest.raises(ValueError, match="mesage"):
                ws.on("mesage", heard.append)
            with pytest.raises(ValueError, match="mesage"):
                ws.off("mesage")
            ws.send("x")
            assert ws.receive(5) == "x"
            assert not heard


class TestProtocolErrors:
    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (frame(1, b"\xff"), 1007),
            (frame(1, b"x", mask=None), 1002),
            (frame(3), 1002),
            (frame(2, b"x" * 101), 1009),
            (frame(1, b"x", rsv=0x40), 1002),
        ],
    )
    def test_peers_fault_is_answered_with_its_code_and_told(self, data: bytes, code: int) -> None:
        ended: AsyncResult = AsyncResult()

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.on("error", lambda error: None)
            messages = list(ws)
            ended.set((messages, ws.close_code, ws.was_clean, getattr(ws.close_error, "code", None)))

        with serving(handler, max_length=100) as server:
            sock = gevent.socket.create_connection(("127.0.0.1", server.server_port))
            sock.sendall(request() + frame(1, b"before") + data + frame(1, b"after"))
            read_head(sock.recv)
            opcode, payload = read_frame(sock.recv)
            assert (opcode, int.from_bytes(payload[:2], "big")) == (8, code)
            assert ended.get(timeout=5) == (["before"], code, False, code)
            assert sock.recv(1) == b""
            sock.close()


class TestWhatIsKnown:
    def test_attributes_of_a_request(self) -> None:
        def look(ws: wsdriver.WebSocket) -> dict[str, Any]:
            return {
                "before": (ws.state, ws.ready_state),
                "url": ws.url,
                "path": ws.handshake.path,
                "query_string": ws.handshake.query_string,
                "query": ws.handshake.query,
                "host": ws.handshake.headers["HOST"].split(":")[0],
                "version": ws.handshake.protocol_version,
                "origin": ws.handshake.origin,
                "secure": (ws.secure, ws.handshake.secure),
                "peer": ws.remote_address[0],
                "environ": (ws.environ["REQUEST_METHOD"], ws.environ["REMOTE_ADDR"]),
                "accepted": ws.accept(),
                "after": (ws.state, ws.ready_state, ws.version, ws.protocol, ws.pingable, ws.supports_close_codes),
                "buffered": ws.buffered_amount,
                "again": ws.handshake.path,
            }

        known = seen_by(look, "some/p%61th?a=1&b=%C3%A9&a=2")
        port = known.pop("url").split(":")[2].split("/")[0]
        assert port.isdigit()
        assert known == {
            "before": ("connecting", 0),
            "path": "/some/path",
            "query_string": "a=1&b=%C3%A9&a=2",
            "query": {"a": "2", "b": "é"},
            "host": "127.0.0.1",
            "version": 13,
            "origin": None,
            "secure": (False, False),
            "peer": "127.0.0.1",
            "environ": ("GET", "127.0.0.1"),
            "accepted": True,
            "after": ("open", 1, "hybi-13", None, True, True),
            "buffered": 0,
            "again": "/some/path",
        }

    def test_environ_after_the_handshake_still_tells(self) -> None:
        def look(ws: wsdriver.WebSocket) -> Any:
            ws.accept()
            return ws.environ["PATH_INFO"], ws.handshake.headers["Upgrade"], ws.url.endswith("/later")

        assert seen_by(look, "later") == ("/later", "websocket", True)

    def test_attributes_may_be_set(self) -> None:
        def look(ws: wsdriver.WebSocket) -> Any:
            ws.user = "me"
            return ws.user

        assert seen_by(look) == "me"

    def test_subprotocol_is_agreed(self) -> None:
        with serving(echo, protocols=["b", "c"]) as server:
            with wsdriver.connect(server.url, ["a", "c", "b"]) as ws:
                assert ws.protocol == "c"
            with wsdriver.connect(server.url, ["superb"]) as ws:
                assert ws.protocol is None

    @pytest.mark.parametrize(
        "options",
        [{"max_lenght": 1}, {"ping": 0}, {"ping": "20"}, {"max_length": -1}, {"protocols": ["a b"]}, {"headers": 5}],
    )
    def test_wrong_option_raises_at_the_call(self, options: dict[str, Any]) -> None:
        name = "max_length" if "max_lenght" in options else next(iter(options))
        for call in (
            lambda: wsdriver.WebSocketServer(("127.0.0.1", 0), echo, **options),
            lambda: wsdriver.connect("ws://127.0.0.1:1/", **options),
            lambda: wsdriver.WebSocket({"REQUEST_METHOD": "GET"}, **options),
        ):
            with pytest.raises(wsdriver.ConfigurationError, match=name):
                call()
