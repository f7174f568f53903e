"""The examples that the documentation is made of, run with real clients."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import subprocess
from gevent.pywsgi import WSGIServer

import wsdriver
from examples import authentication, first_chat
from tests.cli.programs import environment, in_terminal
from tests.support.net import free_port
from tests.support.peers import need_module
from tests.support.serving import serving

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20  # seconds


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    with gevent.Timeout(PATIENCE):
        yield


@contextmanager
def site(app: Any) -> Iterator[str]:
    """Serve an application; gives its address without the scheme."""
    server = WSGIServer(("127.0.0.1", 0), app, handler_class=wsdriver.WebSocketHandler, log=None)
    server.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.stop(timeout=1)


def said(url: str, *protocols: str, **options: Any) -> Any:
    """Say hello and return the answer, or the status of the refusal."""
    try:
        with wsdriver.connect(url, protocols, **options) as ws:
            ws.send("hello")
            return ws.receive(timeout=PATIENCE)
    except wsdriver.HandshakeError as error:
        return error.status


class TestFirstChat:
    def test_message_reaches_all_and_those_who_come_later(self) -> None:
        with site(first_chat.app) as host:
            url = f"ws://{host}/"
            page = {"Origin": f"http://{host}"}
            with wsdriver.connect(url, headers=page) as ada, wsdriver.connect(url, headers=page) as grace:
                text = json.dumps({"name": "Ada", "text": "hello"})
                ada.send(text)
                assert ada.receive(timeout=PATIENCE) == text
                assert grace.receive(timeout=PATIENCE) == text
                with wsdriver.connect(url, headers=page) as late:
                    assert late.receive(timeout=PATIENCE) == text

    def test_page_of_strangers_is_refused(self) -> None:
        with site(first_chat.app) as host:
            assert said(f"ws://{host}/", headers={"Origin": "http://evil.example"}) == 403


class TestAuthentication:
    @pytest.fixture
    def host(self) -> Iterator[str]:
        with site(authentication.app) as host:
            yield host

    def test_cookie(self, host: str) -> None:
        token = authentication.make_token("Ada")
        page = {"Cookie": f"other=1; token={token}", "Origin": f"http://{host}"}
        assert said(f"ws://{host}/cookie", headers=page) == "Ada: hello"
        assert said(f"ws://{host}/cookie", headers={**page, "Origin": "http://evil.example"}) == 403
        assert said(f"ws://{host}/cookie", headers={"Cookie": "token=nonsense"}) == 401
        assert said(f"ws://{host}/cookie") == 401

    def test_query(self, host: str) -> None:
        assert said(f"ws://{host}/query?token={authentication.make_token('Ada')}") == "Ada: hello"
        assert said(f"ws://{host}/query?token={authentication.make_token('Ada', -1)}") == 401
        assert said(f"ws://{host}/query?token=%00.%ff") == 401
        assert said(f"ws://{host}/query") == 401

    def test_token_that_was_changed_is_refused(self, host: str) -> None:
        claim, _, signature = authentication.make_token("Ada").partition(".")
        other = base64.urlsafe_b64encode(b'["Eve", 9999999999]').decode().rstrip("=")
        assert said(f"ws://{host}/query?token={other}.{signature}") == 401
        assert said(f"ws://{host}/query?token={claim}.") == 401

    def test_subprotocol(self, host: str) -> None:
        url = f"ws://{host}/subprotocol"
        token = authentication.make_token("Ada")
        with wsdriver.connect(url, ["chat", f"token.{token}"]) as ws:
            assert ws.protocol == "chat"
            ws.send("hello")
            assert ws.receive(timeout=PATIENCE) == "Ada: hello"
        assert said(url, "chat", "token.nonsense") == 401
        assert said(url, "chat") == 401

    def test_first_message(self, host: str) -> None:
        with wsdriver.connect(f"ws://{host}/first-message") as ws:
            ws.send(authentication.make_token("Ada"))
            ws.send("hello")
            assert ws.receive(timeout=PATIENCE) == "Ada: hello"
        for message, code in (("nonsense", 1008), (b"\x00", 1008), ("x" * 2000, 1009)):
            with wsdriver.connect(f"ws://{host}/first-message") as ws:
                ws.send(message)
                assert ws.receive(timeout=PATIENCE) is None
                assert ws.close_code == code

    def test_basic(self, host: str) -> None:
        assert said(f"ws://Ada:engine@{host}/basic") == "Ada: hello"
        assert said(f"ws://Ada:wrong@{host}/basic") == 401
        assert said(f"ws://Eve:engine@{host}/basic") == 401
        assert said(f"ws://{host}/basic", headers={"Authorization": "Basic !"}) == 401
        with pytest.raises(wsdriver.HandshakeError) as caught:
            wsdriver.connect(f"ws://{host}/basic")
        assert caught.value.headers["WWW-Authenticate"] == "Basic"

    def test_unknown_path(self, host: str) -> None:
        assert said(f"ws://{host}/other") == 404


def run(name: str, *arguments: str) -> Any:
    """Start an example; the servers of this process go on while it runs."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, f"examples/{name}.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )


