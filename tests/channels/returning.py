"""A process of clients that go away in the middle, again and again, and come back to any of the servers.

    python -m tests.channels.returning '{"urls": ["ws://127.0.0.1:8000/rejoin?..."], "websockets": 10, ...}'

Some have a WebSocket, some an event stream. It says the same as ``tests.channels.clients``.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

import gevent

import wsdriver
from tests.channels.clients import OVER, READY, watch
from tests.channels.messages import Ledger
from tests.support import eventstream

__all__: list[str] = []

#: A connection: what comes on it, each with the position behind it, until it is closed.
Visit = Iterator["tuple[str, str]"]

#: Messages that a client stays for, at most.
STAY = 200


def over_websocket(urls: Sequence[str], position: str) -> Visit:
    """Go on behind a position at one of these URLs."""
    ws = wsdriver.connect(f"{random.choice(urls)}&since={quote(position)}", open_timeout=60)
    try:
        for message in ws:
            reached, _, text = message.partition(" ")
            yield reached, text
    finally:
        ws.terminate()


def over_events(url: str, position: str) -> Visit:
    """The same with an event stream."""
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}"
    with eventstream.Client(parts.port, path=path, headers=f"Last-Event-ID: {position}\r\n") as client:
        while client.read():
            while client.events:
                event = client.events.pop(0)
                yield event.last_event_id, event.data


def come_and_go(ledger: Ledger, visit: Callable[[str], Visit]) -> None:
    """Be a client that knows where it was, until it is over. Who has all messages stays to the end."""
    position = "0"
    while True:
        stay = random.randint(1, STAY)
        with closing(visit(position)) as coming:
            for reached, message in coming:
                if message == OVER:
                    return
                position = reached
                ledger.take(message)
                stay -= 1
                if stay <= 0 and ledger.missing:
                    break
        gevent.sleep(random.uniform(0, 0.1))


def main() -> None:
    plan = json.loads(sys.argv[1])
    visits: list[Any] = [partial(over_websocket, plan["urls"])] * plan["websockets"]
    visits += [partial(over_events, plan["events"])] * plan["eventsources"]
    ledgers = [Ledger(plan["expected"], plan["text"]) for _ in visits]
    tasks = [gevent.spawn(come_and_go, ledger, visit) for ledger, visit in zip(ledgers, visits, strict=True)]
    print(READY, flush=True)
    watch(ledgers, tasks)


if __name__ == "__main__":
    main()
