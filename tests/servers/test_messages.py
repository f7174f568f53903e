"""Messages: under every server they arrive as they were sent."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import Any

from tests.servers.app import pattern
from tests.servers.matrix import (
    converse,
    every_server,
    every_server_and_tls,
    fetch,
    forgive_uwsgi,
    keep_alive_servers,
)
from tests.support.autobahn import peer_frame
from tests.support.gunicorn import Server
from tests.support.net import frame, read_frame, request
from tests.support.wire import BINARY, CLOSE, TEXT

MEGABYTES = 5 * 1024 * 1024


@every_server_and_tls
class TestEcho:
    def test_with_websockets(self, server: Server) -> None:
        async def talk(ws: Any) -> None:
            for message in ("hello", "", b"", b"\x00\xff" * 300, "Grüße, 世界 🎉", "x" * 70_000):
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["in ", "three ", "fragments"])
            assert await ws.recv() == "in three fragments"
            await (await ws.ping())
            await ws.close()
            assert ws.close_code == 1000

        converse(server, "/echo", talk)

    def test_5_megabytes_both_ways(self, server: Server) -> None:
        data = pattern(MEGABYTES)

        async def talk(ws: Any) -> None:
            await ws.send(data)
            assert await ws.recv() == data

        converse(server, "/echo", talk, max_size=None, compression=None)

    def test_5_megabytes_to_a_client_that_takes_its_time(self, server: Server) -> None:
        data = pattern(MEGABYTES)
        with server.dial(receive_buffer=65536).open(f"/big?size={len(data)}") as wire:
            time.sleep(0.1)  # the server's and the proxy's buffers are full by now
            assert wire.message() == data
            assert wire.closed() == 1000

    def test_fragments_with_a_ping_between_them(self, server: Server) -> None:
        with server.dial().open("/echo") as wire:
            wire.send(frame(TEXT, b"three ", fin=False))
            wire.ping(b"in between")
            wire.send(frame(0, b"frag", fin=False) + frame(0, b"ments"))
            assert wire.message() == "three fragments"
            assert wire.leave() == 1000


@every_server
class TestHandlers:
    def test_listeners(self, server: Server, name: str) -> None:
        with server.dial().open(f"/listeners?id={name}", early=frame(TEXT, b"early")) as wire:
            assert wire.message() == "early"
            wire.text("one", "two")
            assert [wire.message(), wire.message()] == ["one", "two"]
            assert wire.leave(4000) == 4000
        assert server.report(name) == {"close_code": 4000, "was_clean": True}

    def test_pings_are_answered_while_the_handler_sleeps(self, server: Server, name: str) -> None:
        with server.dial().open(f"/busy?id={name}") as wire:
            for number in range(5):
                wire.ping(b"ping %d" % number)
            wire.text("for later")
            wire.ping(b"behind a message")
            server.release(name)
            assert wire.message() == "for later"
            assert wire.leave() == 1000

    def test_a_close_is_answered_while_the_handler_sleeps(self, server: Server, name: str) -> None:
        with server.dial().open(f"/busy?id={name}") as wire:
            assert wire.leave(4000) == 4000
            server.release(name)
        assert server.report(name) == {"close_code": 4000, "close_reason": "", "was_clean": True}

    def test_another_request_sends_and_closes(self, server: Server, name: str) -> None:
        with server.dial().open(f"/named?id={name}") as wire:
            assert wire.message() == "ready"
            for number in range(3):
                assert fetch(server, f"/tell?id={name}&text={number}").body == b"told\n"
                assert wire.message() == str(number)
            wire.text("and the handler itself")
            assert wire.message() == "and the handler itself"
            wire.say_close()
            assert wire.closed() == 1000

    def test_many_at_once(self, server: Server) -> None:
        with ExitStack() as stack:
            wires = [stack.enter_context(server.dial()) for _ in range(20)]
            for wire in wires:
                wire.ask("/echo")
            for wire in wires:
                wire.opened()
            for turn in range(3):
                for number, wire in enumerate(wires):
                    wire.text(f"{turn} of {number}")
                for number, wire in enumerate(wires):
                    assert wire.message() == f"{turn} of {number}"
            assert fetch(server, "/plain").status == 200
            for wire in wires:
                wire.say_close()
            assert {wire.closed() for wire in wires} == {1000}


@every_server_and_tls
class TestEarlyFrames:
    """Frames in the segment of the request."""

    def test_before_and_after(self, server: Server) -> None:
        with server.dial().open("/echo", early=frame(TEXT, b"one") + frame(BINARY, b"two")) as wire:
            assert wire.message() == "one"
            assert wire.message() == b"two"
            wire.text("three")
            assert wire.message() == "three"
            assert wire.leave() == 1000

    def test_half_a_frame(self, server: Server) -> None:
        whole = frame(TEXT, b"in two parts")
        for cut in (1, 4, 9):
            with server.dial().open("/echo", early=whole[:cut]) as wire:
                wire.send(whole[cut:])
                assert wire.message() == "in two parts"
                assert wire.leave() == 1000

    def test_a_close_at_once(self, server: Server, name: str) -> None:
        with server.dial().open(f"/echo?id={name}", early=frame(CLOSE, b"\x0f\xa0bye")) as wire:
            assert read_frame(wire.recv) == (CLOSE, b"\x0f\xa0bye")
            assert wire.ended()
        assert server.report(name) == {"close_code": 4000, "close_reason": "bye", "was_clean": True}

    def test_a_close_right_behind_a_message(self, server: Server, name: str) -> None:
        """It is answered when it comes; the handler's own answer to the message finds nobody, and that is no error."""
        with server.dial().open(f"/echo?id={name}", early=frame(TEXT, b"hello") + frame(CLOSE, b"\x0f\xa0")) as wire:
            assert read_frame(wire.recv) == (CLOSE, b"\x0f\xa0")
            assert wire.ended()
        assert server.report(name)["close_code"] == 4000
        forgive_uwsgi(server)

    def test_more_than_the_server_reads_ahead(self, server: Server, name: str) -> None:
        """The handler sleeps first, so that all of it waits somewhere."""
        parts = [pattern(1000)] * 200
        with server.dial() as wire:
            wire.ask(f"/late?id={name}", early=b"".join(peer_frame(BINARY, part, masked=True) for part in parts))
            server.release(name)
            wire.opened()
            assert [wire.message() for _ in parts] == parts
            wire.text("the last")
            assert wire.message() == "the last"
            assert wire.leave() == 1000


@keep_alive_servers
def test_early_frames_behind_a_plain_request(server: Server) -> None:
    with server.dial() as wire:
        wire.send(b"GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n" + request("/echo") + frame(TEXT, b"early"))
        assert wire.response().body == b"a page\n"
        wire.opened()
        assert wire.message() == "early"
        assert wire.leave() == 1000


@every_server_and_tls
def test_what_the_application_knows_of_the_request(server: Server) -> None:
    """Behind a proxy that speaks TLS, too."""
    with server.dial() as wire:
        wire.ask("/url?a=%20b")
        wire.opened()
        message = wire.message()
        assert isinstance(message, str)
        known = json.loads(message)
        scheme = "ws" if server.certificates is None else "wss"
        assert known["url"] == f"{scheme}://localhost/url?a=%20b"
        assert known["secure"] is (scheme == "wss")
        assert wire.closed() == 1000
