"""What ``wsdriver serve`` is told to serve: found by its name, and told apart by what it takes."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from wsdriver.cli.status import USAGE, Failure

__all__ = ["Broken", "files_of", "find", "is_application"]

#: The names that are looked for where only a module is named.
NAMES = ("handler", "app", "application")


class Broken(Failure):
    """The module cannot be imported, and not because it is not there.

    Attributes:
        files: those that a traceback names.
    """

    def __init__(self, sentence: str, files: set[str]) -> None:
        super().__init__(sentence, USAGE)
        self.files = files


def module_name(target: str) -> str:
    """Return the module of a target, which may be named as a file."""
    module = target.partition(":")[0]
    if module.endswith(".py"):
        module = os.path.normpath(module).removesuffix(".py").replace(os.sep, ".")
    return module


def files_of(target: str) -> set[str]:
    """Return the files that the target's module would be, of a program in this directory."""
    path = os.path.join(os.getcwd(), *module_name(target).split("."))
    return {path + ".py", os.path.join(path, "__init__.py")}


def find(target: str) -> Any:
    """Return what a target such as ``package.module:name`` names.

    Raises:
        Failure: there is nothing of that name.
        Broken: its module cannot be imported; the traceback is on standard error.
    """
    module, name = module_name(target), target.partition(":")[2]
    if not all(part.isidentifier() for part in module.split(".")) or target.endswith(":"):
        raise Failure(f"a target is module:name, such as examples.chat:app, not {target!r}", USAGE)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return _attribute(_import(module), name)


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise Failure(f"there is no module {error.name!r} in {os.getcwd()} or on Python's path", USAGE) from None
        raise _broken(module, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(module, error) from error


def _broken(module: str, error: BaseException) -> Broken:
    """Print the traceback, from the module's own line on."""
    steps = error.__traceback__
    machinery = (__file__, importlib.__file__)
    while steps is not None and (
        steps.tb_frame.f_code.co_filename in machinery or "importlib._bootstrap" in steps.tb_frame.f_code.co_filename
    ):
        steps = steps.tb_next
    traceback.print_exception(type(error), error, steps)
    files = {frame.filename for frame in traceback.extract_tb(steps)}
    if isinstance(error, SyntaxError) and error.filename:
        files.add(error.filename)
    return Broken(f"{module} cannot be imported: {type(error).__name__}: {error}", files)


def _attribute(module: ModuleType, name: str) -> Any:
    if not name:
        for usual in NAMES:
            if hasattr(module, usual):
                return getattr(module, usual)
        raise Failure(
            f"{module.__name__} has none of {', '.join(NAMES)}: name what to serve, as {module.__name__}:name", USAGE
        )
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            near = difflib.get_close_matches(part, [known for known in dir(value) if not known.startswith("_")], 1)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise Failure(f"{module.__name__} has no {name!r}{hint}", USAGE)
        value = getattr(value, part)
    return value


def is_application(value: Any, target: str) -> bool:
    """Tell a WSGI application, which takes two arguments, from a handler, which takes one, or is a table of such.

    Raises:
        Failure: it is neither, or could be both.
    """
    if isinstance(value, Mapping):
        return False
    if not callable(value):
        raise Failure(f"{target} cannot be called: it is {_described(value)}", USAGE)
    call = value if inspect.isroutine(value) or isinstance(value, type) else value.__call__
    if inspect.iscoroutinefunction(call):
        raise Failure(f"{target} is a coroutine function; handlers and WSGI applications are plain ones", USAGE)
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        raise Failure(f"{target} does not tell what it takes: --handler or --wsgi says what it is", USAGE) from None
    one, two = _takes(signature, 1), _takes(signature, 2)
    if one and two:
        first = next(iter(signature.parameters.values()))
        if first.name in ("environ", "env", "environment"):
            return True
        raise Failure(f"{target} takes one argument, or two: --handler or --wsgi says what it is", USAGE)
    if not one and not two:
        raise Failure(f"{target} takes neither a WebSocket nor (environ, start_response): {target}{signature}", USAGE)
    return two


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _described(value: object) -> str:
    return f"the module {value.__name__}" if isinstance(value, ModuleType) else f"of type {type(value).__name__}"
