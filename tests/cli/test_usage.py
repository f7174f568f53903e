"""Wrong arguments: one clear line and exit status 2. Without a new process: nothing is connected to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.programs import run
from wsdriver.cli import main
from wsdriver.version import __version__

WRONG = {
    "no command": ([], "COMMAND"),
    "an unknown command": (["conect", "ws://localhost"], "invalid choice: 'conect'"),
    "no URL": (["connect"], "URL"),
    "a URL that is none": (["connect", "foo://localhost"], "begins with ws:// or wss://"),
    "a URL with a space": (["connect", "ws://local host/"], "spaces"),
    "an unknown option": (["connect", "ws://localhost", "--colour"], "--colour"),
    "an abbreviated option": (["connect", "ws://localhost", "--insec"], "--insec"),
    "a header without a colon": (["connect", "ws://localhost", "-H", "Name"], "'Name: value', not 'Name'"),
    "a header of the handshake": (["connect", "ws://localhost", "-H", "Upgrade: h2c"], "Upgrade"),
    "a header with a line's end": (["connect", "ws://localhost", "-H", "A: b\nc"], "A"),
    "a subprotocol that is no token": (["connect", "ws://localhost", "-s", "a b"], "protocols"),
    "a timeout that is no time": (["connect", "ws://localhost", "--timeout", "soon"], "not 'soon'"),
    "a timeout of nothing": (["connect", "ws://localhost", "--timeout", "0"], "positive"),
    "a proxy that is none": (["connect", "ws://localhost", "--proxy", "ftp://proxy"], "proxy"),
    "a proxy and none": (["connect", "ws://localhost", "--proxy", "http://p", "--no-proxy"], "exclude each other"),
    "a proxy and a Unix socket": (["connect", "ws://localhost", "--proxy", "http://p", "--unix", "/s"], "exclude"),
    "a CA that is not there": (["connect", "wss://localhost", "--cacert", "/no/file"], "--cacert '/no/file' cannot"),
    "a certificate that is not there": (["connect", "wss://localhost", "--cert", "/no/file"], "--cert '/no/file'"),
    "a key without a certificate": (["connect", "wss://localhost", "--key", "/no/file"], "--key is of no use"),
    "nothing to serve": (["serve"], "--echo"),
    "two things to serve": (["serve", "chat:app", "--echo"], "--echo"),
    "a target that is no name": (["serve", "chat app", "--no-patch"], "module:name"),
    "a target without its name": (["serve", "chat:", "--no-patch"], "module:name"),
    "a module that is not there": (["serve", "no_such_module:app", "--no-patch"], "no module 'no_such_module'"),
    "a name that is not there": (["serve", "tests.cli.targets:echoo", "--no-patch"], "did you mean 'echo'"),
    "a target that is no callable": (["serve", "tests.cli.targets:number", "--no-patch"], "cannot be called"),
    "a target of three arguments": (["serve", "tests.cli.targets:asgi", "--no-patch"], "coroutine"),
    "a handler and an application": (["serve", "chat:app", "--handler", "--wsgi"], "not allowed with"),
    "origins of an application": (
        ["serve", "tests.cli.targets:application", "--origins", "same", "--no-patch"],
        "WebSocket(environ, origins=...)",
    ),
    "an origin that is none": (["serve", "--echo", "--origins", "example", "--port", "0", "--no-patch"], "example"),
    "a port that is none": (["serve", "--echo", "--port", "65536"], "not '65536'"),
    "a port and a Unix socket": (["serve", "--echo", "--port", "1", "--unix", "/s"], "--unix excludes"),
    "a certificate to serve that is not there": (
        ["serve", "--echo", "--port", "0", "--cert", "/no/file", "--no-patch"],
        "/no/file",
    ),
    "... of an application": (
        ["serve", "tests.cli.targets:application", "--port", "0", "--cert", "/no/file", "--no-patch"],
        "/no/file",
    ),
    "no connections": (["bench", "ws://localhost", "--connections", "0"], "at least 1"),
    "a rate of nothing": (["bench", "ws://localhost", "--rate", "0"], "not '0'"),
    "a size that is none": (["bench", "ws://localhost", "--size", "4q"], "not '4q'"),
    "a size that is too much": (["bench", "ws://localhost", "--size", "1g"], "1073741824"),
    "a picture that cannot be": (["bench", "ws://localhost", "--svg", "/no/dir/a.svg"], "--svg /no/dir/a.svg"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = WRONG[case]
    try:
        status = main(arguments)
    except SystemExit as left:  # as argparse ends
        status = left.code if isinstance(left.code, int) else -1
    output, errors = capsys.readouterr()
    assert status == 2
    assert output == ""
    assert errors.count("\n") == 1
    assert errors.startswith("wsdriver")
    assert words in errors


@pytest.mark.parametrize("command", ["connect", "serve", "bench"])
def test_help_documents_the_exit_statuses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert "exit status:" in capsys.readouterr().out


def test_version_is_said_by_the_module_and_without_gevent(tmp_path: Path) -> None:
    """A sitecustomize that forbids gevent shows that help comes without it."""
    (tmp_path / "gevent.py").write_text("raise RuntimeError('gevent was loaded')\n")
    assert run("--version", PYTHONPATH=str(tmp_path)) == (0, f"wsdriver {__version__}\n", "")


def test_prompt_says_what_to_install_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prompt_toolkit", None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["connect", "ws://127.0.0.1:1"]) == 2
    assert "pip install 'wsdriver[cli]'" in capsys.readouterr().err
