"""What is typed at the prompt, and what is meant by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsdriver.cli.commands import COMMANDS, HELP, Close, Help, Ping, Send, Typed, Wrong, parse

MEANT: dict[str, Typed] = {
    "hello": Send("hello"),
    " /ping": Send(" /ping"),
    "two\nlines": Send("two\nlines"),
    "//ping": Send("/ping"),
    "/help": Help(),
    "/ping": Ping(b""),
    "/ping é": Ping("é".encode()),
    "/close": Close(1000, ""),
    "/close 4001": Close(4001, ""),
    "/close 4001 see you later ": Close(4001, "see you later"),
    "/binary 00ff 10": Send(b"\x00\xff\x10"),
    "/binary": Send(b""),
}

WRONG = {
    "/pong": "no command /pong",
    "/binary 0": "hexadecimal",
    "/binary xy": "hexadecimal",
    "/binary @/no/file": "/no/file cannot be read",
    "/close bye": "a code",
    "/close ²": "a code",
    "/close 1000 " + "x" * 124: "123 bytes",
    "/ping " + "é" * 63: "125 bytes",
}


@pytest.mark.parametrize("text", MEANT)
def test_what_is_typed_is_understood(text: str) -> None:
    assert parse(text) == MEANT[text]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_explained(text: str) -> None:
    typed = parse(text)
    assert isinstance(typed, Wrong)
    assert WRONG[text] in typed.sentence


def test_file_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "some file").write_bytes(b"\x00\n\xff")
    assert parse(f"/binary @{tmp_path / 'some file'}") == Send(b"\x00\n\xff")


def test_text_is_sent_as_binary_where_that_is_wanted() -> None:
    assert parse("é", binary=True) == Send("é".encode())


def test_help_names_every_command() -> None:
    assert all(command in HELP for command in COMMANDS)
    assert not any("no command" in getattr(parse(command), "sentence", "") for command in COMMANDS)
