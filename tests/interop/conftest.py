"""Certificates, a proxy, servers of ours, the originals; and a limit on every wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.interop.originals import Start, command_of
from tests.interop.peer import Bench, Certificates
from tests.support.gunicorn import Gunicorn, Server
from tests.support.peers import need_module
from tests.support.tinyproxy import Tinyproxy, tinyproxy
from tests.support.tls import Certificates as TlsFiles


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"), need_module("trustme"))


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tinyproxy]:
    with tinyproxy(tmp_path_factory.mktemp("tinyproxy")) as running:
        yield running


@pytest.fixture(scope="module")
def gunicorn(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Callable[[str, bool], Server]]:
    """What starts a gunicorn with an application, over TLS or plain, once. In the end its log has to be quiet."""
    with ExitStack() as stack:

        @cache
        def start(application: str, secure: bool) -> Server:
            files = TlsFiles(certificates.ca, certificates.localhost, certificates.localhost) if secure else None
            directory = tmp_path_factory.mktemp("gunicorn")
            server = stack.enter_context(Gunicorn(directory, application=application, certificates=files))
            stack.callback(server.assert_quiet)
            return server

        yield start


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No wait in a test is for ever: this one, in the greenlet that runs it, ends all others."""
    with gevent.Timeout(60):
        yield


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start originals and join them to us."""
    with ExitStack() as stack:

        def join(name: str, role: str, *, deflate: bool = False, **options: Any) -> Any:
            return Bench(*command_of(name, deflate), tmp_path, stack).join(role, **options)

        yield join
