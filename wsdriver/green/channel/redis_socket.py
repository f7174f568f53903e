"""redis-py's connection over gevent's sockets, whatever is patched."""

from __future__ import annotations

import ssl
from typing import Any

import gevent.socket
import gevent.ssl
from redis._parsers import _RESP3Parser
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError

from wsdriver.exceptions import ConfigurationError

__all__ = ["Push", "database_of", "make_connection", "where_is"]

#: Seconds that connecting may take, and each answer until the connection is ready; unless the URL says otherwise.
TIMEOUT = 5.0

#: What a URL may say to redis-py's pools and retries, of which there are none here, and what this module decides.
_UNUSED = (
    "max_connections",
    "retry_on_timeout",
    "retry_on_error",
    "health_check_interval",
    "timeout",
    "protocol",
    "decode_responses",
    "connection_class",
)


class Push(list[Any]):
    """What Redis sends by itself, and is no reply."""


class _Tcp(Connection):
    def _connect(self) -> Any:
        sock = gevent.socket.create_connection((self.host, self.port), self.socket_connect_timeout)
        sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
        if self.socket_keepalive:
            sock.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_KEEPALIVE, 1)
            for option, value in self.socket_keepalive_options.items():
                sock.setsockopt(gevent.socket.IPPROTO_TCP, option, value)
        sock.settimeout(self.socket_timeout)
        return sock


class _Tls(SSLConnection, _Tcp):
    # SSLConnection._connect() takes the socket that _Tcp makes, and has this put TLS on it.
    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = self.check_hostname
        context.verify_mode = self.cert_reqs
        if self.ca_certs is not None or self.ca_path is not None or self.ca_data is not None:
            context.load_verify_locations(cafile=self.ca_certs, capath=self.ca_path, cadata=self.ca_data)
        else:
            context.load_default_certs()
        if self.certfile or self.keyfile:
            context.load_cert_chain(self.certfile, self.keyfile, self.certificate_password)
        if self.ssl_min_version is not None:
            context.minimum_version = ssl.TLSVersion(self.ssl_min_version)
        if self.ssl_ciphers:
            context.set_ciphers(self.ssl_ciphers)
        sock.settimeout(self.socket_connect_timeout)
        wrapped = context.wrap_socket(sock, server_hostname=self.host)
        wrapped.settimeout(self.socket_timeout)
        return wrapped


class _Unix(UnixDomainSocketConnection):
    def _connect(self) -> Any:
        sock = gevent.socket.socket(gevent.socket.AF_UNIX, gevent.socket.SOCK_STREAM)
        try:
            sock.settimeout(self.socket_connect_timeout)
            sock.connect(self.path)
        except OSError:
            sock.close()
            raise
        sock.settimeout(self.socket_timeout)
        return sock


def make_connection(url: str) -> Any:
    """Return a connection, not connected yet.

    Raises:
        ConfigurationError: the URL is wrong.
    """
    try:
        arguments = parse_url(url)  # type: ignore[no-untyped-call]
        kind: Any = _Unix if url.startswith("unix:") else _Tls if url.startswith("rediss:") else _Tcp
        for name in _UNUSED:
            arguments.pop(name, None)
        if kind is _Unix and not arguments.get("path"):
            raise ValueError("it has no path")
        if any(name.startswith("ssl_validate_ocsp") for name in arguments):
            raise ValueError("OCSP is not supported here")
        arguments.setdefault("socket_timeout", TIMEOUT)
        arguments.setdefault("socket_connect_timeout", TIMEOUT)
        if kind is not _Unix:
            arguments.setdefault("socket_keepalive", True)
        # One parser, whatever else is installed: what it does with pushes differs.
        connection = kind(protocol=3, parser_class=_RESP3Parser, **arguments)
    except (ValueError, TypeError, RedisError) as error:
        raise ConfigurationError(f"a channel's url is wrong: {error}") from error
    connection._parser.set_pubsub_push_handler(Push)
    return connection


def where_is(connection: Any) -> str:
    """Return where that connection goes to, without passwords."""
    return connection.path if isinstance(connection, _Unix) else f"{connection.host}:{connection.port}"


def database_of(connection: Any) -> int:
    """Return the number of the database. Redis' publishing knows of none."""
    return int(connection.db)
