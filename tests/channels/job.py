"""A program that is no server and only publishes, as a job of a queue does; where Redis is away, it tries again.

python -m tests.channels.job '{"channel": "news", "history": 0, "publisher": "job", ...}'
"""

from __future__ import annotations

import json
import logging
import sys

import gevent

import wsdriver
from tests.channels.messages import messages

__all__ = ["DONE", "STARTED"]

STARTED = "the job has started"
DONE = "the job is done; so often it was refused:"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="[%(levelname)s] %(process)d %(name)s: %(message)s")
    order = json.loads(sys.argv[1])
    # The one message that is on its way when Redis goes has a place to wait in. So every error is certain: that message
    # was not published, and may be again.
    channel = wsdriver.Channel(order["channel"], history=order["history"], backlog=1)
    refused = 0
    print(STARTED, flush=True)
    for message in messages(order):
        while True:
            try:
                channel.publish(message)
                break
            except ConnectionError:
                refused += 1
                gevent.sleep(0.05)
    print(DONE, refused, flush=True)


if __name__ == "__main__":
    main()
