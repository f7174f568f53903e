"""A process of many clients, so that the tests' own process has time to watch.

    python -m tests.channels.clients '{"urls": {"ws://127.0.0.1:8000/join?...": 100}, ...}'

Some of them are publishers, too. It prints READY when all are members, now and then how many messages are still
missing, and COMPLETE when none is. It ends when a message says OVER. Where something was wrong it says what, and ends
with status 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import gevent
from gevent.pool import Pool

import wsdriver
from tests.channels.app import JOINED
from tests.channels.messages import Ledger, messages

__all__ = ["COMPLETE", "MISSING", "OVER", "READY", "watch"]

READY = "all clients are members"
MISSING = "missing: "
COMPLETE = "all clients have all messages"

#: The message that ends it: what should not have come has come before it.
OVER = "over"


class Client:
    """A member that keeps account."""

    def __init__(self, url: str, ledger: Ledger) -> None:
        self.ledger = ledger
        self._ws = wsdriver.connect(url, open_timeout=60)
        assert self._ws.receive(timeout=60) == JOINED

    def run(self) -> None:
        """Receive until it is over."""
        take = self.ledger.take
        for message in self._ws:
            if message == OVER:
                self._ws.close()
                return
            take(message)
        self.ledger.faults.append(f"the connection was closed with {self._ws.close_code} {self._ws.close_reason!r}")

    def publish(self, order: Mapping[str, Any]) -> None:
        """Send what the server publishes."""
        for message in messages(order):
            self._ws.send(message)


def watch(ledgers: Sequence[Ledger], tasks: Sequence[gevent.Greenlet]) -> None:
    """Say how many messages are missing, until none is; then wait until it is over."""
    while missing := sum(ledger.missing for ledger in ledgers):
        print(f"{MISSING}{missing}", flush=True)
        gevent.sleep(0.1)
        check(ledgers)
    print(COMPLETE, flush=True)
    gevent.joinall(tasks, raise_error=True)
    check(ledgers)


def check(ledgers: Sequence[Ledger]) -> None:
    """End the program where something was wrong: what comes after would not say more."""
    faults = [fault for ledger in ledgers for fault in ledger.faults]
    if faults:
        sys.exit("\n".join([f"{len(faults)} faults:", *faults[:20]]))


def main() -> None:
    plan = json.loads(sys.argv[1])
    urls = [url for url, count in plan["urls"].items() for _ in range(count)]
    clients = Pool(20).map(lambda url: Client(url, Ledger(plan["expected"], plan["text"])), urls)
    print(READY, flush=True)
    tasks = [gevent.spawn(client.run) for client in clients]
    tasks += [gevent.spawn(client.publish, order) for client, order in zip(clients, plan["orders"], strict=False)]
    watch([client.ledger for client in clients], tasks)


if __name__ == "__main__":
    main()
