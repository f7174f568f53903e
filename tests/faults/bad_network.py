"""What happens on a bad network, for as long as one wants: ``python -m tests.faults.bad_network SECONDS``."""

from __future__ import annotations

import sys
import time
from typing import Any

from tests.faults.network import Network
from tests.support.wire import until

__all__ = ["living", "vanishing"]

#: Pairs of what the client does and what the server's handler does.
PAIRS = [
    ("receive", "/echo"),  # both wait
    ("hoard", "/hoard"),  # nobody receives
    ("flood", "/hoard"),  # the server has paused reading; the client is blocked in send
    ("hoard", "/push"),  # ... and the other way round
]

LOSS: dict[str, float] = {"loss": 0.1, "delay": 0.2, "jitter": 0.1}


def vanishing(network: Network, seconds: float) -> None:
    """Let the link go down without a word, while both sides do all that they can do; both notice in time, once."""
    # (A proxy is a host that lives on: who does not receive cannot know better.)
    pairs = PAIRS if network.loses else PAIRS[:1]
    for kind, path in pairs:
        network.client.ask("open", kind, path)
    count = len(pairs)
    time.sleep(1.5)  # more than a ping and its timeout: who does not receive is not dead
    assert network.client.ask("states") == ["open"] * count
    assert network.server.ask("states") == ["open"] * count
    network.make(down=True)
    started = time.monotonic()
    for end in (network.server, network.client):
        until(lambda end=end: "open" not in end.ask("states"), "the end", seconds)
        print(f"noticed within {time.monotonic() - started:.1f} seconds")
        until(lambda end=end: not end.ask("ends")["unfinished"], "the handlers' end", seconds)
    time.sleep(0.1)
    for end in (network.server, network.client):
        found = end.ask("ends")
        assert (found["unfinished"], found["told"], found["codes"]) == (0, {"1": count}, {"1006": count})


def living(network: Network, seconds: float, stall: float) -> dict[str, Any]:
    """Talk while packets are lost and late, and stand still for a while; nobody is cut, no message lost."""
    count = 8
    for _ in range(count // 2):
        network.client.ask("open", "talk", "/echo")
        network.client.ask("open", "idle", "/echo")
    network.make(**LOSS)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(1)
        network.make(held=True)
        time.sleep(stall)
        network.make(held=False)
        time.sleep(min(max(deadline - time.monotonic(), 0), 8))
    network.make(loss=0, delay=0, jitter=0)
    network.client.ask("finish")
    until(lambda: not network.client.ask("ends")["unfinished"], "the ends", 30)
    until(lambda: not network.server.ask("ends")["unfinished"], "the ends", 30)
    found: dict[str, Any] = network.client.ask("ends")
    assert found["errors"] == []
    assert found["right"] > 10
    for end in (found, network.server.ask("ends")):
        assert (end["told"], end["codes"]) == ({"1": count}, {"1000": count})
    return found


def main(seconds: float) -> None:
    beats: dict[str, Any] = {"ping": 1, "ping_timeout": 5, "open_timeout": 30, "close_timeout": 30}
    with Network(beats, beats) as network:
        found = living(network, seconds, stall=3)
        print(f"{found['right']} messages came back; packets were{'' if network.loses else ' not'} lost")
    with Network(beats, beats) as network:
        vanishing(network, 1 + 5 + 4)


if __name__ == "__main__":
    main(float(sys.argv[1]))
