"""Which sites' pages may open a WebSocket (RFC 6455 §10.2, RFC 6454).

A browser lets any page connect to any server, and sends the user's cookies with the request. It also sends the page's
origin, which no page can change: the server is the one that has to look. Origins are compared by what they say --
scheme, host and port -- and never as text: ``https://good.com.evil.org`` and ``https://good.com@evil.org`` begin like a
good one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address
from typing import Any, NamedTuple

from wsdriver.environ import Environ, is_secure
from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.http import parse_host

__all__ = ["Origin", "Origins", "parse_origin"]

_PORTS = {"http": 80, "https": 443}

#: A handshake's own schemes; an origin has those of the page.
_SCHEMES = {"ws": "http", "wss": "https"}

#: What browsers send for pages that are of no site: sandboxed ones, and files (as Android's WebView has them).
_OPAQUE = ("null", "file://")

# An empty port ("https://good.com:") would be none for parse_host.
_ORIGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*[^/:])", re.ASCII)
_NAME = re.compile(r"[a-z0-9._-]+", re.ASCII)


class Origin(NamedTuple):
    """What an origin says; two are the same where these are.

    Attributes:
        scheme: in lower case.
        host: in lower case and ASCII; an IPv6 address in its shortest form, in brackets.
        port: the scheme's where none was given; None where the scheme has none.
    """

    scheme: str
    host: str
    port: int | None

    def __str__(self) -> str:
        """The form in which browsers send it (RFC 6454 §6.2)."""
        port = "" if self.port == _PORTS.get(self.scheme) else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def parse_origin(value: str) -> Origin:
    """Parse the value of an Origin header.

    Raises:
        HandshakeError: it is not one origin.
    """
    if value in _OPAQUE:
        return Origin(value, "", None)
    match = _ORIGIN.fullmatch(value)
    if match is None:
        raise _no_origin(value)
    return _origin_of(match[1], match[2])


def _origin_of(scheme: str, authority: str) -> Origin:
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower())
    host, port = parse_host(authority)
    host = host.lower()
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1])}]"
        except AddressValueError:
            raise _no_origin(authority) from None
    elif not _NAME.fullmatch(host):  # parse_host has all of RFC 3986, such as $ and commas
        raise _no_origin(authority)
    return Origin(scheme, host, _PORTS.get(scheme) if port is None else port)


def _no_origin(value: str) -> HandshakeError:
    return HandshakeError(f"this is no origin: {value[:80]!r}", 403)


class Origins:
    """The origins that a server lets in.

    Args:
        given: the option ``origins``, as :class:`~wsdriver.driver.options.DriverOptions` describes it.

    Raises:
        ConfigurationError: it is none of that.
    """

    __slots__ = ("_known", "_predicate", "_same")

    def __init__(self, given: Any) -> None:
        self._predicate: Callable[[str | None], object] | None = None
        self._same = False
        self._known: frozenset[Origin | None] = frozenset()
        if callable(given):
            self._predicate = given
            return
        try:
            members = (given,) if isinstance(given, str) else tuple(given)
        except TypeError:
            members = ()
        if not members:
            raise ConfigurationError(
                f"origins must be a list such as ['https://example.com'], 'same', or a function, not {given!r}"
            )
        self._same = "same" in members
        self._known = frozenset(_configured(member) for member in members if member != "same")

    def check(self, environ: Environ) -> None:
        """Judge a request that has a right Host header. What a predicate raises comes out.

        Raises:
            HandshakeError: it comes from elsewhere: 403.
        """
        # hybi-04 to -08 have the longer name.
        names = ("HTTP_ORIGIN", "HTTP_SEC_WEBSOCKET_ORIGIN")
        values = {environ[name] for name in names if environ.get(name) is not None}
        if len(values) > 1:
            raise HandshakeError("the request has two origins", 403)
        value = values.pop() if values else None
        if not self._allows(value, environ):
            what = "a request without an Origin header" if value is None else f"the origin {value[:80]!r}"
            own = f"; this server's own is {_own_origin(environ)}" if self._same else ""
            raise HandshakeError(f"{what} is not allowed here{own}", 403)

    def _allows(self, value: str | None, environ: Environ) -> bool:
        origin = None
        if value is not None:
            try:
                origin = parse_origin(value)
            except HandshakeError:
                return False
        if self._predicate is not None:
            return bool(self._predicate(value))
        if origin in self._known:
            return True
        return self._same and (origin is None or origin == _own_origin(environ))


def _own_origin(environ: Environ) -> Origin:
    """Return the origin of this server's own pages, as the client sees it."""
    return _origin_of("https" if is_secure(environ) else "http", environ["HTTP_HOST"])


def _configured(value: Any) -> Origin | None:
    """Return the origin that an application has written, or None for a request without one."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigurationError(f"origins are str such as 'https://example.com', not {value!r}")
    try:
        return parse_origin(_in_ascii(value))
    except HandshakeError:
        pass
    if "*" in value:
        hint = "it has a wildcard; any origin is let in where origins is None, some by a function that decides"
    elif "://" not in value:
        hint = f"it has no scheme; did you mean 'https://{value}', or 'same' for the server's own?"
    else:
        hint = "it must be scheme://host or scheme://host:port, with nothing behind"
    raise ConfigurationError(f"{value!r} in origins is no origin: {hint}")


def _in_ascii(value: str) -> str:
    """Return an origin with its host as browsers send it (IDNA)."""
    if value.isascii():
        return value
    scheme, separator, authority = value.partition("://")
    host, colon, port = authority.partition(":")
    try:
        encoded = host.encode("idna")
        # The codec's IDNA makes strasse.de of straße.de, which for browsers is another's.
        unambiguous = encoded.decode("idna") == host.lower()
    except UnicodeError:
        unambiguous = False
    if not unambiguous:
        raise ConfigurationError(f"the host of {value!r} in origins must be given in ASCII: xn--...")
    return f"{scheme}{separator}{encoded.decode()}{colon}{port}"
