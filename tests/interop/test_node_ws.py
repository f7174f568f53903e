"""The npm package `ws` at the other end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.conversations import Conversations
from tests.interop.peer import Bench
from tests.support.peers import need_node, need_program


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return need_node("ws")


@pytest.fixture
def bench(tmp_path: Path, environment: dict[str, str]) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench([need_program("node"), "ws_peer.js"], environment, tmp_path, stack)


class TestNodeWs(Conversations):
    """All of them."""
