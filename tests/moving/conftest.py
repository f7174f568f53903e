"""Servers for applications of other libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.gunicorn import Gunicorn, Server
from tests.support.wire import Response, Wire

Start = Callable[..., Server]


class Script(Server):
    """A module that is run, and prints ``it listens``."""

    def __init__(self, directory: Path, module: str) -> None:
        super().__init__(directory)
        try:
            self.start("it listens", "-m", module, str(self.port))
        except BaseException:
            self.close()
            raise


class Application:
    """One of :mod:`tests.moving.mounted` in a server that has others too; a client of it needs to know no prefix."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self._path = f"/{name}" if name else ""
        self.url = server.url + self._path

    def get(self, path: str) -> Response:
        """Get a page."""
        with self.server.dial() as wire:
            return wire.get(self._path + path)

    def open(self, path: str) -> Wire:
        """Open a WebSocket."""
        return self.server.dial().open(self._path + path)

    def ask_badly(self, path: str) -> int:
        """Ask for a version that there is not; return the status of the answer."""
        with self.server.dial() as wire:
            return wire.ask_badly("an unknown version", self._path + path)


#: What is put before the names of packages, and how gunicorn is started.
VARIANTS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "unchanged": ("", (), "wsdriver.worker"),
    "ours": ("wsdriver.compat.", (), "wsdriver.worker"),
    "ours-gthread": ("wsdriver.compat.", ("--threads", "16"), "gthread"),
}


@pytest.fixture(scope="session")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """The server of a variant; each is started once."""
    servers: dict[str, Server] = {}
    with ExitStack() as stack:

        def find(variant: str) -> Server:
            if variant not in servers:
                compat, arguments, worker = VARIANTS[variant]
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv("COMPAT", compat)
                    server = Gunicorn(
                        tmp_path_factory.mktemp(variant),
                        *arguments,
                        worker=worker,
                        application="tests.moving.mounted:app",
                    )
                servers[variant] = stack.enter_context(server)
            return servers[variant]

        yield find


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start servers that run as long as this module's tests: ``start(application, worker=..., VARIABLE=...)``.

    With ``worker=None``, the application's module is run.
    """
    with ExitStack() as stack:

        def starter(
            application: str, *arguments: str, worker: str | None = "wsdriver.worker", **variables: Any
        ) -> Server:
            directory = tmp_path_factory.mktemp("server")
            with pytest.MonkeyPatch.context() as patch:
                for name, value in variables.items():
                    patch.setenv(name, value)
                if worker is None:
                    server: Server = Script(directory, application.partition(":")[0])
                else:
                    server = Gunicorn(directory, *arguments, worker=worker, application=application)
            return stack.enter_context(server)

        yield starter
