"""``python -m tests.fuzz``: fuzz every target, or some; exit status 1 where something was found."""

from __future__ import annotations

import argparse
import base64
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

from tests.fuzz.corpora import keep
from tests.fuzz.engines import ENGINES, choose_engine
from tests.fuzz.targets import TARGETS

#: Seconds for making a finding smaller; lines of an engine's words that are shown with it.
SMALLER = 30
LINES = 40

#: What engines write of what they found.
FOUND = ("crash-*", "timeout-*", "oom-*", "leak-*")


def worker(engine: str, target: str, seconds: float, work: Path, log: Path) -> int:
    """Run an engine; return its exit status."""
    command = [sys.executable, "-m", "tests.fuzz.engines", engine, target, str(seconds), str(work)]
    environment = {name: value for name, value in os.environ.items() if name != "WSDRIVER_PURE"}
    with log.open("wb") as file:
        return subprocess.run(
            command, stdout=file, stderr=file, env=environment, timeout=seconds + 300, check=False
        ).returncode


def fuzz(engine: str, target: str, seconds: float, folder: Path) -> tuple[bool, str]:
    """Fuzz one target; return whether it held, and what there is to say."""
    work = folder / target
    work.mkdir(parents=True, exist_ok=True)
    log = work / "log"
    known = len(list(work.glob("new/*")))
    begin = time.monotonic()
    status = worker(engine, target, seconds, work, log)
    took = time.monotonic() - begin
    words = log.read_text(errors="replace")
    counts = re.findall(r"stat::number_of_executed_units:\s*(\d+)", words)
    executions = int(counts[-1]) if counts else 0
    coverage = re.findall(r" cov: (\d+)", words)
    new = len(list(work.glob("new/*"))) - known
    said = f"{target:8} {executions:>9,} executions in {took:.0f} s ({executions / took:,.0f}/s), {new} new inputs"
    if coverage:
        said += f", {coverage[-1]} branches"
    found = [path for pattern in FOUND for path in sorted(work.glob(pattern))]
    if status == 0 and not found and executions:
        return True, said
    said += f"\n\n{target} FAILED (exit status {status}), the end of its log {log}:\n"
    said += "\n".join(words.splitlines()[-LINES:])
    for path in found:
        small = work / "smaller"
        small.write_bytes(path.read_bytes())
        worker("minimise", target, SMALLER, small, work / "log-smaller")
        kept = keep(target, small.read_bytes())
        said += f"\n{path.name}: kept as {kept}, {kept.stat().st_size} bytes; in base64:\n"
        said += base64.b64encode(kept.read_bytes()).decode() + "\n"
        path.unlink()
    return False, said


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="for each target (default 600)")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="may be repeated (default: all)")
    parser.add_argument("--engine", choices=ENGINES, help="by default atheris where it can be imported")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (default 1)")
    parser.add_argument("--work", type=Path, help="a folder that keeps logs and new inputs, and goes on from them")
    given = parser.parse_args()
    engine = given.engine or choose_engine()
    print(
        f"{engine} {version(engine)}, Python {sys.version.split()[0]}, {given.seconds:.0f} s for each target",
        flush=True,
    )
    held = True
    with (
        nullcontext(str(given.work)) if given.work else tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(given.jobs) as pool,
    ):
        names = given.target or list(TARGETS)
        runs = [pool.submit(fuzz, engine, name, given.seconds, Path(folder).resolve()) for name in names]
        for run in runs:
            right, said = run.result()
            held = held and right
            print(said, flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
