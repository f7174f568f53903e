"""The plain and the compiled twin of a module, both in one process, whichever ``WSDRIVER_PURE`` has chosen."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, SourceFileLoader
from pathlib import Path
from typing import Any

from tests.support.peers import missing

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def plain(module: str) -> Any:
    """Return the plain twin of a module, such as ``"wsdriver.framing.hybi"``."""
    loaded: Any = importlib.import_module(module)
    if not loaded.COMPILED:
        return loaded
    return _load(f"plain.{module}", SourceFileLoader, ROOT / f"{module.replace('.', '/')}.py")


@functools.cache
def find_compiled(module: str) -> Any:
    """Return the compiled twin; None where it was not built."""
    loaded: Any = importlib.import_module(module)
    if loaded.COMPILED:
        return loaded
    for suffix in EXTENSION_SUFFIXES:
        path = ROOT / f"{module.replace('.', '/')}{suffix}"
        if path.exists():
            # The last part of the name is that of the module's init function.
            return _load(f"compiled.{module}", ExtensionFileLoader, path)
    return None


def compiled(module: str) -> Any:
    """Return the compiled twin. Where it was not built, the test is skipped; in CI it fails."""
    found = find_compiled(module)
    if found is None:
        missing(f"the compiled {module} (pip install -e . builds it, with a C compiler)")
    return found


def twin(module: str, kind: str) -> Any:
    """Return the ``'plain'`` or the ``'compiled'`` one."""
    return plain(module) if kind == "plain" else compiled(module)


def _load(name: str, loader: type[SourceFileLoader] | type[ExtensionFileLoader], path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path, loader=loader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