def test_asyncio_echo() -> None:
    process = run("asyncio_echo", "--port", str(free_port()))
    try:
        url = process.stdout.readline().split()[-1]
        with wsdriver.connect(url, ["chat"]) as ws:
            assert ws.protocol == "chat"
            for message in ("hello", b"\x00\xff", "x" * 200_000):
                ws.send(message)
                assert ws.receive(timeout=PATIENCE) == message
        assert (ws.close_code, ws.was_clean) == (1000, True)
        with pytest.raises(wsdriver.HandshakeError) as caught:
            wsdriver.connect(url, headers={"Host": "a b"})
        assert caught.value.status == 400
        with wsdriver.connect(url) as ws:
            ws.send("x" * (1024 * 1024 + 1))
            assert ws.receive(timeout=PATIENCE) is None
            assert ws.close_code == 1009
    finally:
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE)[0] == ""
    assert process.returncode == 0


def test_selectors_client() -> None:
    with serving() as server:
        process = run("selectors_client", server.url, "hello", "wörld")
        assert process.communicate(timeout=PATIENCE)[0] == "hello\nwörld\n"
        assert process.returncode == 0
        assert server.stats().closes == {1000: 1}


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "wss://127.0.0.1/", "nonsense"])
def test_selectors_client_wrong_url_is_one_line_and_status_2(url: str) -> None:
    process = run("selectors_client", url, "hello")
    said = process.communicate(timeout=PATIENCE)[0]
    assert said.startswith("selectors_client.py: ")
    assert said.count("\n") == 1
    assert process.returncode == 2


def blocks(kind: str) -> list[str]:
    """Return the blocks of that kind in the page on the command line."""
    page = (ROOT / "docs" / "howto" / "cli.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", page, re.M | re.S)


def transcripts() -> Iterator[tuple[str, str]]:
    """Yield each command of that page, and what it prints there."""
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def without_figures(text: str) -> str:
    return re.sub(r"\d[\d,.]*( ([um]?s|[kM]?B)\b)?(/s)?", "#", text)


class TestCommandLine:
    """Each transcript in docs/howto/cli.md is what is printed."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> Iterator[Any]:
        """Start a shell's command, with the ``wsdriver`` of these sources."""
        program = tmp_path / "wsdriver"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wsdriver "$@"\n')
        program.chmod(0o755)
        started = []

        def start(command: str) -> Any:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=ROOT,
                env=environment(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                universal_newlines=True,
            )
            started.append(process)
            return process

        yield start
        for process in started:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()

    @pytest.mark.parametrize(("command", "output"), [given for given in transcripts() if "serve" not in given[0]])
    def test_transcript(self, command: str, output: str, run: Any) -> None:
        with serving() as server:
            host = f"127.0.0.1:{server.server_port}"
            printed = run(command.replace("127.0.0.1:8080", host)).communicate(timeout=PATIENCE)[0]
        printed = printed.replace(host, "127.0.0.1:8080")
        if "bench" in command:
            printed, _, note = printed.partition("\nnote: ")
            assert not note or note.startswith("this program used"), note  # where the two share a core, say
            head, _, rows = without_figures(printed).partition("\n\n  to")
            assert head == without_figures(output).partition("\n\n  to")[0]
            assert [row for row in rows.splitlines() if not re.fullmatch(r"(  to)? +# +#% *\S*", row)] == []
        else:
            assert printed == output

    def test_serve(self, run: Any) -> None:
        ((command, output),) = [given for given in transcripts() if "serve" in given[0]]
        port = free_port()
        process = run(f"exec {command} --port {port}")
        assert process.stdout.readline() == output.replace("8080", str(port))
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE)[0] == ""
        assert process.returncode == 0

    def test_terminal(self, tmp_path: Path) -> None:
        need_module("prompt_toolkit")
        (shown,) = [block for block in blocks("text") if block.startswith("$ wsdriver connect")]
        first, *rest = shown.splitlines()[1:]
        with (
            serving() as server,
            in_terminal("connect", server.url, XDG_STATE_HOME=str(tmp_path)) as terminal,
        ):
            terminal.await_line("connected")
            for line in rest:
                if line.startswith("> "):
                    terminal.await_prompt()
                    terminal.type(f"{line[2:]}\r")
                else:
                    terminal.await_line(without_figures(line).partition("#")[0])
            assert terminal.status() == 0
            port = str(server.server_port)
            assert terminal.lines[0].replace(port, "8080") == first
            # Where a prompt was that is gone, an empty one may be left.
            lines = [without_figures(line) for line in terminal.lines[1:] if line != ">"]
            assert lines == [without_figures(line) for line in rest]
