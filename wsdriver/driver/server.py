"""The server's side of the opening handshake (RFC 6455 §4.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from wsdriver.driver import hixie
from wsdriver.driver.origins import Origins
from wsdriver.driver.versions import VERSIONS, Opening, Version, version_of
from wsdriver.environ import Environ, is_websocket
from wsdriver.exceptions import HandshakeError
from wsdriver.http import parse_host, serialize_head, split_tokens

__all__ = [
    "PLAIN_KEY",
    "accept_key",
    "accept_request",
    "accept_with_key",
    "asked_protocols",
    "check_request",
    "reason_of",
    "refuse_request",
    "select_protocol",
]

#: A key as nearly all are: 16 bytes in base64, without oddities.
PLAIN_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: str) -> str:
    """Return the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455 §4.2.2)."""
    digest = hashlib.sha1(key.encode("latin-1") + GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode()


def check_request(
    environ: Environ, allowed: Mapping[str, Version] = VERSIONS, origins: Origins | None = None
) -> Version:
    """Return the version that a request asks for.

    Args:
        environ: of the request.
        allowed: the versions to choose from, by name.
        origins: those that are let in; any unless given.

    Raises:
        HandshakeError: it is not a right WebSocket request; ``.status`` and ``.headers`` are the answer.
    """
    if not is_websocket(environ):
        raise HandshakeError(
            "this address takes WebSocket requests only: GET with 'Connection: Upgrade' and 'Upgrade: websocket'"
        )
    if environ.get("SERVER_PROTOCOL", "HTTP/1.1") != "HTTP/1.1":
        raise HandshakeError("a WebSocket request needs HTTP/1.1")
    # What follows the head is frames: a body in between would be read as such (request smuggling).
    if environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ:
        raise HandshakeError("a WebSocket request cannot have a body")
    host = environ.get("HTTP_HOST")
    if not host:
        raise HandshakeError("the Host header is missing")
    parse_host(host)
    version = version_of(environ, allowed)
    if version.opening is Opening.ACCEPT:
        _check_key(environ)
    elif version.opening is Opening.CHALLENGE:
        for name in ("HTTP_SEC_WEBSOCKET_KEY1", "HTTP_SEC_WEBSOCKET_KEY2"):
            if name not in environ:
                raise HandshakeError(f"the Sec-WebSocket-{name[-4:].title()} header is missing")
            hixie.challenge_number(environ[name])
    if origins is not None:
        origins.check(environ)
    return version


def _check_key(environ: Environ) -> None:
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY")
    if key is None:
        raise HandshakeError("the Sec-WebSocket-Key header is missing")
    if PLAIN_KEY.fullmatch(key):
        return
    try:
        right = len(base64.b64decode(key.strip(" \t").encode("ascii"), validate=True)) == 16
    except (binascii.Error, UnicodeEncodeError):
        right = False
    if not right:
        raise HandshakeError("the Sec-WebSocket-Key header is not 16 bytes in base64")


def asked_protocols(environ: Environ) -> str:
    """Return the subprotocols that a request asks for."""
    asked: str = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL") or environ.get("HTTP_WEBSOCKET_PROTOCOL", "")  # hixie-75
    return asked


def select_protocol(asked: str, supported: Sequence[str]) -> str | None:
    """Return the first subprotocol in the client's order of preference that we support, or None (RFC 6455 §4.2.2)."""
    for name in split_tokens(asked) if supported else ():
        if name in supported:
            return name
    return None


def accept_request(
    environ: Environ, version: Version, protocol: str | None, headers: Sequence[tuple[str, str]]
) -> bytes:
    """Return the head of the answer to a request that has been checked; headers of the application come last."""
    if version.opening is Opening.ECHO:
        return hixie.response_75(environ, protocol, headers)
    if version.opening is Opening.CHALLENGE:
        return hixie.response_76(environ, protocol, headers)
    return accept_with_key(environ["HTTP_SEC_WEBSOCKET_KEY"].strip(" \t"), protocol, headers)


def accept_with_key(key: str, protocol: str | None, headers: Sequence[tuple[str, str]]) -> bytes:
    """Return the head of the answer of hybi-04 and later."""
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n"
    )
    if protocol is not None:
        head += f"Sec-WebSocket-Protocol: {protocol}\r\n"
    for name, value in headers:
        head += f"{name}: {value}\r\n"
    return (head + "\r\n").encode("latin-1")


#: Statuses whose answer has no body (RFC 9110 §6.4.1).
_BODILESS = (204, 304)


def reason_of(status: int) -> str:
    """Return the words that stand beside a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def refuse_request(error: HandshakeError, head_only: bool = False) -> bytes:
    """Return the whole response to a request that is refused: a plain sentence, and the end of the connection.

    Headers of the error come last, in the place of ours of that name. ``head_only`` is for HEAD, whose answer has the
    headers of a body and none.
    """
    reason = reason_of(error.status)
    body = b"" if error.status in _BODILESS else f"{error}\n".encode("utf-8", "replace")
    fields = {"connection": ("Connection", "close")}
    if body:
        fields["content-type"] = ("Content-Type", "text/plain; charset=utf-8")
        fields["content-length"] = ("Content-Length", str(len(body)))
    if error.status == 426:
        fields["upgrade"] = ("Upgrade", "websocket")
    fields.update((name.lower(), (name, value)) for name, value in error.headers.items())
    return serialize_head(f"HTTP/1.1 {error.status} {reason}", fields.values()) + (b"" if head_only else body)
