"""Values that an application hands on from a hostile user: refused before they become bytes of ours."""

from __future__ import annotations

import array
import ast
from pathlib import Path
from socket import SHUT_WR
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult

import wsdriver
from tests.hostile.peers import PATIENCE, Attacker, hostile_server
from tests.support.driving import accept_for, frame, new_client, new_server, open_session, sent_key, unframe
from tests.support.eventstream import parse
from tests.support.serving import serving
from wsdriver.framing.eventstream import serialize_event

ROOT = Path(__file__).resolve().parents[2]


class TestHeaders:
    """The row of the seeds: ``set_header("X", "a\\r\\nEvil: 1")`` passes."""

    @pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nEvil: 1", "a\rEvil: 1", "a\0", "\r\na", "a\r\n"])
    @pytest.mark.parametrize("make", [new_server, new_client], ids=["server", "client"])
    def test_header_that_splits_is_refused(self, make: Any, value: str) -> None:
        session = make()
        with pytest.raises(wsdriver.ConfigurationError):
            session.driver.set_header("X", value)
        with pytest.raises(wsdriver.ConfigurationError):
            session.driver.set_header(value, "x")
        with pytest.raises(wsdriver.ConfigurationError):
            make(headers={"X": value})

    @pytest.mark.parametrize("value", ["chat\r\nEvil: 1", "a b", "a\0"])
    def test_protocol_that_splits_is_refused(self, value: str) -> None:
        with pytest.raises(wsdriver.ConfigurationError):
            new_client(protocols=[value])

    @pytest.mark.parametrize("url", ["ws://h/\r\nEvil: 1", "ws://h/ HTTP/1.1", "ws://h\r\n/", "ws://u:p\r\n@h/"])
    def test_url_that_splits_is_refused(self, url: str) -> None:
        with pytest.raises(wsdriver.ConfigurationError):
            new_client(url)
        with pytest.raises(wsdriver.ConfigurationError):
            wsdriver.connect(url)

    @pytest.mark.parametrize("value", ["x\r\nEvil: 1", "x\0"])
    def test_proxy_header_that_splits_is_refused(self, value: str) -> None:
        proxy = new_client().driver.proxy("http://proxy/")
        with pytest.raises(wsdriver.ConfigurationError):
            proxy.set_header("X", value)
        with pytest.raises(wsdriver.ConfigurationError):
            wsdriver.connect("ws://h/", proxy={"origin": "http://proxy/", "headers": {"X": value}})


class TestPings:
    """The row of the seeds: a peer that never answers pings makes the table of their callbacks grow."""

    @pytest.mark.parametrize("side", ["server", "client"])
    def test_callbacks_are_bounded_and_dropped_at_the_end(self, side: str) -> None:
        session = open_session(side)
        called: list[int] = []
        for number in range(5000):
            session.driver.ping(str(number), lambda number=number: called.append(number))
            session.wire.take()
        session.parse(session.frame(10, b"0"))
        assert called == [], "the first of 5000 was remembered"
        session.parse(session.frame(10, b"4999"))
        assert called[-1] == 4999
        assert len(called) <= 1000
        session.driver.ping("last", lambda: called.append(-1))
        session.parse(session.frame(8, b"\x03\xe8"), session.frame(10, b"last"))
        assert called[-1] == 4999, "a callback outlived its connection"

    @pytest.mark.parametrize("side", ["server", "client"])
    def test_payload_over_125_bytes_is_refused(self, side: str) -> None:
        session = open_session(side)
        for send in (session.driver.ping, session.driver.pong):
            with pytest.raises(ValueError, match="125"):
                send(b"x" * 126)
        assert session.wire.take() == b""


