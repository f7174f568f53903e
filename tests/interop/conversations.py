"""What every peer has to understand of us, and we of it, whichever is the client: the tests of each peer's file."""

from __future__ import annotations

import re
import ssl
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult

import wsdriver
from tests.interop.peer import PATIENCE, Bench, Certificates
from tests.interop.peers.payload import binary, digest, text
from wsdriver.green.client.connecting import ClientWebSocket

#: Around where the length of a frame takes two bytes more, and six more; and where no buffer holds it in one piece.
SIZES = [0, 1, 2, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537, 1024 * 1024 + 1, 5_000_000]

#: Of a close, with codes that any endpoint may use.
ENDS = [(1000, ""), (1000, "bye"), (1011, "größer als 日本 😀"), (3000, "x" * 123), (4999, "é" * 61)]

WORDS = ["ASCII", "größer", "日本語", "😀😀", "\u0000\u007f\u0080\uffff\U0010ffff"]

both_roles = pytest.mark.parametrize("role", ["client", "server"])
both_kinds = pytest.mark.parametrize("kind", ["text", "binary"])


def make(kind: str, size: int) -> str | bytes:
    return text(size) if kind == "text" else binary(size)


def received(event: dict[str, Any], message: str | bytes) -> None:
    """Check that a peer's event tells of that message."""
    size = len(message.encode() if isinstance(message, str) else message)
    assert event == {"binary": isinstance(message, bytes), "size": size, "sha256": digest(message)}


def echo_all(ws: wsdriver.WebSocket, peer: Any, kind: str, sizes: list[int]) -> None:
    for size in sizes:
        message = make(kind, size)
        ws.send(message)
        received(peer.event("message"), message)
        # Not compared in the assertion: a difference of megabytes takes pytest minutes to show.
        same = ws.receive(PATIENCE) == message
        assert same, f"{size} bytes came back changed"


