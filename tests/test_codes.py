"""The close codes: RFC 6455 §7.4 and the IANA registry."""

from __future__ import annotations

import pytest

from wsdriver.codes import CloseCode, is_application_close_code, is_valid_close_code

#: The registry: number, name as RFC 6455 has it, may it stand in a close frame, may an application say it.
REGISTRY = [
    (1000, "NORMAL_CLOSURE", True, True),
    (1001, "GOING_AWAY", True, False),
    (1002, "PROTOCOL_ERROR", True, False),
    (1003, "UNSUPPORTED_DATA", True, True),
    (1005, "NO_STATUS_RECEIVED", False, False),
    (1006, "ABNORMAL_CLOSURE", False, False),
    (1007, "INVALID_PAYLOAD", True, False),
    (1008, "POLICY_VIOLATION", True, True),
    (1009, "MESSAGE_TOO_BIG", True, True),
    (1010, "MANDATORY_EXTENSION", True, False),
    (1011, "INTERNAL_ERROR", True, True),
    (1012, "SERVICE_RESTART", True, True),
    (1013, "TRY_AGAIN_LATER", True, True),
    (1014, "BAD_GATEWAY", True, False),
    (1015, "TLS_HANDSHAKE", False, False),
]

OTHERS = [
    *((code, False) for code in (-3000, -1, 0, 1, 999, 1004, 1016, 1100, 1999, 2000, 2999, 5000, 9999, 65535, 2**40)),
    *((code, True) for code in (3000, 3001, 3999, 4000, 4001, 4999)),
]


@pytest.mark.parametrize(("code", "name", "on_the_wire", "application"), REGISTRY)
def test_code_registered_has_its_name_and_users(code: int, name: str, on_the_wire: bool, application: bool) -> None:
    assert CloseCode(code).name == name
    assert CloseCode[name] == code
    assert is_valid_close_code(code) is on_the_wire
    assert is_application_close_code(code) is application
    assert is_valid_close_code(CloseCode(code)) is on_the_wire


@pytest.mark.parametrize(("code", "valid"), OTHERS)
def test_code_outside_of_the_registry_is_valid_by_its_range(code: int, valid: bool) -> None:
    assert is_valid_close_code(code) is valid
    assert is_application_close_code(code) is valid


def test_codes_are_those_of_the_registry() -> None:
    assert [code.value for code in CloseCode] == [code for code, *_ in REGISTRY]


def test_codes_of_applications_may_all_stand_in_a_close_frame() -> None:
    assert all(is_valid_close_code(code) for code in range(70000) if is_application_close_code(code))
