"""Run the benchmark: ``python -m tests.bench --help``, from the root of the repository."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType

from tests.bench import output, process, report
from tests.bench.load import build_wsload
from tests.bench.measures import NotMeasured, Settings
from tests.bench.results import Results
from tests.bench.rows import PEERS, ROWS, Row
from tests.bench.server import NotStarted, Running, Server, our_modules

#: Of the load generator and of every server: with fewer, fewer connections are opened.
OPEN_FILES = 6000


def say(text: str) -> None:
    """Tell how far it is, beside the report."""
    print(text, file=sys.stderr, flush=True)


def names(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Return an argparse type: known names with commas between them."""
    known = tuple(known)

    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(filter(None, text.split(",")))
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return chosen

    return parse


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="wsdriver beside its peers. Writes docs/performance.md and docs/speed.svg; "
        "with --quick, or with only some of the rows or peers, the same files in build/bench instead.",
    )
    parser.add_argument("--quick", action="store_true", help="one short run of everything: a check, not a figure")
    parser.add_argument("--rows", type=names(ROWS), default=tuple(ROWS), metavar="NAME,..", help=", ".join(ROWS))
    parser.add_argument("--peers", type=names(PEERS), default=PEERS, metavar="NAME,..", help=", ".join(PEERS))
    parser.add_argument("--runs", type=int, metavar="N", help="runs per row and server; default 5, quick 1")
    parser.add_argument(
        "--judged-runs", type=int, metavar="N", help="runs of the servers that a target names; default 4 times --runs"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a run; default 1, quick 0.4")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--output", type=Path, metavar="FOLDER", help="write performance.md and speed.svg there")
    where.add_argument("--no-output", action="store_true", help="only print the report")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    options = parser.parse_args(arguments)
    options.runs = options.runs or (1 if options.quick else 5)
    options.judged_runs = max(options.runs, options.judged_runs or (1 if options.quick else 4 * options.runs))
    options.seconds = options.seconds or (0.4 if options.quick else 1.0)
    if not options.output and not options.no_output:
        whole = set(options.rows) == set(ROWS) and set(options.peers) == set(PEERS) and not options.quick
        options.output = output.PUBLISHED if whole else output.SCRATCH
    if options.output:
        try:
            output.check_report(options.output / output.REPORT)
        except ValueError as exc:
            parser.error(str(exc))
    return options


class Bench:
    """One benchmark: starts the servers of a row, measures them in turn, and stops them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self.start = time.monotonic()
        self.results = Results(settings, os.getloadavg()[0], versions={}, compiled=[])
        self.usable: set[Server] = set()

    def look_for(self, wanted: Iterable[Server]) -> None:
        """Find out which servers can run here."""
        for server in wanted:
            try:
                self.results.versions.update(server.versions())
                self.usable.add(server)
            except LookupError as exc:
                self.results.left_out[server.name] = str(exc)
                say(f"left out: {server.name}: {exc}")
        self.results.compiled = our_modules() or []
        if our_modules() == []:
            say("warning: no compiled module of wsdriver is in use, so this measures plain Python")

    def run(self, row: Row) -> None:
        """Measure one row: its servers in turn, and that as many times as there are runs.

        Then those that its targets are about go on: few runs are no verdict on a machine that others use too.
        """
        say(f"{row.name}: {row.measure.describe(self.results.settings.quick)}")
        servers = [row.table[name] for name in row.servers if row.table[name] in self.usable]
        self.results.samples[row.name] = {}
        settings = self.results.settings
        turns = range(settings.runs)
        if row.measure.fresh:
            for _ in turns:
                for server in filter(self.usable.__contains__, servers):
                    with self.serving(row, [server]) as running:
                        self.measure(row, running)
        else:
            with self.serving(row, servers) as running:
                for _ in turns:
                    self.measure(row, running)
                judged = [each for each in running if each.server.name in row.judged]
                for _ in range(settings.runs, settings.judged_runs):
                    self.measure(row, judged)

    @contextlib.contextmanager
    def serving(self, row: Row, servers: list[Server]) -> Iterator[list[Running]]:
        """Start servers side by side, give those that answer, and end them all."""
        with contextlib.ExitStack() as stack:
            started = [stack.enter_context(contextlib.closing(Running(server, self.folder))) for server in servers]
            ready = []
            for running in started:
                try:
                    running.wait_ready()
                    ready.append(running)
                except NotStarted as exc:
                    self.usable.discard(running.server)  # it would only cost the same time again
                    self.give_up(running, f"{running.server.name}, from {row.name} on", exc)
            yield ready

    def measure(self, row: Row, servers: list[Running]) -> None:
        """Take one sample of each server; one that fails is not asked again in this row."""
        for running in list(servers):
            try:
                sample = row.measure(running, self.results.settings)
            except (NotMeasured, OSError) as exc:
                servers.remove(running)
                self.give_up(running, f"{running.server.name} in {row.name}", exc)
                continue
            process.settle(running.pids)
            self.results.samples[row.name].setdefault(running.server.name, []).append(sample)
            figures = (f"{sample[column.name]:,.{column.digits}f} {column.unit}" for column in row.measure.columns)
            say(f"  {running.server.name:20} {', '.join(figures)}")

    def give_up(self, running: Running, what: str, exc: Exception) -> None:
        """Note that a server failed; its last words go to the terminal only, as they may hold paths."""
        self.results.left_out[what] = str(exc).partition("\n")[0]
        say(f"  {what}: {exc}\n{running.last_words()}")


def end(signum: int, frame: FrameType | None) -> None:
    """Leave through every finally."""
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    options = parse_arguments(arguments)
    rows = [ROWS[name] for name in options.rows]
    servers = [row.table[name] for row in rows for name in row.servers]
    wanted = [server for server in dict.fromkeys(servers) if server.ours or server.name in options.peers]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    process.pin(process.LOAD_CORE)
    process.raise_open_files(OPEN_FILES)
    if process.LOAD_CORE == process.SERVER_CORE:
        say("warning: one core only: the servers share it with the load generator")
    with tempfile.TemporaryDirectory(prefix="wsdriver-bench-") as name:
        folder = Path(name)
        build_wsload(folder)
        bench = Bench(Settings(options.runs, options.judged_runs, options.seconds, options.quick, folder), folder)
        bench.look_for(wanted)
        try:
            for place, row in enumerate(rows, 1):
                say(f"[row {place} of {len(rows)}, {time.monotonic() - bench.start:.0f} s]")
                bench.run(row)
        except KeyboardInterrupt:
            say("interrupted: nothing is reported")
            return 130
    text = report.markdown(bench.results, rows)
    print(text, flush=True)
    if options.json:
        options.json.write_text(report.as_json(bench.results, rows))
    if options.output:
        for line in output.publish(options.output, text, bench.results, rows):
            say(line)
    say(f"{time.monotonic() - bench.start:.0f} s")
    short = report.shortfalls(bench.results, rows)
    say("\n".join(["short of these targets:", *short]) if short else "no target that was measured was missed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
