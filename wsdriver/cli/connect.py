"""``wsdriver connect``: a client for people and for pipes."""

from __future__ import annotations

import argparse
import sys

from wsdriver.cli.arguments import seconds_or_none
from wsdriver.cli.client import STATUSES, add_client_arguments, client_options, explain
from wsdriver.cli.pipe import talk
from wsdriver.cli.show import Show, wants_colours
from wsdriver.cli.status import Failure
from wsdriver.cli.terminal import Terminal, history_file, need_prompt_toolkit
from wsdriver.exceptions import HandshakeError
from wsdriver.green.client.apart import open_apart
from wsdriver.green.client.connecting import ClientWebSocket
from wsdriver.green.interrupts import be_quiet_about_interrupts
from wsdriver.http import without_password

__all__ = ["add_arguments", "run"]

_MORE = f"""\
In a terminal: what you type is sent at Enter, /help lists the commands.

In a pipe, each line of standard input is a message, and each message that
comes is a line of standard output. At the end of the input it waits for the
answers: until as many messages have come as lines were sent, or, where the
server answers less, until nothing has come for 5 seconds. Then it closes, and
exits with 0. --wait says otherwise.

  echo hello | wsdriver connect ws://127.0.0.1:8080/
  wsdriver connect --wait inf wss://example.com/feed </dev/null | jq .price

{STATUSES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.epilog = _MORE
    add_client_arguments(parser)
    group = parser.add_argument_group("messages")
    group.add_argument("--binary", "-b", action="store_true", help="send binary messages")
    group.add_argument("--json", "-j", action="store_true", help="lay messages out that are JSON")
    group.add_argument(
        "--wait",
        "-w",
        metavar="SECONDS",
        type=seconds_or_none,
        help="at the end of piped input, close when nothing has come for so long; 0: at once, inf: the server closes",
    )
    group.add_argument("--no-color", action="store_true", help="no colours; the variable NO_COLOR does that, too")
    group.add_argument(
        "--no-history",
        action="store_true",
        help="do not keep what is typed; else it is in ~/.local/state/wsdriver/history",
    )
    group.add_argument(
        "--verbose", "-v", action="store_true", help="show the server's answer, and in a terminal its pings and pongs"
    )


def run(arguments: argparse.Namespace) -> int:
    """Connect, and talk; returns the exit status.

    Raises:
        ConfigurationError: the arguments do not go together.
        Failure: it did not work.
    """
    be_quiet_about_interrupts()
    url, options = client_options(arguments)
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    if interactive:
        need_prompt_toolkit()
    colours = wants_colours(sys.stdout) and not arguments.no_color
    show = Show(colours=colours, terminal=sys.stdout.isatty(), pretty=arguments.json)
    try:
        ws = open_apart(url, options)
    except (OSError, HandshakeError) as error:
        raise Failure(explain(error)) from error
    if arguments.verbose:
        _tell_answer(ws)
    if not interactive:
        return talk(ws, show, binary=arguments.binary, wait=arguments.wait)
    where = without_password(ws.url)
    print(show.note(f"connected to {where}{_agreed(ws)}; /help lists the commands, Ctrl-D leaves"))
    if arguments.insecure:
        print(show.error("anybody may answer there: the certificate was not checked"))
    history = None if arguments.no_history else history_file()
    terminal = Terminal(
        ws,
        show,
        where,
        colours=colours,
        binary=arguments.binary,
        history=history,
        verbose=arguments.verbose,
    )
    return terminal.run()


def _agreed(ws: ClientWebSocket) -> str:
    headers = ws.headers
    extensions = None if headers is None else headers.get("Sec-WebSocket-Extensions")
    said = [f"subprotocol {ws.protocol}" if ws.protocol else "", "compressed" if extensions else ""]
    return "".join(f", {part}" for part in said if part)


def _tell_answer(ws: ClientWebSocket) -> None:
    lines = [f"HTTP {ws.status}", *(f"{name}: {value}" for name, value in (ws.headers or {}).items())]
    print(*lines, "", sep="\n", file=sys.stderr, flush=True)
