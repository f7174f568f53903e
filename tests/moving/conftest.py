"""Servers for applications of other libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.gunicorn import Gunicorn, Server

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
