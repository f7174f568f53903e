"""What the tests of all servers share: for which of them a test is run, and a look at the log."""

from __future__ import annotations

import asyncio
import http.client
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.servers.rows import ROWS, Row, Uwsgi
from tests.support.gunicorn import Server
from tests.support.net import KEY
from tests.support.peers import need_module
from tests.support.wire import PATIENCE, until

__all__ = [
    "UPGRADE",
    "Case",
    "assert_quiet",
    "converse",
    "every_server",
    "every_server_and_tls",
    "every_tls_server",
    "expect_logged",
    "fetch",
    "forgive_uwsgi",
    "keep_alive_servers",
    "settle",
]

#: What the log of any of these servers has when something was not as it should be. (Django's says, as an info, that a
#: client has gone.)
ALARM = re.compile(
    r"warn|error|critical|traceback|exception|assert|fail|(?<! - )broken pipe|reset by peer|timed? ?out"
    r"|bad file descriptor|invalid|ignored|\[(alert|emerg|crit|bug)\]",
    re.IGNORECASE,
)


#: The headers of a WebSocket request.
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


@dataclass(frozen=True)
class Case:
    """A server, with TLS or without."""

    row: Row
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.row.name}-tls" if self.tls else self.row.name


def _for_each(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("running", cases, ids=str, indirect=True, scope="session")


_PLAIN = [Case(row) for row in ROWS]
_TLS = [Case(row, tls=True) for row in ROWS if row.tls]

every_server = _for_each(_PLAIN)
every_tls_server = _for_each(_TLS)
every_server_and_tls = _for_each(_PLAIN + _TLS)
keep_alive_servers = _for_each([case for case in _PLAIN if case.row.keep_alive])


@dataclass(frozen=True)
class Page:
    """An HTTP response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def fetch(
    server: Server, path: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes | None = None
) -> Page:
    """Send one plain request on a connection of its own."""
    if server.certificates is None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    else:
        context = server.certificates.client_context()
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=PATIENCE, context=context)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Page(response.status, response.headers, response.read())
    finally:
        connection.close()


def converse(server: Server, path: str, talk: Callable[[Any], Awaitable[None]], **options: Any) -> None:
    """Let the client of ``websockets`` talk to the server.

    Its asyncio form: in the one for threads, two of them use one TLS socket at a time, and that fails now and then.
    """
    client = need_module("websockets.asyncio.client")
    context = server.certificates and server.certificates.client_context()

    async def run() -> None:
        async with client.connect(server.url + path, ssl=context, proxy=None, **options) as ws:
            await talk(ws)

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


def settle(server: Server) -> None:
    """See that it serves; what it had to log before is most likely there then."""
    assert fetch(server, "/plain").body == b"a page\n"


def assert_quiet(server: Server) -> None:
    """Check that nothing above info has been logged since the test began."""
    lines = server.text().splitlines()
    alarming = [line for line in lines if ALARM.search(line)]
    assert not alarming, "the log is not quiet:\n" + "\n".join(lines[-60:])


def forgive_uwsgi(server: Server) -> None:
    """uWSGI prints a traceback of all that leaves an application. Other servers know of errors that only say that the
    client has gone, and are silent.
    """
    if isinstance(server, Uwsgi):
        settle(server)
        server.mark()


def expect_logged(server: Server, error: str, count: int = 1) -> None:
    """Check that an error of the application is logged, so often, and let that be forgotten."""
    until(lambda: server.text().count(error) >= count, f"{error!r} in the log")
    settle(server)
    assert server.text().count(error) == count, server.text()
    server.mark()
