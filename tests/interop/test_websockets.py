"""The Python library `websockets` at the other end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.conversations import Conversations
from tests.interop.peer import Bench
from tests.support.peers import need_module


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    need_module("websockets")
    with ExitStack() as stack:
        yield Bench([sys.executable, "websockets_peer.py"], os.environ, tmp_path, stack)


class TestWebsockets(Conversations):
    """All of them."""
