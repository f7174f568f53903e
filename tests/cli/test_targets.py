"""Targets: found by name, told apart by what they take."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import targets
from tests.support.peers import need_module
from wsdriver.cli.status import Failure
from wsdriver.cli.targets import Broken, find, is_application

KINDS = {
    "echo": False,
    "method": False,
    "routes": False,
    "application": True,
    "application_object": True,
    "ApplicationClass": True,
    "with_default": True,
}


@pytest.mark.parametrize("name", KINDS)
def test_target_is_told_apart(name: str) -> None:
    target = find(f"tests.cli.targets:{name}")
    assert target is getattr(targets, name) or name == "method"
    assert is_application(target, name) is KINDS[name]


@pytest.mark.parametrize("name", ["with_option", "anything", "nothing", "coroutine", "asgi", "number"])
def test_target_that_could_be_anything_is_refused(name: str) -> None:
    with pytest.raises(Failure, match=name):
        is_application(getattr(targets, name), name)


@pytest.mark.parametrize("framework", ["flask.Flask('x')", "bottle.Bottle()", "falcon.App()"])
def test_application_of_a_framework_is_one(framework: str) -> None:
    module = framework.partition(".")[0]
    assert is_application(eval(framework, {module: need_module(module)}), framework)


def test_module_alone_has_one_of_the_usual_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cli_usual.py").write_text("def app(environ, start_response): ...\n")
    assert find("cli_usual").__name__ == "app"
    assert find("cli_usual.py").__name__ == "app"
    assert find("./cli_usual.py:app").__name__ == "app"


def test_module_without_a_usual_name_is_refused() -> None:
    with pytest.raises(Failure, match="handler, app, application"):
        find("tests.cli.programs")


def test_module_that_misses_another_is_broken_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cli_missing.py").write_text("import no_such_module\n")
    with pytest.raises(Broken, match="No module named 'no_such_module'") as broken:
        find("cli_missing:app")
    assert str(tmp_path / "cli_missing.py") in broken.value.files
    errors = capsys.readouterr().err
    assert "import no_such_module" in errors
    assert "importlib" not in errors


def test_module_with_wrong_syntax_is_broken_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cli_syntax.py").write_text("def app(:\n")
    with pytest.raises(Broken, match="SyntaxError") as broken:
        find("cli_syntax:app")
    assert broken.value.files == {str(tmp_path / "cli_syntax.py")}
    assert "def app(:" in capsys.readouterr().err
