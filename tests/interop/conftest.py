"""Certificates, and a limit on every wait."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from tests.interop.peer import Certificates
from tests.support.peers import need_module

pytest.register_assert_rewrite("tests.interop.conversations")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"), need_module("trustme"))


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No wait in a test is for ever: this one, in the greenlet that runs it, ends all others."""
    with gevent.Timeout(60):
        yield
