"""Redirects of a client (RFC 9110 §15.4): where an answer leads, and what must not go there."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urljoin, urlsplit

from wsdriver.driver.client import parse_url
from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.http import without_password

__all__ = ["is_redirect", "redirect_url", "same_origin", "without_secrets"]

_STATUSES = frozenset((301, 302, 303, 307, 308))

#: An HTTP server knows its own schemes.
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}

#: Meant for one origin; another must not get them.
_SECRETS = frozenset(("authorization", "cookie", "host", "proxy-authorization"))


def is_redirect(answer: HandshakeError) -> bool:
    """Tell whether the server's answer names another URL."""
    return answer.status in _STATUSES and "Location" in answer.headers


def redirect_url(url: str, answer: HandshakeError) -> str:
    """Return the URL that the answer to ``url`` leads to.

    User name and password are kept within an origin, and dropped else; those of the Location header are not used.

    Raises:
        HandshakeError: it is none that a client may follow; with what the answer had.
    """
    location = answer.headers["Location"]

    def refused(why: str) -> HandshakeError:
        shown = without_password(location[:200])
        return HandshakeError(f"the server redirects to {shown!r}: {why}", answer.status, answer.headers, answer.body)

    # Headers are latin-1 here; what is not ASCII was meant as bytes (RFC 3986 §2.1).
    quoted = "".join(char if char.isascii() else f"%{ord(char):02X}" for char in location)
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    try:
        parts = urlsplit(urljoin(url, quoted))
        scheme = _SCHEMES.get(parts.scheme)
        if scheme is None:
            raise refused("neither ws:// nor wss://")
        plain = parts._replace(scheme=scheme, netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
        target = parse_url(plain)
    except ConfigurationError as error:
        raise refused(str(error)) from error
    except ValueError as error:
        raise refused(f"no valid URL ({error})") from error
    if parse_url(url).secure and not target.secure:
        raise refused("from wss:// to ws://, which would give encryption up")
    if at and same_origin(url, plain):
        return plain.replace("://", f"://{user}@", 1)
    return plain


def same_origin(one: str, other: str) -> bool:
    """Tell whether scheme, host and port of two WebSocket URLs are the same (RFC 6454 §4)."""
    first, second = parse_url(one), parse_url(other)
    return (first.secure, first.host.lower(), first.port) == (second.secure, second.host.lower(), second.port)


def without_secrets(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the headers that another origin may get as well."""
    return tuple((name, value) for name, value in headers if name.lower() not in _SECRETS)
