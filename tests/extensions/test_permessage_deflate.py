"""permessage-deflate: options, negotiation and messages (RFC 7692)."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wsdriver.exceptions import ConfigurationError, ExtensionError, InvalidPayload, MessageTooBig
from wsdriver.extensions import Extensions, Message, PermessageDeflate
from wsdriver.extensions.deflating import MAX_STREAMS

#: The steps in which the plain twin inflates.
CHUNK = 64 * 1024
PIECE = 256 * 1024

TEXT, BINARY = 1, 2
RSV1 = 0x40

#: Both sides without context takeover.
ALONE = {"no_context_takeover": True, "request_no_context_takeover": True}

#: Values of a window bits parameter that are none (CVE-2026-2229), as they stand in a header.
WRONG_BITS = [
    "0",
    "7",
    "16",
    "99999",
    "08",
    "+15",
    "-9",
    "1_5",
    "12.0",
    "0x0c",
    '""',
    '" 15"',
    '"15 "',
    "x",
    "1e1",
    "²",
]


def pair(client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> tuple[Extensions, Extensions]:
    """A client and a server that have agreed."""
    ours, theirs = Extensions([PermessageDeflate(**client or {})]), Extensions([PermessageDeflate(**server or {})])
    answer = theirs.generate_response(ours.generate_offer() or "")
    assert answer is not None
    ours.activate(answer)
    return ours, theirs


def serving(offer: str = "permessage-deflate", **options: Any) -> Extensions:
    """A server that has agreed."""
    extensions = Extensions([PermessageDeflate(**options)])
    assert extensions.generate_response(offer)
    return extensions


def receive(extensions: Extensions, data: bytes, budget: int = 0) -> bytes:
    """Let a compressed message come in."""
    return extensions.process_incoming(BINARY, data, RSV1, budget)


def deflate(*messages: bytes, bits: int = 15, level: int = -1) -> list[bytes]:
    """What a peer with context takeover sends."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, -bits)
    return [(deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4] for message in messages]


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


class TestOptions:
    @pytest.mark.parametrize(
        "options",
        [
            {"level": None},
            {"level": -1},
            {"level": 0},
            {"level": 9},
            {"mem_level": 1},
            {"mem_level": 9},
            {"strategy": zlib.Z_HUFFMAN_ONLY},
            {"strategy": zlib.Z_FIXED},
            {"max_window_bits": 9},
            {"max_window_bits": 15},
            {"request_max_window_bits": 9},
            {"request_max_window_bits": 15},
            {"no_context_takeover": True},
            {"request_no_context_takeover": True},
            {"threshold": 0},
        ],
    )
    def test_right_option_works_end_to_end(self, options: dict[str, Any]) -> None:
        client, server = pair(options, options)
        for message in (b"Hello" * 100, noise(3000), b"Hello" * 100):
            data, reserved = client.process_outgoing(TEXT, message, None)
            assert server.process_incoming(TEXT, data, reserved, 0) == message
            data, reserved = server.process_outgoing(TEXT, message, None)
            assert client.process_incoming(TEXT, data, reserved, 0) == message

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("level", -2),
            ("level", 10),
            ("level", "9"),
            ("level", True),
            ("mem_level", 0),
            ("mem_level", 10),
            ("mem_level", None),
            ("strategy", -1),
            ("strategy", 5),
            ("strategy", "rle"),
            ("no_context_takeover", 1),
            ("no_context_takeover", None),
            ("request_no_context_takeover", "yes"),
            ("max_window_bits", 8),  # zlib has no raw deflate with it
            ("max_window_bits", 16),
            ("max_window_bits", 0),
            ("max_window_bits", "12"),
            ("max_window_bits", True),
            ("max_window_bits", 12.0),
            ("request_max_window_bits", 7),
            ("request_max_window_bits", 16),
            ("request_max_window_bits", "12"),
            ("request_max_window_bits", False),
            ("threshold", -1),
            ("threshold", None),
        ],
    )
    def test_wrong_value_raises_and_names_the_option(self, name: str, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=f"^{name} must be"):
            PermessageDeflate(**{name: value})

    @pytest.mark.parametrize(
        ("name", "hint"), [("memLevel", "mem_level"), ("window_bits", "max_window_bits"), ("zzz", "the options are")]
    )
    def test_unknown_name_raises_with_a_hint(self, name: str, hint: str) -> None:
        with pytest.raises(ConfigurationError, match=f"unknown option {name!r}: .*{hint}"):
            PermessageDeflate(**{name: 1})


