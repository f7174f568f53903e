"""What happens on a bad network, for as long as one wants: ``python -m tests.faults.bad_network SECONDS``."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.faults.network import Network
from tests.support.wire import until

__all__ = ["SCENARIOS", "living", "sleeping", "vanishing"]

#: Pairs of what the client does and what the server's handler does.
PAIRS = [
    ("receive", "/echo"),  # both wait
    ("hoard", "/hoard"),  # nobody receives
    ("flood", "/hoard"),  # the server has paused reading; the client is blocked in send
    ("hoard", "/push"),  # ... and the other way round
]

LOSS: dict[str, float] = {"loss": 0.1, "delay": 0.2, "jitter": 0.1}

#: Heartbeats: of the living, and of those that are to be found dead.
SLOW: dict[str, Any] = {"ping": 1, "ping_timeout": 5, "open_timeout": 30, "close_timeout": 30}
QUICK: dict[str, Any] = {"ping": 0.5, "ping_timeout": 1.5}

#: Seconds that a busy machine may need more.
SLACK = 3.0


def vanishing(packets: bool, beats: dict[str, Any] = QUICK) -> str:
    """Let the link go down without a word, while both sides do all that they can do; both notice in time, once."""
    seconds = beats["ping"] + beats["ping_timeout"]
    with Network(beats, beats, packets) as network:
        # (A proxy is a host that lives on: who does not receive cannot know better.)
        pairs = PAIRS if network.loses else PAIRS[:1]
        count = len(pairs)
        for kind, path in pairs:
            network.client.ask("open", kind, path)
        old = network.loses  # (a proxy answers for it, too)
        if old:
            assert network.client.ask("open_old", "/echo") == "HTTP/1.1 101 Web Socket Protocol Handshake"
        time.sleep(seconds + 0.5)  # who does not receive, or is not received from, is not dead
        assert network.client.ask("states") == ["open"] * count
        assert network.server.ask("states") == ["open"] * (count + old)
        network.make(down=True)
        started = time.monotonic()
        for end, left in ((network.client, 0), (network.server, old)):
            until(lambda end=end, left=left: end.ask("states").count("open") <= left, "the end", seconds + SLACK)
        noticed = time.monotonic() - started
        # What has no pings is found by TCP's keep-alive, which counts in whole seconds.
        until(lambda: "open" not in network.server.ask("states"), "the end of the old one", 3 * seconds + SLACK)
        for end in (network.server, network.client):
            until(lambda end=end: not end.ask("ends")["unfinished"], "the handlers' end", SLACK)
        time.sleep(0.1)
        for end, ended in ((network.client, count), (network.server, count + old)):
            found = end.ask("ends")
            assert (found["unfinished"], found["told"], found["codes"]) == (0, {"1": ended}, {"1006": ended})
        return f"{network.kind}: noticed within {noticed:.1f} seconds"


def living(seconds: float, stall: float, beats: dict[str, Any] = SLOW) -> str:
    """Talk while packets are lost and late, and stand still now and then; nobody is cut, no message lost."""
    count = 8
    with Network(beats, beats) as network:
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
        for end in (network.client, network.server):
            until(lambda end=end: not end.ask("ends")["unfinished"], "the ends", 30)
        found: dict[str, Any] = network.client.ask("ends")
        assert found["errors"] == []
        assert found["right"] > 10
        for ends in (found, network.server.ask("ends")):
            assert (ends["told"], ends["codes"]) == ({"1": count}, {"1000": count})
        return f"{network.kind}: {found['right']} messages came back"


def sleeping() -> str:
    """Let the server's machine sleep, while the answer to its ping is on its way: it asks again before it judges."""
    with Network({"ping": 0.5, "ping_timeout": 2.0}, {"ping": None}, packets=False) as network:
        for _ in range(2):
            network.client.ask("open", "talk", "/echo")
            network.client.ask("open", "idle", "/echo")
        network.make(held=True)
        time.sleep(0.8)  # a ping goes out
        network.server.signal(signal.SIGSTOP)
        time.sleep(3.2)
        network.server.signal(signal.SIGCONT)
        time.sleep(0.3)
        network.make(held=False)
        time.sleep(1.0)
        assert network.server.ask("states") == ["open"] * 4
        network.client.ask("finish")
        until(lambda: network.server.ask("ends")["codes"] == {"1000": 4}, "clean ends")
        assert network.client.ask("ends")["errors"] == []
        return f"{network.kind}: all are alive"


#: For the tests: the same as ``main``, in little time.
SCENARIOS: dict[str, Callable[[], str]] = {
    "living": lambda: living(seconds=3.5, stall=1.5),
    "vanishing": lambda: vanishing(packets=True),
    "vanishing behind a proxy": lambda: vanishing(packets=False),
    "sleeping": sleeping,
}


def main(seconds: float) -> None:
    print(sleeping())
    for packets in (True, False):
        print(vanishing(packets, QUICK))
    print(vanishing(True, SLOW))
    # (Where a stall meets lost packets, TCP itself is silent for more than five seconds now and then.)
    print(living(seconds, 3, {**SLOW, "ping_timeout": 10}))


if __name__ == "__main__":
    main(float(sys.argv[1]))
