"""The rules of the house, proved by walking through it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

import wsdriver
from tests.support.peers import missing, need_module

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wsdriver"

#: Imports point down only, or within a layer. A new module or package has to be given its place here.
LAYERS = {
    "codes": 0,
    "events": 0,
    "exceptions": 0,
    "log": 0,
    "options": 0,
    "pure": 0,
    "version": 0,
    "environ": 1,
    "forwarded": 1,
    "framing": 1,
    "http": 1,
    "proxy_protocol": 1,
    "extensions": 2,
    "driver": 3,
    "green": 4,
    "__main__": 5,
    "cli": 5,
    "compat": 5,
    "pytest_plugin": 5,
    "testing": 5,
}
TOP = 5  # wsdriver/__init__.py itself

PUBLIC = [
    "Channel",
    "ConfigurationError",
    "ConnectionClosed",
    "Driver",
    "EventSource",
    "ExtensionError",
    "HandshakeError",
    "InvalidPayload",
    "MessageTooBig",
    "PermessageDeflate",
    "ProtocolError",
    "ProxyError",
    "WebSocket",
    "WebSocketError",
    "WebSocketHandler",
    "WebSocketServer",
    "__version__",
    "broadcast",
    "connect",
    "is_eventsource",
    "is_websocket",
    "monitor",
    "reconnect",
    "serve",
    "worker",
]

SOURCES = sorted(PACKAGE.rglob("*.py"))
CYTHON = sorted([*PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxd")])
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in SOURCES}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def layer_of(module: str) -> int:
    """Return the layer of a module's dotted name."""
    parts = module.split(".")
    assert parts[0] == "wsdriver"
    if len(parts) == 1:
        return TOP
    assert parts[1] in LAYERS, f"wsdriver.{parts[1]} has no layer yet: give it one in {name_of(Path(__file__))}"
    return LAYERS[parts[1]]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports_of(path: Path, *, at_load: bool = False) -> Iterator[str]:
    """Yield what a source imports, as dotted names; with ``at_load`` only what it needs to be loaded."""

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if at_load and (is_type_checking(child) or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))):
                continue
            yield child
            yield from walk(child)

    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                outer = package.split(".")
                base = ".".join([*outer[: len(outer) - node.level + 1], *filter(None, [base])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in MODULES else base


def cython_imports_of(path: Path) -> Iterator[str]:
    """Yield what a Cython file imports and cimports."""
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(r"\s*(?:from\s+([\w.]+)\s+c?import\b|c?import\s+([\w.]+))", line)
        if match:
            yield match[1] or match[2]


# --- layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_source_imports_point_down(path: Path) -> None:
    own = layer_of(module_of(path))
    wrong = [name for name in imports_of(path) if name.split(".")[0] == "wsdriver" and layer_of(name) > own]
    assert wrong == []


@pytest.mark.parametrize("path", CYTHON, ids=name_of)
def test_cython_imports_point_down(path: Path) -> None:
    own = layer_of(module_of(path))
    wrong = [name for name in cython_imports_of(path) if name.split(".")[0] == "wsdriver" and layer_of(name) > own]
    assert wrong == []


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {
        module_of(path): {name for name in imports_of(path, at_load=True) if name in MODULES} - {module_of(path)}
        for path in SOURCES
        if path != PACKAGE / "__init__.py"
    }
    while leaves := [module for module, needs in graph.items() if not needs & graph.keys()]:
        for module in leaves:
            del graph[module]
    # A module that imports from a package which imports it again would stay here.
    assert graph == {}


@pytest.mark.parametrize("path", [*SOURCES, *CYTHON], ids=name_of)
def test_gevent_is_imported_by_the_green_folder_only(path: Path) -> None:
    imports = cython_imports_of(path) if path in CYTHON else imports_of(path)
    found = {name.split(".")[0] for name in imports} & {"gevent", "greenlet", "gunicorn"}
    assert not found or path.is_relative_to(PACKAGE / "green")


def test_layers_have_no_place_for_what_is_gone() -> None:
    there = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    assert set(LAYERS) - there == set()


# --- what an import loads --------------------------------------------------------------------------------------------


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a statement loads into a new interpreter."""
    script = f"import sys; _before = set(sys.modules)\n{statement}\nprint(*sorted(set(sys.modules) - _before))"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_import_of_wsdriver_loads_no_gevent_and_no_threads() -> None:
    loaded = loaded_by("import wsdriver")
    assert "wsdriver.driver.driver" in loaded
    roots = {name.split(".")[0] for name in loaded}
    assert roots & {"gevent", "greenlet", "gunicorn", "asyncio", "concurrent", "multiprocessing", "zope"} == set()
    assert not any(name.startswith("wsdriver.green") for name in loaded)


def test_look_at_wsdriver_loads_no_gevent() -> None:
    """What an editor, a debugger or a documentation tool does."""
    loaded = loaded_by("import wsdriver; dir(wsdriver); hasattr(wsdriver, 'nothing'); help_ = wsdriver.__doc__")
    assert "gevent" not in loaded


def test_import_of_the_worker_loads_no_threads() -> None:
    """gunicorn imports it before gevent patches; gunicorn itself is not asked how it does it."""
    need_module("gunicorn.workers.ggevent")
    ours = loaded_by("import wsdriver.green.gunicorn")
    assert "wsdriver.green.gunicorn" in ours
    assert {"concurrent.futures", "asyncio"} & ours == set()


def test_import_of_a_green_name_patches_nothing() -> None:
    script = "import socket, threading; before = socket.socket, threading.Thread.start\nimport wsdriver\n" + "".join(
        f"wsdriver.{name}\n" for name in PUBLIC if name != "worker"
    )
    script += "from gevent import monkey\nassert monkey.saved == {}, monkey.saved\n"
    script += "assert (socket.socket, threading.Thread.start) == before"
    loaded_by(script)


# --- the public names ------------------------------------------------------------------------------------------------


def test_public_names_are_these() -> None:
    assert sorted(wsdriver.__all__) == PUBLIC
    assert len(set(wsdriver.__all__)) == len(wsdriver.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_there(name: str) -> None:
    if name == "worker":
        need_module("gunicorn.workers.ggevent")
    value = getattr(wsdriver, name)
    assert getattr(wsdriver, name) is value
    assert name in dir(wsdriver)
    assert name == "__version__" or callable(value)


def test_name_unknown_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'wsdriver' has no attribute 'websocket'"):
        wsdriver.websocket  # noqa: B018


def test_version_is_one_of_pep_440() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.dev\d+)?", wsdriver.__version__)


def test_no_module_has_a_public_name() -> None:
    """Importing it would put the module in the place of the name: gunicorn would find it at its second look-up."""
    modules = {info.name.rpartition(".")[2] for info in pkgutil.iter_modules([str(PACKAGE)])}
    modules |= {path.name.partition(".")[0] for path in PACKAGE.iterdir()} - {"__init__"}
    assert modules & {*PUBLIC, *wsdriver.__all__} == set()


def test_worker_is_the_same_class_at_each_look_up() -> None:
    need_module("gunicorn.workers.ggevent")
    loaded_by(
        "from importlib import import_module\n"
        "first = getattr(import_module('wsdriver'), 'worker')\n"
        "assert isinstance(first, type), first\n"
        "import_module('wsdriver.green.gunicorn')\n"
        "for name in sorted(sys.modules):\n"
        "    if name.startswith('wsdriver'): import_module(name)\n"
        "second = getattr(import_module('wsdriver'), 'worker')\n"
        "assert second is first, (first, second)\n"
        "from gunicorn.util import load_class\n"
        "assert load_class('wsdriver.worker') is first"
    )


@pytest.mark.parametrize("module", sorted(MODULES))
def test_public_names_of_a_module_are_listed_and_there(module: str) -> None:
    """Convention 4: ``__all__`` in every public module; none in an empty ``__init__``."""
    path = PACKAGE.parent / Path(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    ]
    has_code = any(not isinstance(node, (ast.Expr, ast.ImportFrom)) for node in tree.body)
    if module.endswith(("__main__", ".version")) or not has_code:
        return
    assert len(names) == 1
    assert len(set(names[0])) == len(names[0])
    if not module.startswith("wsdriver.green"):
        loaded = importlib.import_module(module)
        assert [name for name in names[0] if not hasattr(loaded, name)] == []


# --- the build -------------------------------------------------------------------------------------------------------


def compiled_files() -> list[Path]:
    suffixes = tuple(EXTENSION_SUFFIXES)
    return sorted(path for path in PACKAGE.rglob("*") if path.name.endswith(suffixes))


def sources_of(compiled: Path) -> set[Path]:
    """Return all that a compiled module is made of: its source, and what that includes or cimports."""
    stem = compiled.with_name(compiled.name.partition(".")[0])
    source = stem.with_suffix(".pyx") if stem.with_suffix(".pyx").exists() else stem.with_suffix(".py")
    found = {source}
    waiting = [source, stem.with_suffix(".pxd")]
    while waiting:
        path = waiting.pop()
        if not path.exists():
            continue
        found.add(path)
        text = path.read_text(encoding="utf-8")
        for module in re.findall(r"^\s*(?:from\s+(wsdriver[\w.]*)\s+cimport|cimport\s+(wsdriver[\w.]*))", text, re.M):
            pxd = ROOT.joinpath(*(module[0] or module[1]).split(".")).with_suffix(".pxd")
            if pxd not in found:
                waiting.append(pxd)
        for header in re.findall(r'cdef extern from "([^"]+)"', text):
            if (path.parent / header).exists():
                found.add(path.parent / header)
    return found


def test_compiled_modules_are_not_older_than_their_sources() -> None:
    """A stale one would be tested in the place of what is written. A plain twin is no source of a ``.pyx``."""
    stale = [
        f"{name_of(compiled)} is older than {name_of(source)}"
        for compiled in compiled_files()
        for source in sorted(sources_of(compiled))
        if compiled.stat().st_mtime < source.stat().st_mtime
    ]
    assert not stale, "rebuild with `pip install -e .`: " + "; ".join(stale)


def test_compiled_modules_each_have_a_plain_twin() -> None:
    for compiled in compiled_files():
        assert compiled.with_name(compiled.name.partition(".")[0]).with_suffix(".py").exists()
    for source in PACKAGE.rglob("*.pyx"):
        assert source.with_suffix(".py").exists(), f"{name_of(source)} has no plain twin"


def pyproject() -> dict[str, Any]:
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    parsed: dict[str, Any] = need_module(name).loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return parsed


def test_packages_are_all_in_the_wheel() -> None:
    packages = {module_of(path) for path in SOURCES if path.name == "__init__.py"}
    assert set(pyproject()["tool"]["setuptools"]["packages"]) == packages


def test_build_knows_all_that_its_modules_are_made_of() -> None:
    """Else a change would not be built, and the compiled module would be stale for ever."""
    modules = {module["name"]: module for module in pyproject()["tool"]["setuptools"]["ext-modules"]}
    assert all(module["optional"] is True for module in modules.values()), "an install needs no compiler"
    for name, module in modules.items():
        compiled = ROOT.joinpath(*name.split(".")).with_suffix(".so")
        known = {ROOT / path for path in [*module["sources"], *module.get("depends", ())]}
        assert sources_of(compiled) <= known, name
    for path in PACKAGE.rglob("*.pyx"):
        assert module_of(path) in modules


def test_typing_marker_is_there() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_compiled_modules_are_built_in_ci() -> None:
    names = {path.name.partition(".")[0] for path in compiled_files()}
    lacking = {"hybi", "deflating", "driver", "sockio", "connection"} - names
    if lacking:
        missing(f"compiled {', '.join(sorted(lacking))}: a C compiler, zlib.h, and `pip install -e .`")
