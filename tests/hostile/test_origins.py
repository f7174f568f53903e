"""Pages of other sites, with the user's cookie: over a socket, against a server that is on the loopback address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.hostile.peers import Attacker, undisturbed
from tests.support.net import request
from tests.support.serving import serving

GOOD = "https://good.com"

#: Each was let in by some library that compared texts.
EVIL = [
    "https://evil.example",
    "https://good.com.evil.org",
    "https://good.com`",
    "https://good.com$",
    "https://good.com`.evil.org",
    "https://good.com$.evil.org",
    "https://good.com@evil.org",
    "https://evilgood.com",
    "https://good.com:444",
    "http://good.com",
    "https://good.com/",
    "https://good.com\\.evil.org",
    "https://good.com%2eevil.org",
    "null",
    "",
    "http://localhost",
    "http://127.0.0.1",
]


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with serving(origins=[GOOD]) as server:
        yield server


@pytest.mark.parametrize("origin", EVIL)
def test_page_of_another_site_is_refused_with_its_cookie(origin: str, server: Any) -> None:
    with undisturbed():
        attacker = Attacker.connected(server.server_port)
        attacker.sock.sendall(request(extra=f"Origin: {origin}\r\nCookie: session=of-the-victim\r\n"))
        assert attacker.end().startswith(b"HTTP/1.1 403 ")


def test_page_of_the_site_is_let_in(server: Any) -> None:
    attacker = Attacker.connected(server.server_port)
    attacker.sock.sendall(request(extra=f"Origin: {GOOD}\r\n"))
    assert attacker.head().startswith(b"HTTP/1.1 101 ")
    attacker.hang_up()
