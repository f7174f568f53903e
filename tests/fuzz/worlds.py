"""wsdriver twice in one process: all of it plain, and with its compiled modules, so that both can be given the same.

A *world* is a whole package, with classes of its own: an error of one is no error of the other, and they are compared
by name. The plain world is loaded anew, so that an engine can watch its code; the other is what was built.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from wsdriver.pure import SourceFinder

__all__ = ["World", "worlds"]

MODULES = (
    "wsdriver.driver",
    "wsdriver.driver.client",
    "wsdriver.driver.driver",
    "wsdriver.driver.origins",
    "wsdriver.driver.plain",
    "wsdriver.driver.redirects",
    "wsdriver.driver.server",
    "wsdriver.environ",
    "wsdriver.exceptions",
    "wsdriver.extensions",
    "wsdriver.extensions.deflating",
    "wsdriver.extensions.framework",
    "wsdriver.extensions.header",
    "wsdriver.forwarded",
    "wsdriver.framing.eventstream",
    "wsdriver.framing.hybi",
    "wsdriver.framing.masking",
    "wsdriver.http",
    "wsdriver.proxy_protocol",
)

#: What an engine does with each piece of code of the plain world, to see which of it runs.
_watch: Callable[[CodeType], CodeType] | None = None


class World:
    """One wsdriver.

    Attributes:
        name: ``'plain'`` or ``'compiled'``.
        Driver: its class of drivers.
        errors: its module of exceptions.
    """

    def __init__(self, name: str, modules: dict[str, ModuleType]) -> None:
        self.name = name
        self._modules = modules
        self.Driver: Any = self["driver"].Driver
        self.errors: Any = self["exceptions"]

    def __getitem__(self, name: str) -> Any:
        """Return a module, such as ``world["driver.client"]``."""
        return self._modules[f"wsdriver.{name}"]

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Take chance out of it: keys and nonces are the same every time, and masks are zero."""
        modules = [self["driver.client"], self["driver.driver"]]
        masking = self["framing.masking"]
        before = [module.secrets for module in modules], masking.random_bytes
        for module in modules:
            module.secrets = _Pinned
        masking.random_bytes = bytes
        masking._forget()
        try:
            yield
        finally:
            for module, secrets in zip(modules, before[0], strict=True):
                module.secrets = secrets
            masking.random_bytes = before[1]
            masking._forget()


class _Pinned:
    """Stands in for the module ``secrets``."""

    @staticmethod
    def token_bytes(count: int) -> bytes:
        return b"the sample nonce"[:count].ljust(count, b".")


class _WatchedLoader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        code = super().get_code(fullname)
        return code if code is None or _watch is None else _watch(code)


class _WatchedSources(SourceFinder):
    """Finds the modules of the package as sources, itself among them."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if name != "wsdriver" and not name.startswith("wsdriver."):
            return None
        for entry in sys.path if path is None else path:
            spec = FileFinder(entry or ".", (_WatchedLoader, SOURCE_SUFFIXES)).find_spec(name)
            if spec is not None:
                return spec
        return None


def watch(patch: Callable[[CodeType], CodeType]) -> None:
    """Have an engine watch the plain world, which must not have been loaded yet."""
    global _watch
    assert not worlds.cache_info().currsize
    _watch = patch


@cache
def worlds() -> tuple[World, ...]:
    """Return the plain world, and the compiled one where it is in use. In CI it has to be, unless told otherwise."""
    plain = World("plain", _load_sources())
    if importlib.import_module("wsdriver.framing.hybi").COMPILED:
        return plain, World("compiled", {name: importlib.import_module(name) for name in MODULES})
    if os.environ.get("CI") == "true" and not os.environ.get("WSDRIVER_PURE"):
        raise RuntimeError("the compiled modules are missing, and CI has to build them")
    return (plain,)


def _load_sources() -> dict[str, ModuleType]:
    """Load the package once more, from its sources; those who use it already keep theirs."""
    path = sys.meta_path[:]
    used = _forget_modules()
    sys.meta_path.insert(0, _WatchedSources())
    try:
        return {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.meta_path[:] = path
        _forget_modules()
        sys.modules.update(used)


def _forget_modules() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "wsdriver"]
    return {name: sys.modules.pop(name) for name in names}
