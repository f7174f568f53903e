"""The options of a driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wsdriver.driver.origins import Origins
from wsdriver.driver.versions import HYBI_13, VERSIONS, Version
from wsdriver.exceptions import ConfigurationError
from wsdriver.extensions.framework import Extensions
from wsdriver.extensions.header import MAX_PARAMS
from wsdriver.http import MAX_FIELDS, MAX_HEAD, check_header
from wsdriver.options import DEFAULT_MAX_LENGTH, check_int, check_tokens

__all__ = ["MAX_FRAGMENTS", "MAX_PINGS", "DriverOptions", "check_own_header"]

#: A message's fragments: far more than any real peer sends, far fewer than hurt.
MAX_FRAGMENTS = 131072

#: Pings that wait for their pongs, each with a callback.
MAX_PINGS = 1000


#: Headers that the handshake writes itself, or that would make its message another one.
_RESERVED = frozenset(
    (
        "upgrade",
        "connection",
        "content-length",
        "transfer-encoding",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    )
)


def check_own_header(name: str, value: str) -> None:
    """Refuse a header that an application may not add to the handshake.

    Raises:
        ConfigurationError: it could not be sent, or is the handshake's own.
    """
    check_header(name, value)
    if name.lower() in _RESERVED:
        raise ConfigurationError(f"the header {name} is written by the handshake itself")


@dataclass(frozen=True)
class DriverOptions:
    """The options of a driver.

    Attributes:
        max_length: bytes of a message, 0 for no limit.
        max_fragments: frames of a message.
        max_head_size: bytes of the head of the peer's half of the opening handshake, or of a proxy's answer; a larger
            one is refused: 431. (Below the default, no request is read in the short way for plain ones.)
        max_headers: header fields in that head; the same holds.
        max_extension_parameters: of one extension in the Sec-WebSocket-Extensions header; more are refused: 400.
        max_unanswered_pings: pings with a callback that wait for their pongs; at one more, the oldest callback is
            forgotten. What the ping itself finds out is not touched by that.
        protocols: subprotocols, in order of preference.
        headers: extra headers of our half of the opening handshake.
        versions: names of the protocol versions that a server accepts; all unless given.
        extensions: such as ``PermessageDeflate()``, in order of preference.
        origins: on a server, whose pages may connect; others get 403. None for any. Else a list of origins such as
            ``'https://example.com'`` or ``'https://example.com:8443'``, which scheme, host and port must match: with
            ``None`` in it for requests without an Origin header, ``'null'`` for pages of no site, ``'same'`` for the
            server's own (the scheme, host and port that the client asked for; and requests without an Origin header,
            since browsers always send one). One of these alone may be given without the list. Or a function: it is
            called with the Origin header, or None, and lets in by returning a true value; what it raises comes out of
            ``start`` or ``parse``, and a :class:`~wsdriver.HandshakeError` is the answer.
    """

    max_length: int = DEFAULT_MAX_LENGTH
    max_fragments: int = MAX_FRAGMENTS
    max_head_size: int = MAX_HEAD
    max_headers: int = MAX_FIELDS
    max_extension_parameters: int = MAX_PARAMS
    max_unanswered_pings: int = MAX_PINGS
    protocols: Any = ()
    headers: Any = field(default_factory=dict)
    versions: Any = None
    extensions: Any = ()
    origins: Any = None
    #: Whether a server's driver may read a plain request in one go: then the limits are those of ``plain``.
    reads_plain: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_int("max_length", self.max_length, 0)
        check_int("max_fragments", self.max_fragments, 1, 2**31)
        for name in ("max_head_size", "max_headers", "max_extension_parameters", "max_unanswered_pings"):
            check_int(name, getattr(self, name), 1)
        object.__setattr__(self, "protocols", check_tokens("protocols", self.protocols))
        try:
            items = self.headers.items() if isinstance(self.headers, Mapping) else self.headers
            pairs = tuple((name, value) for name, value in items)
            for name, value in pairs:
                check_own_header(name, value)
        except (TypeError, ValueError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(f"headers must be a mapping of names to values, not {self.headers!r}") from None
        object.__setattr__(self, "headers", pairs)
        object.__setattr__(self, "versions", _versions(self.versions))
        try:
            object.__setattr__(self, "extensions", tuple(self.extensions))
        except TypeError:
            raise ConfigurationError(f"extensions must be a list of extensions, not {self.extensions!r}") from None
        Extensions(self.extensions)  # refuses what is none
        if self.origins is not None:
            object.__setattr__(self, "origins", Origins(self.origins))
        wide = self.max_head_size >= MAX_HEAD and self.max_headers >= MAX_FIELDS
        object.__setattr__(self, "reads_plain", wide and self.origins is None and HYBI_13.name in self.versions)


def _versions(names: Any) -> Mapping[str, Version]:
    if names is None:
        return VERSIONS
    if isinstance(names, str):
        names = (names,)
    unknown = [name for name in names if name not in VERSIONS]
    if unknown or not names:
        raise ConfigurationError(f"versions must be some of {', '.join(VERSIONS)}; not {unknown or names!r}")
    return {name: VERSIONS[name] for name in names}
