"""The tree of errors, and what each carries."""

from __future__ import annotations

import pickle

import pytest

import wsdriver
from wsdriver import exceptions
from wsdriver.exceptions import (
    ConfigurationError,
    ConnectionClosed,
    ExtensionError,
    HandshakeError,
    InvalidPayload,
    MessageTooBig,
    ProtocolError,
    ProxyError,
    WebSocketError,
)

TREE: dict[type[Exception], tuple[type[Exception], ...]] = {
    WebSocketError: (Exception,),
    ConfigurationError: (WebSocketError, ValueError),
    HandshakeError: (WebSocketError,),
    ProxyError: (HandshakeError,),
    ProtocolError: (WebSocketError,),
    InvalidPayload: (ProtocolError,),
    MessageTooBig: (ProtocolError,),
    ExtensionError: (ProtocolError,),
    ConnectionClosed: (WebSocketError,),
}


@pytest.mark.parametrize("error", TREE, ids=lambda error: error.__name__)
def test_error_has_its_place_in_the_tree(error: type[Exception]) -> None:
    assert error.__bases__ == TREE[error]
    assert getattr(wsdriver, error.__name__) is error


def test_errors_are_all_public() -> None:
    assert sorted(exceptions.__all__) == sorted(error.__name__ for error in TREE)


@pytest.mark.parametrize("error", TREE, ids=lambda error: error.__name__)
def test_error_has_its_message(error: type[WebSocketError]) -> None:
    assert error("what was wrong").message == "what was wrong"
    assert str(error("what was wrong")) == "what was wrong"


@pytest.mark.parametrize(
    ("error", "code"), [(ProtocolError, 1002), (InvalidPayload, 1007), (MessageTooBig, 1009), (ExtensionError, 1002)]
)
def test_protocol_error_has_its_close_code(error: type[ProtocolError], code: int) -> None:
    assert error("x").code == code
    assert f"{error('x').code}" == str(code), "a number in every Python, also in an f-string"
    assert repr(error("x").code) == str(code)


def test_extension_error_may_have_the_code_1010() -> None:
    assert ExtensionError("x", 1010).code == 1010
    assert ExtensionError("x").code == 1002


def test_handshake_error_has_status_headers_and_body() -> None:
    error = HandshakeError("x", 401, {"WWW-Authenticate": "Basic"}, b"body")
    assert (error.status, error.headers, error.body) == (401, {"WWW-Authenticate": "Basic"}, b"body")


@pytest.mark.parametrize("kind", [HandshakeError, ProxyError])
def test_handshake_error_by_default_is_a_bad_request(kind: type[HandshakeError]) -> None:
    first, second = kind("x"), kind("y")
    assert (first.status, first.headers, first.body) == (400, {}, b"")
    assert first.headers is not second.headers


def test_error_has_no_stage_unless_connect_gave_it_one() -> None:
    error = HandshakeError("x")
    assert error.stage is None
    error.stage = "http"
    assert pickle.loads(pickle.dumps(error)).stage == "http"
    assert HandshakeError("y").stage is None


def test_connection_closed_has_both_sides() -> None:
    error = ConnectionClosed("x", (1000, "bye"), (1001, "away"))
    assert (error.received, error.sent) == ((1000, "bye"), (1001, "away"))
    assert (ConnectionClosed("x").received, ConnectionClosed("x").sent) == (None, None)


def test_configuration_error_is_caught_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="wrong"):
        raise ConfigurationError("wrong")


@pytest.mark.parametrize(
    "error",
    [
        HandshakeError("x", 426, {"Sec-WebSocket-Version": "13"}, b"b"),
        ExtensionError("x", 1010),
        ConnectionClosed("x", (1000, ""), None),
        MessageTooBig("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_is_whole_after_pickling(error: WebSocketError) -> None:
    """Errors cross process borders, in pools and in loggers."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
