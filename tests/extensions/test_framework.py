"""Negotiation and the way of messages, with extensions that are made for it (RFC 6455 §9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from wsdriver.exceptions import (
    ConfigurationError,
    ExtensionError,
    InvalidPayload,
    MessageTooBig,
    ProtocolError,
)
from wsdriver.extensions import (
    ClientSession,
    Extension,
    Extensions,
    Message,
    PermessageDeflate,
    ServerSession,
)
from wsdriver.extensions.framework import PayloadSession

TEXT, BINARY = 1, 2


class Probe:
    """An extension and its session in one, duck-typed: it notes its calls, and does what its attributes say."""

    def __init__(self, name: str, rsv: int = 0, **attributes: Any) -> None:
        self.name = name
        self.type = "permessage"
        self.rsv1, self.rsv2, self.rsv3 = rsv == 1, rsv == 2, rsv == 3
        self.offer: Any = {}
        self.response: Any = {}
        self.fits: Any = True
        self.session: Any = self
        self.calls: list[Any] = []
        self.raises: dict[str, Exception] = {}
        self.suffix = f"<{name}>".encode()
        self.__dict__.update(attributes)

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        if call[0] in self.raises:
            raise self.raises[call[0]]

    def create_client_session(self) -> Any:
        self._note("create_client_session")
        return self.session

    def create_server_session(self, offers: Any) -> Any:
        self._note("create_server_session", offers)
        return self.session

    def generate_offer(self) -> Any:
        self._note("generate_offer")
        return self.offer

    def activate(self, params: Any) -> Any:
        self._note("activate", params)
        return self.fits

    def generate_response(self) -> Any:
        self._note("generate_response")
        return self.response

    def process_incoming_message(self, message: Message, budget: int) -> Any:
        self._note("in", message.data, message.rsv1, message.rsv2, message.rsv3, budget)
        if not message.data.endswith(self.suffix):
            raise ValueError("no suffix")
        message.data = message.data[: -len(self.suffix)]
        return message

    def process_outgoing_message(self, message: Message) -> Any:
        self._note("out", message.data, message.compress)
        message.data += self.suffix
        message.rsv1 |= self.rsv1
        message.rsv2 |= self.rsv2
        message.rsv3 |= self.rsv3
        return message

    def close(self) -> None:
        self._note("close")

    @property
    def names(self) -> list[str]:
        return [call[0] for call in self.calls]


def new(*extensions: Any) -> Extensions:
    return Extensions(extensions)


def agreed(*extensions: Any) -> Extensions:
    """A server on which all of these are agreed, in this order."""
    server = Extensions(extensions)
    server.generate_response(", ".join(extension.name for extension in extensions))
    return server


class TestAdd:
    def test_class_of_the_base_needs_nothing_but_a_name(self) -> None:
        class Named(Extension):
            name = "x-named"

        extensions = new(Named())
        assert extensions.generate_offer() is None
        assert extensions.generate_response("x-named") is None

    def test_duck_typed_object_is_accepted(self) -> None:
        assert new(Probe("a")).generate_offer() == "a"

    @pytest.mark.parametrize(
        ("attributes", "message"),
        [
            ({"name": None}, "token"),
            ({"name": ""}, "token"),
            ({"name": "a b"}, "token"),
            ({"name": "a\r\nb"}, "token"),
            ({"name": b"a"}, "token"),
            ({"type": "perframe"}, "type of the extension a must be 'permessage'"),
            ({"type": None}, "permessage"),
            ({"rsv1": 1}, "rsv1 of the extension a must be True or False"),
            ({"rsv2": None}, "rsv2"),
            ({"rsv3": "yes"}, "rsv3"),
            ({"only_marked": 1, "rsv1": True}, "only_marked"),
            ({"only_marked": True}, "only_marked of the extension a must be False, or True beside a reserved bit"),
            ({"create_client_session": None}, "no method create_client_session"),
            ({"create_server_session": 1}, "no method create_server_session"),
        ],
    )
    def test_wrong_attribute_raises(self, attributes: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            new().add(Probe(**{"name": "a", **attributes}))  # type: ignore[arg-type]

    @pytest.mark.parametrize("value", [None, 1, "permessage-deflate", object()])
    def test_what_is_no_extension_raises(self, value: Any) -> None:
        with pytest.raises(ConfigurationError):
            new(value)

    @pytest.mark.parametrize("missing", ["name", "type", "rsv1", "rsv2", "rsv3"])
    def test_missing_attribute_raises(self, missing: str) -> None:
        probe = Probe("a")
        delattr(probe, missing)
        with pytest.raises(ConfigurationError):
            new(probe)

    def test_class_instead_of_an_instance_raises_and_says_so(self) -> None:
        with pytest.raises(ConfigurationError, match=r"Extension is a class: an extension is an instance"):
            new(Extension)

    def test_same_name_twice_raises(self) -> None:
        with pytest.raises(ConfigurationError, match="two extensions are named a"):
            new(Probe("a"), Probe("a", rsv=1))

    @pytest.mark.parametrize("value", [None, 1, "a", Probe("a")])
    def test_extensions_that_are_no_list_raise(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match="extensions must be a list"):
            Extensions(value)


class TestOffer:
    def test_offers_stand_in_the_order_of_registration(self) -> None:
        extensions = new(Probe("b", offer={"x": 1}), Probe("a", offer=[{"y": "z z"}, {}]))
        assert extensions.generate_offer() == 'b; x=1, a; y="z z", a'

    def test_nothing_to_offer_gives_no_header(self) -> None:
        probes = [Probe("a", session=None), Probe("b", offer=None), Probe("c", offer=[])]
        extensions = new(*probes)
        assert extensions.generate_offer() is None
        assert not extensions.active
        assert [probe.names for probe in probes] == [
            ["create_client_session"],
            ["create_client_session", "generate_offer", "close"],
            ["create_client_session", "generate_offer", "close"],
        ]
        assert new().generate_offer() is None

    @pytest.mark.parametrize("offer", [1, "x", [1], {"a b": True}, {"a": "\r\n"}, {"a": None}])
    def test_unfit_parameters_raise(self, offer: Any) -> None:
        with pytest.raises(ExtensionError):
            new(Probe("a", offer=offer)).generate_offer()

    @pytest.mark.parametrize("call", ["create_client_session", "generate_offer"])
    def test_error_of_the_extension_is_wrapped(self, call: str) -> None:
        cause = KeyError("oops")
        with pytest.raises(ExtensionError, match="a: 'oops'") as caught:
            new(Probe("a", raises={call: cause})).generate_offer()
        assert caught.value.__cause__ is cause


class TestActivate:
    def offered(self, *probes: Probe) -> Extensions:
        extensions = new(*probes)
        extensions.generate_offer()
        return extensions

    def test_answered_extensions_are_active(self) -> None:
        a, b = Probe("a", rsv=1), Probe("b", rsv=3)
        extensions = self.offered(a, b)
        extensions.activate('b; x=08; y="z, z", a; p; p=1')
        assert extensions.active
        assert extensions.reserved == 0x50
        assert a.calls[-1] == ("activate", {"p": [True, "1"]})
        assert b.calls[-1] == ("activate", {"x": "08", "y": "z, z"})

    @pytest.mark.parametrize("header", ["", " , "])
    def test_empty_answer_activates_nothing_and_closes_what_was_offered(self, header: str) -> None:
        a, b = Probe("a"), Probe("b")
        extensions = self.offered(a, b)
        extensions.activate(header)
        assert not extensions.active
        assert a.names[-1] == b.names[-1] == "close"
        extensions.close()
        assert a.names.count("close") == b.names.count("close") == 1

    def test_extension_that_is_not_answered_is_closed_at_once(self) -> None:
        a, b = Probe("a"), Probe("b")
        extensions = self.offered(a, b)
        extensions.activate("b")
        assert a.names.count("close") == 1
        assert b.names.count("close") == 0
        extensions.close()
        assert a.names.count("close") == b.names.count("close") == 1

    @pytest.mark.parametrize(
        ("header", "message"),
        [
            ("z", "the extension z, which was not offered"),
            ("silent", "silent, which was not offered"),
            ("out", "out, which was not offered"),
            ("a, a", "the extension a, twice"),
            ("a, b", "b beside an extension with the same reserved bit"),
            ("c; x=1; y", "parameters that do not fit: c; x=1; y"),
            ("a; x=", "malformed"),
        ],
    )
    def test_wrong_answer_raises(self, header: str, message: str) -> None:
        probes = [
            Probe("a", rsv=1),
            Probe("b", rsv=1),
            Probe("c", fits=False),
            Probe("silent", offer=None),
            Probe("out", session=None),
        ]
        extensions = self.offered(*probes)
        with pytest.raises(ExtensionError, match=message) as caught:
            extensions.activate(header)
        assert caught.value.code == 1002
        extensions.close()
        assert [probe.names.count("close") for probe in probes] == [1, 1, 1, 1, 0]

    @pytest.mark.parametrize("fits", [None, 1, "yes"])
    def test_activate_must_return_true_itself(self, fits: Any) -> None:
        with pytest.raises(ExtensionError, match="do not fit"):
            self.offered(Probe("a", fits=fits)).activate("a")

    def test_before_an_offer_any_answer_raises(self) -> None:
        with pytest.raises(ExtensionError, match="not offered"):
            new(Probe("a")).activate("a")

    def test_error_of_the_session_is_wrapped_and_a_protocol_error_is_not(self) -> None:
        cause = ZeroDivisionError()
        with pytest.raises(ExtensionError, match="a: ZeroDivisionError") as caught:
            self.offered(Probe("a", raises={"activate": cause})).activate("a")
        assert caught.value.__cause__ is cause
        own = ExtensionError("needed", 1010)
        with pytest.raises(ExtensionError) as caught:
            self.offered(Probe("a", raises={"activate": own})).activate("a")
        assert caught.value is own
        assert own.__cause__ is None

    def test_client_session_without_activate_says_what_is_missing(self) -> None:
        class Half(Extension):
            name = "x-half"

            def create_client_session(self) -> ClientSession:
                return ClientSession()

        extensions = new(Half())
        assert extensions.generate_offer() == "x-half"
        with pytest.raises(ExtensionError, match=r"x-half: a client session needs activate\(params\)"):
            extensions.activate("x-half")


class TestResponse:
    def test_answers_stand_in_our_order_and_offers_come_as_a_list(self) -> None:
        a, b = Probe("a", response={"n": 7}), Probe("b")
        extensions = new(b, a)
        assert extensions.generate_response("a; x=1, z, b, a; x=2; y") == "b, a; n=7"
        assert b.calls[0] == ("create_server_session", [{}])
        assert a.calls[0] == ("create_server_session", [{"x": "1"}, {"x": "2", "y": True}])
        assert extensions.active

    @pytest.mark.parametrize("header", ["", "z", "A"])
    def test_nothing_agreed_gives_no_header(self, header: str) -> None:
        extensions = new(Probe("a"))
        assert extensions.generate_response(header) is None
        assert not extensions.active
        assert extensions.reserved == 0

    def test_declined_offer_leaves_the_bit_to_the_next(self) -> None:
        extensions = new(Probe("a", rsv=1, session=None), Probe("b", rsv=1))
        assert extensions.generate_response("a, b") == "b"
        assert extensions.reserved == 0x40

    def test_extension_whose_bit_is_taken_is_skipped(self) -> None:
        b = Probe("b", rsv=1)
        extensions = new(Probe("a", rsv=1), b, Probe("c", rsv=2))
        assert extensions.generate_response("c, b, a") == "a, c"
        assert b.calls == []
        assert extensions.reserved == 0x60

    @pytest.mark.parametrize("header", ["a;", 'a; b="', "a b", "é"])
    def test_malformed_header_raises(self, header: str) -> None:
        with pytest.raises(ExtensionError, match="malformed"):
            new(Probe("a")).generate_response(header)

    @pytest.mark.parametrize("call", ["create_server_session", "generate_response"])
    def test_error_of_the_extension_is_wrapped(self, call: str) -> None:
        cause = ValueError("oops")
        probe = Probe("a", raises={call: cause})
        extensions = new(probe)
        with pytest.raises(ExtensionError, match="a: oops") as caught:
            extensions.generate_response("a")
        assert caught.value.__cause__ is cause
        extensions.close()
        assert ("close" in probe.names) == (call == "generate_response")

    def test_protocol_error_of_the_extension_comes_out_as_it_is(self) -> None:
        own = ProtocolError("no")
        with pytest.raises(ProtocolError) as caught:
            new(Probe("a", raises={"create_server_session": own})).generate_response("a")
        assert caught.value is own


class TestOnlyMarked:
    @pytest.mark.parametrize(
        ("marked", "expected"), [([], True), ([True], True), ([True, True], True), ([True, False], False)]
    )
    def test_it_holds_where_it_holds_for_all(self, marked: Sequence[bool], expected: bool) -> None:
        probes = [Probe(f"p{number}", rsv=number, only_marked=one) for number, one in enumerate(marked, 1)]
        assert agreed(*probes).only_marked is expected

    def test_extension_that_does_not_say_is_not(self) -> None:
        assert not agreed(Probe("a", rsv=1)).only_marked

    def test_session_sees_no_messages_without_its_bit(self) -> None:
        marked, other = Probe("a", rsv=1, only_marked=True), Probe("b", rsv=2)
        extensions = agreed(marked, other)
        assert extensions.process_incoming(BINARY, b"x<b>", 0, 0) == b"x"
        assert extensions.process_incoming(BINARY, b"x<b>", 0x20, 0) == b"x"
        assert marked.names.count("in") == 0
        assert extensions.process_incoming(BINARY, b"x<a><b>", 0x40, 0) == b"x"
        assert marked.names.count("in") == 1


class TestMessages:
    def test_outgoing_goes_in_the_order_of_the_answer_and_incoming_in_the_reverse(self) -> None:
        a, b = Probe("a", rsv=1), Probe("b", rsv=3)
        client = new(a, b)
        client.generate_offer()
        client.activate("b, a")
        assert client.process_outgoing(TEXT, b"x", None) == (b"x<b><a>", 0x50)
        assert client.process_incoming(TEXT, b"x<b><a>", 0x50, 10) == b"x"
        assert a.calls[-1] == ("in", b"x<b><a>", True, False, True, 10)
        assert b.calls[-1] == ("in", b"x<b>", True, False, True, 10)

    def test_without_extensions_messages_pass(self) -> None:
        assert new().process_outgoing(TEXT, b"x", None) == (b"x", 0)
        assert new().process_incoming(TEXT, b"x", 0, 0) == b"x"

    @pytest.mark.parametrize("compress", [None, True, False])
    def test_sessions_are_told_about_compression(self, compress: bool | None) -> None:
        probe = Probe("a")
        agreed(probe).process_outgoing(TEXT, b"x", compress)
        assert probe.calls[-1] == ("out", b"x", compress)

    def test_base_session_passes_messages(self) -> None:
        class Plain(Extension):
            name = "x-plain"

            def create_server_session(self, offers: list[Any]) -> ServerSession:
                return ServerSession()

        extensions = new(Plain())
        assert extensions.generate_response("x-plain") == "x-plain"
        assert extensions.process_outgoing(TEXT, b"x", None) == (b"x", 0)
        assert extensions.process_incoming(TEXT, b"x", 0, 1) == b"x"
        extensions.close()

    def test_error_of_a_session_is_wrapped(self) -> None:
        extensions = agreed(Probe("a"))
        with pytest.raises(ExtensionError, match="a: no suffix") as caught:
            extensions.process_incoming(TEXT, b"x", 0, 0)
        assert isinstance(caught.value.__cause__, ValueError)
        assert caught.value.code == 1002
        with pytest.raises(ExtensionError, match="b: oops"):
            agreed(Probe("b", raises={"out": OSError("oops")})).process_outgoing(TEXT, b"x", None)

    @pytest.mark.parametrize("own", [InvalidPayload("p"), MessageTooBig("m"), ExtensionError("e", 1010)])
    def test_protocol_error_of_a_session_comes_out_as_it_is(self, own: ProtocolError) -> None:
        extensions = agreed(Probe("a", raises={"in": own, "out": own}))
        for call in (
            lambda: extensions.process_incoming(TEXT, b"x", 0, 0),
            lambda: extensions.process_outgoing(TEXT, b"x", None),
        ):
            with pytest.raises(ProtocolError) as caught:
                call()
            assert caught.value is own
            assert own.__cause__ is None

    @pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit])
    def test_what_is_no_exception_passes(self, error: type[BaseException]) -> None:
        extensions = agreed(Probe("a", raises={"in": error()}))
        with pytest.raises(error):
            extensions.process_incoming(TEXT, b"x", 0, 0)

    @pytest.mark.parametrize("returned", [None, 5, Message(TEXT, None), Message(TEXT, "text"), Message(TEXT, 5)])  # type: ignore[arg-type]
    def test_session_that_returns_no_message_of_bytes_raises(self, returned: Any) -> None:
        probe = Probe("a")
        probe.__dict__["process_incoming_message"] = lambda message, budget: returned
        probe.__dict__["process_outgoing_message"] = lambda message: returned
        extensions = agreed(probe)
        with pytest.raises(ExtensionError, match="a: "):
            extensions.process_incoming(TEXT, b"x", 0, 0)
        with pytest.raises(ExtensionError, match="a: "):
            extensions.process_outgoing(TEXT, b"x", None)

    @pytest.mark.parametrize("data", [bytearray(b"new"), memoryview(b"new")])
    def test_other_bytes_become_bytes(self, data: Any) -> None:
        probe = Probe("a")
        probe.__dict__["process_incoming_message"] = lambda message, budget: Message(TEXT, data)
        probe.__dict__["process_outgoing_message"] = lambda message: Message(TEXT, data)
        extensions = agreed(probe)
        got = [extensions.process_incoming(TEXT, b"x", 0, 0), extensions.process_outgoing(TEXT, b"x", None)[0]]
        assert got == [b"new", b"new"]
        assert {type(one) for one in got} == {bytes}

    def test_result_over_the_limit_raises(self) -> None:
        extensions = agreed(Probe("a"))
        assert extensions.process_incoming(TEXT, b"12345<a>", 0, 5) == b"12345"
        with pytest.raises(MessageTooBig):
            extensions.process_incoming(TEXT, b"123456<a>", 0, 5)
        assert extensions.process_incoming(TEXT, b"123456<a>", 0, 0) == b"123456"

    def test_reserved_bit_that_nobody_owns_raises(self) -> None:
        probe = Probe("a", rsv=1)
        extensions = agreed(probe)
        probe.rsv2 = True
        with pytest.raises(ExtensionError, match="reserved bit that none owns"):
            extensions.process_outgoing(TEXT, b"x", None)


class Marking(PayloadSession, ServerSession):
    """Turns payloads round; what begins with x cannot be sent, and what begins with y cannot be received."""

    def pack(self, data: bytes, compress: bool | None) -> bytes | None:
        if data.startswith(b"x"):
            raise OSError("cannot")
        if data.startswith(b"X"):
            raise InvalidPayload("must not")
        return None if compress is False else data[::-1]

    def unpack(self, data: bytes, budget: int) -> bytes:
        if data.startswith(b"y"):
            raise OSError("cannot")
        if 0 < budget < len(data):
            raise MessageTooBig("over the budget")
        return data[::-1]


class Turn(Extension):
    name = "turn"
    rsv1 = True
    only_marked = True

    def create_server_session(self, offers: Any) -> ServerSession:
        return Marking()


class Idle(Extension):
    """Agreed, and does nothing: what is beside it is not the only one."""

    name = "idle"

    def create_server_session(self, offers: Any) -> ServerSession:
        return ServerSession()


class TestPayloadSession:
    """The only one agreed gets no Message; beside another it does; what comes out is the same."""

    @pytest.fixture(params=[False, True], ids=["only", "beside"])
    def agreed(self, request: pytest.FixtureRequest) -> Extensions:
        extensions = Extensions([Turn(), Idle()] if request.param else [Turn()])
        assert extensions.generate_response("turn, idle") == ("turn, idle" if request.param else "turn")
        return extensions

    def test_messages_are_marked_and_unmarked(self, agreed: Extensions) -> None:
        for compress in (None, True):
            assert agreed.process_outgoing(TEXT, b"Hello", compress) == (b"olleH", 0x40)
        assert agreed.process_outgoing(TEXT, b"Hello", False) == (b"Hello", 0)
        assert agreed.process_incoming(TEXT, b"olleH", 0x40, 5) == b"Hello"
        assert agreed.process_incoming(TEXT, b"olleH", 0, 0) == b"olleH"

    def test_error_is_wrapped_and_a_protocol_error_is_not(self, agreed: Extensions) -> None:
        with pytest.raises(ExtensionError, match=r"^turn: cannot$"):
            agreed.process_outgoing(TEXT, b"x", None)
        with pytest.raises(InvalidPayload, match=r"^must not$"):
            agreed.process_outgoing(TEXT, b"X", None)
        with pytest.raises(ExtensionError, match=r"^turn: cannot$"):
            agreed.process_incoming(TEXT, b"y", 0x40, 0)
        with pytest.raises(MessageTooBig):
            agreed.process_incoming(TEXT, b"123", 0x40, 2)

    def test_closed_messages_pass(self, agreed: Extensions) -> None:
        agreed.close()
        assert agreed.process_outgoing(TEXT, b"Hello", None) == (b"Hello", 0)
        assert agreed.process_incoming(TEXT, b"Hello", 0x40, 0) == b"Hello"

    def test_deflate_beside_another_does_what_it_does_alone(self) -> None:
        alone, beside = Extensions([PermessageDeflate()]), Extensions([PermessageDeflate(), Idle()])
        for extensions in (alone, beside):
            assert extensions.generate_response("permessage-deflate, idle")
        messages = [(b"", None), (b"x" * 10, None), (b"x" * 10, True), (b"Hello" * 100, None), (b"Hello" * 100, False)]
        for _ in range(3):
            for data, compress in messages:
                packed = alone.process_outgoing(TEXT, data, compress)
                assert beside.process_outgoing(TEXT, data, compress) == packed
                for extensions in (alone, beside):
                    assert extensions.process_incoming(TEXT, *packed, 500) == data


class TestClose:
    @pytest.fixture(params=["client", "server"])
    def opened(self, request: pytest.FixtureRequest) -> tuple[Extensions, list[Probe]]:
        probes = [Probe("a", rsv=1), Probe("b")]
        extensions = new(*probes)
        if request.param == "client":
            extensions.generate_offer()
            extensions.activate("a, b")
        else:
            extensions.generate_response("a, b")
        return extensions, probes

    def test_sessions_are_closed_once(self, opened: tuple[Extensions, list[Probe]]) -> None:
        extensions, probes = opened
        extensions.close()
        extensions.close()
        assert [probe.names.count("close") for probe in probes] == [1, 1]
        assert (extensions.active, extensions.reserved, extensions.only_marked) == (False, 0, True)
        assert extensions.process_outgoing(TEXT, b"x", None) == (b"x", 0)
        assert extensions.process_incoming(TEXT, b"x", 0, 0) == b"x"

    def test_session_that_fails_to_close_does_not_keep_the_others_open(
        self, opened: tuple[Extensions, list[Probe]]
    ) -> None:
        extensions, probes = opened
        probes[0].raises["close"] = OSError()
        extensions.close()
        assert [probe.names.count("close") for probe in probes] == [1, 1]

    def test_offer_without_an_answer_is_closed(self) -> None:
        probe = Probe("a")
        extensions = new(probe)
        extensions.generate_offer()
        extensions.close()
        assert probe.names.count("close") == 1