#: The options, a client's offers, and the server's answer.
ANSWERS: list[tuple[dict[str, Any], str, str | None]] = [
    # What browsers offer: Chromium and Safari, Firefox, old Safari.
    ({}, "permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=12"),
    ({}, "permessage-deflate", "permessage-deflate"),
    ({}, "x-webkit-deflate-frame", None),
    # server_max_window_bits: answered where it was offered, never over the offer.
    ({}, "permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=12"),
    ({}, "permessage-deflate; server_max_window_bits=12", "permessage-deflate; server_max_window_bits=12"),
    ({}, 'permessage-deflate; server_max_window_bits="10"', "permessage-deflate; server_max_window_bits=10"),
    ({}, "permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"),
    ({}, "permessage-deflate; server_max_window_bits=8", None),
    (
        {"max_window_bits": 15},
        "permessage-deflate; server_max_window_bits=15",
        "permessage-deflate; server_max_window_bits=15",
    ),
    ({"max_window_bits": 15}, "permessage-deflate", "permessage-deflate"),
    ({"max_window_bits": 12}, "permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
    (
        {"max_window_bits": 12},
        "permessage-deflate; server_max_window_bits=11",
        "permessage-deflate; server_max_window_bits=11",
    ),
    # client_max_window_bits: answered only where it was offered.
    ({}, "permessage-deflate; client_max_window_bits=15", "permessage-deflate; client_max_window_bits=12"),
    ({}, "permessage-deflate; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"),
    ({"request_max_window_bits": 11}, "permessage-deflate", "permessage-deflate"),
    (
        {"request_max_window_bits": 11},
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=11",
    ),
    (
        {"request_max_window_bits": 11},
        "permessage-deflate; client_max_window_bits=10",
        "permessage-deflate; client_max_window_bits=10",
    ),
    ({"request_max_window_bits": 15}, "permessage-deflate; client_max_window_bits", "permessage-deflate"),
    # Context takeover.
    ({}, "permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"),
    ({}, "permessage-deflate; client_no_context_takeover", "permessage-deflate; client_no_context_takeover"),
    ({"no_context_takeover": True}, "permessage-deflate", "permessage-deflate; server_no_context_takeover"),
    ({"request_no_context_takeover": True}, "permessage-deflate", "permessage-deflate; client_no_context_takeover"),
    # Of several offers, the first that can be accepted.
    (
        {},
        ", ".join(f"permessage-deflate{params}" for params in ("; server_max_window_bits=8", "; unknown", "; x=1", "")),
        "permessage-deflate",
    ),
    (
        {},
        ", ".join(f"permessage-deflate; server_max_window_bits={bits}" for bits in (16, 8, 10, 9)),
        "permessage-deflate; server_max_window_bits=10",
    ),
    # What declines an offer.
    ({}, "permessage-deflate; unknown", None),
    ({}, "permessage-deflate; unknown=1", None),
    ({}, "permessage-deflate; server_max_window_bits", None),
    ({}, "permessage-deflate; server_no_context_takeover=true", None),
    ({}, "permessage-deflate; client_no_context_takeover=1", None),
    ({}, 'permessage-deflate; client_no_context_takeover=""', None),
    ({}, "permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
    ({}, "permessage-deflate; client_max_window_bits; client_max_window_bits", None),
    ({}, "permessage-deflate; client_max_window_bits; client_max_window_bits=12", None),
    ({}, "permessage-deflate; server_max_window_bits=12; server_max_window_bits=12", None),
    ({}, "permessage-deflate; Server_max_window_bits=12", None),
]


class TestServer:
    @pytest.mark.parametrize(("options", "offer", "answer"), ANSWERS)
    def test_offer_is_answered(self, options: dict[str, Any], offer: str, answer: str | None) -> None:
        assert Extensions([PermessageDeflate(**options)]).generate_response(offer) == answer

    @pytest.mark.parametrize("value", WRONG_BITS)
    @pytest.mark.parametrize("name", ["server_max_window_bits", "client_max_window_bits"])
    def test_wrong_window_bits_decline_the_offer(self, name: str, value: str) -> None:
        extensions = Extensions([PermessageDeflate()])
        try:
            assert extensions.generate_response(f"permessage-deflate; {name}={value}") is None
        except ExtensionError:
            assert value == "²"  # not even a header

    @pytest.mark.parametrize(
        "value", ["\uff11\uff15", "\u0661\u0662", "12\n", 7, 16, 12.0, False, None, [], ["12"], b"12", "12" * 9999]
    )
    @pytest.mark.parametrize("name", ["server_max_window_bits", "client_max_window_bits"])
    def test_wrong_window_bits_that_no_header_holds_decline_too(self, name: str, value: Any) -> None:
        assert PermessageDeflate().create_server_session([{name: value}]) is None
        assert PermessageDeflate().create_client_session().activate({name: value}) is False

    def test_window_bits_may_be_an_int(self) -> None:
        session = PermessageDeflate().create_server_session([{"server_max_window_bits": 10}])  # type: ignore[dict-item]
        assert session is not None
        assert session.generate_response() == {"server_max_window_bits": 10}


CONTEXT = "context_takeover"

#: The options and the client's offers.
OFFERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["client_max_window_bits=12; server_max_window_bits=12", "client_max_window_bits"]),
    (
        {"max_window_bits": 10},
        ["client_max_window_bits=10; server_max_window_bits=12", "client_max_window_bits=10"],
    ),
    (
        {"request_max_window_bits": 10},
        [
            "server_max_window_bits=10; client_max_window_bits=12",
            "server_max_window_bits=10; client_max_window_bits",
        ],
    ),
    (
        {"max_window_bits": 15, "request_max_window_bits": 15},
        ["server_max_window_bits=15; client_max_window_bits=15"],
    ),
    (
        {**ALONE, "max_window_bits": 9, "request_max_window_bits": 8},
        [f"server_no_{CONTEXT}; client_no_{CONTEXT}; server_max_window_bits=8; client_max_window_bits=9"],
    ),
]

