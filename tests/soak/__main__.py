"""Run the long ones: ``python -m tests.soak --help``, from the root of the repository."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from tests.bench.server import ROOT, environment
from tests.soak import chart, report
from tests.soak.endings import SIDES, Outcome
from tests.soak.kinds import KINDS
from tests.soak.load import SERVERS, Load, NotPossible, kept_environment, load

PARTS = ("load", "endings")

#: What may be chosen of the parts: the servers of the load; the kinds of endings, and which side is ours.
CHOICES = {"servers": tuple(SERVERS), "kinds": tuple(KINDS), "sides": SIDES}


def say(text: str) -> None:
    """Tell how far it is, beside the report."""
    print(text, file=sys.stderr, flush=True)


def run_load(servers: list[str], connections: int, seconds: float) -> list[Load]:
    """Run the load against some servers."""
    loads = []
    for name in servers:
        say(f"load: {name}, {connections:,} connections, {seconds:g} s")
        loads.append(load(name, connections, seconds))
        say(f"  {'; '.join(loads[-1].faults) or 'nothing lost'}")
    return loads


def run_endings(batches: list[list[str]], sides: list[str], connections: int, jobs: int) -> list[Outcome]:
    """Run the kinds of endings, each batch in a process of its own, so many at a time.

    Raises:
        RuntimeError: one of the processes has not come to its end.
    """
    processes: list[subprocess.Popen[str]] = []

    def run(kinds: list[str]) -> list[Outcome]:
        arguments = ["--sides", ",".join(sides), "--connections", str(connections)]
        command = [sys.executable, "-m", "tests.soak.endings", *kinds, *arguments]
        with subprocess.Popen(
            command, cwd=ROOT, env=environment(kept_environment()), stdout=subprocess.PIPE, text=True
        ) as process:
            processes.append(process)
            assert process.stdout is not None
            outcomes = []
            for line in process.stdout:
                outcome = Outcome(**json.loads(line))
                outcomes.append(outcome)
                said = "; ".join(outcome.faults) or "nothing lost"
                say(f"{outcome.title}, {outcome.side}: {outcome.connections / outcome.seconds:,.0f}/s: {said}")
        return outcomes

    with ThreadPoolExecutor(jobs) as pool:
        try:
            outcomes = [outcome for batch in pool.map(run, batches) for outcome in batch]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
            raise
    if len(outcomes) != sum(map(len, batches)) * len(sides):
        raise RuntimeError("a run of endings has not come to its end")
    return outcomes


def end(signum: int, frame: FrameType | None) -> None:
    """Leave through every finally: servers and clients are processes."""
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 1 where something falls short."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Holds many connections with traffic, and makes and ends many in every way: is a message lost, is"
        " anything left? Prints tables; ends with 1 where something falls short.",
    )
    parser.add_argument("--quick", action="store_true", help="few and short: does it work, not what does it stand")
    parser.add_argument("--part", choices=PARTS, help="only this one")
    parser.add_argument(
        "--connections", type=int, metavar="N", help="load: 10,000, quick 200; endings: 50,000 each, 100"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="of traffic under load: 180, quick 2")
    for name, known in CHOICES.items():
        parser.add_argument(f"--{name}", metavar="NAME,..", help=f"only these of {', '.join(known)}")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.md",
        help="write the tables between the markers of a file, and a chart beside it",
    )
    options = parser.parse_args(arguments)
    chosen = {name: (getattr(options, name) or ",".join(known)).split(",") for name, known in CHOICES.items()}
    for name, known in CHOICES.items():
        if unknown := set(chosen[name]) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    if options.output:
        try:
            report.check(options.output)
        except ValueError as error:
            parser.error(str(error))
    parts = [options.part] if options.part else list(PARTS)
    began = time.monotonic()
    loads: list[Load] = []
    outcomes: list[Outcome] = []
    try:
        if "load" in parts:
            connections = options.connections or (200 if options.quick else 10_000)
            seconds = options.seconds or (2 if options.quick else 180)
            loads = run_load(chosen["servers"], connections, seconds)
        if "endings" in parts:
            # The process of its own is so that each begins in the same state; a check can do without, and mostly waits.
            kinds = chosen["kinds"]
            batches = list(filter(None, (kinds[i::4] for i in range(4)))) if options.quick else [[it] for it in kinds]
            connections = options.connections or (100 if options.quick else 50_000)
            outcomes = run_endings(batches, chosen["sides"], connections, 4 if options.quick else 1)
    except NotPossible as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted: nothing is reported")
        return 130
    tables = ([report.of_load(loads)] if loads else []) + ([report.of_endings(outcomes)] if outcomes else [])
    text = "\n\n".join(tables)
    print(text)
    if options.output:
        report.write(options.output, text)
        if outcomes:
            try:
                chart.write_chart(options.output.parent / chart.NAME, outcomes)
            except ImportError:
                say("no chart: matplotlib is not installed")
    short = sum(bool(each.faults) for each in (*loads, *outcomes))
    say(f"{time.monotonic() - began:.0f} s; {f'{short} fall short' if short else 'nothing falls short'}")
    return 1 if short else 0


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, end)
    sys.exit(main())
