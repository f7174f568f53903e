"""The way through a proxy: HTTP CONNECT, or SOCKS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gevent import socket

from wsdriver.driver.client import Target
from wsdriver.driver.driver import Driver
from wsdriver.driver.proxy import Proxy
from wsdriver.exceptions import ConfigurationError, ProxyError
from wsdriver.green.answers import read_body
from wsdriver.green.dialing import connect_tcp, resolve
from wsdriver.green.proxies import ProxySettings, SocksServer
from wsdriver.green.stages import Deadline, closing_on_error, is_own_timeout, reason_of
from wsdriver.green.tls import start_tls
from wsdriver.green.waiting import read_some, write_all
from wsdriver.http import authority_of

__all__ = ["open_tunnel"]


def open_tunnel(driver: Driver, proxy: ProxySettings, deadline: Deadline) -> tuple[Any, bytes]:
    """Return a socket that reaches the driver's target, and the bytes that have come from there already.

    Raises:
        ProxyError: the proxy refused, or there is no way to it: then the cause says why.
        socket.gaierror: we were to resolve the target's name for SOCKS, and it has no address.
        TimeoutError: the deadline has passed.
        ConfigurationError: SOCKS needs a package that is not installed.
    """
    if proxy.socks is not None:
        return _through_socks(driver.target, proxy.socks, deadline), b""
    return _through_http(driver, proxy, deadline)


def _through_http(driver: Driver, proxy: ProxySettings, deadline: Deadline) -> tuple[Any, bytes]:
    tunnel = driver.proxy(proxy.origin)
    for name, value in proxy.headers:
        tunnel.set_header(name, value)
    origin = tunnel.origin
    where = authority_of(origin.host, origin.port)
    with _errors_of(where):
        sock = connect_tcp(origin.host, origin.port, deadline)
        if origin.secure:
            sock = start_tls(sock, proxy.tls, origin.host, deadline)
        with closing_on_error(sock):
            try:
                with deadline.stage("proxy", f"no answer from the proxy {where}"):
                    rest = _ask(tunnel, sock)
            except ProxyError as error:
                if tunnel.body is not None:
                    error.body = read_body(sock, tunnel.body, deadline)
                raise
            if rest and driver.target.secure:
                # Nobody but the proxy can have sent it: a TLS server does not speak first.
                raise ProxyError(f"the proxy {where} sent bytes of its own into the tunnel", 0)
    return sock, rest


def _ask(tunnel: Proxy, sock: Any) -> bytes:
    """Ask for the tunnel; return what has come out of it already."""
    write_all(sock, tunnel.request())
    rest = None
    while rest is None:
        data = read_some(sock)
        if not data:
            tunnel.eof()
        rest = tunnel.feed(data)  # raises what stands in the way
    return rest


def _through_socks(target: Target, server: SocksServer, deadline: Deadline) -> Any:
    try:
        import python_socks
        from python_socks.sync import Proxy as SocksProxy
    except ImportError as error:
        raise ConfigurationError(f"SOCKS needs the extra: pip install 'wsdriver[socks]' ({error})") from error

    host = target.host
    if not server.resolves:
        # Here, since the library would block the hub; version 4 knows no IPv6.
        family = socket.AF_INET if server.version == 4 else 0
        host = resolve(host, target.port, deadline, family)[0][4][0].partition("%")[0]
    where = authority_of(server.host, server.port)
    with _errors_of(where):
        sock = connect_tcp(server.host, server.port, deadline)
        with closing_on_error(sock), deadline.stage("proxy", f"no answer from the proxy {where}"):
            sock.settimeout(None)  # the library waits in it; the deadline ends that
            kind = python_socks.ProxyType.SOCKS4 if server.version == 4 else python_socks.ProxyType.SOCKS5
            before: Any = _Connected(sock)
            proxy = SocksProxy(kind, server.host, server.port, server.user, server.password, rdns=True, forward=before)
            try:
                proxy.connect(host, target.port)
            except (python_socks.ProxyError, python_socks.ProxyTimeoutError) as error:
                raise ProxyError(f"the proxy {where} refused: {error}", 0) from error
            except ValueError as error:
                raise ProxyError(f"the proxy {where} cannot be asked for {host!r}: {error}", 0) from error
            sock.settimeout(0)
    return sock


class _Connected:
    """For python-socks, what comes before the proxy in a chain of them: a socket of gevent, connected already."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def connect(self, **destination: Any) -> Any:
        return self._sock


@contextmanager
def _errors_of(where: str) -> Iterator[None]:
    """Make every failure on the way to the proxy one of the proxy; nothing of the target's has been tried yet."""
    try:
        yield
    except ProxyError as error:
        error.stage = "proxy"
        raise
    except OSError as error:
        if is_own_timeout(error):
            error.stage = "proxy"  # type: ignore[attr-defined]
            raise
        refusal = ProxyError(f"the proxy {where}: {reason_of(error)}", 0)
        refusal.stage = "proxy"
        raise refusal from error