#: What servers answer that a client with default options must be able to live with.
COMMON_ANSWERS = [
    "permessage-deflate",
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",  # gorilla/websocket, to any offer
    "permessage-deflate; client_max_window_bits=12; server_max_window_bits=12",
    *(f"permessage-deflate; {side}_max_window_bits={n}" for side in ("client", "server") for n in range(8, 16)),
]

#: The options, and an answer that does not fit the offers made with them.
UNFIT_ANSWERS: list[tuple[dict[str, Any], str]] = [
    ({}, "permessage-deflate; unknown"),
    ({}, "permessage-deflate; unknown=1"),
    ({}, "permessage-deflate; client_max_window_bits"),
    ({}, "permessage-deflate; server_max_window_bits"),
    ({}, "permessage-deflate; server_no_context_takeover=1"),
    ({}, "permessage-deflate; client_no_context_takeover=true"),
    ({}, "permessage-deflate; server_no_context_takeover; server_no_context_takeover"),
    ({}, "permessage-deflate; server_max_window_bits=12; server_max_window_bits=12"),
    ({"request_no_context_takeover": True}, "permessage-deflate"),
    ({"request_no_context_takeover": True}, "permessage-deflate; client_no_context_takeover"),
    ({"request_max_window_bits": 12}, "permessage-deflate"),
    ({"request_max_window_bits": 12}, "permessage-deflate; server_max_window_bits=13"),
    ({"max_window_bits": 9}, "permessage-deflate; client_max_window_bits=10"),
    *(({}, f"permessage-deflate; {side}_max_window_bits={v}") for side in ("client", "server") for v in WRONG_BITS),
]


