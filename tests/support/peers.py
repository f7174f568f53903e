"""Peers that a test needs: without one it is skipped and says so; where CI=true that is a failure."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from functools import cache
from types import ModuleType
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it in CI, because ``what`` is not here."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI has to install it")
    pytest.skip(f"needs {what}")


def need_module(name: str) -> ModuleType:
    """Return an importable module."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing(f"the Python package {name} ({error})")


def need_program(name: str) -> str:
    """Return the path of a program."""
    path = shutil.which(name)
    if path is None:
        missing(f"the program {name}")
    return path


def need_ruby(*libraries: str) -> str:
    """Return the path of Ruby, which has these libraries, such as ``websocket/driver``."""
    ruby = need_program("ruby")
    for library in libraries:
        if not _succeeds((ruby, "-r", library, "-e", ""), None):
            missing(f"the Ruby library {library}")
    return ruby


def need_node(package: str) -> dict[str, str]:
    """Return an environment in which node finds an npm package.

    Packages are looked for in ``node_modules`` of this repository, of WSDRIVER_NODE_MODULES and of NODE_PATH.
    """
    node = need_program("node")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    places = [
        os.path.join(root, "node_modules"),
        os.environ.get("WSDRIVER_NODE_MODULES", ""),
        os.environ.get("NODE_PATH", ""),
    ]
    path = os.pathsep.join(filter(None, places))
    if not _succeeds((node, "-e", f"require({package!r})"), path):
        missing(f"the npm package {package}")
    return {**os.environ, "NODE_PATH": path}


@cache
def _succeeds(command: tuple[str, ...], node_path: str | None) -> bool:
    """Whether a command does. Kept: many tests ask the same."""
    environment = {**os.environ, **({} if node_path is None else {"NODE_PATH": node_path})}
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
