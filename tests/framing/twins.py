"""The plain and the compiled twin of ``wsdriver.framing.hybi``, both in one process."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import wsdriver.framing.hybi as loaded
from tests.support.peers import missing

FOLDER = Path(__file__).resolve().parents[2] / "wsdriver" / "framing"

#: The names that both must have.
NAMES = ("BytesLike", "COMPILED", "FrameDecoder", "Item", "append_frame", "append_head", "apply_mask")


@functools.cache
def plain() -> ModuleType:
    """Return the plain twin, whichever was loaded."""
    return loaded if not loaded.COMPILED else _load("plain_hybi", SourceFileLoader, FOLDER / "hybi.py")


@functools.cache
def _compiled() -> ModuleType | None:
    if loaded.COMPILED:
        return loaded
    for suffix in EXTENSION_SUFFIXES:
        path = FOLDER / f"hybi{suffix}"
        if path.exists():
            # The last part of the name is that of the module's init function.
            return _load("compiled.hybi", ExtensionFileLoader, path)
    return None


def compiled() -> ModuleType:
    """Return the compiled twin. Where it was not built, the test is skipped; in CI it fails."""
    module = _compiled()
    if module is None:
        missing("the compiled wsdriver.framing.hybi (pip install -e . builds it, with a C compiler)")
    return module


def twin(name: str) -> ModuleType:
    """Return the ``'plain'`` or the ``'compiled'`` one."""
    return plain() if name == "plain" else compiled()


def _load(name: str, loader: type[SourceFileLoader] | type[ExtensionFileLoader], path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, loader=loader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def decode(hybi: ModuleType, chunks: Iterable[Any], *arguments: Any, **attributes: Any) -> tuple[list[Any], Any, bool]:
    """Feed a new decoder; return the items of each chunk, the error, and whether it is closed."""
    raw = attributes.pop("raw", False)
    decoder = hybi.FrameDecoder(*arguments, **attributes)
    decoder.raw = raw
    items: list[Any] = []
    for chunk in chunks:
        out: list[Any] = []
        try:
            decoder.feed(chunk, 0, len(chunk), out)
        except Exception as error:
            items.append(out)
            return items, (type(error), str(error), getattr(error, "code", None)), decoder.closed
        items.append(out)
    return items, None, decoder.closed