class TestClient:
    @pytest.mark.parametrize(("options", "offers"), OFFERS)
    def test_options_make_the_offers(self, options: dict[str, Any], offers: list[str]) -> None:
        expected = ", ".join(f"permessage-deflate; {offer}" for offer in offers)
        assert Extensions([PermessageDeflate(**options)]).generate_offer() == expected

    @pytest.mark.parametrize("answer", COMMON_ANSWERS)
    def test_default_client_takes_what_servers_answer(self, answer: str) -> None:
        client = Extensions([PermessageDeflate(threshold=0)])
        client.generate_offer()
        client.activate(answer)
        # The peer, as the answer binds it and us.
        limit = int(answer.partition("client_max_window_bits=")[2][:2].strip(";") or 15)
        own = int(answer.partition("server_max_window_bits=")[2][:2].strip(";") or 15)
        inflater = zlib.decompressobj(-limit)
        deflater = zlib.compressobj(wbits=-max(own, 9))
        for message in [noise(5000) + b"x" * 500, b"Hello", noise(5000) + b"x" * 500, b"Hello"]:
            if "client_no" in answer:
                inflater = zlib.decompressobj(-limit)
            if "server_no" in answer:
                deflater = zlib.compressobj(wbits=-max(own, 9))
            data, reserved = client.process_outgoing(BINARY, message, None)
            assert (inflater.decompress(data + b"\0\0\xff\xff") if reserved else data) == message
            data = (deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
            assert receive(client, data) == message

    @pytest.mark.parametrize(("options", "answer"), UNFIT_ANSWERS)
    def test_unfit_answer_raises(self, options: dict[str, Any], answer: str) -> None:
        client = Extensions([PermessageDeflate(**options)])
        client.generate_offer()
        with pytest.raises(ExtensionError):
            client.activate(answer)
        assert not client.active

    @pytest.mark.parametrize(
        ("options", "answer"),
        [
            ({"request_max_window_bits": 12}, "permessage-deflate; server_max_window_bits=12"),
            ({"request_max_window_bits": 12}, "permessage-deflate; server_max_window_bits=8"),
            ({"max_window_bits": 12}, "permessage-deflate; client_max_window_bits=12"),
            ({"max_window_bits": 12}, "permessage-deflate; client_max_window_bits=8"),
            ({"max_window_bits": 12}, "permessage-deflate"),
            ({"no_context_takeover": True}, "permessage-deflate"),
            ({"request_no_context_takeover": True}, "permessage-deflate; server_no_context_takeover"),
        ],
    )
    def test_fitting_answer_activates(self, options: dict[str, Any], answer: str) -> None:
        client = Extensions([PermessageDeflate(**options)])
        client.generate_offer()
        client.activate(answer)
        assert (client.active, client.reserved, client.only_marked) == (True, RSV1, True)

    def test_own_takeover_stays_off_where_the_answer_is_silent(self) -> None:
        client = Extensions([PermessageDeflate(no_context_takeover=True)])
        client.generate_offer()
        client.activate("permessage-deflate")
        first, second = (client.process_outgoing(TEXT, b"Hello" * 100, None) for _ in range(2))
        assert first == second

    def test_one_extension_serves_many_connections(self) -> None:
        shared = PermessageDeflate(threshold=0)
        servers = [Extensions([shared]) for _ in range(3)]
        assert servers[0].generate_response("permessage-deflate; server_no_context_takeover")
        assert servers[1].generate_response("permessage-deflate") == "permessage-deflate"
        assert servers[2].generate_response("permessage-deflate") == "permessage-deflate"
        first, second = ([server.process_outgoing(TEXT, b"Hello" * 20, None)[0] for server in servers] for _ in "12")
        assert first[0] == first[1] == first[2] == second[0]
        assert len(first[0]) > len(second[1]) == len(second[2])


class TestExamplesOfTheRfc:
    """RFC 7692 §7.2.3: each of these messages says Hello."""

    HELLO = bytes.fromhex("f248cdc9c90700")

    @pytest.mark.parametrize("options", [{}, ALONE], ids=["takeover", "alone"])
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param("f2 48 cd c9 c9 07 00", id="7.2.3.1 one block"),
            pytest.param("00 05 00 fa ff 48 65 6c 6c 6f 00", id="7.2.3.3 no compression"),
            pytest.param("f3 48 cd c9 c9 07 00 00", id="7.2.3.4 BFINAL"),
            pytest.param("f2 48 05 00 00 00 ff ff ca c9 c9 07 00", id="7.2.3.5 two blocks"),
            # Beyond the examples: a final block that ends the message, and several of them.
            pytest.param("f3 48 cd c9 c9 07 00", id="BFINAL alone"),
            pytest.param("f3 48 cd c9 c9 07 00 03 00 00", id="BFINAL and an empty final block"),
            pytest.param("03 00 f2 48 cd c9 c9 07 00", id="an empty final block first"),
            pytest.param("01 02 00 fd ff 48 65 01 03 00 fc ff 6c 6c 6f 00", id="two final blocks"),
        ],
    )
    def test_message_says_hello_again_and_again(self, data: str, options: dict[str, Any]) -> None:
        server = serving(**options)
        for _ in range(3):
            assert receive(server, bytes.fromhex(data), 5) == b"Hello"
        assert receive(server, self.HELLO) == b"Hello"
        with pytest.raises(MessageTooBig):
            receive(server, bytes.fromhex(data), 4)

    def test_sliding_window_is_shared(self) -> None:
        """§7.2.3.2"""
        second = bytes.fromhex("f200110000")
        client, server = pair({"threshold": 0})
        assert client.process_outgoing(TEXT, b"Hello", None) == (self.HELLO, RSV1)
        assert client.process_outgoing(TEXT, b"Hello", None) == (second, RSV1)
        assert receive(server, self.HELLO) == b"Hello"
        assert receive(server, second) == b"Hello"
        with pytest.raises(InvalidPayload):
            receive(serving(), second)

    @pytest.mark.parametrize("data", [b"\0", b""])
    def test_empty_message(self, data: bytes) -> None:
        """§7.2.3.6; and nothing at all, as peers in Python send it."""
        for options in ({}, ALONE):
            server = serving(**options)
            for _ in range(3):
                assert receive(server, data, 1) == b""
                assert receive(server, self.HELLO, 5) == b"Hello"


