"""``WSDRIVER_PURE=1``: load the plain modules where compiled ones of the same names lie beside them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader

__all__ = ["SourceFinder"]


class SourceFinder:
    """Finds the modules of this package as source only."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Part of the import system's protocol (importlib.abc.MetaPathFinder)."""
        if not name.startswith("wsdriver."):
            return None
        for entry in path or ():
            spec = FileFinder(entry, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
            if spec is not None:
                return spec
        return None
