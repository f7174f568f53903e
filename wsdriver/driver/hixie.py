"""The server's side of the opening handshakes of hixie-75 and hixie-76; hybi-00 to -03 open as hixie-76 does.

The client of hixie-76 sends two numbers, hidden among other characters, and 8 bytes behind the head. The server proves
that it has read all three by the MD5 of them, 16 bytes behind its own head. Both heads say where the connection leads,
so that a client can tell an answer that was meant for somebody else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from wsdriver.environ import Environ, url_of
from wsdriver.exceptions import HandshakeError
from wsdriver.http import serialize_head

__all__ = ["BODY_SIZE", "challenge_answer", "challenge_number", "response_75", "response_76"]

#: Bytes behind the request's head of hixie-76: the third part of the challenge.
BODY_SIZE = 8

MAX_NUMBER = 2**32 - 1

_NO_DIGITS = re.compile("[^0-9]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def challenge_number(key: str) -> int:
    """Return the number that a Sec-WebSocket-Key1 or -Key2 hides: its digits, divided by the count of its spaces.

    Raises:
        HandshakeError: there is none, or not a whole one of 32 bits (draft-hixie-thewebsocketprotocol-76 §5.2).
    """
    digits = _NO_DIGITS.sub("", key)
    spaces = key.count(" ")
    if not digits:
        raise HandshakeError("a Sec-WebSocket-Key1 or -Key2 header has no digits")
    if not spaces:
        # Only a script in a web page that fakes a handshake leaves them out: the draft's guard against it.
        raise HandshakeError("a Sec-WebSocket-Key1 or -Key2 header has no spaces")
    digits = digits.lstrip("0") or "0"
    # The number of digits is judged first: int() takes quadratic time, and refuses more than some thousands of them.
    too_long = len(digits) > len(str(MAX_NUMBER * spaces))
    number, rest = (0, 0) if too_long else divmod(int(digits), spaces)
    if too_long or number > MAX_NUMBER:
        raise HandshakeError("the number in a Sec-WebSocket-Key1 or -Key2 header has more than 32 bits")
    if rest:
        raise HandshakeError("the number in a Sec-WebSocket-Key1 or -Key2 header is no multiple of its spaces")
    return number


def challenge_answer(key1: str, key2: str, body: bytes) -> bytes:
    """Return the 16 bytes that follow the response's head in hixie-76.

    Args:
        key1, key2: the headers of these names.
        body: the 8 bytes behind the request's head.

    Raises:
        HandshakeError: a key has no number.
        ValueError: these are not 8 bytes.
    """
    if len(body) != BODY_SIZE:
        raise ValueError(f"the challenge has {BODY_SIZE} bytes behind the head, not {len(body)}")
    numbers = b"".join(challenge_number(key).to_bytes(4, "big") for key in (key1, key2))
    return hashlib.md5(numbers + body, usedforsecurity=False).digest()


def response_75(
    environ: Environ, protocol: str | None, headers: Sequence[tuple[str, str]], secure: bool | None = None
) -> bytes:
    """Return the response to a request of hixie-75.

    Args:
        environ: the request, which has been checked.
        protocol: the subprotocol that was chosen.
        headers: to send with it.
        secure: whether the location is a ``wss`` one; by default, whether the connection is.
    """
    return _response("Web Socket", "WebSocket", environ, protocol, headers, secure)


def response_76(
    environ: Environ, protocol: str | None, headers: Sequence[tuple[str, str]], secure: bool | None = None
) -> bytes:
    """Return the head of the response to a request of hixie-76; :func:`challenge_answer` follows it.

    The arguments are those of :func:`response_75`.
    """
    return _response("WebSocket", "Sec-WebSocket", environ, protocol, headers, secure)


def _response(
    name: str,
    prefix: str,
    environ: Environ,
    protocol: str | None,
    headers: Sequence[tuple[str, str]],
    secure: bool | None,
) -> bytes:
    fields = [("Upgrade", "WebSocket"), ("Connection", "Upgrade")]
    origin = environ.get("HTTP_ORIGIN")
    # Deviation: the drafts want an origin of every client; without one, the line that would repeat it is left out.
    # So it is for one with a bare CR, which some WSGI servers let through.
    if origin and not _CONTROLS.search(origin):
        fields.append((f"{prefix}-Origin", origin))
    fields.append((f"{prefix}-Location", url_of(environ, secure)))
    if protocol is not None:
        fields.append((f"{prefix}-Protocol", protocol))
    fields.extend(headers)
    return serialize_head(f"HTTP/1.1 101 {name} Protocol Handshake", fields)
