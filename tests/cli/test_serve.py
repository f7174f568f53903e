"""``wsdriver serve``: what it serves, where, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import wsdriver
from tests.cli.programs import run, started
from tests.support.tls import make_certificates
from wsdriver.cli import main


@contextmanager
def serving(*arguments: str, **settings: Any) -> Iterator[tuple[Any, str]]:
    """Run a server; yields its process and the line that says where it is."""
    if "--unix" not in arguments:
        arguments = (*arguments, "--port", "0")
    with started("serve", *arguments, **settings) as process:
        line = process.stdout.readline().decode()
        if not line:
            pytest.fail(process.stderr.read().decode())
        yield process, line


def url_of(line: str) -> str:
    found = re.search(r"wss?://\S+", line)
    assert found is not None, line
    return found[0]


def stop(process: Any, number: int = signal.SIGTERM) -> tuple[int, str]:
    """End it by a signal; returns its exit status and what it said on standard error."""
    process.send_signal(number)
    status = process.wait(20)
    return status, process.stderr.read().decode()


@pytest.mark.parametrize(("number", "host"), [(signal.SIGTERM, "127.0.0.1"), (signal.SIGINT, "0.0.0.0")])
def test_echo_says_an_address_that_can_be_used_and_closes_with_1001(number: int, host: str) -> None:
    with serving("--echo", "--host", host) as (process, line):
        assert re.match(r"serving an echo at ws://127\.0\.0\.1:\d+/", line)
        assert "0.0.0.0" not in line
        with wsdriver.connect(url_of(line)) as ws:
            ws.send("hello")
            assert ws.receive(20) == "hello"
            process.send_signal(number)
            assert ws.receive(20) is None
            assert ws.close_code == 1001
        assert process.wait(20) == 0
        assert process.stderr.read() == b""


def test_application_has_pages_and_websockets(tmp_path: Path) -> None:
    known = make_certificates(tmp_path)
    arguments = ["--cert", str(known.certificate), "--key", str(known.key)]
    with serving("tests.cli.targets:application_object", *arguments) as (process, line):
        assert line.startswith("serving tests.cli.targets:application_object at https://127.0.0.1:")
        url = url_of(line)
        context = known.client_context()
        with urllib.request.urlopen(url.replace("wss:", "https:"), timeout=20, context=context) as page:
            assert page.read() == b"a page\n"
        with wsdriver.connect(url, tls=context) as ws:
            ws.send("hello")
            assert ws.receive(20) == "hello"
            process.send_signal(signal.SIGTERM)
            assert ws.receive(20) is None
            assert ws.close_code == 1001
        assert process.wait(20) == 0


def test_table_of_handlers_is_served_with_tls_to_the_origins_that_may(tmp_path: Path) -> None:
    known = make_certificates(tmp_path)
    arguments = ["--cert", str(known.certificate), "--key", str(known.key), "--origins", "https://example.com"]
    with serving("tests.cli.targets:routes", *arguments) as (process, line):
        url = url_of(line)
        assert url.startswith("wss://")
        tls = {"root_cert_file": known.authority}
        with wsdriver.connect(f"{url}one", tls=tls, headers={"Origin": "https://example.com"}) as ws:
            ws.send("hello")
            assert ws.receive(20) == "hello"
        for path, origin, status in (("one", "https://example.org", 403), ("two", "https://example.com", 404)):
            with pytest.raises(wsdriver.HandshakeError) as refused:
                wsdriver.connect(url + path, tls=tls, headers={"Origin": origin})
            assert refused.value.status == status
        assert stop(process)[0] == 0


def test_unix_socket_is_served_removed_and_taken_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "socket"
    with serving("--echo", "--unix", str(path)) as (_, line):
        assert line == f"serving an echo at unix:{path}\n"
        assert main(["serve", "--echo", "--unix", str(path), "--no-patch"]) == 1
        assert capsys.readouterr().err == f"wsdriver serve: cannot listen at {path}: Address already in use\n"
    assert path.exists()  # it was killed
    with serving("--echo", "--unix", str(path)) as (process, _):
        with wsdriver.connect("ws://localhost/", unix=path) as ws:
            ws.send("hello")
            assert ws.receive(20) == "hello"
        assert stop(process) == (0, "")
    assert not path.exists()


def test_port_in_use_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--echo", "--port", str(port), "--no-patch"]) == 1
    output, errors = capsys.readouterr()
    assert (output, errors) == ("", f"wsdriver serve: cannot listen at 127.0.0.1:{port}: Address already in use\n")


def test_sleep_of_a_handler_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text("import time\ndef handler(ws):\n    ws.send('asleep')\n    time.sleep(600)\n")
    with serving("sleeper", cwd=tmp_path) as (_, line):
        first, second = wsdriver.connect(url_of(line)), wsdriver.connect(url_of(line))
        assert (first.receive(20), second.receive(20)) == ("asleep", "asleep")
        first.terminate()
        second.terminate()


def test_traceback_of_a_broken_target_is_shown(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    status, output, errors = run("serve", "broken:app", cwd=tmp_path)
    assert (status, output) == (2, "")
    assert 'broken.py", line 1' in errors
    assert errors.endswith("wsdriver serve: broken cannot be imported: ZeroDivisionError: division by zero\n")


class TestReload:
    @staticmethod
    def write(path: Path, text: str) -> None:
        """Write a source, so that its time differs, whatever the file system's clock."""
        before = path.stat().st_mtime_ns if path.exists() else 0
        path.write_text(text)
        if path.stat().st_mtime_ns <= before:
            os.utime(path, ns=(before + 10**9, before + 10**9))

    @staticmethod
    def says(url: str) -> str | None:
        with wsdriver.connect(url, open_timeout=20) as ws:
            said = ws.receive(20)
            assert not isinstance(said, bytes)
            return said

    def test_change_is_served_at_the_same_address(self, tmp_path: Path) -> None:
        main, part = tmp_path / "reloaded.py", tmp_path / "reloaded_part.py"
        self.write(part, "word = 'one'\n")
        self.write(main, "import reloaded_part\ndef handler(ws):\n    ws.send(reloaded_part.word)\n    ws.receive()\n")
        with serving("reloaded", "--reload", cwd=tmp_path) as (process, line):
            url = url_of(line)
            with wsdriver.connect(url) as ws:
                assert ws.receive(20) == "one"
                self.write(part, "word = 'number two'\n")
                assert ws.receive(20) is None
                assert ws.close_code == 1001
            assert process.stdout.readline() == b"reloaded_part.py has changed: reloading\n"
            assert self.says(url) == "number two"  # it waits for the new one, and is not refused

            self.write(part, "word = (\n")
            assert process.stdout.readline() == b"reloaded_part.py has changed: reloading\n"
            errors = b""
            while not errors.endswith(b"waiting for a change\n"):
                errors += process.stderr.readline()
            assert b"SyntaxError" in errors
            self.write(part, "word = 'mended, and more'\n")
            assert self.says(url) == "mended, and more"
            assert stop(process)[0] == 0

    def test_signal_ends_the_wait_for_a_change(self, tmp_path: Path) -> None:
        self.write(tmp_path / "broken.py", "def handler(:\n")
        for number in (signal.SIGTERM, signal.SIGINT):
            with started("serve", "broken", "--reload", "--port", "0", cwd=tmp_path) as process:
                while not process.stderr.readline().endswith(b"waiting for a change\n"):
                    pass
                process.send_signal(number)
                assert process.wait(20) == 0
