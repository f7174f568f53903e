"""``WSDRIVER_PURE=1`` loads the plain modules, wherever compiled ones lie beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SourceFileLoader
from pathlib import Path

import pytest

import wsdriver
from wsdriver.pure import SourceFinder

PACKAGE = Path(wsdriver.__file__).parent

SCRIPT = """
import sys, wsdriver, wsdriver.framing.hybi, wsdriver.driver.driver
print(wsdriver.framing.hybi.COMPILED)
print(wsdriver.framing.hybi.__file__)
print(wsdriver.driver.driver.__file__)
print(sum(type(finder).__name__ == "SourceFinder" for finder in sys.meta_path))
"""


def run(value: str | None) -> list[str]:
    environment = {name: given for name, given in os.environ.items() if name != "WSDRIVER_PURE"}
    if value is not None:
        environment["WSDRIVER_PURE"] = value
    command = [sys.executable, "-c", SCRIPT]
    result = subprocess.run(command, cwd=PACKAGE.parent, env=environment, capture_output=True, text=True, check=True)
    return result.stdout.split()


def built(name: str) -> bool:
    return any((PACKAGE / f"{name}{suffix}").exists() for suffix in EXTENSION_SUFFIXES)


def test_pure_in_the_environment_loads_the_sources() -> None:
    compiled, hybi, driver, finders = run("1")
    assert compiled == "False"
    assert Path(hybi) == PACKAGE / "framing" / "hybi.py"
    assert Path(driver) == PACKAGE / "driver" / "driver.py"
    assert finders == "1"


@pytest.mark.parametrize("value", [None, "", "0"])
def test_pure_not_asked_for_loads_what_was_built(value: str | None) -> None:
    compiled, hybi, driver, finders = run(value)
    assert compiled == str(built("framing/hybi"))
    assert (Path(hybi).suffix != ".py") is built("framing/hybi")
    assert (Path(driver).suffix != ".py") is built("driver/driver")
    assert finders == "0"


@pytest.mark.parametrize("name", ["json", "wsdriver", "wsdriverx.framing", "wsdriver_framing"])
def test_source_finder_asked_for_other_modules_has_none(name: str) -> None:
    assert SourceFinder().find_spec(name, [str(PACKAGE)]) is None


def test_source_finder_asked_for_a_module_of_ours_finds_its_source() -> None:
    spec = SourceFinder().find_spec("wsdriver.framing.hybi", ["/nowhere", str(PACKAGE / "framing")])
    assert spec is not None
    assert isinstance(spec.loader, SourceFileLoader)
    assert spec.origin == str(PACKAGE / "framing" / "hybi.py")


def test_source_finder_asked_for_a_package_of_ours_finds_it() -> None:
    spec = SourceFinder().find_spec("wsdriver.framing", [str(PACKAGE)])
    assert spec is not None
    assert spec.submodule_search_locations == [str(PACKAGE / "framing")]


@pytest.mark.parametrize("path", [None, [], ["/nowhere"]])
def test_source_finder_asked_for_what_is_not_there_has_none(path: list[str] | None) -> None:
    assert SourceFinder().find_spec("wsdriver.nothing", path) is None
    assert SourceFinder().find_spec("wsdriver.nothing", [str(PACKAGE)]) is None