class TestOutgoing:
    @pytest.mark.parametrize("options", [{}, ALONE], ids=["takeover", "alone"])
    @pytest.mark.parametrize("compress", [None, True, False])
    def test_empty_message_is_never_compressed(self, options: dict[str, Any], compress: bool | None) -> None:
        server = serving(threshold=0, **options)
        for _ in range(2):
            assert server.process_outgoing(TEXT, b"", compress) == (b"", 0)

    @pytest.mark.parametrize("size", [1, 63, 64, 65, 1000])
    @pytest.mark.parametrize("threshold", [None, 0, 64, 1000])
    def test_message_under_the_threshold_is_not_compressed(self, size: int, threshold: int | None) -> None:
        server = serving(**({} if threshold is None else {"threshold": threshold}))
        message = b"x" * size
        data, reserved = server.process_outgoing(TEXT, message, None)
        compressed = size >= (64 if threshold is None else threshold)
        assert reserved == (RSV1 if compressed else 0)
        assert (data == message) is not compressed
        assert server.process_outgoing(TEXT, message, True)[1] == RSV1

    def test_message_with_compress_false_is_not_compressed_and_leaves_the_context_alone(self) -> None:
        client, server = pair()
        first = client.process_outgoing(TEXT, b"Hello" * 100, None)
        assert client.process_outgoing(TEXT, b"World" * 100, False) == (b"World" * 100, 0)
        second = client.process_outgoing(TEXT, b"Hello" * 100, None)
        assert first[1] == second[1] == RSV1
        assert len(second[0]) < len(first[0])
        assert receive(server, first[0]) == b"Hello" * 100
        assert server.process_incoming(TEXT, b"World" * 100, 0, 0) == b"World" * 100
        assert receive(server, second[0]) == b"Hello" * 100

    def test_message_that_grows_goes_uncompressed_where_the_context_allows(self) -> None:
        message = noise(1000)
        assert serving(no_context_takeover=True).process_outgoing(BINARY, message, None) == (message, 0)
        client, server = pair()
        data, reserved = client.process_outgoing(BINARY, message, None)
        assert (len(data) > len(message), reserved) == (True, RSV1)
        assert receive(server, data) == message
        again, reserved = client.process_outgoing(BINARY, message, None)
        assert len(again) < 50
        assert receive(server, again) == message

    def test_message_says_that_it_is_compressed_by_rsv1_alone(self) -> None:
        for options in ({}, ALONE):
            assert serving(**options).process_outgoing(TEXT, b"x" * 100, None)[1] == RSV1

    def test_what_was_agreed_bounds_the_window(self) -> None:
        block = noise(2000)  # farther back than 9 or 10 bits reach
        for bits in range(9, 16):
            server = serving(f"permessage-deflate; server_max_window_bits={bits}", max_window_bits=15)
            data, _ = server.process_outgoing(BINARY, block + block, None)
            assert zlib.decompressobj(-bits).decompress(data + b"\0\0\xff\xff") == block + block
            assert (len(data) < 3000) == (bits > 11)

    @settings(deadline=None)
    @given(st.binary(max_size=3000), st.integers(-1, 9), st.integers(1, 9), st.integers(0, 4))
    def test_window_of_8_bits_is_kept(self, data: bytes, level: int, mem_level: int, strategy: int) -> None:
        client = Extensions([PermessageDeflate(level=level, mem_level=mem_level, strategy=strategy, threshold=0)])
        client.generate_offer()
        client.activate("permessage-deflate; client_max_window_bits=8")
        inflater = zlib.decompressobj(-8)
        for message in (data, data * 3, data[::-1], data):
            if message:
                out, reserved = client.process_outgoing(BINARY, message, None)
                assert reserved == RSV1
                assert inflater.decompress(out + b"\0\0\xff\xff") == message


