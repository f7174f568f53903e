"""``wsdriver bench``: load on a server of the user's own, and what its answers are like."""

from __future__ import annotations

import argparse
import json
import random
import string
import sys

from wsdriver.cli.arguments import count, rate, seconds, size
from wsdriver.cli.chart import svg
from wsdriver.cli.client import add_client_arguments, client_options, explain
from wsdriver.cli.histogram import Histogram
from wsdriver.cli.progress import Progress
from wsdriver.cli.report import Report, duration
from wsdriver.cli.status import FAILED, INTERRUPTED, USAGE, Failure
from wsdriver.exceptions import HandshakeError
from wsdriver.green.interrupts import be_quiet_about_interrupts
from wsdriver.green.load import Load, Outcome, run_load

__all__ = ["add_arguments", "run"]

_MORE = """\
The server has to answer each message with one, as an echo does; with
--no-answer it need not. What it says first, by itself, is not counted.

Closed loop (without --rate): each connection sends its next message when the
last is answered. That finds out how much a server can do; but one that stalls
is asked less meanwhile, so that its pauses are seen too seldom (coordinated
omission).

Open loop (--rate): messages go out when they are due, whatever has become of
those before, and one that goes out late counts from when it was due. That
finds out what users would feel; the percentiles are true.

This is gevent on one core, in Python: it says so where it is itself the limit.
Several at once measure faster servers.

exit status:
  0    all messages were answered
  1    there were errors: no connection, a connection lost, no answer
  2    the arguments are wrong
  130  Ctrl-C; the results so far are shown
"""

#: Seconds that the last answers may take.
PATIENCE = 5.0

#: What a message may have: the default limit of most servers is less.
MAX_SIZE = 64 * 1024 * 1024 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.epilog = _MORE
    group = parser.add_argument_group("the load")
    group.add_argument("--connections", "-n", metavar="N", type=count, default=10, help="at a time (10)")
    group.add_argument("--duration", "-d", metavar="SECONDS", type=seconds, default=10.0, help="such as 30s or 5m (10)")
    group.add_argument("--size", "-z", metavar="BYTES", type=size, default=32, help="of a message, such as 4k (32)")
    group.add_argument(
        "--rate", "-r", metavar="N", type=rate, help="messages per second, of all connections together: open loop"
    )
    group.add_argument("--binary", "-b", action="store_true", help="binary messages, instead of text")
    group.add_argument("--no-answer", action="store_true", help="only send")
    group = parser.add_argument_group("the results")
    group.add_argument("--json", "-j", action="store_true", help="as JSON, on standard output")
    group.add_argument("--svg", metavar="FILE", help="the histogram as a picture, too")
    group.add_argument("--no-progress", action="store_true", help="no bar on standard error")
    add_client_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, and report; returns the exit status.

    Raises:
        ConfigurationError: the arguments do not go together.
        Failure: there was nothing to measure.
    """
    be_quiet_about_interrupts()
    url, options = client_options(arguments)
    if arguments.size > MAX_SIZE:
        raise Failure(f"--size {arguments.size} is more than a message may have: {MAX_SIZE}", USAGE)
    if arguments.svg:
        _check_writable(arguments.svg)
    load = Load(
        url=url,
        options=options,
        connections=arguments.connections,
        message=_message(arguments.size, arguments.binary),
        duration=arguments.duration,
        rate=arguments.rate,
        answers=not arguments.no_answer,
        patience=PATIENCE,
    )
    report = _measure(load, Progress(not arguments.no_progress))
    if arguments.json:
        print(json.dumps(report.json(), indent=2))
    else:
        print(report.text("utf" in (sys.stdout.encoding or "").lower()))
    if arguments.svg:
        with open(arguments.svg, "w", encoding="utf-8") as file:
            file.write(svg(report))
    if report.outcome.interrupted:
        return INTERRUPTED
    return FAILED if report.outcome.errors else 0


def _check_writable(path: str) -> None:
    """See that a file can be written before minutes are spent on what belongs there."""
    try:
        with open(path, "a", encoding="utf-8"):
            pass
    except OSError as error:
        raise Failure(f"--svg {path}: {error.strerror}", USAGE) from error


def _message(length: int, binary: bool) -> str | bytes:
    # Not one letter again and again: it would be compressed to nothing.
    chance = random.Random(0)
    if binary:
        return chance.randbytes(length)
    return "".join(chance.choices(string.ascii_letters + string.digits + "  ", k=length))


def _measure(load: Load, progress: Progress) -> Report:
    _allow_descriptors(load.connections)
    answers, openings = Histogram(), Histogram()
    first: list[str] = []

    def describe(error: Exception) -> str:
        first.append(explain(error))
        if isinstance(error, HandshakeError) and error.status:
            return f"http {error.status}"
        return first[-1]

    def tick(outcome: Outcome) -> None:
        if not outcome.elapsed:
            done = openings.count + sum(outcome.errors.values())
            progress.show(done / load.connections, f"{done:,} of {load.connections:,} connections")
            return
        messages = outcome.received if load.answers else outcome.sent
        said = [f"{outcome.elapsed:.0f} of {load.duration:g} s", f"{messages / outcome.elapsed:,.0f} messages/s"]
        if answers.count:
            said.append(f"p50 {duration(answers.quantile(0.5))}, p99 {duration(answers.quantile(0.99))}")
        errors = sum(outcome.errors.values())
        if errors:
            said.append(f"{errors:,} errors")
        progress.show(outcome.elapsed / load.duration, ", ".join(said))

    outcome = run_load(load, describe, openings.record, answers.record, tick)
    progress.wipe()
    if not outcome.opened and not outcome.interrupted:
        raise Failure(first[0])
    return Report(load, outcome, answers, openings)


def _allow_descriptors(connections: int) -> None:
    """Take as many descriptors as the system allows: the usual limit, 1024, is for programs that use select."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < connections + 64 and (hard == resource.RLIM_INFINITY or hard > soft):
        needed = connections + 1024
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else min(needed, hard), hard)
        )
