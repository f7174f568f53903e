"""What the kernel knows about processes: cores, processor time, memory, open files."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
LOAD_CORE = CORES[-1]
#: Open files of the load generator beside its connections.
SPARE_FILES = 100


def pin(core: int) -> None:
    """Keep this process, and what it starts from now on, on one core."""
    os.sched_setaffinity(0, {core})


def raise_open_files(wanted: int) -> int:
    """Raise the soft limit of open files as far as it may go, for the processes started later too; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft


def may_open(connections: int) -> int:
    """Return how many of so many connections can be opened."""
    return min(connections, raise_open_files(connections + SPARE_FILES) - SPARE_FILES)


def group(leader: int) -> list[int]:
    """Return the ids of all processes in the group of `leader`: a server with its workers."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            if int(fields[2]) == leader:
                found.append(int(entry.name))
    return found


def cpu_time(pids: list[int]) -> float:
    """Return the seconds of processor time, user and system, which the processes have used.

    It is utime + stime of /proc/PID/stat, but read from the CPU clock of each process: stat counts in steps of 10 ms.
    """
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):  # it ended meanwhile
            total += time.clock_gettime_ns(~pid << 3 | 2)  # the clock that clock_getcpuclockid() returns
    return total / 1e9


def resident(pids: list[int]) -> int:
    """Return the resident memory of the processes, in KiB."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total


def settle(pids: list[int], quiet: float = 0.05, patience: float = 3.0) -> None:
    """Wait until the processes have stopped working, so that one server's leftovers are not timed as another's work."""
    deadline = time.monotonic() + patience
    before = cpu_time(pids)
    while time.monotonic() < deadline:
        time.sleep(quiet)
        now = cpu_time(pids)
        if now - before < quiet / 50:
            return
        before = now
