"""``wsdriver serve``: a server for a handler, a WSGI application or an echo."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wsdriver.cli import reloading
from wsdriver.cli.arguments import port
from wsdriver.cli.status import FAILED, USAGE, Failure
from wsdriver.cli.targets import Broken, files_of, find, is_application

if TYPE_CHECKING:
    from wsdriver.green.websocket import WebSocket

__all__ = ["add_arguments", "run"]

_MORE = """\
TARGET is a handler, which takes a WebSocket, or a table of handlers by path,
or a WSGI application:

  wsdriver serve chat:handler --port 8000 --reload
  wsdriver serve mysite.wsgi:application
  wsdriver serve --echo --port 0

It runs until Ctrl-C or SIGTERM: then WebSockets are closed with 1001, handlers
finish, and it exits with 0. The standard library waits as gevent does
(gevent.monkey.patch_all()), so that time.sleep in one handler stops no other.
One process on one core: gunicorn -k wsdriver.worker serves with more.

exit status:
  0    stopped by a signal
  1    it cannot listen there
  2    the arguments are wrong, or the target cannot be imported
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.epilog = _MORE
    parser.add_argument("target", metavar="TARGET", nargs="?", help="module:name, such as examples.chat:app")
    parser.add_argument("--echo", action="store_true", help="answer each message with itself, instead of a target")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--handler", action="store_true", help="the target is a handler, whatever it takes")
    kinds.add_argument("--wsgi", action="store_true", help="the target is a WSGI application, whatever it takes")
    parser.add_argument("--host", "-H", help="the address to listen at (127.0.0.1); 0.0.0.0 for all")
    parser.add_argument("--port", "-p", type=port, help="the port (8080); 0 for any that is free")
    parser.add_argument("--unix", metavar="PATH", help="listen at that Unix socket instead")
    parser.add_argument("--cert", metavar="FILE", help="serve with TLS: the certificate, with its chain")
    parser.add_argument("--key", metavar="FILE", help="its private key, where that is a file of its own")
    parser.add_argument(
        "--origins",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="of a handler: let in pages of that origin only, such as https://example.com or same; may be repeated",
    )
    parser.add_argument("--reload", "-r", action="store_true", help="begin again when a file of the program changes")
    parser.add_argument("--no-patch", action="store_true", help="leave the standard library as it is")
    parser.add_argument("--verbose", "-v", action="store_true", help="log each frame of a handler's WebSockets")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes; returns the exit status.

    Raises:
        ConfigurationError, Failure: it cannot be.
    """
    _check(arguments)
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    if not arguments.no_patch:
        from wsdriver.green.patching import patch

        patch()
    inherited = reloading.inherited() if arguments.reload else None
    if not arguments.reload:
        return _Serving(arguments, *_load(arguments)).run(None)
    files = set() if arguments.echo else files_of(arguments.target)
    try:
        target, application = _load(arguments)
    except Failure as failure:
        if inherited is None and not isinstance(failure, Broken):
            raise
        return _await_change(failure, files, inherited)
    return _Serving(arguments, target, application).run(inherited, files)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.echo == (arguments.target is not None):
        raise Failure("give a target, such as examples.chat:app, or --echo", USAGE)
    if arguments.echo and (arguments.handler or arguments.wsgi):
        raise Failure("--handler and --wsgi are about a target", USAGE)
    if arguments.unix is not None and (arguments.host is not None or arguments.port is not None):
        raise Failure("--unix excludes --host and --port", USAGE)
    if arguments.key is not None and arguments.cert is None:
        raise Failure("--key is of no use without --cert", USAGE)


def _load(arguments: argparse.Namespace) -> tuple[Any, bool]:
    """Return what to serve, and whether that is a WSGI application."""
    if arguments.echo:
        return _echo, False
    target = find(arguments.target)
    if not callable(target) and (arguments.handler or arguments.wsgi) and not isinstance(target, dict):
        raise Failure(f"{arguments.target} cannot be called", USAGE)
    application = arguments.wsgi or (not arguments.handler and is_application(target, arguments.target))
    if application and arguments.origins:
        raise Failure("--origins is for handlers; an application says WebSocket(environ, origins=...)", USAGE)
    return target, application


def _echo(ws: WebSocket) -> None:
    """Answer each message with itself."""
    for message in ws:
        ws.send(message)


def _await_change(failure: Failure, files: set[str], inherited: int | None) -> int:
    """Wait until what is broken has been mended, then begin again; returns where a signal ends the wait."""
    if isinstance(failure, Broken):
        files |= failure.files
    watch = reloading.Watch(files)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        print(f"wsdriver serve: {failure}; waiting for a change", file=sys.stderr, flush=True)
        watch.wait()
    except KeyboardInterrupt:
        return 0
    return reloading.restart(inherited)


class _Serving:
    """A target that has been found, to be served."""

    def __init__(self, arguments: argparse.Namespace, target: Any, application: bool) -> None:
        self._arguments = arguments
        self._target = target
        self._application = application
        self._kept = -1  # the descriptor that the successor gets
        self._tls = {"certfile": arguments.cert, "keyfile": arguments.key} if arguments.cert else {}

    def run(self, inherited: int | None, files: set[str] | None = None) -> int:
        """Serve until a signal comes; with ``files``, begin again when one of those, or of the program's, changes."""
        listener = self._listen(inherited)
        path = self._arguments.unix
        watch = None if files is None else reloading.Watch(files)
        over = False
        try:
            over = self._serve(listener, inherited is None, None if watch is None else watch.look)
        finally:
            listener.close()
            if path is not None and not over:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        if over and watch is not None:
            print(f"{os.path.relpath(watch.changed or '')} has changed: reloading", flush=True)
            reloading.restart(self._kept)
        return 0

    def _listen(self, inherited: int | None) -> Any:
        from wsdriver.green.listening import inherit, listen_tcp, listen_unix

        arguments = self._arguments
        if inherited is not None:
            return inherit(inherited)
        host = "127.0.0.1" if arguments.host is None else arguments.host
        number = 8080 if arguments.port is None else arguments.port
        where = arguments.unix or f"{host}:{number}"
        try:
            return listen_unix(arguments.unix) if arguments.unix is not None else listen_tcp(host, number)
        except OSError as error:
            raise Failure(f"cannot listen at {where}: {error.strerror}", FAILED) from error

    def _serve(self, listener: Any, first: bool, is_over: Callable[[], bool] | None) -> bool:
        """Serve; returns whether ``is_over`` ended it."""
        if is_over is not None:
            self._kept = os.dup(listener.fileno())  # the server closes its own when it stops
        addresses = self._addresses(listener)

        def started() -> None:
            if first:
                self._tell(addresses)

        if self._application:
            from wsdriver.green.applications import run_application

            return run_application(self._target, listener, started, is_over, **self._tls)
        from wsdriver.green.server import WebSocketServer
        from wsdriver.green.serving import run_server

        options: dict[str, Any] = {"debug": self._arguments.verbose, **self._tls}
        if self._arguments.origins:
            options["origins"] = self._arguments.origins
        server = WebSocketServer(listener, self._target, **options)
        return run_server(server, server.connections, started, is_over)

    def _addresses(self, listener: Any) -> list[str]:
        if self._arguments.unix is not None:
            return [f"unix:{self._arguments.unix}"]
        from wsdriver.green.listening import own_address
        from wsdriver.http import authority_of

        host, number = listener.getsockname()[:2]
        hosts = [host]
        if host in ("0.0.0.0", "::"):
            own = own_address()
            hosts = ["127.0.0.1", *([own] if own not in (None, "127.0.0.1") else [])]
        schemes = ["ws"] if not self._application else ["http", "ws"]
        secure = "s" if self._tls else ""
        return [f"{scheme}{secure}://{authority_of(name, number)}/" for name in hosts for scheme in schemes]

    def _tell(self, addresses: list[str]) -> None:
        what = self._arguments.target or "an echo"
        print(f"serving {what} at {' and '.join(addresses)}", flush=True)
        if sys.stdout.isatty():
            print("Ctrl-C stops it", flush=True)
