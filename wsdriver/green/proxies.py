"""Which proxy a client goes through: as the ``proxy`` option says, or the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from wsdriver.driver.client import Target
from wsdriver.driver.proxy import parse_origin
from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.green.tls import ClientTls, check_tls
from wsdriver.http import authority_of, check_header, parse_authority, without_password
from wsdriver.options import make_options

__all__ = ["ProxySettings", "SocksServer", "check_proxy", "proxy_for"]

#: The SOCKS schemes, as curl has them: its version, and whether the proxy resolves the target's name.
_SOCKS = {"socks4": (4, False), "socks4a": (4, True), "socks5": (5, False), "socks5h": (5, True)}

#: A name or a password of SOCKS (RFC 1929 §2).
_MAX_CREDENTIAL = 255


@dataclass(frozen=True, slots=True)
class SocksServer:
    """What the URL of a SOCKS proxy says.

    Attributes:
        version: 4 or 5.
        resolves: whether the proxy resolves the target's name, rather than we.
        host, port: for connecting.
        user, password: or None.
    """

    version: int
    resolves: bool
    host: str
    port: int
    user: str | None
    password: str | None


@dataclass(frozen=True)
class ProxySettings:
    """What ``proxy=`` says, checked; also the keys of ``proxy={...}``.

    Attributes:
        origin: the proxy's URL.
        headers: more headers of the CONNECT request.
        tls: as the option of that name, for the way to an ``https:`` proxy.
        socks: what the URL says where it is that of a SOCKS proxy.
    """

    origin: str = ""
    headers: Any = ()
    tls: Any = None

    def __post_init__(self) -> None:
        if self.socks is None:
            secure = parse_origin(self.origin).secure
            if not secure and self.tls is not None:
                raise ConfigurationError("tls is for the way to an https:// proxy; the target's has the option tls")
        elif self.headers or self.tls is not None:
            raise ConfigurationError("a SOCKS proxy has neither headers nor tls")
        try:
            items = self.headers.items() if isinstance(self.headers, Mapping) else self.headers
            pairs = tuple((name, value) for name, value in items)
        except (TypeError, ValueError):
            raise ConfigurationError(f"headers must be a mapping of names to values, not {self.headers!r}") from None
        for name, value in pairs:
            check_header(name, value)
            if name.lower() in ("content-length", "transfer-encoding"):
                raise ConfigurationError(f"a CONNECT request has no body: the header {name} cannot be set")
        object.__setattr__(self, "headers", pairs)
        tls = check_tls("tls", self.tls)
        if tls is None:
            raise ConfigurationError("tls=False: verify_peer=False switches the checks off, nothing the encryption")
        object.__setattr__(self, "tls", tls)

    @property
    def socks(self) -> SocksServer | None:
        return _parse_socks(self.origin)

    @property
    def verified(self) -> bool:
        """Whether the certificate of the proxy is checked, if it has one."""
        tls: ClientTls = self.tls
        return tls.verified


def check_proxy(given: Any) -> ProxySettings | bool:
    """Return what the option says: settings, True for the environment's, False for none.

    Raises:
        ConfigurationError: it says nothing of that kind.
    """
    if given is None or isinstance(given, bool):
        return bool(given)
    if isinstance(given, ProxySettings):
        return given
    if isinstance(given, str):
        given = {"origin": given}
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"proxy must be a URL, a dict, or True for the environment's, not {given!r}")
    if not given.get("origin"):
        raise ConfigurationError("proxy needs its 'origin', such as 'http://proxy:3128'")
    try:
        return make_options(ProxySettings, given)
    except ConfigurationError as error:
        raise ConfigurationError(f"proxy: {error}") from error.__cause__


def proxy_for(target: Target, chosen: ProxySettings | bool) -> ProxySettings | None:
    """Return the proxy on the way to a target, if there is one.

    From the environment: ``wss_proxy`` and its like, then SOCKS, then the proxies of HTTP (RFC 6455 §4.1), unless
    ``no_proxy`` names the target.

    Raises:
        ConfigurationError: the environment names something that is no proxy.
    """
    if not isinstance(chosen, bool):
        return chosen
    if not chosen:
        return None
    import urllib.request  # loads much that most programs do not need

    if urllib.request.proxy_bypass(authority_of(target.host, target.port)):
        return None
    known = urllib.request.getproxies()
    for name in ("wss", "socks", "https", "all") if target.secure else ("ws", "socks", "https", "http", "all"):
        url = known.get(name)
        if not url:
            continue
        if "://" not in url:
            url = "http://" + url  # as curl takes it
        if name == "socks" and url.startswith("http://"):
            url = "socks5h://" + url.removeprefix("http://")
        try:
            return ProxySettings(url)
        except ConfigurationError as error:
            raise ConfigurationError(f"the environment's {name}_proxy: {error}") from error
    return None


def _parse_socks(url: object) -> SocksServer | None:
    """Take the URL of a SOCKS proxy apart; None where it is another.

    Raises:
        ConfigurationError: it is a wrong one.
    """
    if not isinstance(url, str) or url.partition("://")[0].lower() not in _SOCKS:
        return None

    def wrong(what: str) -> ConfigurationError:
        return ConfigurationError(
            f"a SOCKS proxy is given as socks5h://user:password@host:port: {what} in {without_password(url)!r}"
        )

    try:
        parts = urlsplit(url)
        userinfo, host, port = parse_authority(parts.netloc)
    except (ValueError, HandshakeError):
        raise wrong("no valid host and port") from None
    if port == 0:
        raise wrong("no valid host and port")
    if parts.path not in ("", "/") or "?" in url or "#" in url:
        raise wrong("something behind the host and port")
    user, colon, password = userinfo.partition(":")
    user, password = unquote(user), unquote(password)
    if max(len(user.encode()), len(password.encode())) > _MAX_CREDENTIAL:
        raise wrong(f"a user name or password of more than {_MAX_CREDENTIAL} bytes")
    if not (user + password).isascii():
        raise wrong("a user name or password that is not ASCII")
    version, resolves = _SOCKS[parts.scheme]
    return SocksServer(
        version, resolves, host.strip("[]"), port or 1080, user or None, password if colon and user else None
    )
