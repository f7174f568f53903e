"""The options of ``connect``. Not beside the others: it needs ``ssl``, which a server's worker must not load early."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from wsdriver.exceptions import ConfigurationError
from wsdriver.green.dialing import check_sock, check_unix
from wsdriver.green.options import ConnectionOptions
from wsdriver.green.proxies import ProxySettings, check_proxy
from wsdriver.green.tls import check_tls
from wsdriver.options import check_int

__all__ = ["ClientOptions"]


@dataclass(frozen=True)
class ClientOptions(ConnectionOptions):
    """The options of a client's WebSocket, beside those that every WebSocket has.

    Attributes:
        tls: how ``wss:`` is done. True checks the certificate and the host name by the system's authorities. An
            ``ssl.SSLContext``, or a dict with some of ``root_cert_file`` (a path, or several: trusted instead of the
            system's), ``verify_peer`` (False accepts any certificate, and warns), ``certfile``, ``keyfile`` and
            ``keyfile_password`` (the client's own certificate) and ``server_hostname``, says otherwise.
        proxy: the URL of a proxy, ``http:``, ``https:``, ``socks5:``, ``socks5h:`` (the proxy resolves the name),
            ``socks4:`` or ``socks4a:``; a dict with ``origin`` and some of ``headers`` and ``tls`` (for ``https:``);
            True for the one that the environment names, if it does.
        max_redirects: how many redirects are followed.
        unix: path of a Unix socket to connect to, instead of the URL's host.
        sock: a connected socket to use, instead of the URL's host. It belongs to the WebSocket from then on.
    """

    tls: Any = None
    proxy: Any = None
    max_redirects: int = 0
    unix: Any = None
    sock: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        tls = check_tls("tls", self.tls)
        object.__setattr__(self, "tls", False if tls is None else tls)
        object.__setattr__(self, "proxy", check_proxy(self.proxy))
        check_int("max_redirects", self.max_redirects, 0)
        if self.unix is not None:
            object.__setattr__(self, "unix", check_unix(self.unix))
        if self.sock is not None:
            check_sock(self.sock)
        ways = [name for name in ("proxy", "unix", "sock") if getattr(self, name)]
        if len(ways) > 1:
            raise ConfigurationError(f"{ways[0]} and {ways[1]} exclude each other: each says where to connect to")

    def warn(self, level: int) -> None:
        """Say it aloud where certificates are not checked; ``level`` as for a ``warnings.warn`` of our caller."""
        checked = self.tls is False or self.tls.verified
        if not checked or (isinstance(self.proxy, ProxySettings) and not self.proxy.verified):
            warnings.warn(
                "verify_peer=False: anybody on the way can read and change what is sent; "
                "root_cert_file names an authority to trust instead",
                RuntimeWarning,
                stacklevel=level + 1,
            )