class TestIncoming:
    def test_message_without_the_mark_passes(self) -> None:
        assert serving().process_incoming(TEXT, b"\xff\xff\xff", 0, 0) == b"\xff\xff\xff"
        session = PermessageDeflate().create_server_session([{}])
        assert session is not None
        message = Message(TEXT, b"\xff\xff\xff", rsv2=True)
        assert session.process_incoming_message(message, 1) is message
        assert message == Message(TEXT, b"\xff\xff\xff", rsv2=True)

    @pytest.mark.parametrize("options", [{}, ALONE], ids=["takeover", "alone"])
    @pytest.mark.parametrize("size", [1, 10, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 7])
    @pytest.mark.parametrize("kind", ["zeros", "noise", "stored"])
    def test_budget_is_exact(self, options: dict[str, Any], size: int, kind: str) -> None:
        message = bytes(size) if kind == "zeros" else noise(size)
        data = deflate(message, level=0 if kind == "stored" else -1)[0]
        for budget in (0, size, size + 1):
            assert receive(serving(**options), data, budget) == message
        if size > 1:
            with pytest.raises(MessageTooBig, match=f"over the limit of {size - 1}"):
                receive(serving(**options), data, size - 1)

    @pytest.mark.parametrize("options", [{}, ALONE], ids=["takeover", "alone"])
    def test_any_length_of_compressed_data_around_a_step_is_taken(self, options: dict[str, Any]) -> None:
        for end in range(CHUNK - 20, CHUNK + 5):
            # A stored block, and behind it what a step may cut anywhere: final blocks, the tail.
            for rest in (b"\0", b"\1\0\0\xff\xff\0", b"\1\0\0\xff\xff", b"\3\0\3\0\0", b"\xf2\x48\xcd\xc9\xc9\x07\0"):
                message = noise(end)[:65000]
                filler = noise(end)[65000:]
                data = (
                    b"\0" + len(message).to_bytes(2, "little") + (len(message) ^ 0xFFFF).to_bytes(2, "little") + message
                )
                data += (
                    b"\0" + len(filler).to_bytes(2, "little") + (len(filler) ^ 0xFFFF).to_bytes(2, "little") + filler
                )
                server = serving(**options)
                for _ in range(2):
                    assert receive(server, data + rest) == message + filler + (b"Hello" if rest[0] == 0xF2 else b"")

    @pytest.mark.parametrize("options", [{}, ALONE], ids=["takeover", "alone"])
    @pytest.mark.parametrize(
        "data",
        [
            b"\x07",  # the reserved block type
            b"\xff" * 10,
            b"\0\5\0\0\0Hello",  # a length and its complement that do not match
            b"\4\xff\xff\xff\xff",
            bytes.fromhex("f200110000"),  # refers to what was before the beginning
            b"plain text, and no DEFLATE",
            b"\x1f\x8b\x08\0\0\0\0\0\0\3",  # gzip
            b"x\x9c\xf3H\xcd\xc9\xc9\7\0\5\x8c\1\xf5",  # zlib with its header
            noise(100_000),
        ],
    )  # fmt: skip
    def test_corrupt_data_raises_1007(self, data: bytes, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidPayload, match="not DEFLATE data") as caught:
            receive(serving(**options), data)
        assert caught.value.code == 1007

    def test_data_that_breaks_off_is_noticed_where_messages_stand_alone(self) -> None:
        whole = deflate(b"Hello, hello, hello! " * 20 + noise(50))[0]
        for end in range(1, len(whole) - 1):
            with pytest.raises(InvalidPayload):
                receive(serving(**ALONE), whole[:end])
        assert receive(serving(**ALONE), whole)

    def test_window_larger_than_agreed_raises(self) -> None:
        first, second = deflate(noise(3000), noise(3000))
        server = serving("permessage-deflate; client_max_window_bits=9")
        assert receive(server, first) == noise(3000)
        with pytest.raises(InvalidPayload):
            receive(server, second)

    def test_many_final_blocks_are_refused_before_they_cost(self) -> None:
        for options in ({}, ALONE):
            assert receive(serving(**options), b"\3\0" * MAX_STREAMS + b"\0") == b""
            with pytest.raises(MessageTooBig, match="final DEFLATE blocks"):
                receive(serving(**options), b"\3\0" * (MAX_STREAMS + 1) + b"\0")
            with pytest.raises(MessageTooBig, match="final DEFLATE blocks"):
                receive(serving(**options), b"\3\0" * 8_000_000)

    def test_context_begins_anew_after_a_final_block(self) -> None:
        server = serving()
        first, second = deflate(b"Hello, world", b"Hello, world")
        receive(server, first)
        assert receive(server, b"\3\0" + first) == b"Hello, world"
        assert receive(server, second) == b"Hello, world"
        receive(server, b"\3\0")
        with pytest.raises(InvalidPayload):
            receive(server, second)

    @settings(deadline=None)
    @given(st.binary(max_size=200), st.integers(0, 300), st.booleans())
    @example(b"\xf3\x48\xcd\xc9\xc9\x07\x00", 5, False)
    def test_any_bytes_give_a_bounded_message_or_a_protocol_error(self, data: bytes, budget: int, alone: bool) -> None:
        server = serving(**(ALONE if alone else {}))
        for _ in range(2):
            try:
                result = receive(server, data, budget)
            except (InvalidPayload, MessageTooBig):
                return
            assert not budget or len(result) <= budget


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """400 MB of zeros (CVE-2026-54464)."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [deflater.compress(bytes(1_000_000)) for _ in range(400)]
    data = b"".join(parts) + deflater.flush(zlib.Z_SYNC_FLUSH)[:-4]
    assert 388_000 < len(data) < 390_000
    return data


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
class TestMemory:
    """tracemalloc sees what zlib allocates too."""

    @pytest.mark.parametrize("options", [{}, ALONE], ids=["takeover", "alone"])
    @pytest.mark.parametrize("budget", [1, 1000, 1_000_000, 2**26 - 1])
    def test_bomb_is_stopped_while_it_unfolds(self, bomb: bytes, budget: int, options: dict[str, Any]) -> None:
        server = serving(**options)
        tracemalloc.reset_peak()
        with pytest.raises(MessageTooBig, match=f"limit of {budget}"):
            receive(server, bomb, budget)
        assert tracemalloc.get_traced_memory()[1] < budget + 1_500_000

    @pytest.mark.parametrize("kind", ["zeros", "noise"])
    def test_large_message_takes_twice_its_size(self, kind: str) -> None:
        size = 16_000_000
        data = deflate(bytes(size) if kind == "zeros" else noise(size))[0]
        server = serving()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        assert len(receive(server, data, size)) == size
        assert tracemalloc.get_traced_memory()[1] - before < 2 * size + 1_500_000

    @pytest.mark.parametrize("options", [{}, ALONE], ids=["takeover", "alone"])
    def test_contexts_are_made_at_first_use_and_freed(self, options: dict[str, Any]) -> None:
        offer = "permessage-deflate; client_max_window_bits"
        message, small = b"x" * 5000, b"x"
        data = deflate(message, bits=12)[0]
        first = serving(offer, **options)  # what is made once
        first.process_outgoing(BINARY, message, None)
        receive(first, data)
        del first

        before = tracemalloc.get_traced_memory()[0]

        def held() -> int:
            return tracemalloc.get_traced_memory()[0] - before

        server = serving(offer, **options)
        server.process_outgoing(BINARY, small, None)
        server.process_outgoing(BINARY, message, False)
        server.process_incoming(BINARY, small, 0, 0)
        assert held() < 3000
        server.process_outgoing(BINARY, message, None)
        assert held() < 3000 if options else 20_000 < held() < 100_000
        receive(server, data)
        assert held() < 3000 if options else 25_000 < held() < 150_000
        server.close()
        assert held() < 3000


MESSAGES = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.builds(lambda part, count: part * count, st.binary(max_size=30), st.integers(0, 200)),
        st.integers(0, 100_000).map(noise),
    ),
    max_size=6,
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "level": st.sampled_from([None, -1, 0, 1, 6, 9]),
        "mem_level": st.integers(1, 9),
        "strategy": st.integers(0, 4),
        "no_context_takeover": st.booleans(),
        "request_no_context_takeover": st.booleans(),
        "max_window_bits": st.integers(9, 15),
        "request_max_window_bits": st.integers(9, 15),
        "threshold": st.sampled_from([0, 10, 1000]),
    },
)


class TestRoundTrip:
    @settings(deadline=None)
    @given(OPTIONS, OPTIONS, MESSAGES, MESSAGES)
    def test_both_sides_understand_each_other(
        self, client_options: dict[str, Any], server_options: dict[str, Any], up: list[bytes], down: list[bytes]
    ) -> None:
        client, server = pair(client_options, server_options)
        for sender, receiver, messages in ((client, server, up), (server, client, down)):
            for message in messages:
                data, reserved = sender.process_outgoing(BINARY, message, None)
                assert receiver.process_incoming(BINARY, data, reserved, len(message)) == message

    @settings(deadline=None)
    @given(MESSAGES, st.integers(9, 15), st.sampled_from([0, 1, 6, 9]), st.integers(0, 4), st.booleans())
    def test_zlib_itself_understands_and_is_understood(
        self, messages: list[bytes], bits: int, level: int, strategy: int, alone: bool
    ) -> None:
        parameter = "; server_no_context_takeover; client_no_context_takeover" if alone else ""
        server = serving(
            f"permessage-deflate; server_max_window_bits={bits}{parameter}",
            max_window_bits=15,
            level=level,
            strategy=strategy,
        )
        deflater, inflater = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy), zlib.decompressobj(-bits)
        for message in messages:
            if alone:
                deflater, inflater = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy), zlib.decompressobj(-bits)
            data, reserved = server.process_outgoing(BINARY, message, None)
            assert (inflater.decompress(data + b"\0\0\xff\xff") if reserved else data) == message
            data = (deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
            assert receive(server, data, max(1, len(message))) == message

    @settings(deadline=None)
    @given(st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=20), st.booleans())
    def test_final_blocks_anywhere_in_a_message(self, parts: list[bytes], alone: bool) -> None:
        data = b""
        for number, part in enumerate(parts):
            deflater = zlib.compressobj(wbits=-15)
            data += deflater.compress(part) + deflater.flush(zlib.Z_SYNC_FLUSH if number % 3 == 1 else zlib.Z_FINISH)
        # A sync flush ends on 00 00 ff ff, behind which a fresh stream cannot refer back: it is one for zlib as well.
        server = serving(**(ALONE if alone else {}))
        for end in (b"\0", b"\2\0\0\0\xff\xff\0"):
            assert receive(server, data + end) == b"".join(parts)


class TestAgainstWebsockets:
    """The same negotiation and the same messages with websockets' own implementation, without I/O."""

    WEBSOCKETS_CLIENTS: tuple[dict[str, Any], ...] = (
        {},
        {"compress_settings": {"memLevel": 5}},  # what its clients use
        {"client_max_window_bits": None},
        {"client_max_window_bits": 9, "server_max_window_bits": 9},
        {"server_max_window_bits": 15, "client_max_window_bits": 15},
        {"server_no_context_takeover": True},
        {"client_no_context_takeover": True, "server_no_context_takeover": True},
    )
    WEBSOCKETS_SERVERS: tuple[dict[str, Any], ...] = (
        {},
        # What its servers use.
        {"server_max_window_bits": 12, "client_max_window_bits": 12, "compress_settings": {"memLevel": 5}},
        {"server_max_window_bits": 9, "client_max_window_bits": 8},
        {"server_no_context_takeover": True},
        {"client_no_context_takeover": True, "server_no_context_takeover": True},
        {"client_max_window_bits": 10, "require_client_max_window_bits": True},
    )
    OURS: tuple[dict[str, Any], ...] = (
        {},
        ALONE,
        {"no_context_takeover": True},
        {"max_window_bits": 9, "request_max_window_bits": 9},
        {"max_window_bits": 15, "request_max_window_bits": 15, "mem_level": 9, "level": 9},
        {"threshold": 0},
    )

    @pytest.fixture(autouse=True)
    def _websockets(self) -> None:
        pytest.importorskip("websockets.extensions.permessage_deflate", reason="websockets is not installed")

    def exchange(self, ours: Extensions, theirs: Any) -> None:
        from websockets.frames import Frame, Opcode

        messages = [b"Hello", b"Hello" * 100, noise(3000), b"", b"Hello" * 100, noise(3000), b"x" * 300_000]
        for message in messages:
            data, reserved = ours.process_outgoing(BINARY, message, None)
            frame = theirs.decode(Frame(Opcode.BINARY, data, True, reserved == RSV1))
            assert bytes(frame.data) == message
            if message:  # websockets cannot send an empty one twice
                frame = theirs.encode(Frame(Opcode.BINARY, message))
                incoming = ours.process_incoming(BINARY, bytes(frame.data), RSV1 if frame.rsv1 else 0, len(message))
                assert incoming == message

    @pytest.mark.parametrize("options", OURS, ids=str)
    @pytest.mark.parametrize("theirs", WEBSOCKETS_CLIENTS, ids=str)
    def test_its_client(self, theirs: dict[str, Any], options: dict[str, Any]) -> None:
        from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
        from websockets.headers import build_extension, parse_extension

        factory = ClientPerMessageDeflateFactory(**theirs)
        server = Extensions([PermessageDeflate(**options)])
        answer = server.generate_response(build_extension([(factory.name, list(factory.get_request_params()))]))
        assert answer is not None
        [(name, params)] = parse_extension(answer)
        assert name == factory.name
        self.exchange(server, factory.process_response_params(params, []))

    @pytest.mark.parametrize("options", OURS, ids=str)
    @pytest.mark.parametrize("theirs", WEBSOCKETS_SERVERS, ids=str)
    def test_its_server(self, theirs: dict[str, Any], options: dict[str, Any]) -> None:
        from websockets.exceptions import NegotiationError
        from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
        from websockets.headers import build_extension, parse_extension

        factory = ServerPerMessageDeflateFactory(**theirs)
        client = Extensions([PermessageDeflate(**options)])
        for _, params in parse_extension(client.generate_offer() or ""):
            try:
                answer, extension = factory.process_request_params(params, [])
                break
            except NegotiationError:  # as it does for one offer after the other
                continue
        else:
            raise AssertionError("every offer was declined")
        client.activate(build_extension([(factory.name, answer)]))
        self.exchange(client, extension)
