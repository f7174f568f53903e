from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No wait is for ever."""
    with gevent.Timeout(60):
        yield