class Conversations:
    """The peer's role is the one that the parameter names; ours is the other."""

    # --- messages ---------------------------------------------------------------------------------------------------

    @both_roles
    @both_kinds
    def test_messages_of_every_size_come_back(self, bench: Bench, role: str, kind: str) -> None:
        ws, peer, _ = bench.join(role, echo=True)
        echo_all(ws, peer, kind, SIZES)

    @both_roles
    def test_messages_sent_at_once_stay_in_order(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role, echo=True)
        messages = [make("text" if i % 3 else "binary", (i * 37) % 700) for i in range(500)]

        def send() -> None:
            for message in messages:
                ws.send(message)

        sender = gevent.spawn(send)
        for message in messages:
            received(peer.event("message"), message)
            assert ws.receive(PATIENCE) == message
        sender.get()

    @both_roles
    @both_kinds
    def test_messages_that_the_peer_begins_arrive(self, bench: Bench, role: str, kind: str) -> None:
        ws, peer, _ = bench.join(role)
        for size in SIZES:
            peer.do("send", kind=kind, size=size)
        for size in SIZES:
            same = ws.receive(PATIENCE) == make(kind, size)
            assert same, f"{size} bytes arrived changed"

    @both_roles
    def test_text_of_any_script_comes_back(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role, echo=True)
        for words in WORDS:
            ws.send(words)
            received(peer.event("message"), words)
            assert ws.receive(PATIENCE) == words
            peer.do("send", kind="text", data=words)
            assert ws.receive(PATIENCE) == words

    @both_roles
    def test_a_fragmented_text_cut_inside_characters_arrives_whole(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role)
        whole = "aé€😀z"
        parts = [bytes([byte]).decode("latin-1") for byte in whole.encode()]
        peer.do("send_fragments", kind="text", parts=parts, ping="between")
        assert ws.receive(PATIENCE) == whole
        assert peer.event("pong") == {"data": "between"}

    @both_roles
    def test_a_fragmented_binary_arrives_whole(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role)
        parts = [binary(size).decode("latin-1") for size in (1, 125, 126, 0, 70000, 3)]
        peer.do("send_fragments", kind="binary", parts=parts, ping="between")
        assert ws.receive(PATIENCE) == "".join(parts).encode("latin-1")
        assert peer.event("pong") == {"data": "between"}

    # --- pings ------------------------------------------------------------------------------------------------------

    @both_roles
    def test_pings_of_the_peer_are_answered(self, bench: Bench, role: str) -> None:
        _, peer, _ = bench.join(role)
        for data in ("a ping", "é" * 62):
            peer.do("ping", data=data)
            assert peer.event("pong") == {"data": data}

    @both_roles
    def test_our_pings_are_answered(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role)
        for data in ("", "our ping", "é" * 62):
            answered: Any = AsyncResult()
            ws.ping(data, answered.set)
            assert peer.event("ping") == {"data": data}
            answered.get(timeout=PATIENCE)

    @both_roles
    def test_the_heartbeat_is_answered_and_measured(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role, ping=0.2, ping_timeout=2)
        for _ in range(2):
            peer.event("ping")
        assert ws.latency is not None
        assert 0 <= ws.latency < 2
        assert ws.state == "open"

    # --- the opening handshake --------------------------------------------------------------------------------------

    @both_roles
    def test_a_subprotocol_is_agreed(self, bench: Bench, role: str) -> None:
        ws, _, opened = bench.join(role, protocols=["chat.v2", "chat.v1"], peer_protocols=["chat.v1", "chat.v0"])
        assert opened["protocol"] == "chat.v1"
        assert ws.protocol == "chat.v1"

    @both_roles
    def test_without_a_subprotocol_there_is_none(self, bench: Bench, role: str) -> None:
        ws, _, opened = bench.join(role)
        assert opened["protocol"] is None
        assert ws.protocol is None
        assert ws.version == "hybi-13"

    def test_headers_of_our_server_and_of_a_peer_client_arrive(self, bench: Bench) -> None:
        ws, _, opened = bench.join("client", headers={"X-Ours": "our value"}, peer_headers={"X-Theirs": "their value"})
        assert opened["headers"]["x-ours"] == "our value"
        assert ws.handshake.headers["X-Theirs"] == "their value"
        assert ws.environ["HTTP_X_THEIRS"] == "their value"

    def test_headers_of_our_client_and_of_a_peer_server_arrive(self, bench: Bench) -> None:
        ws, _, opened = bench.join("server", headers={"X-Ours": "our value"}, peer_headers={"X-Theirs": "their value"})
        assert opened["headers"]["x-ours"] == "our value"
        assert isinstance(ws, ClientWebSocket)
        assert ws.headers is not None
        assert ws.status == 101
        assert ws.headers["X-Theirs"] == "their value"

    @pytest.mark.parametrize(
        ("status", "headers"),
        [(302, {"Location": "http://127.0.0.1:9/new"}), (403, {"X-Why": "not you"}), (404, {"X-Why": "not here"})],
    )
    def test_a_server_that_refuses_is_understood(self, bench: Bench, status: int, headers: dict[str, str]) -> None:
        port = bench.peer().listen(answer={"status": status, "headers": headers, "body": "a sentence"})
        with pytest.raises(wsdriver.HandshakeError, match=str(status)) as caught:
            wsdriver.connect(f"ws://127.0.0.1:{port}/")
        assert caught.value.status == status
        assert {name: caught.value.headers[name] for name in headers} == headers
        assert caught.value.body == b"a sentence"

    # --- the closing handshake --------------------------------------------------------------------------------------

    @both_roles
    def test_a_close_of_the_peer_is_told_and_answered(self, bench: Bench, role: str) -> None:
        peer = bench.peer()
        for code, reason in [*ENDS, (1001, "only an endpoint says this")]:
            ws, _, _ = bench.join(role, peer=peer)
            peer.do("close", code=code, reason=reason)
            assert ws.receive(PATIENCE) is None
            assert (ws.close_code, ws.close_reason, ws.was_clean) == (code, reason, True)
            assert peer.event("close") == {"code": code, "reason": reason}
            with pytest.raises(wsdriver.ConnectionClosed) as caught:
                ws.send("too late")
            assert caught.value.received == (code, reason)

    @both_roles
    def test_a_close_without_a_code_is_told_and_answered(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role)
        peer.do("close", code=None, reason="")
        assert ws.receive(PATIENCE) is None
        assert (ws.close_code, ws.close_reason, ws.was_clean) == (1005, "", True)
        assert peer.event("close") == {"code": 1005, "reason": ""}

    @both_roles
    def test_our_close_is_told_and_answered(self, bench: Bench, role: str) -> None:
        peer = bench.peer()
        for code, reason in ENDS:
            ws, _, _ = bench.join(role, peer=peer)
            ws.close(code, reason)
            assert peer.event("close") == {"code": code, "reason": reason}
            assert (ws.close_code, ws.close_reason, ws.was_clean) == (code, reason, True)
            assert ws.receive(PATIENCE) is None

    @both_roles
    def test_messages_before_the_close_of_the_peer_are_not_lost(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role)
        for size in (10, 200_000, 0, 5):
            peer.do("send", kind="text", size=size)
        peer.do("close", code=1000, reason="")
        assert [ws.receive(PATIENCE) for _ in range(5)] == [text(10), text(200_000), "", text(5), None]

    @both_roles
    def test_messages_before_our_close_are_not_lost(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role)
        messages: list[str | bytes] = [text(10), binary(3_000_000), "", text(5)]
        for message in messages:
            ws.send(message)
        ws.close(1000, "all sent")
        for message in messages:
            received(peer.event("message"), message)
        assert peer.event("close") == {"code": 1000, "reason": "all sent"}
        assert ws.was_clean

    @both_roles
    def test_a_killed_peer_is_an_unclean_end(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role)
        peer.kill()
        assert ws.receive(PATIENCE) is None
        assert (ws.close_code, ws.was_clean) == (1006, False)
        assert ws.close_error is not None
        with pytest.raises(wsdriver.ConnectionClosed):
            ws.send("nobody is there")

    # --- limits -----------------------------------------------------------------------------------------------------

    @both_roles
    @both_kinds
    def test_a_message_over_our_limit_ends_with_1009(self, bench: Bench, role: str, kind: str) -> None:
        ws, peer, _ = bench.join(role, max_length=1000)
        peer.do("send", kind=kind, size=1000)
        assert ws.receive(PATIENCE) == make(kind, 1000)
        peer.do("send", kind=kind, size=1001)
        assert ws.receive(PATIENCE) is None
        assert ws.close_code == 1009
        assert isinstance(ws.close_error, wsdriver.MessageTooBig)
        assert peer.event("close")["code"] == 1009

    @both_roles
    def test_a_message_of_fragments_over_our_limit_ends_with_1009(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role, max_length=1000)
        peer.do("send_fragments", kind="binary", parts=["x" * 400, "y" * 400, "z" * 201], ping="between")
        assert ws.receive(PATIENCE) is None
        assert ws.close_code == 1009
        assert peer.event("pong") == {"data": "between"}
        assert peer.event("close")["code"] == 1009

    @both_roles
    def test_a_message_over_the_limit_of_the_peer_ends_with_1009(self, bench: Bench, role: str) -> None:
        ws, peer, _ = bench.join(role, limit=1000)
        ws.send("x" * 1000)
        received(peer.event("message"), "x" * 1000)
        ws.send("x" * 1001)
        assert ws.receive(PATIENCE) is None
        assert ws.close_code == 1009
        with pytest.raises(wsdriver.ConnectionClosed):
            ws.send("too late")

    # --- TLS --------------------------------------------------------------------------------------------------------

    @both_roles
    @both_kinds
    def test_messages_over_tls_come_back(self, bench: Bench, role: str, kind: str, certificates: Certificates) -> None:
        ws, peer, _ = bench.join(role, certificates=certificates, echo=True)
        assert ws.secure
        assert ws.url.startswith("wss://localhost:")
        echo_all(ws, peer, kind, SIZES)

    @both_roles
    def test_closes_over_tls_are_clean(self, bench: Bench, role: str, certificates: Certificates) -> None:
        ws, peer, _ = bench.join(role, certificates=certificates)
        peer.do("close", code=4000, reason="from the peer")
        assert ws.receive(PATIENCE) is None
        assert (ws.close_code, ws.close_reason, ws.was_clean) == (4000, "from the peer", True)
        assert peer.event("close") == {"code": 4000, "reason": "from the peer"}
        ws, peer, _ = bench.join(role, certificates=certificates)
        ws.close(4001, "from us")
        assert peer.event("close") == {"code": 4001, "reason": "from us"}
        assert ws.was_clean

    @both_roles
    def test_a_killed_peer_over_tls_is_an_unclean_end(
        self, bench: Bench, role: str, certificates: Certificates
    ) -> None:
        ws, peer, _ = bench.join(role, certificates=certificates)
        peer.kill()
        assert ws.receive(PATIENCE) is None
        assert (ws.close_code, ws.was_clean) == (1006, False)

    def test_a_certificate_that_is_not_trusted_is_refused(self, bench: Bench, certificates: Certificates) -> None:
        port = bench.peer().listen(certificate=certificates.localhost)
        with pytest.raises(ssl.SSLCertVerificationError):
            wsdriver.connect(f"wss://localhost:{port}/")

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    def test_a_certificate_for_another_host_is_refused(
        self, bench: Bench, certificates: Certificates, host: str
    ) -> None:
        port = bench.peer().listen(certificate=certificates.elsewhere)
        with pytest.raises(ssl.SSLCertVerificationError, match=re.compile("mismatch|not valid for", re.IGNORECASE)):
            wsdriver.connect(f"wss://{host}:{port}/", tls=certificates.client_context())

    def test_a_certificate_for_the_address_is_accepted(self, bench: Bench, certificates: Certificates) -> None:
        port = bench.peer().listen(certificate=certificates.localhost, echo=True)
        with wsdriver.connect(f"wss://127.0.0.1:{port}/", tls=certificates.client_context()) as ws:
            ws.send("by address")
            assert ws.receive(PATIENCE) == "by address"

    def test_a_client_that_does_not_trust_our_certificate_harms_nobody(
        self, bench: Bench, certificates: Certificates
    ) -> None:
        server = bench.serve(certificates.localhost)
        distrustful, trustful = bench.peer(), bench.peer()
        distrustful.connect(server.url)
        distrustful.event("failed")
        trustful.connect(server.url, ca=certificates.ca, echo=True)
        ws = server.websocket()
        trustful.event("open")
        ws.send("still here")
        assert ws.receive(PATIENCE) == "still here"

    def test_wss_to_a_plain_port_fails_and_so_does_ws_to_a_tls_port(
        self, bench: Bench, certificates: Certificates
    ) -> None:
        plain, secure = bench.peer().listen(), bench.peer().listen(certificate=certificates.localhost)
        with pytest.raises((OSError, wsdriver.HandshakeError)):
            wsdriver.connect(f"wss://localhost:{plain}/", tls=certificates.client_context(), open_timeout=5)
        with pytest.raises((OSError, wsdriver.HandshakeError)):
            wsdriver.connect(f"ws://localhost:{secure}/", open_timeout=5)

    # --- our server stops -------------------------------------------------------------------------------------------

    def test_a_server_of_ours_that_stops_says_so(self, bench: Bench) -> None:
        server = bench.serve()
        peers = [bench.peer() for _ in range(3)]
        for peer in peers:
            peer.connect(server.url)
            peer.event("open")
        stopping = gevent.spawn(server.stop)
        for peer in peers:
            assert peer.event("close")["code"] == 1001
        stopping.get(timeout=PATIENCE)
