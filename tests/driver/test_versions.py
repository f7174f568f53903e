"""The table of protocol versions, and how one is told from a request."""

from __future__ import annotations

import pytest

from wsdriver.driver.versions import HYBI_13, VERSIONS, version_of
from wsdriver.exceptions import HandshakeError
from wsdriver.framing.opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

NAMES = ["hixie-75", "hixie-76", *(f"hybi-{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 13))]


def test_versions_are_these() -> None:
    assert list(VERSIONS) == NAMES
    assert VERSIONS["hybi-13"] is HYBI_13


@pytest.mark.parametrize(
    ("attribute", "names"),
    [
        ("pingable", NAMES[2:]),
        ("supports_close_codes", ["hybi-6", "hybi-7", "hybi-8", "hybi-13"]),
        ("closing_frame", NAMES[1:]),
        ("framed", NAMES[2:]),
        ("more", ["hybi-1", "hybi-2", "hybi-3"]),
    ],
)
def test_row_says_what_a_version_can_do(attribute: str, names: list[str]) -> None:
    assert [name for name, version in VERSIONS.items() if getattr(version, attribute)] == names


def test_first_bytes_are_those_of_the_drafts() -> None:
    order = (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
    assert [HYBI_13.first_bytes[opcode] for opcode in order] == [0x80, 0x81, 0x82, 0x88, 0x89, 0x8A]
    assert [VERSIONS["hybi-5"].first_bytes[opcode] for opcode in order] == [0x80, 0x84, 0x85, 0x81, 0x82, 0x83]
    assert [VERSIONS["hybi-1"].first_bytes[opcode] for opcode in order] == [0, 4, 5, 1, 2, 3]


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"VERSION": "13"}, "hybi-13"),
        ({"VERSION": " 8\t"}, "hybi-8"),
        ({"VERSION": "4", "DRAFT": "2", "KEY1": "1"}, "hybi-4"),
        ({"DRAFT": "2", "KEY": "x", "KEY1": "1"}, "hybi-2"),
        ({"KEY1": "1", "KEY2": "2"}, "hixie-76"),
        ({"KEY2": "2"}, "hixie-76"),
        ({}, "hixie-75"),
    ],
)
def test_version_is_told_by_the_first_header_that_says_it(headers: dict[str, str], name: str) -> None:
    environ = {f"HTTP_SEC_WEBSOCKET_{key}": value for key, value in headers.items()}
    assert version_of(environ).name == name
    with pytest.raises(HandshakeError) as caught:
        version_of(environ, {other: row for other, row in VERSIONS.items() if other != name})
    assert caught.value.status == 426


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"VERSION": "9"}, 426), ({"VERSION": ""}, 426), ({"DRAFT": "4"}, 426), ({"KEY": "x"}, 400)],
)
def test_version_that_there_is_not_is_refused(headers: dict[str, str], status: int) -> None:
    with pytest.raises(HandshakeError) as caught:
        version_of({f"HTTP_SEC_WEBSOCKET_{key}": value for key, value in headers.items()})
    assert caught.value.status == status