class TestCloses:
    """CVE-2026-45736, and the code 25209 of gevent-websocket: a reason that is no str."""

    @pytest.mark.parametrize("reason", [array.array("B", [1, 2]), bytearray(b"bye"), b"bye", memoryview(b"x"), 5, None])
    def test_reason_of_another_type_is_refused(self, reason: Any) -> None:
        session = open_session("server")
        with pytest.raises(TypeError):
            session.driver.close(1000, reason)
        with serving() as server, wsdriver.connect(server.url) as ws:
            with pytest.raises(TypeError):
                ws.close(1000, reason)
            ws.send("still there")
            assert ws.receive(PATIENCE) == "still there"

    @pytest.mark.parametrize("code", [999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536, -1, True, "1000", 1000.0])
    def test_code_that_may_not_be_sent_is_refused(self, code: Any) -> None:
        session = open_session("server")
        with pytest.raises(ValueError, match="may not stand"):
            session.driver.close(code)
        assert session.wire.take() == b""


class TestMasks:
    """CVE-2025-10148 and gorilla's: a mask that can be known lets a page write into a proxy's cache."""

    def test_each_frame_of_a_client_has_a_mask_of_its_own(self) -> None:
        session = open_session("client")
        masks = []
        for _ in range(2000):
            session.driver.binary(bytes(4))
            data = session.wire.take()
            assert unframe(data, masked=True) == [(0x82, bytes(4))]
            masks.append(data[2:6])
        assert len(set(masks)) >= 1999, "of 2000 masks of 32 bits, two may be alike by chance"
        ones = sum(bin(int.from_bytes(mask, "big")).count("1") for mask in masks)
        assert abs(ones - 32_000) < 1000, f"{ones} of 64000 bits are set"

    def test_masks_come_from_the_systems_randomness(self) -> None:
        source = (ROOT / "wsdriver/framing/masking.py").read_text()
        names = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
        assert {"urandom", "token_bytes"} & names
        assert "random" not in {
            node.names[0].name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import)
        }

    def test_control_frames_of_a_client_over_a_socket_are_masked_too(self) -> None:
        seen: AsyncResult = AsyncResult()

        def listen(attacker: Attacker, head: bytes) -> None:
            attacker.sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: "
                + accept_for(sent_key(head)).encode()
                + b"\r\n\r\n"
                + frame(9, b"a", mask=None)
            )
            gevent.sleep(0.05)
            attacker.sock.sendall(frame(8, b"\x03\xe8", mask=None))
            attacker.sock.shutdown(SHUT_WR)
            seen.set(attacker.end())

        with hostile_server(listen) as port, wsdriver.connect(f"ws://127.0.0.1:{port}/") as ws:
            ws.send("x")
            assert ws.receive(PATIENCE) is None
            frames = unframe(seen.get(timeout=PATIENCE), masked=True)
        assert sorted(frames) == [(0x81, b"x"), (0x88, b"\x03\xe8"), (0x8A, b"a")]


class TestSecrets:
    """PYSEC-2021-95: a password that is compared byte by byte tells how much of it is right."""

    def test_nothing_of_ours_compares_a_password(self) -> None:
        # The product judges no credentials; should that change, hmac.compare_digest has to do it.
        for path in [*ROOT.glob("wsdriver/**/*.py"), *ROOT.glob("examples/**/*.py")]:
            source = path.read_text(encoding="utf-8")
            assert "HTTP_AUTHORIZATION" not in source or "compare_digest" in source, path


class TestEventStreams:
    """The seeds' EventSource, h3, eventsource-encoder, sse-channel, cowlib: lines that become other fields."""

    @pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
    @pytest.mark.parametrize("field", ["event", "id"])
    def test_line_end_in_a_field_is_refused(self, field: str, end: str) -> None:
        with pytest.raises(ValueError, match=field):
            serialize_event("x", **{field: f"a{end}data: forged{end}{end}"})

    def test_nul_in_an_id_is_refused(self) -> None:
        with pytest.raises(ValueError, match="id"):
            serialize_event("x", id="a\0")

    @pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\n\n", "\r\r", "\u2028", "\x85", "\x0b"])
    def test_line_end_in_data_stays_data(self, end: str) -> None:
        (event,) = parse(serialize_event(f"x{end}event: forged{end}id: 7{end}{end}data: y"))
        assert event.type == "message"
        assert event.data.count("forged") == 1
