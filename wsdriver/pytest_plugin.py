"""pytest's plugin of wsdriver: fixtures for suites of applications with WebSockets.

pytest loads this at each start, so gevent and all that is built on it come only where a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wsdriver.testing import Client

__all__ = ["websocket_app", "websocket_client"]


@pytest.fixture
def websocket_app(request: pytest.FixtureRequest) -> Any:
    """The WSGI application of ``websocket_client``: the suite's fixture ``app``, unless it overrides this one."""
    try:
        return request.getfixturevalue("app")
    except pytest.FixtureLookupError as error:
        if error.argname != "app":
            raise
    pytest.fail(
        "websocket_client needs to know your application: write a fixture 'app' (or 'websocket_app') that returns it",
        pytrace=False,
    )


@pytest.fixture
def websocket_client(websocket_app: Any) -> Iterator[Client]:
    """A test client (wsdriver.testing.Client) for the application of the fixture 'app'.

    with websocket_client.websocket("/chat") as ws: ...
    """
    from wsdriver.testing import Client

    with Client(websocket_app) as client:
        yield client
