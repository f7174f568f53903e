"""The client's side of the opening handshake (RFC 6455 §4.1)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from wsdriver.driver.server import accept_key
from wsdriver.exceptions import ConfigurationError, ExtensionError, HandshakeError
from wsdriver.extensions.framework import Extensions
from wsdriver.extensions.header import MAX_PARAMS
from wsdriver.http import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_INTERIM,
    BodyReader,
    HeadReader,
    Response,
    is_interim,
    parse_authority,
    parse_response,
    serialize_head,
    split_tokens,
    without_password,
)

__all__ = ["MAX_BODY", "ClientHandshake", "Target", "parse_url"]

_PORTS = {"ws": 80, "wss": 443}

#: How much of the body of a refusal is kept for the error.
MAX_BODY = 1024


@dataclass(frozen=True, slots=True)
class Target:
    """What a ``ws:`` or ``wss:`` URL says (RFC 6455 §3).

    Attributes:
        secure: whether it is ``wss:``.
        host: without the brackets of an IPv6 address, for connecting.
        port: as given, or 80 and 443.
        authority: the value of the Host header.
        resource: path and query, never empty.
        authorization: the value of the Authorization header where the URL has a user name, else None.
    """

    secure: bool
    host: str
    port: int
    authority: str
    resource: str
    authorization: str | None


def parse_url(url: str) -> Target:
    """Take a WebSocket URL apart.

    Raises:
        ConfigurationError: it is no ``ws:`` or ``wss:`` URL.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"a URL is a str such as 'wss://host/path', not {url!r}")
    shown = repr(without_password(url))
    if any(char <= " " or char == "\x7f" for char in url):
        raise ConfigurationError(f"a URL cannot have spaces or control characters: {shown}")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError(f"the URL has no valid host: {shown}") from None
    if parts.scheme not in _PORTS:
        raise ConfigurationError(f"a WebSocket URL begins with ws:// or wss://, not {shown}")
    if "#" in url:
        raise ConfigurationError(f"a WebSocket URL has no fragment (#): {shown}")
    try:
        user, host, port = parse_authority(parts.netloc)
    except HandshakeError:
        raise ConfigurationError(f"the URL has no valid host: {shown}") from None
    resource = parts.path or "/"
    if parts.query:
        resource += "?" + parts.query
    resource = "".join(char if char.isascii() else _percent(char) for char in resource)
    authorization = None
    if "@" in parts.netloc:
        name, _, password = user.partition(":")
        token = f"{unquote(name)}:{unquote(password)}".encode()
        authorization = "Basic " + base64.b64encode(token).decode()
    default = _PORTS[parts.scheme]
    return Target(
        secure=parts.scheme == "wss",
        host=host.strip("[]").replace("%25", "%"),
        port=default if port is None else port,
        authority=host if port in (None, default) else f"{host}:{port}",
        resource=resource,
        authorization=authorization,
    )


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


class ClientHandshake:
    """One opening handshake: writes the request, reads and judges the answer.

    Args:
        url: of the server.
        protocols: the subprotocols to offer, in order of preference.
        extensions: those to offer.
        max_head_size, max_headers, max_params: of the answer: bytes, header fields, parameters of each extension.
    """

    __slots__ = (
        "_interim",
        "_max_headers",
        "_max_params",
        "_protocols",
        "_reader",
        "extensions",
        "key",
        "protocol",
        "response",
        "target",
    )

    def __init__(
        self,
        url: str,
        protocols: Sequence[str],
        extensions: Extensions,
        max_head_size: int = MAX_HEAD,
        max_headers: int = MAX_FIELDS,
        max_params: int = MAX_PARAMS,
    ) -> None:
        self.target = parse_url(url)
        self.key = base64.b64encode(secrets.token_bytes(16)).decode()
        self.protocol: str | None = None
        self.response: Response | None = None
        self._protocols = protocols
        self.extensions = extensions
        self._reader = HeadReader(max_head_size)
        self._max_headers = max_headers
        self._max_params = max_params
        self._interim = 0

    def request(self, headers: Sequence[tuple[str, str]]) -> bytes:
        """Return the request's bytes; ``headers`` may replace Host, Origin and Authorization."""
        own = [
            ("Host", self.target.authority),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", self.key),
            ("Sec-WebSocket-Version", "13"),
        ]
        if self._protocols:
            own.append(("Sec-WebSocket-Protocol", ", ".join(self._protocols)))
        offer = self.extensions.generate_offer()
        if offer:
            own.append(("Sec-WebSocket-Extensions", offer))
        if self.target.authorization:
            own.append(("Authorization", self.target.authorization))
        given = {name.lower() for name, _ in headers}
        fields = [field for field in own if field[0].lower() not in given]
        return serialize_head(f"GET {self.target.resource} HTTP/1.1", [*fields, *headers])

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes of the answer; return those behind its head once it is complete and right, else None.

        Raises:
            HandshakeError: the answer is wrong; the message names the header.
        """
        try:
            done = self._read(data)
        except HandshakeError as error:
            error.status = 0  # no answer that could be read
            raise
        if done is None:
            return None
        head, rest, response = done
        self.response = response
        try:
            self._judge(response)
        except HandshakeError as error:
            error.headers = response.headers
            body = BodyReader(head, MAX_BODY)
            body.feed(rest)
            error.body = body.data
            raise
        return rest

    def _read(self, data: bytes) -> tuple[bytes, bytes, Response] | None:
        """Read up to the final answer; return its head, what is behind it, and the head parsed."""
        while (done := self._reader.feed(data)) is not None:
            head, data = done
            response = parse_response(head, self._max_headers)
            if not is_interim(response.status):
                return head, data, response
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise HandshakeError(f"more than {MAX_INTERIM} informational answers")
        return None

    def _judge(self, response: Response) -> None:
        """Apply the checks of RFC 6455 §4.1, in its order."""
        headers = response.headers
        if response.status != 101:
            raise HandshakeError(
                f"the server answered {response.status} {response.reason}".rstrip() + ", not 101", response.status
            )

        def wrong(message: str) -> HandshakeError:
            return HandshakeError(message, response.status)

        upgrade = headers.get("Upgrade", "")
        if upgrade.lower() != "websocket":
            raise wrong(f"the answer's Upgrade header is {upgrade[:80]!r}, not 'websocket'")
        connection = headers.get("Connection", "")
        if "upgrade" not in map(str.lower, split_tokens(connection)):
            raise wrong(f"the answer's Connection header is {connection[:80]!r}, without 'Upgrade'")
        accepts = headers.get_all("Sec-WebSocket-Accept")
        if accepts != [accept_key(self.key)]:
            raise wrong(f"the answer's Sec-WebSocket-Accept header {accepts[:2]!r} does not fit the key that was sent")
        chosen = headers.get_all("Sec-WebSocket-Protocol")
        if len(chosen) > 1:
            raise wrong("the answer has more than one Sec-WebSocket-Protocol header")
        if chosen:
            if chosen[0] not in self._protocols:
                raise wrong(
                    f"the answer's Sec-WebSocket-Protocol header names {chosen[0][:80]!r}, which was not offered"
                )
            self.protocol = chosen[0]
        agreed = headers.get("Sec-WebSocket-Extensions", "")
        if agreed.strip():
            try:
                self.extensions.activate(agreed, self._max_params)
            except ExtensionError as error:
                raise wrong(
                    f"the answer's Sec-WebSocket-Extensions header {agreed[:80]!r} is wrong: {error}"
                ) from error
