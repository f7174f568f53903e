"""``wsdriver connect`` in a terminal: what is on the screen."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gevent.queue import Queue

import wsdriver
from tests.cli.programs import Terminal, in_terminal
from tests.support.peers import need_module
from tests.support.serving import serving
from tests.support.waiting import wait_for


@pytest.fixture(autouse=True)
def _needs() -> None:
    need_module("prompt_toolkit")
    need_module("pyte")


class Room:
    """A server that keeps what it gets, and its WebSocket."""

    def __init__(self) -> None:
        self.got: Any = Queue()
        self.ws: wsdriver.WebSocket | None = None

    def handler(self, ws: wsdriver.WebSocket) -> None:
        self.ws = ws
        for message in ws:
            self.got.put(message)
        self.got.put(None)

    def next(self) -> Any:
        return self.got.get(timeout=20)

    def send(self, message: str | bytes) -> None:
        ws = wait_for(lambda: self.ws, "the connection")
        ws.send(message)


@contextmanager
def talking(tmp_path: Path, *arguments: str, **settings: str) -> Iterator[tuple[Terminal, Room]]:
    room = Room()
    with (
        serving(room.handler, protocols=["chat"]) as server,
        in_terminal("connect", server.url, *arguments, XDG_STATE_HOME=str(tmp_path), **settings) as terminal,
    ):
        terminal.await_line("connected to ws://127.0.0.1:")
        terminal.await_prompt()
        yield terminal, room


def test_conversation(tmp_path: Path) -> None:
    """One process for much: a start takes longer than all of this."""
    with talking(tmp_path, "--subprotocol", "chat") as (terminal, room):
        # What is typed is sent, and stays to be read.
        terminal.type("hello\r")
        assert room.next() == "hello"
        terminal.await_line("> hello")

        # What comes appears above the prompt, and what is being typed stays whole.
        terminal.type("half a li")
        terminal.await_prompt("half a li")
        room.send("an interruption\nof two lines")
        terminal.await_line("< an interruption")
        room.send(b"\x00\xff")
        terminal.await_line("< binary, 2 bytes: 00 ff")
        terminal.await_prompt("half a li")  # it is drawn anew behind what was printed
        lines = terminal.lines
        at = [place for place, line in enumerate(lines) if line.startswith("> half a li")]
        assert lines[at[-1] - 3 : at[-1] + 1] == [
            "< an interruption",
            "of two lines",
            "< binary, 2 bytes: 00 ff",
            "> half a li",
        ]
        terminal.type("ne\r")
        assert room.next() == "half a line"

        # Alt-Enter, and a paste, make one message of several lines.
        terminal.type("one\x1b\rtwo\r")
        assert room.next() == "one\ntwo"
        terminal.type("\x1b[200~three\nfour\x1b[201~")
        terminal.await_prompt("three")
        terminal.type("\r")
        assert room.next() == "three\nfour"
        terminal.await_prompt()

        # Ctrl-C forgets the line; up is the history.
        terminal.type("forget this")
        terminal.await_prompt("forget this")
        terminal.type("\x03")
        terminal.await_prompt()
        terminal.type("\x1b[A")
        terminal.await_prompt("three")
        terminal.type("\x1b[A\x1b[A")
        terminal.await_prompt("one")
        terminal.type("\r")
        assert room.next() == "one\ntwo"

        terminal.type("/binary 00 ff\r")
        assert room.next() == b"\x00\xff"
        terminal.type("/ping\r")
        terminal.await_line("pong after ")
        terminal.type("/nothing\r")
        terminal.await_line("there is no command /nothing")
        terminal.type("/close 1006\r")
        terminal.await_line("1006 is no close code")
        terminal.type("/close 4001 enough\r")
        assert room.next() is None
        assert room.ws is not None
        assert (room.ws.close_code, room.ws.close_reason) == (4001, "enough")
        assert terminal.status() == 0
        assert "chat · " in terminal.written.decode()
        assert terminal.shows("closed with 4001: enough")

    history = tmp_path / "wsdriver" / "history"
    assert "half a line" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_end_by_the_server_leaves_the_prompt_and_says_why(tmp_path: Path) -> None:
    with talking(tmp_path, "--no-color", "--no-history") as (terminal, room):
        terminal.type("half a line")
        terminal.await_prompt("half a line")
        assert room.ws is not None
        room.ws.close(1013, "later")
        assert terminal.status() == 1
        terminal.await_line("closed with 1013 (try again later): later")
    assert not (tmp_path / "wsdriver").exists()
    assert not re.search(rb"\x1b\[(?:\d+;)*(?:[349][0-7]|38;[\d;]+)m", terminal.written)


def test_ctrl_d_is_a_good_end_and_colours_are_there(tmp_path: Path) -> None:
    with talking(tmp_path, "--json") as (terminal, room):
        room.send('{"a": 1}')
        terminal.await_line('  "a": 1')
        assert b'\x1b[34m"a"\x1b[0m' in terminal.written
        terminal.type("\x04")
        assert terminal.status() == 0
        terminal.await_line("closed with 1000 (normal closure)")


def test_ctrl_c_on_an_empty_line_leaves_with_130(tmp_path: Path) -> None:
    with talking(tmp_path, NO_COLOR="1") as (terminal, room):
        terminal.type("\x03")
        assert terminal.status() == 130
        assert room.next() is None
        assert room.ws is not None
        assert room.ws.close_code == 1000
