"""One message to many: made once, waiting for nobody."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket
from gevent.event import Event
from gevent.monkey import get_original
from gevent.pywsgi import WSGIServer

import wsdriver
from tests.support.drafts import DRAFTS, DraftClient
from tests.support.net import free_port, request
from tests.support.serving import serving
from tests.support.tls import Authority
from tests.support.waiting import wait_for
from wsdriver.extensions import Extension, Message, ServerSession, permessage_deflate
from wsdriver.extensions.deflating import Deflater

NativeThread: Any = get_original("threading", "Thread")


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with gevent.Timeout(40):
        yield


def idle(ws: wsdriver.WebSocket) -> None:
    """Take messages, and answer none."""
    for _ in ws:
        pass


@contextmanager
def audience(count: int, client: Any = None, server: Any = None) -> Iterator[tuple[Any, list[wsdriver.WebSocket]]]:
    """A server with so many clients, whose WebSockets there are all open."""
    with serving(idle, **(server or {})) as known, ExitStack() as stack:
        clients = [stack.enter_context(wsdriver.connect(known.url, **(client or {}))) for _ in range(count)]
        yield known, clients


class SlowClient:
    """A raw client that has been given the handshake, and reads nothing more."""

    def __init__(self, server: Any) -> None:
        self.sock = gevent_socket.create_connection(("127.0.0.1", server.server_port))
        self.sock.sendall(request())
        known = set(server.connections)
        wait_for(lambda: b"\r\n\r\n" in self.sock.recv(4096, socket.MSG_PEEK))
        self.ws = next(iter(set(server.connections) - known), None) or next(iter(known))

    def __enter__(self) -> SlowClient:
        return self

    def __exit__(self, *error: Any) -> None:
        self.sock.close()

    def fill(self, size: int) -> None:
        """Have more than that wait for it on the server."""

        def push() -> None:
            try:
                while True:
                    self.ws.send(bytes(65536))
            except wsdriver.ConnectionClosed:
                pass

        for _ in range(size // 65536 + 2):
            gevent.spawn(push)
        wait_for(lambda: self.ws.buffered_amount > size)


class TestMessages:
    @pytest.mark.parametrize(
        "message", ["héllo ✓", "", b"\x00\xff", b"", "x" * 125, "x" * 126, b"y" * 70_000, "é" * 200_000]
    )
    def test_comes_as_it_was_sent(self, message: str | bytes) -> None:
        with audience(3) as (server, clients):
            assert wsdriver.broadcast(server.connections, message) == 3
            assert [ws.receive(5) for ws in clients] == [message] * 3

    @pytest.mark.parametrize("kind", [bytearray, memoryview])
    def test_any_bytes(self, kind: Any) -> None:
        with audience(1) as (server, [ws]):
            wsdriver.broadcast(server.connections, kind(b"abc"))
            assert ws.receive(5) == b"abc"

    def test_kind_can_be_said(self) -> None:
        with audience(1) as (server, [ws]):
            wsdriver.broadcast(server.connections, "é", binary=True)
            wsdriver.broadcast(server.connections, "é".encode(), binary=False)
            assert [ws.receive(5), ws.receive(5)] == ["é".encode(), "é"]

    def test_between_other_messages_in_order(self) -> None:
        def read(ws: wsdriver.WebSocket) -> None:
            for number in range(300):
                assert ws.receive(10) == f"all {number}" + "." * (number * 200)
                assert ws.receive(10) == f"one {number}" + "." * (number * 200)

        with audience(2) as (server, clients):
            readers = [gevent.spawn(read, ws) for ws in clients]
            for number in range(300):
                wsdriver.broadcast(server.connections, f"all {number}" + "." * (number * 200))
                for ws in server.connections:
                    ws.send(f"one {number}" + "." * (number * 200))
            for reader in readers:
                reader.get()

    def test_counts_as_a_message(self) -> None:
        with audience(2) as (server, _):
            wsdriver.broadcast(server.connections, "x")
            assert server.stats().messages_sent == 2

    def test_clients_mask_each_their_own(self) -> None:
        with serving() as server, wsdriver.connect(server.url) as one, wsdriver.connect(server.url) as other:
            assert wsdriver.broadcast([one, other], "back") == 2
            assert [one.receive(5), other.receive(5)] == ["back", "back"]

    def test_tls(self, tmp_path: Path) -> None:
        right = Authority(tmp_path).issue("localhost")
        tls = {"certfile": str(right.certificate), "keyfile": str(right.key)}
        with serving(idle, **tls) as server:
            url = f"wss://localhost:{server.server_port}/"
            options = {"tls": {"root_cert_file": right.authority}}
            with wsdriver.connect(url, **options) as one, wsdriver.connect(url, **options) as other:
                message = "secret" * 100_000
                assert wsdriver.broadcast(server.connections, message) == 2
                assert [one.receive(5) == message, other.receive(5) == message] == [True, True]

    def test_from_a_handler_that_receives(self) -> None:
        def everybody(ws: wsdriver.WebSocket) -> None:
            for message in ws:
                wsdriver.broadcast(server.connections, message)

        with serving(everybody) as server, ExitStack() as stack:
            clients = [stack.enter_context(wsdriver.connect(server.url)) for _ in range(3)]
            for ws in clients:
                ws.send("hello")
            assert [[ws.receive(5) for _ in range(3)] for ws in clients] == [["hello"] * 3] * 3


@contextmanager
def drafts(*names: str) -> Iterator[tuple[Any, list[DraftClient]]]:
    """A server with a client of each of these versions; these block, so each call of theirs is in a thread."""
    with serving(idle) as server, ExitStack() as stack:
        clients = [stack.enter_context(DraftClient(name, server.server_port)) for name in names]
        for client in clients:
            in_thread(lambda client=client: client.open())
        wait_for(lambda: sum(ws.ready_state == 1 for ws in server.connections) == len(names))
        yield server, clients


def in_thread(call: Any) -> Any:
    return gevent.get_hub().threadpool.apply(call)


class TestEveryVersion:
    def test_text_reaches_all(self) -> None:
        with drafts(*DRAFTS) as (server, clients):
            assert wsdriver.broadcast(server.connections, "héllo") == len(DRAFTS)
            for client in clients:
                assert in_thread(client.recv) == ("text", "héllo"), client.draft.name

    def test_bytes_reach_all_but_hixie(self) -> None:
        with drafts("hixie-75", "hixie-76", "hybi-3", "hybi-13") as (server, clients):
            assert wsdriver.broadcast(server.connections, b"\x01") == 2
            assert wsdriver.broadcast(server.connections, "text") == 4
            for client in clients:
                expected = ("text", "text") if "hixie" in client.draft.name else ("binary", b"\x01")
                assert in_thread(client.recv) == expected


class TestCompression:
    DEFLATE = wsdriver.PermessageDeflate(no_context_takeover=True)

    def test_compressed_once_for_all_that_keep_no_context(self, monkeypatch: pytest.MonkeyPatch) -> None:
        packed = []

        class Counting(Deflater):
            def pack(self, data: bytes) -> bytes:
                packed.append(data)
                return super().pack(data)

        message = "to be compressed " * 100
        both = {"extensions": [self.DEFLATE]}
        with audience(5, both, both) as (server, clients):
            monkeypatch.setattr(permessage_deflate, "Deflater", Counting)
            before = [ws.bytes_received for ws in clients]
            assert wsdriver.broadcast(server.connections, message) == 5
            assert [ws.receive(5) for ws in clients] == [message] * 5
            assert packed == [message.encode()]
            assert all(ws.bytes_received - count < 100 for ws, count in zip(clients, before, strict=True))

    def test_with_context_each_on_its_own(self) -> None:
        both = {"extensions": [wsdriver.PermessageDeflate()]}
        with audience(3, both, both) as (server, clients):
            for number in range(3):
                message = f"message {number} " * 50
                assert wsdriver.broadcast(server.connections, message) == 3
                assert [ws.receive(5) for ws in clients] == [message] * 3

    def test_who_agreed_on_other_parameters(self) -> None:
        message = "".join(str(number) for number in range(5000))
        with serving(idle, extensions=[self.DEFLATE]) as server, ExitStack() as stack:
            clients = [
                stack.enter_context(wsdriver.connect(server.url, extensions=extensions))
                for extensions in (
                    [],
                    [wsdriver.PermessageDeflate()],
                    [wsdriver.PermessageDeflate(request_max_window_bits=9)],
                    [wsdriver.PermessageDeflate(request_max_window_bits=15)],
                )
            ]
            assert wsdriver.broadcast(server.connections, message) == 4
            assert [ws.receive(5) for ws in clients] == [message] * 4

    def test_extension_that_says_nothing_of_sharing_is_asked_for_each(self) -> None:
        class Session(ServerSession):
            def __init__(self) -> None:
                self.count = 0

            def process_outgoing_message(self, message: Message) -> Message:
                self.count += 1
                message.data += b" %d" % self.count
                return message

        class Counting(Extension):
            name = "x-counting"

            def create_server_session(self, offers: Any) -> Session:
                return Session()

            def create_client_session(self) -> Any:
                from wsdriver.extensions import ClientSession

                class Client(ClientSession):
                    def activate(self, params: Any) -> bool:
                        return True

                return Client()

        both = {"extensions": [Counting()]}
        with audience(2, both, both) as (server, clients):
            wsdriver.broadcast(server.connections, "m")
            wsdriver.broadcast(server.connections, "m")
            assert [[ws.receive(5), ws.receive(5)] for ws in clients] == [["m 1", "m 2"]] * 2

    def test_extension_that_fails_costs_its_own_connection_only(self, caplog: pytest.LogCaptureFixture) -> None:
        class Session(ServerSession):
            def process_outgoing_message(self, message: Message) -> Message:
                raise ValueError("no")

        class Failing(Extension):
            name = "x-failing"

            def create_server_session(self, offers: Any) -> Session:
                return Session()

        with serving(idle, extensions=[Failing()]) as server, wsdriver.connect(server.url) as plain:
            asks = request(extra="Sec-WebSocket-Extensions: x-failing\r\n")
            with gevent_socket.create_connection(("127.0.0.1", server.server_port)) as sock:
                sock.sendall(asks)
                wait_for(lambda: sum(ws.ready_state == 1 for ws in server.connections) == 2)
                assert wsdriver.broadcast(server.connections, "on") == 1
                assert plain.receive(5) == "on"
        assert "x-failing: no" in caplog.text


class TestSlowPeers:
    def test_nobody_is_waited_for(self) -> None:
        with audience(2) as (server, clients), SlowClient(server) as slow:
            slow.fill(100_000)
            message = "m" * 100_000
            for _ in range(5):
                wsdriver.broadcast(server.connections, message)
                assert [ws.receive(5) == message for ws in clients] == [True, True]

    def test_over_the_limit_it_is_cut(self) -> None:
        with audience(2) as (server, clients), SlowClient(server) as slow:
            slow.fill(1024 * 1024)
            assert wsdriver.broadcast(server.connections, "m") == 2
            assert [ws.receive(5) for ws in clients] == ["m", "m"]
            assert slow.ws.state == "closed"
            assert slow.ws.close_code == 1006
            assert "outbound_limit" in str(slow.ws.close_error)

    def test_or_skipped(self) -> None:
        with audience(1) as (server, [ws]), SlowClient(server) as slow:
            slow.fill(1024 * 1024)
            assert wsdriver.broadcast(server.connections, "missed", slow="skip") == 1
            assert slow.ws.state == "open"
            assert ws.receive(5) == "missed"
            waits = slow.ws.buffered_amount
            slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            while slow.ws.buffered_amount >= min(waits, 1024 * 1024):
                slow.sock.recv(1 << 20)
            assert wsdriver.broadcast(server.connections, "got", slow="skip") == 2

    def test_limit_is_an_option(self) -> None:
        with serving(idle, outbound_limit=10_000) as server, SlowClient(server) as slow:
            message = b"m" * 9_000
            count = 0
            while wsdriver.broadcast(server.connections, message):
                count += 1
                assert slow.ws.buffered_amount <= 20_000
            assert count > 0
            assert slow.ws.state == "closed"

    def test_limit_counts_for_send_where_it_is_given(self) -> None:
        with serving(idle, outbound_limit=200_000, write_limit=1_000_000) as server, SlowClient(server) as slow:

            def push() -> None:
                while True:
                    slow.ws.send(bytes(50_000))
                    assert slow.ws.buffered_amount <= 250_000

            with pytest.raises(wsdriver.ConnectionClosed) as raised:
                push()
            assert "outbound_limit" in str(raised.value.__cause__)
            assert slow.ws.close_code == 1006

    def test_one_large_message_is_not_over_the_limit(self) -> None:
        with audience(1, server={"outbound_limit": 1000}) as (server, [ws]):
            message = bytes(8_000_000)
            assert wsdriver.broadcast(server.connections, message) == 1
            assert ws.receive(10) == message

    def test_large_message_is_not_copied_for_each(self) -> None:
        import tracemalloc

        with serving(idle) as server, ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(SlowClient(server))
            message = bytes(10_000_000)
            tracemalloc.start()
            try:
                assert wsdriver.broadcast(server.connections, message) == 20
                used, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert sum(ws.buffered_amount for ws in server.connections) > 20_000_000
            assert used < 15_000_000

    def test_lone_broadcast_goes_out_at_once_and_those_behind_it_together(self) -> None:
        with audience(2) as (server, clients):
            gevent.sleep(0.01)
            [one, other] = server.connections
            wsdriver.broadcast(server.connections, "00")
            assert [one.buffered_amount, other.buffered_amount] == [0, 0]
            for number in range(1, 50):
                wsdriver.broadcast(server.connections, f"{number:02}")
            assert [one.buffered_amount, other.buffered_amount] == [49 * 4, 49 * 4]
            one.send("50")  # takes with it what waited
            assert [one.buffered_amount, other.buffered_amount] == [0, 49 * 4]
            gevent.sleep(0)
            assert other.buffered_amount == 0
            assert [clients[0].receive(5) for _ in range(50)] == [f"{number:02}" for number in range(50)]
            assert [clients[1].receive(5) for _ in range(50)] == [f"{number:02}" for number in range(50)]

    def test_closed_in_the_turn_gets_all_that_was_broadcast_before(self) -> None:
        with audience(1) as (server, [ws]):
            for number in range(5):
                wsdriver.broadcast(server.connections, str(number))
            [known] = server.connections
            known.close(1000, "done")
            assert list(ws) == ["0", "1", "2", "3", "4"]
            assert ws.close_reason == "done"

    def test_loop_of_broadcasts_leaves_others_their_turn(self) -> None:
        with audience(3) as (server, clients):
            turns = 0

            def count_turns() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    gevent.sleep(0)

            other = gevent.spawn(count_turns)
            for _ in range(200):
                wsdriver.broadcast(server.connections, bytes(10_000))
            other.kill()
            assert turns >= 3
            assert [len(ws.receive(5)) for ws in clients] == [10_000] * 3


class TestWhoIsThere:
    def test_those_that_are_not_open_are_left_out(self) -> None:
        with audience(3) as (server, _):
            known = list(server.connections)
            known[0].close()
            known[1].terminate()
            assert wsdriver.broadcast(known, "m") == 1

    def test_request_that_waits_for_its_answer_is_left_out(self) -> None:
        go_on = Event()

        def handler(ws: wsdriver.WebSocket) -> None:
            go_on.wait()
            ws.accept()
            ws.receive()

        with serving(handler) as server:
            client = gevent.spawn(wsdriver.connect, server.url)
            wait_for(lambda: len(server.connections) == 1)
            assert wsdriver.broadcast(server.connections, "m") == 0
            go_on.set()
            client.get().close()

    def test_websocket_of_an_application_that_has_not_begun_is_left_out(self) -> None:
        """It has no socket yet, and those behind it get the message."""
        there: list[Any] = []

        def app(environ: Any, start_response: Any) -> Any:
            ws = wsdriver.WebSocket(environ)
            there.append(ws)
            go_on.wait()
            ws.accept()
            return ws.wsgi_response()

        go_on = Event()
        port = free_port()
        server = WSGIServer(("127.0.0.1", port), app, handler_class=wsdriver.WebSocketHandler, log=None)
        server.start()
        try:
            with audience(1) as (known, [ws]):
                client = gevent.spawn(wsdriver.connect, f"ws://127.0.0.1:{port}/")
                wait_for(lambda: there)
                assert wsdriver.broadcast([*there, *known.connections], "m") == 1
                assert ws.receive(5) == "m"
                go_on.set()
                client.get().close()
        finally:
            server.stop(timeout=1)

    def test_gone_while_it_is_written_to(self) -> None:
        with audience(2) as (server, [one, other]):
            one.terminate()
            count = wsdriver.broadcast(server.connections, "m" * 100_000)
            assert count in (1, 2)
            assert other.receive(5) == "m" * 100_000

    def test_nobody(self) -> None:
        assert wsdriver.broadcast([], "m") == 0

    def test_event_streams_take_text_as_events(self) -> None:
        streams = []

        def app(environ: Any, start_response: Any) -> Any:
            es = wsdriver.EventSource(environ, retry=None)
            streams.append(es)
            es.run()
            return es.wsgi_response()

        port = free_port()
        server = WSGIServer(("127.0.0.1", port), app, handler_class=wsdriver.WebSocketHandler, log=None)
        server.start()
        try:
            with (
                audience(1) as (known, [ws]),
                gevent_socket.create_connection(("127.0.0.1", port)) as sock,
            ):
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
                wait_for(lambda: streams)
                everybody = [*known.connections, *streams]
                assert wsdriver.broadcast(everybody, "one\ntwo", id="7") == 2
                assert wsdriver.broadcast(everybody, b"bytes") == 1
                assert [ws.receive(5), ws.receive(5)] == ["one\ntwo", b"bytes"]
                data = b""
                while not data.endswith(b"two\n\n"):
                    data += sock.recv(4096)
                assert data.endswith(b"\n\nid: 7\ndata: one\ndata: two\n\n")
        finally:
            server.stop(timeout=1)


class TestThreads:
    def test_from_another_thread(self) -> None:
        with audience(2) as (server, clients):
            counts: list[int] = []
            thread = NativeThread(target=lambda: counts.append(wsdriver.broadcast(server.connections, "m")))
            thread.start()
            assert [ws.receive(5) for ws in clients] == ["m", "m"]
            wait_for(lambda: counts == [2])

    def test_two_threads_with_hubs_broadcast_to_each_other(self) -> None:
        """Neither waits for the other with its own hub standing still: that would be for ever."""
        rounds = 200
        servers: list[Any] = [None, None]
        counts: list[int] = [0, 0]
        over = [False, False]

        def run(number: int) -> None:
            with audience(2) as (servers[number], clients):
                wait_for(
                    lambda: all(servers) and sum(ws.ready_state == 1 for s in servers for ws in s.connections) == 4
                )
                readers = [gevent.spawn(lambda ws=ws: [ws.receive(20) for _ in range(2 * rounds)]) for ws in clients]
                for _ in range(rounds):
                    both = [ws for server in servers for ws in server.connections]
                    counts[number] += wsdriver.broadcast(both, "m")
                for reader in readers:
                    assert reader.get() == ["m"] * (2 * rounds)
                over[number] = True
                wait_for(lambda: all(over))

        threads = [NativeThread(target=run, args=(number,), daemon=True) for number in (0, 1)]
        for thread in threads:
            thread.start()
        wait_for(lambda: all(over), "the end of both threads")
        assert counts == [4 * rounds] * 2
        for thread in threads:
            thread.join(10)


class TestMistakes:
    def test_one_connection_instead_of_many(self) -> None:
        with audience(1) as (_, [ws]), pytest.raises(TypeError, match="a list of them"):
            wsdriver.broadcast(ws, "m")  # type: ignore[arg-type]

    def test_no_connection(self) -> None:
        with pytest.raises(TypeError, match="WebSockets and EventSources, not str"):
            wsdriver.broadcast("abc", "m")  # type: ignore[arg-type]

    @pytest.mark.parametrize("message", [None, 1, ["m"]])
    def test_no_message(self, message: Any) -> None:
        with pytest.raises(TypeError, match="takes str or bytes"):
            wsdriver.broadcast([], message)

    def test_unknown_word(self) -> None:
        with pytest.raises(ValueError, match="'close' or 'skip'"):
            wsdriver.broadcast([], "m", slow="cut")

    def test_text_that_is_none(self) -> None:
        with audience(1) as (server, _):
            with pytest.raises(UnicodeError):
                wsdriver.broadcast(server.connections, "\ud800")
            with pytest.raises(UnicodeError):
                wsdriver.broadcast(server.connections, b"\xff", binary=False)
            assert server.stats().messages_sent == 0

    def test_id_that_would_be_another_line(self) -> None:
        with pytest.raises(ValueError, match="id cannot have"):
            wsdriver.broadcast([], "m", id="1\n2")

    @pytest.mark.parametrize("value", [0, -1, "many", 1.5])
    def test_limit_that_is_none(self, value: Any) -> None:
        with pytest.raises(wsdriver.ConfigurationError, match="outbound_limit"):
            wsdriver.WebSocketServer(("127.0.0.1", 0), idle, outbound_limit=value)
