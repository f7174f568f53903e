"""The table of servers: how each is started, and what it cannot do."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from tests.servers.serve import LISTENING
from tests.support.gunicorn import ROOT, Gunicorn, Server
from tests.support.peers import need_module, need_program
from tests.support.tls import Certificates

__all__ = ["ROWS", "Row", "Uwsgi"]

HERE = Path(__file__).parent

Start = Callable[[Path, "Certificates | None"], Server]


@dataclass(frozen=True)
class Row:
    """A server.

    Attributes:
        start: starts it with its files in a directory, and with TLS if there are certificates.
        tls: whether it can.
        keep_alive: whether it takes more than one request on a connection.
    """

    name: str
    start: Start
    tls: bool = True
    keep_alive: bool = True


def find_program(name: str) -> str:
    """Return the path of a program, also of one beside this interpreter, or where not every user looks."""
    for path in (os.path.dirname(sys.executable), "/usr/sbin"):
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    return need_program(name)


def gunicorn(worker: str, *arguments: str) -> Start:
    def start(directory: Path, certificates: Certificates | None) -> Server:
        application = "tests.servers.app:app"
        return Gunicorn(directory, *arguments, worker=worker, application=application, certificates=certificates)

    return start


@contextmanager
def closing_on_error(server: Server) -> Iterator[None]:
    """A constructor that fails leaves no process."""
    try:
        yield
    except BaseException:
        server.close()
        raise


class Library(Server):
    """A server of ``tests.servers.serve``."""

    def __init__(self, name: str, directory: Path, certificates: Certificates | None) -> None:
        super().__init__(directory, certificates)
        command = ["-m", "tests.servers.serve", name, "--port", str(self.port)]
        if certificates is not None:
            command += ["--certfile", str(certificates.certificate), "--keyfile", str(certificates.key)]
        with closing_on_error(self):
            self.start(LISTENING, *command)


def library(name: str, *needed: str) -> Start:
    def start(directory: Path, certificates: Certificates | None) -> Server:
        for module in needed:
            need_module(module)
        return Library(name, directory, certificates)

    return start


class Uwsgi(Server):
    """uWSGI with its gevent plugin, which PyPI's build has. It is told of this interpreter's packages."""

    def __init__(self, directory: Path, certificates: Certificates | None) -> None:
        assert certificates is None
        super().__init__(directory)
        command = ["--http-socket", f"127.0.0.1:{self.port}", "--gevent", "200", "--listen", "64", "--need-app"]
        command += ["--virtualenv", sys.prefix, "--pythonpath", str(ROOT), "--module", "tests.servers.app:app"]
        with closing_on_error(self):
            self.start("running gevent loop engine", *command, program=find_program("uwsgi"))


def uwsgi(directory: Path, certificates: Certificates | None) -> Server:
    return Uwsgi(directory, certificates)


class Proxy(Server):
    """A reverse proxy before another server. What the application tells, and the logs of both, are found here."""

    def __init__(self, directory: Path, behind: Server, certificates: Certificates | None) -> None:
        super().__init__(directory, certificates)
        self.behind = behind

    def configure(self, name: str, **values: str) -> Path:
        """Write the configuration file of that name, with the values put in."""
        template = Template((HERE / name).read_text())
        path = self.directory / name
        text = template.safe_substitute(DIRECTORY=self.directory, PORT=self.port, BACKEND=self.behind.port, **values)
        path.write_text(text)
        return path

    def text(self) -> str:
        return super().text() + self.behind.text()

    def mark(self) -> None:
        super().mark()
        self.behind.mark()

    def release(self, name: str) -> None:
        self.behind.release(name)

    def report(self, name: str) -> dict[str, Any]:
        return self.behind.report(name)

    def close(self) -> None:
        super().close()
        self.behind.close()


class Nginx(Proxy):
    def __init__(self, directory: Path, behind: Server, certificates: Certificates | None) -> None:
        super().__init__(directory, behind, certificates)
        with closing_on_error(self):
            ssl = files = ""
            if certificates is not None:
                ssl = " ssl"
                files = f"ssl_certificate {certificates.certificate};\n        ssl_certificate_key {certificates.key};"
            # As root its workers would change to a user who has no way into this directory.
            user = "user root;" if os.geteuid() == 0 else ""
            config = self.configure("nginx.conf", SSL=ssl, CERTIFICATES=files, USER=user)
            command = ["-c", str(config), "-e", str(self.error_log)]
            self.start("start worker process ", *command, program=find_program("nginx"))


class Haproxy(Proxy):
    def __init__(self, directory: Path, behind: Server, certificates: Certificates | None) -> None:
        super().__init__(directory, behind, certificates)
        with closing_on_error(self):
            ssl = ""
            if certificates is not None:
                both = self.directory / "both.pem"
                both.write_bytes(certificates.certificate.read_bytes() + certificates.key.read_bytes())
                ssl = f" ssl crt {both}"
            config = self.configure("haproxy.cfg", SSL=ssl)
            self.start("Loading success", "-W", "-f", str(config), program=find_program("haproxy"))


def proxy(kind: type[Proxy], program: str, behind: Start) -> Start:
    def start(directory: Path, certificates: Certificates | None) -> Server:
        find_program(program)  # before the other is started
        return kind(directory, behind(directory / "behind", None), certificates)

    return start


_worker = gunicorn("wsdriver.worker")
_gthread = gunicorn("gthread", "--threads", "64")

#: Servers that take a connection over with code of ours in them, then all others; then proxies before one of each.
ROWS = [
    Row("gunicorn-worker", _worker),
    Row("pywsgi-handler", library("pywsgi-handler")),
    Row("gunicorn-gevent", gunicorn("gevent")),
    Row("gunicorn-gthread", _gthread),
    Row("pywsgi", library("pywsgi")),
    Row("werkzeug", library("werkzeug", "werkzeug"), keep_alive=False),
    Row("wsgiref", library("wsgiref"), tls=False, keep_alive=False),
    Row("django", library("django", "django"), tls=False),
    Row("uwsgi", uwsgi, tls=False, keep_alive=False),
    Row("nginx", proxy(Nginx, "nginx", _worker)),
    Row("nginx-gthread", proxy(Nginx, "nginx", _gthread)),
    Row("haproxy", proxy(Haproxy, "haproxy", _worker)),
    Row("haproxy-gthread", proxy(Haproxy, "haproxy", _gthread)),
]
