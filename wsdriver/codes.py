"""Close codes (RFC 6455 §7.4 and the IANA registry) and who may use which."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["CloseCode", "is_application_close_code", "is_valid_close_code"]


class CloseCode(IntEnum):
    """The registered close codes, by the names of RFC 6455 §7.4.1."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RECEIVED = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


#: Registered codes that may stand in a close frame. 1005, 1006 and 1015 only describe an end, they are never sent.
_ON_THE_WIRE = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})

#: What an application may say: the rest of the registered codes speak for the endpoint itself.
_FROM_AN_APPLICATION = frozenset({1000, 1003, 1008, 1009, 1011, 1012, 1013})


def is_valid_close_code(code: int) -> bool:
    """Tell whether ``code`` may stand in a close frame (RFC 6455 §7.4.2)."""
    return code in _ON_THE_WIRE or 3000 <= code <= 4999


def is_application_close_code(code: int) -> bool:
    """Tell whether an application may close with ``code``."""
    return code in _FROM_AN_APPLICATION or 3000 <= code <= 4999
