"""Extensions and subprotocol versions through the green layer, with the bytes of real peers."""

from __future__ import annotations

import os
import socket
import zlib
from typing import Any

import gevent
import pytest

import wsdriver
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import echo, serving

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def deflate(data: bytes) -> bytes:
    """Compress a message by itself (RFC 7692 §7.2.1)."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflate(data: bytes) -> bytes:
    return zlib.decompressobj(wbits=-15).decompress(data + b"\x00\x00\xff\xff")


def compressed() -> list[Any]:
    return [wsdriver.PermessageDeflate()]


class TestPermessageDeflate:
    def test_both_ends_agree_and_echo(self) -> None:
        messages: list[str | bytes] = ["", b"", "x" * 10, "compressible " * 5000, os.urandom(70000), "é" * 40000]
        with serving(extensions=compressed()) as server, wsdriver.connect(server.url, extensions=compressed()) as ws:
            assert ws.headers is not None
            assert ws.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
            for message in messages:
                ws.send(message)
            assert [ws.receive(5) for _ in messages] == messages
            ws.send("compressible " * 5000, compress=False)
            assert ws.receive(5) == "compressible " * 5000

    def test_without_an_offer_nothing_is_compressed(self) -> None:
        with serving(extensions=compressed()) as server, wsdriver.connect(server.url) as ws:
            assert ws.headers is not None
            assert "Sec-WebSocket-Extensions" not in ws.headers
            ws.send("a" * 5000)
            assert ws.receive(5) == "a" * 5000

    def test_is_off_unless_asked_for(self) -> None:
        with serving() as server, wsdriver.connect(server.url, extensions=compressed()) as ws:
            assert ws.headers is not None
            assert "Sec-WebSocket-Extensions" not in ws.headers

    def test_wire_has_the_bit_and_fewer_bytes(self) -> None:
        with serving(extensions=compressed()) as server:
            sock = gevent.socket.create_connection(("127.0.0.1", server.server_port))
            sock.sendall(request(extra=OFFER) + frame(1, deflate(b"again and again " * 1000), rsv=0x40))
            assert b"permessage-deflate" in read_head(sock.recv)
            assert sock.recv(1, socket.MSG_PEEK) == b"\xc1"
            opcode, payload = read_frame(sock.recv)
            assert opcode == 1
            assert len(payload) < 500
            assert inflate(payload) == b"again and again " * 1000
            sock.close()

    def test_bomb_is_stopped_at_max_length(self) -> None:
        with serving(extensions=compressed(), max_length=100_000) as server:
            sock = gevent.socket.create_connection(("127.0.0.1", server.server_port))
            sock.sendall(request(extra=OFFER) + frame(2, deflate(bytes(50_000_000)), rsv=0x40))
            read_head(sock.recv)
            opcode, payload = read_frame(sock.recv)
            assert (opcode, payload[:2]) == (8, b"\x03\xf1")
            sock.close()

    def test_bit_without_agreement_is_a_protocol_error(self) -> None:
        with serving(extensions=compressed()) as server:
            sock = gevent.socket.create_connection(("127.0.0.1", server.server_port))
            sock.sendall(request() + frame(2, deflate(b"x"), rsv=0x40))
            read_head(sock.recv)
            assert read_frame(sock.recv)[1][:2] == b"\x03\xea"
            sock.close()

    def test_wrong_header_is_refused(self) -> None:
        with serving(extensions=compressed()) as server:
            sock = gevent.socket.create_connection(("127.0.0.1", server.server_port))
            sock.sendall(request(extra='Sec-WebSocket-Extensions: permessage-deflate; x="\\\r\n'))
            assert read_head(sock.recv).startswith(b"HTTP/1.1 400 ")
            sock.close()

    @pytest.mark.parametrize("extensions", [5, "permessage-deflate", [5], [wsdriver.PermessageDeflate]])
    def test_what_is_no_extension_is_refused_at_the_call(self, extensions: Any) -> None:
        with pytest.raises(wsdriver.ConfigurationError):
            wsdriver.WebSocketServer(("127.0.0.1", 0), echo, extensions=extensions)


class TestVersions:
    def test_hixie_76_carries_text_only(self) -> None:
        seen: list[Any] = []

        def handler(ws: wsdriver.WebSocket) -> None:
            for message in ws:
                seen.append((ws.version, ws.pingable, ws.supports_close_codes, ws.ping("x"), ws.pong("x")))
                with pytest.raises(TypeError, match="hixie-76 carries text only"):
                    ws.send(b"binary")
                ws.send(message)

        head = (
            b"GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
            b"Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n"
            b"Origin: http://example.com\r\n\r\n"
        )
        with serving(handler) as server:
            sock = gevent.socket.create_connection(("127.0.0.1", server.server_port))
            sock.sendall(head + b"^n:d")
            gevent.sleep(0.05)
            sock.sendall(b"s[4U\x00hello\xff")
            answer = read_head(sock.recv)
            assert b"Sec-WebSocket-Location: ws://example.com/demo\r\n" in answer
            assert sock.recv(16) == b"8jKS'y:G*Co,Wxa-"
            assert sock.recv(7) == b"\x00hello\xff"
            sock.sendall(b"\xff\x00")
            assert sock.recv(2) == b"\xff\x00"
            assert sock.recv(1) == b""
            sock.close()
        assert seen == [("hixie-76", False, False, False, False)]

    def test_body_that_never_comes_is_cut_after_open_timeout(self) -> None:
        with serving(open_timeout=0.2) as server:
            sock = gevent.socket.create_connection(("127.0.0.1", server.server_port))
            sock.sendall(
                b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
                b"Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\r\n"
            )
            with gevent.Timeout(5):
                while sock.recv(4096):
                    pass
            sock.close()

    def test_versions_may_be_restricted(self) -> None:
        with serving(versions=["hybi-13", "hybi-8"]) as server:
            version = "Sec-WebSocket-Version: {}\r\n"
            version = "Sec-WebSocket-Version: {}\r\n"
            for extra, status in (("", b"426"), (version.format(8), b"101"), (version.format(7), b"426")):
                sock = gevent.socket.create_connection(("127.0.0.1", server.server_port))
                key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" if extra else ""
                head = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                sock.sendall(f"{head}{key}{extra}\r\n".encode())
                assert read_head(sock.recv).split()[1] == status
                sock.close()
        with pytest.raises(wsdriver.ConfigurationError, match="hybi-14"):
            wsdriver.WebSocketServer(("127.0.0.1", 0), echo, versions=["hybi-14"])
