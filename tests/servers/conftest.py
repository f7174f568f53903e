"""A running server for each row, and what is true of it after every test."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.servers.matrix import Case, assert_quiet, settle
from tests.support.gunicorn import Server
from tests.support.tls import Certificates, make_certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Server]:
    """The server of a case; pytest runs all tests of one before it starts the next."""
    case: Case = request.param
    directory = tmp_path_factory.mktemp(str(case))
    with case.row.start(directory, certificates if case.tls else None) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """That server. After the test it serves, and its log has nothing above info."""
    running.mark()
    yield running
    settle(running)
    assert_quiet(running)


@pytest.fixture
def name() -> str:
    """A name for a request of this test alone."""
    return uuid4().hex[:12]
