"""A real Chromium and a real gunicorn for the browser tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.net import free_port

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 10.0  # seconds: what a page or a process may take before a test fails
CHROMIUM_ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1000,700",
]


def missing(what: str) -> None:
    """End a test that lacks its peer: skipped on a developer's machine, failed in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed, and CI skips nothing")
    pytest.skip(f"{what} is not installed")


def program(*names: str) -> str:
    """The path of the first of these programs that is installed."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing(names[0])
        raise AssertionError("missing() has returned")
    return found


def module(name: str) -> None:
    """Make sure that a Python package is installed."""
    if importlib.util.find_spec(name) is None:
        missing(name)


class Server:
    """`gunicorn -k wsdriver.worker` with an application of examples/, which can be stopped and started again."""

    def __init__(self, application: str, log: Path, channel_url: str = "") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._application = application
        self._log = log
        self._channel_url = channel_url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return once connections are accepted."""
        command = [sys.executable, "-m", "gunicorn", "-k", "wsdriver.worker", "--bind", f"127.0.0.1:{self.port}"]
        environment = {k: v for k, v in os.environ.items() if k not in ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS")}
        environment["CHANNEL_URL"] = self._channel_url
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, self._application], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"gunicorn did not start:\n{self._log.read_text()}")
                time.sleep(0.05)

    def stop(self) -> int:
        """Stop with SIGTERM, as a process manager does, and return the exit status."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            # (A page that is too busy to answer our close frame is waited for: close_timeout.)
            return process.wait(3 * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail(f"gunicorn was still there {3 * PATIENCE:.0f} s after SIGTERM:\n{self._log.read_text()}")

    def close(self) -> None:
        """Let no process survive the test, whatever happened in it."""
        if self._process is not None:
            self._process.send_signal(
                signal.SIGINT
            )  # gunicorn's quick way out: idle HTTP connections are not waited for
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Page:
    """The chat as one person sees it."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def script(self, source: str, *arguments: object) -> Any:
        return self.driver.execute_script(f"return {source}", *arguments)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition; `what` says what was waited for when it never comes."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(
                    f"waited {PATIENCE:.0f} s for {what}; the page shows:\n{self.script('document.body.innerText')}"
                )
            time.sleep(0.02)

    def join(self, name: str) -> None:
        self.enter_name(name)
        self.until_state("online")

    def enter_name(self, name: str) -> None:
        self.until(lambda: self.script("document.getElementById('join-dialog').open"), "the join dialog")
        field = self.driver.find_element("id", "name")
        field.clear()
        field.send_keys(name)
        self.driver.find_element("id", "join").click()

    def say(self, text: str) -> None:
        self.driver.find_element("id", "text").send_keys(text)
        self.driver.find_element("id", "send").click()

    @property
    def state(self) -> str:
        return str(self.script("document.getElementById('status').dataset.state"))

    @property
    def messages(self) -> list[str]:
        return self.texts("#messages .bubble")

    @property
    def members(self) -> list[str]:
        return self.texts("#members .name")

    def texts(self, selector: str) -> list[str]:
        """The text of every element that the selector finds."""
        source = "Array.from(document.querySelectorAll(arguments[0]), (element) => element.textContent)"
        return list(self.script(source, selector))

    def until_state(self, state: str) -> None:
        self.until(lambda: self.state == state, f"the status {state!r}")

    def until_message(self, text: str) -> None:
        """Wait for a message that the server has confirmed."""
        selector = "#messages .message:not(.pending, .failed) .bubble"
        self.until(lambda: text in self.texts(selector), f"the message {text!r}")

    def until_members(self, *names: str) -> None:
        self.until(lambda: sorted(self.members) == sorted(names), f"the members {names}")


def launch(profile: Path) -> Chrome:
    """A Chromium of its own, with an empty profile."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium", "chromium-browser", "google-chrome")
    for argument in [*CHROMIUM_ARGUMENTS, f"--user-data-dir={profile}"]:
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=program("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(PATIENCE)
    return driver


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """The same, for as long as it is needed."""
    module("selenium")
    driver = launch(profile)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Chrome]]:
    """Two browsers that know nothing of each other."""
    with ExitStack() as stack:
        yield [stack.enter_context(chromium(tmp_path_factory.mktemp(person))) for person in ("first", "second")]


@contextmanager
def serving(application: str, log: Path, channel_url: str = "") -> Iterator[Server]:
    """A server that runs, on a port of its own: the storage of earlier tests belongs to another origin."""
    module("gunicorn")
    server = Server(application, log, channel_url)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Server]:
    """The chat example."""
    with serving("examples.chat:app", tmp_path / "gunicorn.log") as server:
        yield server


@pytest.fixture
def ada(browsers: list[Chrome], chat: Server) -> Iterator[Page]:
    yield from open_page(browsers[0], chat)


@pytest.fixture
def grace(browsers: list[Chrome], chat: Server) -> Iterator[Page]:
    yield from open_page(browsers[1], chat)


def open_page(driver: Chrome, server: Server) -> Iterator[Page]:
    driver.get(server.url)
    yield Page(driver)
    driver.get("about:blank")
