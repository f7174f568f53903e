"""What looks for inputs. Each engine runs a target in a process of its own: ``python -m tests.fuzz.engines ...``.

Atheris (libFuzzer) watches which code of the plain world runs, and goes on from inputs that reach more of it. Where it
cannot be imported there is Hypothesis, which does not watch, but changes what the corpora have.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.corpora import CORPUS, inputs
from tests.fuzz.worlds import watch, worlds

__all__ = ["ENGINES", "choose_engine", "minimise"]

ENGINES = ("atheris", "hypothesis")

#: Bytes of an input at most; seconds and MiB that one may take.
MAX_SIZE = 4096
PATIENCE = 60
MEMORY = 768

Target = Callable[[bytes], None]


def choose_engine() -> str:
    """Return the engine there is. In CI it has to be atheris, wherever there is one for this Python.

    Raises:
        RuntimeError: it is not installed, and CI has to.
    """
    if importlib.util.find_spec("atheris") is not None:
        return "atheris"
    if os.environ.get("CI") == "true" and sys.version_info >= (3, 11):
        raise RuntimeError("atheris is missing, and CI has to install it: pip install -e '.[fuzz]'")
    return "hypothesis"


def load_target(name: str) -> Target:
    from tests.fuzz.targets import TARGETS

    return TARGETS[name]


def run_atheris(name: str, seconds: float, work: Path) -> None:
    """Fuzz until the time is over, or something is found: then it is in a file of ``work``. Does not return."""
    import atheris

    watch(lambda code: atheris.patch_code(code, True))
    worlds()
    target = load_target(name)
    new = work / "new"
    new.mkdir(exist_ok=True)
    options = {
        "max_total_time": round(seconds),
        "max_len": MAX_SIZE,
        "timeout": PATIENCE,
        "rss_limit_mb": MEMORY,
        "artifact_prefix": f"{work}/",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    arguments = [*(f"-{key}={value}" for key, value in options.items()), str(new), str(CORPUS / name)]
    atheris.Setup([sys.argv[0], *arguments], target, enable_python_coverage=True)
    atheris.Fuzz()


def run_hypothesis(name: str, seconds: float, work: Path) -> None:
    """The same with Hypothesis: any bytes, and those of the corpus with some of them changed."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    target = load_target(name)
    known = sorted(inputs(name).values(), key=len)
    count = 0
    last = b""

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(known)))
        for _ in range(draw(st.integers(0, 4))):
            at = draw(st.integers(0, len(data)))
            size = draw(st.integers(0, 4))
            data[at : at + size] = draw(st.binary(max_size=4))
        return bytes(data)

    @given(st.one_of(changed(), changed(), st.binary(max_size=300)) if known else st.binary(max_size=300))
    @settings(
        max_examples=200,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def attempt(data: bytes) -> None:
        nonlocal count, last
        count += 1
        last = data
        target(data)

    end = time.monotonic() + seconds
    try:
        for data in known:
            last = data
            count += 1
            target(data)
        while time.monotonic() < end:
            attempt()
    except BaseException:
        (work / "crash-hypothesis").write_bytes(last)
        raise
    finally:
        print(f"stat::number_of_executed_units: {count}", file=sys.stderr)


def minimise(target: Target, data: bytes, seconds: float) -> bytes:
    """Return a smaller input at which the target raises the same kind of error: parts left out, then bytes made 0."""

    def failure(data: bytes) -> type[BaseException] | None:
        try:
            target(data)
        except Exception as error:
            return type(error)
        return None

    end = time.monotonic() + seconds
    wanted = failure(data)
    size = len(data) // 2
    while size and wanted:
        at = 0
        while at < len(data) and time.monotonic() < end:
            shorter = data[:at] + data[at + size :]
            if failure(shorter) is wanted:
                data = shorter
            else:
                at += size
        size //= 2
    for at in range(len(data)):
        zeroed = data[:at] + b"\0" + data[at + 1 :]
        if wanted and data[at] and time.monotonic() < end and failure(zeroed) is wanted:
            data = zeroed
    return data


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=(*ENGINES, "minimise"))
    parser.add_argument("target")
    parser.add_argument("seconds", type=float)
    parser.add_argument("work", type=Path, help="a folder for what is found; of minimise, a file that is changed")
    given = parser.parse_args()
    random.seed(0)
    if given.engine == "atheris":
        run_atheris(given.target, given.seconds, given.work)
    elif given.engine == "hypothesis":
        run_hypothesis(given.target, given.seconds, given.work)
    else:
        given.work.write_bytes(minimise(load_target(given.target), given.work.read_bytes(), given.seconds))


if __name__ == "__main__":
    main()
