"""Does cost grow linearly, is nobody starved, does nothing wait? ``python -m tests.bench.growth --help``

Four parts: the driver alone, with messages of every size (``growth_driver.py``, instructions by callgrind where that
is installed); the server's processor time with one to ten thousand connections; what quiet clients notice of a
flooding one; the latency of a single connection. The report goes between two comment lines of a Markdown file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import process
from tests.bench.report import number, table
from tests.bench.server import ROOT, Running, Server, environment
from tests.bench.tables import SERVERS

BEGIN, END = "<!-- growth: begin -->", "<!-- growth: end -->"

#: What is held: cost against that of the row above, were it linear; growth of the cost per message above a hundred
#: connections, against raw gevent's; p99 of the quiet against that without a flood; p50 of the lone against raw gevent.
LINEAR, CONNECTIONS, FAIR, LONE = 1.15, 1.3, 3.0, 1.0

#: The same where another way of doing it begins, such as for a message that is larger than one read.
STEP = 2.1

#: Seconds that processes of real-time priority may run at a stretch: the kernel cuts in after 0.95.
STRETCH = 0.5

OPEN_FILES = 10_500
PYTHON = (sys.executable, "tests/bench/growth_server.py", "{port}")
OURS = Server("wsdriver", "wsdriver", PYTHON, ("gevent",), ours=True)
BEATING = Server("wsdriver-ping", "wsdriver with a heartbeat", (*PYTHON, "2"), ("gevent",), ours=True)
RAW = SERVERS["raw-gevent"]


def say(text: str) -> None:
    """Tell how far it is, beside the report."""
    print(text, file=sys.stderr, flush=True)


def verdict(good: bool) -> str:
    return "reached" if good else "**SHORT**"


class Load:
    """A running growthload: started pinned on the core for load, and told by lines when to go."""

    def __init__(self, program: Path, mode: str, running: Running, *arguments: object, priority: int = 0) -> None:
        raw = ("raw",) if running.server.raw else ()
        command = [str(program), mode, *map(str, (running.port, *arguments, *raw))]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: process.pin(process.LOAD_CORE),
        )
        if self.answer() != "ready":
            raise RuntimeError(f"growthload {mode} could not connect")
        if priority:
            hurry(self.process.pid, priority)

    def answer(self) -> str:
        """Return its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        """Have it begin."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def run(self) -> list[float]:
        """Have it begin, and return the numbers that it prints at the end."""
        self.go()
        line = self.answer()
        if not line:
            raise RuntimeError("growthload ended early")
        return [float(word) for word in line.split()]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.process.communicate(timeout=20)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def hurry(pid: int, priority: int) -> bool:
    """Give a process real-time priority, so that other work is not what is measured; False where we may not."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        return False
    return True


@contextlib.contextmanager
def serving(server: Server, folder: Path) -> Iterator[Running]:
    """Start a server, and end it."""
    with contextlib.closing(Running(server, folder)) as running:
        running.wait_ready()
        yield running


def compile_c(source: str, target: Path, *options: str) -> Path:
    """Compile one of the C files beside this."""
    command = ["cc", "-O2", *options, "-o", str(target), str(Path(__file__).with_name(source))]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return target


