"""Networks that lose, delay and stop: the heartbeat keeps the living, whatever they suffer, and gives up the dead."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import pytest

from tests.faults.bad_network import living, vanishing
from tests.faults.network import Network
from tests.support.wire import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: its links and its TCP_INFO")

#: Seconds beyond ``ping`` and ``ping_timeout`` that a slow machine may need to notice.
SLACK = 4.0


@pytest.mark.parametrize("packets", [True, False], ids=["packets", "proxy"])
def test_peer_that_vanishes_is_noticed_on_both_sides_whatever_they_do(packets: bool) -> None:
    with Network({"ping": 0.4, "ping_timeout": 0.8}, {"ping": 0.4, "ping_timeout": 0.8}, packets) as network:
        vanishing(network, 0.4 + 0.8 + SLACK)


def test_living_survive_loss_delay_and_a_stall() -> None:
    beats: dict[str, Any] = {"ping": 1, "ping_timeout": 5, "open_timeout": 30, "close_timeout": 30}
    with Network(beats, beats) as network:
        living(network, seconds=3.5, stall=1.5)


def test_machine_that_slept_asks_again_before_it_judges() -> None:
    """The answers to what it asked before are on their way, but not there yet."""
    with Network({"ping": 0.3, "ping_timeout": 1.0}, {"ping": None}, packets=False) as network:
        for _ in range(3):
            network.client.ask("open", "talk", "/echo")
            network.client.ask("open", "idle", "/echo")
        network.make(held=True)
        time.sleep(0.45)  # a ping goes out
        network.server.signal(signal.SIGSTOP)
        time.sleep(1.7)
        network.server.signal(signal.SIGCONT)
        time.sleep(0.3)
        network.make(held=False)
        time.sleep(1.0)
        assert network.server.ask("states") == ["open"] * 6
        network.client.ask("finish")
        until(lambda: network.server.ask("ends")["codes"] == {"1000": 6}, "clean ends")
        assert network.client.ask("ends")["errors"] == []
