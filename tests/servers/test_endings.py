"""The end of a WebSocket, by whomever, and what is left: a server that serves, and a log that says nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.servers.matrix import (
    UPGRADE,
    converse,
    every_server,
    every_server_and_tls,
    expect_logged,
    fetch,
    forgive_uwsgi,
    keep_alive_servers,
    settle,
)
from tests.support.gunicorn import Server
from tests.support.net import frame, read_frame, request
from tests.support.peers import need_module
from tests.support.wire import CLOSE, TEXT, Wire

by_reset_and_by_end = pytest.mark.parametrize("go", [Wire.reset, Wire.close], ids=["reset", "end"])


@every_server_and_tls
class TestCloseCodes:
    @pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4001, "bye"), (3000, "Grüße")])
    def test_from_the_server(self, server: Server, name: str, code: int, reason: str) -> None:
        closed = need_module("websockets.exceptions").ConnectionClosed

        async def talk(ws: Any) -> None:
            with pytest.raises(closed) as caught:
                await ws.recv()
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, reason)

        converse(server, f"/close?id={name}&code={code}&reason={reason}", talk)
        assert server.report(name) == {"close_code": code, "close_reason": reason, "was_clean": True}

    @pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "away"), (4002, "Grüße")])
    def test_from_the_client(self, server: Server, name: str, code: int, reason: str) -> None:
        payload = code.to_bytes(2, "big") + reason.encode()
        with server.dial().open(f"/echo?id={name}") as wire:
            wire.send(frame(CLOSE, payload))
            opcode, answer = read_frame(wire.recv)
            assert (opcode, answer[:2]) == (CLOSE, payload[:2])
            assert wire.ended()
        assert server.report(name) == {"close_code": code, "close_reason": reason, "was_clean": True}

    def test_a_frame_that_breaks_the_protocol(self, server: Server, name: str) -> None:
        with server.dial().open(f"/echo?id={name}") as wire:
            wire.send(frame(TEXT, b"not masked", mask=None))
            opcode, payload = read_frame(wire.recv)
            assert (opcode, payload[:2]) == (CLOSE, b"\x03\xea")
            assert wire.ended()
        assert server.report(name)["close_code"] == 1002


@every_server
def test_nothing_behind_the_end_is_a_request(server: Server) -> None:
    with server.dial().open("/echo") as wire:
        wire.send(frame(CLOSE, b"\x03\xe8") + b"GET /no-such-page HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_frame(wire.recv) == (CLOSE, b"\x03\xe8")
        try:
            assert wire.ended()
        except ConnectionResetError:
            pass  # what nobody read may have TCP say so


@every_server_and_tls
@by_reset_and_by_end
class TestClientsThatGo:
    """No heartbeat would notice it in the time that a test waits."""

    def test_while_the_handler_receives(self, server: Server, go: Callable[[Wire], None], name: str) -> None:
        with server.dial().open(f"/echo?id={name}") as wire:
            wire.text("hello")
            assert wire.message() == "hello"
            go(wire)
        assert server.report(name) == {"close_code": 1006, "close_reason": "", "was_clean": False}

    def test_while_the_handler_sleeps(self, server: Server, go: Callable[[Wire], None], name: str) -> None:
        with server.dial().open(f"/asleep?id={name}") as wire:
            go(wire)
        assert server.report(name) == {"close_code": 1006, "close_reason": "", "was_clean": False}


@every_server
@by_reset_and_by_end
def test_a_client_that_goes_in_the_middle_of_a_big_message(
    server: Server, go: Callable[[Wire], None], name: str
) -> None:
    with server.dial(receive_buffer=16384).open(f"/big?id={name}&size=5000000") as wire:
        wire.recv(1000)
        go(wire)
    assert server.report(name)["close_code"] == 1006
    forgive_uwsgi(server)


@every_server_and_tls
class TestApplications:
    def test_one_that_raises_closes_with_1011(self, server: Server, name: str) -> None:
        with server.dial().open("/echo") as other, server.dial().open("/crash") as wire:
            wire.text(f"deliberate {name}")
            assert wire.closed() == 1011
            other.text("unharmed")
            assert other.message() == "unharmed"
            assert other.leave() == 1000
        expect_logged(server, f"RuntimeError: deliberate {name}")

    def test_one_that_returns_a_page_is_closed(self, server: Server) -> None:
        with server.dial().open("/strayed") as wire:
            wire.text("hello")
            assert wire.message() == "hello"
            assert wire.closed() == 1000

    def test_one_that_returns_nothing_in_particular_is_closed(self, server: Server) -> None:
        """Without a call of start_response: to servers that want one this is an error, and they say so."""
        with server.dial().open("/wandered") as wire:
            wire.text("hello")
            assert wire.message() == "hello"
            code = wire.closed()
        assert code in (1000, 1011)
        if code == 1011:
            settle(server)
            server.mark()

    def test_one_that_refuses(self, server: Server) -> None:
        page = fetch(server, "/refuse", UPGRADE)
        assert (page.status, page.body) == (401, b"not you\n")
        assert "Sec-WebSocket-Accept" not in page.headers


@every_server
def test_a_wrong_handshake_is_answered_with_400(server: Server) -> None:
    """By us, or by a proxy that looks at it."""
    assert fetch(server, "/echo", {**UPGRADE, "Sec-WebSocket-Key": "short"}).status == 400


@keep_alive_servers
class TestKeepAlive:
    def test_several_pages_on_one_connection(self, server: Server) -> None:
        with server.dial().open("/echo") as other, server.dial() as wire:
            for _ in range(3):
                assert wire.get("/plain").body == b"a page\n"
                other.text("in between")
                assert other.message() == "in between"
            assert other.leave() == 1000

    def test_a_websocket_after_a_page_and_a_refusal(self, server: Server) -> None:
        with server.dial() as wire:
            assert wire.get("/plain").body == b"a page\n"
            wire.send(request("/refuse"))
            assert wire.response().status == 401
            wire.open("/echo")
            wire.text("in the end")
            assert wire.message() == "in the end"
            assert wire.leave() == 1000
