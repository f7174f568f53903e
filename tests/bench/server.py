"""A server of the benchmark: what it needs, how it is started and stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.bench import process
from tests.bench.certificates import make_certificates
from tests.bench.client import Client

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 10.0
PROBE_TIMEOUT = 3.0
STOP_TIMEOUT = 3.0


#: Those of a run, in its folder.
certificates = cache(make_certificates)


class NotStarted(Exception):
    """A server ended, or did not answer in time."""


@dataclass(frozen=True, eq=False)
class Server:
    """One line of a table: a command with `{port}` in it, and what it needs.

    With `tls`, the command also has `{certificate}` and `{key}`, two files. With `client`, it is that script which is
    measured, and the server is only who answers it.
    """

    name: str
    title: str
    command: tuple[str, ...]
    packages: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    gems: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    raw: bool = False
    ours: bool = False
    tls: bool = False
    client: str = ""

    def versions(self) -> dict[str, str]:
        """Return the versions of its packages; raise LookupError, saying why, when it cannot run here."""
        if self.ours:
            if our_modules() is None:
                raise LookupError("wsdriver cannot be imported")
            if not (ROOT / "examples" / "echo.py").is_file():
                raise LookupError("examples/echo.py is missing")
        found = {}
        for package in self.packages:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                raise LookupError(f"the Python package {package} is not installed") from None
        for package in self.npm:
            found["node"], found[package] = npm_version(package)
        for gem in self.gems:
            found["ruby"], found[gem] = gem_version(gem)
        return found


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a server: the checkout goes first, and Node finds its modules where we are told."""
    env = {key: value for key, value in os.environ.items() if key != "WSDRIVER_PURE"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH", "")]))
    if modules := env.get("WSDRIVER_NODE_MODULES"):
        env["NODE_PATH"] = modules
    return {**env, **extra}


def ask(*command: str) -> str:
    """Return what a short command prints; raise LookupError with its last words when it fails."""
    env = environment({})
    answer = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False)
    if answer.returncode:
        raise LookupError((answer.stderr.strip() or "no answer").splitlines()[-1])
    return answer.stdout.strip()


@cache
def our_modules() -> list[str] | None:
    """Return the names of the compiled modules that a server of ours loads; None when it cannot even be imported."""
    loaded = (
        "import sys, wsdriver; wsdriver.WebSocketServer; from importlib.machinery import EXTENSION_SUFFIXES as s\n"
        "ours = [m for n, m in sys.modules.items() if n.startswith('wsdriver.')]\n"
        "print(*sorted(m.__name__ for m in ours if str(getattr(m, '__file__', '')).endswith(tuple(s))))"
    )
    try:
        return ask(sys.executable, "-c", loaded).split()
    except LookupError as exc:
        print(f"wsdriver: {exc}", file=sys.stderr)
        return None


@cache
def npm_version(package: str) -> tuple[str, str]:
    """Return the versions of Node and of one of its packages."""
    if not shutil.which("node"):
        raise LookupError("node is not installed")
    try:
        node, found = ask("node", "-p", f"process.version + ' ' + require('{package}/package.json').version").split()
    except LookupError:
        hint = "set WSDRIVER_NODE_MODULES to a node_modules folder that has it"
        raise LookupError(f"the npm package {package} is not found: {hint}") from None
    return node, found


@cache
def gem_version(gem: str) -> tuple[str, str]:
    """Return the versions of Ruby and of one of its packages."""
    if not shutil.which("ruby"):
        raise LookupError("ruby is not installed")
    try:
        ruby, found = ask("ruby", "-e", f"puts RUBY_VERSION, Gem::Specification.find_by_name('{gem}').version").split()
    except LookupError:
        raise LookupError(f"the Ruby package {gem} is not installed") from None
    return ruby, found


class Running:
    """A server started in a session of its own, on the core for servers."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.context: ssl.SSLContext | None = None
        files = {}
        if server.tls:
            made = certificates(folder)
            self.context = ssl.create_default_context(cafile=str(made.authority))
            files = {"certificate": made.certificate, "key": made.key}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.log = folder / f"{server.name}-{self.port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [part.format(port=self.port, **files) for part in server.command],
                cwd=ROOT,
                env=environment(server.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: process.pin(process.SERVER_CORE),
            )

    @property
    def pids(self) -> list[int]:
        """The server's process and its children."""
        return process.group(self.process.pid)

    def client(self, timeout: float = 10.0) -> Client:
        """Return a new connection to it."""
        return Client(self.port, self.server.raw, timeout, self.context)

    def wait_ready(self) -> None:
        """Return once the server has echoed a message."""
        deadline = time.monotonic() + START_TIMEOUT
        reason = "it did not answer"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise NotStarted(f"it ended with {self.process.returncode}")
            try:
                client = self.client(PROBE_TIMEOUT)
                with client.sock:
                    client.open()
                    client.echo()
                    client.close()
                return
            except OSError as exc:
                reason = str(exc)
            time.sleep(0.05)
        raise NotStarted(f"it did not echo within {START_TIMEOUT:g} s: {reason}")

    def last_words(self, size: int = 2000) -> str:
        """Return the end of what the server printed."""
        return self.log.read_bytes()[-size:].decode(errors="replace").strip()

    def close(self) -> None:
        """Ask the server to end, then end whatever is left of its group."""
        pid = self.process.pid
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + STOP_TIMEOUT
            # WNOWAIT leaves the dead leader in place: while it is there, its number cannot become another group's.
            while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) and time.monotonic() < deadline:
                time.sleep(0.01)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self.process.wait()
