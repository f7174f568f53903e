"""Certificates for the TLS rows, made for each run; by hand ``python -m tests.bench.certificates FOLDER``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: the authority that a client trusts, and a server's certificate and key for 127.0.0.1."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Write them into a folder; raise LookupError where trustme is not installed."""
    try:
        import trustme
    except ImportError:
        raise LookupError("the Python package trustme is not installed") from None
    files = Certificates(folder / "authority.pem", folder / "certificate.pem", folder / "key.pem")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(str(files.authority))
    issued.private_key_pem.write_to_path(str(files.key))
    for part, pem in enumerate(issued.cert_chain_pems):
        pem.write_to_path(str(files.certificate), append=part > 0)
    return files


if __name__ == "__main__":
    print(make_certificates(Path(sys.argv[1])))
