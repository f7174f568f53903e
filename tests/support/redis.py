"""A real redis-server: started, stopped, killed and started again on the same port, with its data or without."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from tests.support.net import free_port
from tests.support.peers import need_module, need_program
from tests.support.tls import Certificates
from tests.support.wire import until

__all__ = ["RedisServer"]


class RedisServer:
    """A server of its own; a context manager, which leaves none behind.

    Args:
        directory: for its data.
        password: that clients need.
        certificates: to serve with TLS.
        arguments: more of redis-server's.

    Attributes:
        url: for clients.
    """

    def __init__(
        self, directory: Path, *arguments: str, password: str = "", certificates: Certificates | None = None
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.password = password
        self.socket = directory / "redis.sock"
        self._certificates = certificates
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        user = f":{quote(password, safe='')}@" if password else ""
        self.url = f"redis://{user}127.0.0.1:{self.port}/0"
        if certificates is not None:
            self.url = f"rediss://{user}127.0.0.1:{self.port}/0?ssl_ca_certs={certificates.authority}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = need_program("redis-server")
        port = ["--port", str(self.port)]
        if self._certificates is not None:
            port = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            port += ["--tls-cert-file", str(self._certificates.certificate)]
            port += ["--tls-key-file", str(self._certificates.key)]
            port += ["--tls-ca-cert-file", str(self._certificates.authority)]
        password = ["--requirepass", self.password] if self.password else []
        with (self.directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(program, "--bind", "127.0.0.1", *port, "--unixsocket", str(self.socket)),
                    *("--dir", str(self.directory), "--appendonly", "yes", "--save", "", "--daemonize", "no"),
                    *password,
                    *self._arguments,
                ],
                stdout=log,
                stderr=log,
            )
        until(self.answers, f"redis-server: {(self.directory / 'redis.log').read_text()[-2000:]}")

    def answers(self) -> bool:
        """Whether it is there, and has its data."""
        redis = need_module("redis")
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    def client(self) -> Any:
        """Return a client of redis-py, over the Unix socket."""
        redis = need_module("redis")
        return redis.Redis(unix_socket_path=str(self.socket), password=self.password or None)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(15)
            self._process = None

    def kill(self) -> None:
        """End it without a chance to say or save anything."""
        self.stop(signal.SIGKILL)

    def freeze(self) -> None:
        """Have it answer nothing, without ending any connection."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo :meth:`freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
