"""``python -m tests.sanitize``: the compiled modules under AddressSanitizer and UndefinedBehaviorSanitizer.

Copies the sources to a temporary folder, builds them there with gcc's ``-fsanitize=address,undefined``, and runs the
tests that go through them: what they do with bytes, the drivers, the corpora of the fuzzing, and some of
``tests/green`` over real sockets. A read or write outside of an object, a use of freed memory, an overflow of a signed
number, a shift too far or a misaligned access ends the run, with exit status 1.

What it does not see: memory that is never freed (CPython frees little at its end; ``tests/support/leaks.py`` looks for
that), and what happens inside of gevent, greenlet and zlib, which are not built here; of memory that these and CPython
hand out, overruns by our code are seen, since PYTHONMALLOC=malloc has each object in a piece of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: What is copied: the package, the tests, and what builds and configures them.
PARTS = ("wsdriver", "tests", "examples", "pyproject.toml", "setup.cfg", "README.md", "LICENSE")

#: Not optimised: then the build takes seconds instead of minutes, and no check is optimised away.
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1 -O0"

#: Two runs at a time, of about the same length. Of tests that ask the same of every version or side, and of those whose
#: time goes into other programs, there are others here that take the same code the same way.
RUNS = (
    (
        "tests/framing",
        "tests/extensions",
    ),
    (
        "tests/fuzz/test_corpus.py",
        "tests/driver/test_vectors.py",
        "tests/driver/test_pair.py",
        "tests/driver/test_properties.py",
        "tests/driver/test_plain.py",
        "tests/driver/test_observer.py",
        "tests/green/test_websocket.py",
        "tests/green/test_broadcast.py",
        "tests/green/test_sockio.py",
        "tests/green/test_large.py",
        "tests/green/test_ends.py",
    ),
)

#: What they count is not what it is without the sanitizers: pages of memory, bytes.
WITHOUT = (
    "test_decoder_of_large_messages_gets_no_new_pages_for_each",
    "takes_little_memory",
)

#: Modules out of whose functions greenlets are switched. greenlet copies the frames of one away, and another's over
#: them: the marks that AddressSanitizer puts around local variables would stay, and be taken for those of the other. So
#: there are none in these modules; those that work on bytes never switch, and have them.
SWITCHING = ("driver.driver", "green.transport", "green.connection")

#: greenlet's own copying of stacks goes over the marks of whoever is on them.
SUPPRESSIONS = "interceptor_via_lib:_greenlet.cpython\n"

OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0:exitcode=99:strict_string_checks=1"
    ":allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "PYTHONMALLOC": "malloc",
}


def copy(folder: Path) -> None:
    """Copy the sources, without anything that was built."""
    ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__")
    folder.mkdir(exist_ok=True)
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    for path in (ROOT / "tests").rglob("*.c"):  # written by hand
        shutil.copy(path, folder / path.relative_to(ROOT))
    settings = folder / "pyproject.toml"
    settings.write_text(re.sub(r"^ *\{name = .*$", lambda line: _flagged(line[0]), settings.read_text(), flags=re.M))


def _flagged(extension: str) -> str:
    """Return an extension's line of pyproject.toml: built or a failure, and with no flags of its own but ours."""
    extension = extension.replace(', extra-compile-args = ["-O3"]', "").replace("optional = true", "optional = false")
    if any(f'"wsdriver.{name}"' in extension for name in SWITCHING):
        extension = extension.replace("optional", 'extra-compile-args = ["--param=asan-stack=0"], optional')
    return extension


def build(folder: Path) -> None:
    """Build the compiled modules with the sanitizers."""
    environment = {**os.environ, "CFLAGS": FLAGS, "LDFLAGS": FLAGS}
    command = [sys.executable, "-c", "from setuptools import setup; setup()", "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the build failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")


def preloaded() -> str:
    """Return what has to be loaded before Python, which is not built with the sanitizers.

    libstdc++ too: else libasan does not find what greenlet throws with.
    """
    names = ("libasan.so", "libubsan.so", "libstdc++.so.6")
    paths = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in names
    ]
    for path in paths:
        if not os.path.isabs(path):
            sys.exit(f"gcc has no {path}: Debian has it in libgcc-12-dev, which gcc-12 brings")
    return " ".join(paths)


def run(folder: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run tests; return the exit status, and what pytest and the sanitizers said."""
    suppressions = folder / "suppressions"
    suppressions.write_text(SUPPRESSIONS)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "WSDRIVER_PURE"},
        **OPTIONS,
        "ASAN_OPTIONS": f"{OPTIONS['ASAN_OPTIONS']}:suppressions={suppressions}",
        "LD_PRELOAD": preloaded(),
        "PYTHONPATH": str(folder),
    }
    without = " and ".join(f"not {name}" for name in WITHOUT)
    # A report goes to stderr, and the process ends: pytest may not have taken that for itself.
    options = ["--capture=sys", "-p", "no:cacheprovider", "-p", "tests.support.few_examples"]
    command = [sys.executable, "-m", "pytest", "-q", *options, "-k", without, *tests]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.returncode, done.stdout.decode(errors="replace")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sanitize")
    parser.add_argument("--folder", type=Path, help="to build in; what was built there before is used as it is")
    parser.add_argument("tests", nargs="*", help="arguments for pytest (default: what goes through compiled code)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() if given.folder is None else nullcontext(given.folder) as name:
        folder = Path(name).resolve()
        begin = time.monotonic()
        if not list(folder.glob("wsdriver")):
            copy(folder)
            build(folder)
        built = sorted(path.name.partition(".")[0] for path in folder.glob("wsdriver/**/*.so"))
        expected = len(re.findall(r"^ *\{name = ", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
        assert len(built) == expected, f"{built} were built, {expected} should have been"
        print(f"built {', '.join(built)} with {FLAGS} in {time.monotonic() - begin:.0f} s", flush=True)
        statuses = []
        with ThreadPoolExecutor(len(RUNS)) as pool:
            for status, said in pool.map(lambda tests: run(folder, tests), [given.tests] if given.tests else RUNS):
                print(said, flush=True)
                statuses.append(status)
        return 1 if any(statuses) else 0


if __name__ == "__main__":
    sys.exit(main())
