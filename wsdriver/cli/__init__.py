"""The command line: ``wsdriver connect``, ``wsdriver serve`` and ``wsdriver bench``.

Each command is a module of this package, loaded when it is asked for: help comes at once, and gevent is not loaded for
it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from wsdriver.cli.arguments import Parser
from wsdriver.cli.status import BROKEN_PIPE, INTERRUPTED, USAGE, Failure
from wsdriver.exceptions import ConfigurationError
from wsdriver.version import __version__

__all__ = ["main"]

COMMANDS = {
    "connect": "talk to a WebSocket server, from a terminal or in a pipe",
    "serve": "serve a handler, a WSGI application or an echo",
    "bench": "put load on a WebSocket server, and measure its answers",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments; those of the program unless given.

    Returns:
        the exit status: 0, or one of :mod:`wsdriver.cli.status`.
    """
    given = sys.argv[1:] if argv is None else list(argv)
    parser = Parser(prog="wsdriver", description="WebSockets at the command line.")
    parser.add_argument("--version", action="version", version=f"wsdriver {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    asked = next((word for word in given if not word.startswith("-")), None)
    module: Any = None
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == asked:
            module = import_module(f"wsdriver.cli.{name}")
            module.add_arguments(command)
    try:
        arguments = parser.parse_args(given)
        status: int = module.run(arguments)
        sys.stdout.flush()
        return status
    except Failure as failure:
        return _fail(asked, str(failure), failure.status)
    except ConfigurationError as error:
        return _fail(asked, str(error), USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone, as head does. What is left in the buffer must not raise again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE


def _fail(command: str | None, sentence: str, status: int) -> int:
    print(f"wsdriver {command}: {sentence}", file=sys.stderr)
    return status
