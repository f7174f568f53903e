"""Who may look at the figures of a server: nobody from elsewhere, unless the application says so."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from ipaddress import ip_address

from wsdriver.environ import Environ
from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.http import parse_host

__all__ = ["Gate", "is_local"]

#: Characters of a token, at least: who guesses is not slowed down.
LEAST_TOKEN = 16

#: What proxies add; a request with one of these comes from elsewhere, whoever brings it. (And all X-Forwarded-...)
_OF_PROXIES = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_TRUE_CLIENT_IP", "HTTP_CF_CONNECTING_IP")


class Gate:
    """Judges requests.

    Args:
        token: whoever has it may look, and nobody else; None for this machine only.
        allow: judges in its place: called with the environ, true for who may look.

    Raises:
        ConfigurationError: a token that can be guessed, or both.
    """

    def __init__(self, token: str | None, allow: Callable[[Environ], object] | None) -> None:
        if token is not None and allow is not None:
            raise ConfigurationError("token and allow exclude each other: each says who may look")
        if token is not None and (not isinstance(token, str) or len(token) < LEAST_TOKEN):
            raise ConfigurationError(
                f"token must be a str of {LEAST_TOKEN} characters or more, such as secrets.token_urlsafe() makes"
            )
        if allow is not None and not callable(allow):
            raise ConfigurationError(f"allow must be a function of the environ, not {allow!r}")
        self._token = None if token is None else token.encode()
        self._allow = allow

    def check(self, environ: Environ) -> None:
        """Let a request pass, or not.

        Raises:
            HandshakeError: it must not; ``.status`` and ``.headers`` are the answer.
        """
        if self._allow is not None:
            if not self._allow(environ):
                raise HandshakeError("this is not for you", 403)
        elif self._token is not None:
            if not hmac.compare_digest(_given_token(environ), self._token):
                headers = {"WWW-Authenticate": 'Basic realm="wsdriver monitor", charset="UTF-8"'}
                raise HandshakeError("the token, please: as the password, with any user name", 401, headers)
        elif not is_local(environ):
            raise HandshakeError("this is for this machine only: monitor(app, token=...) would open it to others", 403)


def _given_token(environ: Environ) -> bytes:
    """Return the token of a request: a program's ``Bearer``, or the password of a browser's ``Basic``."""
    scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return str(value).encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            pass
    return b""


def is_local(environ: Environ) -> bool:
    """Tell whether a request comes from this machine, and not through a proxy on it.

    The name in the Host header has to be one of this machine, too: else any page, by a name of its own that leads here,
    could have its visitor's browser look (DNS rebinding). HTTP/1.0 is what nginx speaks to those behind it, unless told
    otherwise, without a word of its client.
    """
    if environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
        return False
    if any(key.startswith("HTTP_X_FORWARDED") or key in _OF_PROXIES for key in environ):
        return False
    try:
        host, _ = parse_host(environ.get("HTTP_HOST", ""))
    except HandshakeError:
        return False
    name = host.strip("[]").lower()
    return _is_loopback(environ.get("REMOTE_ADDR", "")) and (
        name == "localhost" or name.endswith(".localhost") or _is_loopback(name)
    )


def _is_loopback(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
