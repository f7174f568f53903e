"""Networks that lose, delay and stop: the heartbeat keeps the living, whatever they suffer, and gives up the dead.

``python -m tests.faults.bad_network SECONDS`` does it for longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.bad_network import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_bad_network(name: str, result_of: Callable[[str], Any]) -> None:
    print(result_of(name))