@dataclass
class Growth:
    """One run of everything."""

    quick: bool
    folder: Path

    # --- the driver alone ---------------------------------------------------------------------------------------------

    def driver(self) -> str:
        """Return the tables of the driver alone."""
        command = [sys.executable, "-m", "tests.bench.growth_driver", *(["--quick"] if self.quick else [])]
        rows = json.loads(self.ask(command))
        counts = self.instructions(command)
        parts, lines, head, good, above = [], [], "", True, None
        for i, row in enumerate(rows):
            if row["table"] != head:
                head, lines, good, above = row["table"], [], True, None
            instructions = counts[i] / row["messages"] if counts else None
            nanoseconds = row["ns"] / row["messages"]
            cost = instructions or nanoseconds
            linear = None if above is None else cost / (above[0] * row["units"] / above[1])
            good = good and (linear is None or linear <= STEP)
            last = linear is None or linear <= LINEAR
            above = (cost, row["units"])
            lines.append(
                [
                    row["name"],
                    number(instructions),
                    number(instructions and instructions / row["units"], 2),
                    number(nanoseconds / 1000, 1),
                    number(nanoseconds / row["units"], 2),
                    number(linear, 2),
                ]
            )
            if i + 1 == len(rows) or rows[i + 1]["table"] != head:
                unit = "fragment" if "fragments" in head else "segment" if "segments" in head else "byte"
                columns = ["instructions a message", f"a {unit}", "us a message", f"ns a {unit}", "x linear"]
                first = "size" if unit == "byte" else f"{unit}s"
                parts.append(f"**{head}**: {verdict(good and last)}\n\n{table([first, *columns], lines)}")
        note = "" if counts else "\n\nvalgrind is not here, so there are no instructions, and the clock judges."
        return (
            f"### The driver alone{note}\n\n`x linear` is the cost of a message against that of the row above, times"
            f" how many times as large it is: at most {LINEAR} in the last row, and at most {STEP} anywhere, where"
            " another way of doing it begins, such as for a message that is larger than one read. It is far below 1 as"
            " long as the message itself costs more than its bytes.\n\n" + "\n\n".join(parts)
        )

    def ask(self, command: list[str]) -> str:
        """Return what a program of this repository prints."""
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environment({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        ).stdout

    def instructions(self, command: list[str]) -> list[int]:
        """Return the instructions of each section, counted by callgrind; nothing where it is not installed."""
        if not shutil.which("valgrind"):
            return []
        say("driver alone, under callgrind: this takes minutes")
        try:
            marks = compile_c("growth_marks.c", self.folder / "marks.so", "-shared", "-fPIC")
        except subprocess.CalledProcessError:
            return []  # without its header
        out = self.folder / "callgrind"
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        self.ask([*valgrind, *command, "--marks", str(marks)])
        found = {}
        for dump in self.folder.glob("callgrind.*"):
            text = dump.read_text(errors="replace")
            name = re.search(r"^desc: Trigger: Client Request: (\d+)$", text, re.MULTILINE)
            total = re.search(r"^summary: (\d+)$", text, re.MULTILINE)
            if name and total:
                found[int(name[1])] = int(total[1])
        return [found[i] for i in range(len(found))]

    # --- many connections ---------------------------------------------------------------------------------------------

    def connections(self, program: Path) -> str:
        """Return the table of one to ten thousand connections."""
        runs, messages = (2, 4000) if self.quick else (3, 20_000)
        files = process.raise_open_files(OPEN_FILES)
        most = min(1000 if self.quick else 10_000, files - 200)
        cases = [(n, n) for n in (1, 10, 100, 1000, 10_000) if n < most] + [(most, most), (most, most // 100)]
        lines, base = [], None
        for count, active in cases:
            say(f"connections: {count}, {active} of them active")
            samples: dict[str, list[float]] = {"ours": [], "raw": []}
            with contextlib.ExitStack() as stack:
                loads = {}
                for name, server in (("ours", OURS), ("raw", RAW)):
                    running = stack.enter_context(serving(server, self.folder))
                    load = Load(program, "echo", running, count, active, 64, messages, 32)
                    stack.callback(load.close)
                    process.settle(running.pids)
                    loads[name] = (running, load)
                for _ in range(runs):
                    for name, (running, load) in loads.items():
                        before = process.cpu_time(running.pids)
                        load.run()
                        samples[name].append((process.cpu_time(running.pids) - before) / messages * 1e6)
                idle = self.idle(loads["ours"][0], 2.0 if self.quick else 5.0) if count == active == most else None
            ours, raw = median(samples["ours"]), median(samples["raw"])
            if count == 100:
                base = (ours, raw)
            growth = None if base is None or count == 100 else (ours / base[0], raw / base[1])
            bound = "-" if growth is None else verdict(growth[0] <= CONNECTIONS * max(growth[1], 1.0))
            lines.append(
                [
                    f"{count:,}" + (f", {active:,} active" if active != count else ""),
                    number(ours, 2),
                    number(raw, 2),
                    number(ours / raw, 2),
                    number(growth and growth[0], 2),
                    number(growth and growth[1], 2),
                    bound,
                ]
            )
            if idle is not None:
                silent = idle
        beats, gap = self.heartbeat(program, most)
        head = ["connections", "us a message", "raw gevent", "ours : raw", "x 100", "raw x 100", "verdict"]
        return (
            f"### Connections\n\nProcessor time of the server per echo of 32 B: {messages:,} messages in turn over the"
            f" active connections, 64 of them in flight (fewer with fewer connections: then each wake-up serves fewer)."
            f" Above 100, our cost may grow {CONNECTIONS} times as much as raw gevent's.\n\n{table(head, lines)}\n\n"
            f"{most:,} idle connections: {silent * 100:.2f} % of a core without a heartbeat"
            f" ({verdict(silent < 0.005)}: at most 0.5 %). A ping of the heartbeat costs {beats:.1f} us, so {most:,}"
            f" connections at the default of one in 20 s cost {beats * most / 20 / 1e4:.1f} % of a core (measured over"
            f" {gap:.0f} s with one in 2 s)."
        )

    def idle(self, running: Running, seconds: float) -> float:
        """Return which share of a core a server uses that has nothing to do."""
        process.settle(running.pids)
        before = process.cpu_time(running.pids)
        time.sleep(seconds)
        return (process.cpu_time(running.pids) - before) / seconds

    def heartbeat(self, program: Path, count: int) -> tuple[float, float]:
        """Return the microseconds of one ping, and how long that was measured."""
        say("heartbeat")
        seconds = 4.0 if self.quick else 8.0
        with serving(BEATING, self.folder) as running:
            load = Load(program, "hold", running, count)
            try:
                time.sleep(2.5)
                before = process.cpu_time(running.pids)
                time.sleep(seconds)
                used = process.cpu_time(running.pids) - before
            finally:
                load.close()
        return used / (count * seconds / 2) * 1e6, seconds

    # --- fairness -----------------------------------------------------------------------------------------------------

    def fairness(self, program: Path) -> str:
        """Return the table of quiet clients beside a flooding one."""
        runs = 3 if self.quick else 9
        floods: list[tuple[str, tuple[object, ...]]] = [
            ("none", ()),
            ("empty messages", (0,)),
            ("32 B, reads the echoes", (32,)),
            ("32 B, never reads", (32, "mute")),
            ("1 KiB, reads the echoes", (1024,)),
            ("4 KiB, reads the echoes", (4096,)),
            ("64 KiB, reads the echoes", (65536,)),
        ]
        samples: dict[str, list[list[float]]] = {name: [] for name, _ in floods}
        rates: dict[str, list[float]] = {name: [] for name, _ in floods}
        with serving(OURS, self.folder) as running:
            for pid in running.pids:
                fast = hurry(pid, 10)
            quiet = Load(program, "quiet", running, 63, 20_000, STRETCH, priority=10)
            try:
                for turn in range(runs):
                    say(f"fairness: {turn + 1} of {runs}")
                    for name, arguments in floods:
                        flood = Load(program, "flood", running, *arguments, priority=5) if arguments else None
                        time.sleep(0.5)  # so that the kernel's limit of real-time work is not reached
                        if flood is not None:
                            flood.go()
                            time.sleep(0.1)
                        began = time.monotonic()
                        samples[name].append(quiet.run()[1:])
                        if flood is not None:
                            sent, _ = map(int, flood.process.communicate(timeout=20)[0].split())
                            rates[name].append(sent / (time.monotonic() - began + 0.1))
                        process.settle(running.pids)
            finally:
                quiet.close()
        base = median(sample[1] for sample in samples["none"])
        lines = []
        for name, taken in samples.items():
            p50, p99, worst = (median(column) for column in zip(*taken, strict=True))
            bound = "-" if name == "none" else verdict(p99 <= FAIR * base)
            rate = number(median(rates[name])) if rates[name] else "-"
            lines.append([name, rate, number(p50), number(p99), number(worst), number(p99 / base, 2), bound])
        head = ["the flood", "messages/s of it", "p50 us", "p99 us", "max us", "p99 : without", "verdict"]
        how = "real-time priority" if fast else "normal priority: the machine's other work is in these figures"
        return (
            "### Fairness\n\n63 quiet clients, each with a text of 32 B every 20 ms or so, beside one client that"
            " writes as fast as it can. Server on one core; the quiet and, with less priority, the flooding client, a"
            f" process each, on the other. {runs} runs of {STRETCH:g} s, medians; {how}. Bound: {FAIR:g} x the p99"
            f" without a flood.\n\n{table(head, lines)}"
        )

    # --- latency ------------------------------------------------------------------------------------------------------

    def latency(self, program: Path) -> str:
        """Return the table of a single connection."""
        runs, rounds = (3, 500) if self.quick else (7, 2000)
        lines = []
        for pause in (0, 200):
            samples: dict[str, list[list[float]]] = {OURS.name: [], RAW.name: []}
            with contextlib.ExitStack() as stack:
                loads = {}
                for server in (OURS, RAW):
                    running = stack.enter_context(serving(server, self.folder))
                    for pid in running.pids:
                        hurry(pid, 10)
                    loads[server.name] = Load(program, "lone", running, 32, rounds, pause, priority=10)
                    stack.callback(loads[server.name].close)
                for turn in range(runs + 1):
                    for name, load in loads.items():
                        sample = load.run()
                        time.sleep(0.2)
                        if turn:  # the first warms up
                            samples[name].append(sample)
            ours, raw = ([median(column) / 1000 for column in zip(*taken, strict=True)] for taken in samples.values())
            figures = [number(figure, 1) for figure in (ours[0], raw[0], ours[1], raw[1])]
            how = f"{pause} us after the echo before" if pause else "at once"
            lines.append([how, *figures, number(ours[0] / raw[0], 2), verdict(ours[0] <= LONE * raw[0])])
        head = ["next message", "p50 us", "raw gevent", "p99 us", "raw gevent", "p50, ours : raw", "verdict"]
        return (
            f"### Latency\n\nOne connection, 32 B, one message in flight: {runs} runs of {rounds:,} round trips,"
            f" interleaved, medians. Bound: p50 at most {LONE:g} x raw gevent's.\n\n{table(head, lines)}"
        )


PARTS = ("driver", "connections", "fairness", "latency")


def write(path: Path, report: str) -> None:
    """Put the report between the markers of a file."""
    text = path.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{path} has no place for a report between '{BEGIN}' and '{END}'")
    before, _, rest = text.partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{report}\n\n{END}{rest.partition(END)[2]}")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter: a check, not a figure")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the report between the markers of a file")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if options.output and options.output.read_text().count(BEGIN) != 1:
        parser.error(f"{options.output} has no place for a report")
    process.raise_open_files(OPEN_FILES)
    with tempfile.TemporaryDirectory(prefix="wsdriver-growth-") as name:
        folder = Path(name)
        program = compile_c("growthload.c", folder / "growthload")
        growth = Growth(options.quick, folder)
        made: list[Any] = []
        for part in parts:
            say(part)
            made.append(growth.driver() if part == "driver" else getattr(growth, part)(program))
    report = "\n\n".join(made)
    print(report)
    if options.output:
        write(options.output, report)
    short = report.count("**SHORT**")
    say(f"{short} short" if short else "nothing falls short")
    return 0


if __name__ == "__main__":
    sys.exit(main())
