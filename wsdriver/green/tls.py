"""How a client does TLS: certificates and host names are checked unless the caller says otherwise, loudly."""

from __future__ import annotations

import os
import ssl
from _ssl import _SSLContext
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gevent.socket import wait_read

from wsdriver.exceptions import ConfigurationError
from wsdriver.green.layered import LayeredTls
from wsdriver.green.stages import Deadline, closing_on_error
from wsdriver.green.waiting import wait_for
from wsdriver.options import make_options

__all__ = ["ClientTls", "TlsStream", "check_tls", "do_handshake", "start_tls"]


@dataclass(frozen=True)
class ClientTls:
    """What ``tls=`` says, checked.

    Attributes:
        context: None for the system's authorities.
        server_hostname: to ask for and to check instead of the URL's host.
        verified: False where the caller has switched the checks off by name.
    """

    context: ssl.SSLContext | None = None
    server_hostname: str | None = None
    verified: bool = True

    def wrap(self, sock: Any, host: str) -> Any:
        """Return the socket with TLS on it; the handshake is to be done."""
        context = self.context
        if context is None:
            context = _system_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if hasattr(sock, "do_handshake") or not isinstance(context, ssl.SSLContext):
            return LayeredTls(sock, context, host)
        return context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)


@dataclass(frozen=True)
class TlsOptions:
    """The keys of ``tls={...}``.

    Attributes:
        root_cert_file: the file, or files, with the authorities to trust instead of the system's.
        verify_peer: False accepts any certificate, also an impostor's.
        certfile, keyfile, keyfile_password: the client's own certificate, for servers that ask for one.
        server_hostname: to ask for and to check instead of the URL's host.
    """

    root_cert_file: Any = None
    verify_peer: bool = True
    certfile: Any = None
    keyfile: Any = None
    keyfile_password: str | None = None
    server_hostname: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.verify_peer, bool):
            raise ConfigurationError(f"verify_peer must be True or False, not {self.verify_peer!r}")
        if self.keyfile is not None and self.certfile is None:
            raise ConfigurationError("keyfile is of no use without certfile")
        name = self.server_hostname
        if name is not None and (not isinstance(name, str) or not name):
            raise ConfigurationError(f"server_hostname must be a host's name, not {name!r}")

    def context(self) -> ssl.SSLContext | None:
        """Return the context that these make; None where they say nothing about it."""
        if self.root_cert_file is None and self.certfile is None and self.verify_peer:
            return None
        roots = _paths(self.root_cert_file)
        try:
            # A file given here is trusted instead of the system's.
            context = ssl.create_default_context(cafile=roots[0] if roots else None)
            for path in roots[1:]:
                context.load_verify_locations(path)
        except OSError as error:
            raise ConfigurationError(f"root_cert_file {self.root_cert_file!r} cannot be used: {error}") from error
        if self.certfile is not None:
            try:
                # Never asked for on the terminal, which OpenSSL would do.
                context.load_cert_chain(self.certfile, self.keyfile, lambda: self.keyfile_password or "")
            except (OSError, TypeError) as error:
                raise ConfigurationError(f"certfile {self.certfile!r} cannot be used: {error}") from error
        if not self.verify_peer:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _paths(value: Any) -> list[str | bytes]:
    if value is None:
        return []
    try:
        paths = [os.fspath(path) for path in ([value] if isinstance(value, (str, bytes, os.PathLike)) else value)]
    except TypeError:
        paths = []
    if not paths:
        raise ConfigurationError(f"root_cert_file must be a path, or a list of paths, not {value!r}")
    return paths


def check_tls(name: str, given: Any) -> ClientTls | None:
    """Return what an option such as ``tls`` says: True, an SSLContext or a dict; None where it is False.

    Raises:
        ConfigurationError: it says nothing of that kind, or names files that cannot be used.
    """
    if given is None or given is True:
        return ClientTls()
    if given is False:
        return None
    if isinstance(given, ClientTls):
        return given
    if isinstance(given, _SSLContext):  # the base of the standard library's, and of gevent's
        context: Any = given
        if context.protocol == ssl.PROTOCOL_TLS_SERVER:
            raise ConfigurationError(f"{name} is a context for servers: ssl.create_default_context() makes a client's")
        return ClientTls(context)
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{name} must be True, an ssl.SSLContext or a dict, not {given!r}")
    try:
        options = make_options(TlsOptions, given)
        return ClientTls(options.context(), options.server_hostname, options.verify_peer)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from error.__cause__


@lru_cache(maxsize=1)
def _system_context(cert_file: str | None, cert_dir: str | None) -> ssl.SSLContext:
    """Return a context with the system's authorities, which OpenSSL finds by these variables of the environment.

    Kept: to load them takes 27 ms, longer than most handshakes.
    """
    return ssl.create_default_context()


def start_tls(sock: Any, tls: ClientTls, host: str, deadline: Deadline) -> Any:
    """Do TLS with a host over a connected socket, TCP or TLS; return the socket that does it.

    Raises:
        ssl.SSLError: it is not who it should be, or does not speak TLS.
        OSError: the connection was lost.
        TimeoutError: the deadline has passed.
    """
    # Neither the scope of an IPv6 address nor the dot of a rooted name is part of what certificates have.
    name = tls.server_hostname or host.partition("%")[0].rstrip(".")
    with closing_on_error(sock), deadline.stage("tls", f"no TLS with {name!r}"):
        secure = tls.wrap(sock, name)
        with closing_on_error(secure):
            do_handshake(secure)
    return secure


def do_handshake(sock: Any) -> None:
    """Do the TLS handshake on a socket that was wrapped without; waits in the hub, with any SSLContext.

    Raises:
        ssl.SSLError, OSError: it failed.
    """
    sock.settimeout(0)
    wait_for(sock, wait_read, sock.do_handshake)


class TlsStream:
    """TLS in the middle of a connection, over a socket that is another one than it began with.

    It has of a socket what a connection uses.

    Args:
        sock: the connection's; it does no TLS.
        tls: the state of TLS, of an ``SSLSocket``.
        asked: the socket object that the state asks for its timeout, and that has to live as long as it.
    """

    __slots__ = ("_asked", "_sock", "_tls", "close", "fileno", "getpeername", "setsockopt", "shutdown")

    def __init__(self, sock: Any, tls: Any, asked: Any) -> None:
        self._sock = sock
        self._tls = tls
        self._asked = asked
        self.close = sock.close
        self.fileno = sock.fileno
        self.getpeername = sock.getpeername
        self.setsockopt = sock.setsockopt
        self.shutdown = sock.shutdown

    def settimeout(self, timeout: float | None) -> None:
        """Set the connection's; only 0 works."""
        self._sock.settimeout(timeout)

    def recv_into(self, buffer: Any) -> int:
        """Read; 0 at the end of the stream."""
        try:
            count: int = self._tls.read(len(buffer), buffer)
        except ssl.SSLEOFError:
            return 0
        return count

    def send(self, data: Any) -> int:
        """Write."""
        count: int = self._tls.write(data)
        return count

    def unwrap(self) -> None:
        """Say that no more comes."""
        self._tls.shutdown()
