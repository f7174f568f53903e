"""A certification authority for one test run, and its certificates: right ones, and wrong ones."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.peers import need_module

__all__ = ["Authority", "Certificates", "make_certificates"]


@dataclass(frozen=True)
class Certificates:
    """The files that servers and clients take, in PEM.

    Attributes:
        authority: the CA's certificate, which a client trusts.
        certificate: the server's, for ``localhost`` and ``127.0.0.1``, with its chain.
        key: the server's private key.
    """

    authority: Path
    certificate: Path
    key: Path

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts this authority only, and checks host names."""
        return ssl.create_default_context(cafile=str(self.authority))

    def server_context(self) -> ssl.SSLContext:
        """Return a context that shows the server's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """Issues certificates, as files in a directory.

    Attributes:
        file: its own certificate.
    """

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._name = name
        self._count = 0
        self._issuer: Any = need_module("trustme").CA()
        self.file = directory / f"{name}.pem"
        self._issuer.cert_pem.write_to_path(str(self.file))

    def issue(self, *hosts: str, expired: bool = False) -> Certificates:
        """Issue one for these hosts, names or addresses; in force today, or until 2021."""
        days: dict[str, Any] = {}
        if expired:
            days = {"not_before": datetime.datetime(2020, 1, 1), "not_after": datetime.datetime(2021, 1, 1)}
        issued = self._issuer.issue_cert(*hosts, **days)
        self._count += 1
        stem = f"{self._name}-{self._count}"
        files = Certificates(self.file, self._directory / f"{stem}.pem", self._directory / f"{stem}.key")
        issued.private_key_pem.write_to_path(str(files.key))
        files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return files


def make_certificates(directory: Path) -> Certificates:
    """Make an authority, and a certificate for this machine, in that directory."""
    return Authority(directory).issue("localhost", "127.0.0.1", "::1")
