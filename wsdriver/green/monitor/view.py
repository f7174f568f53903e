"""What is shown of a server, and to whom: the answers to requests for it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from wsdriver.environ import Environ, split_target
from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.green.monitor.access import Gate
from wsdriver.green.monitor.figures import Meter
from wsdriver.green.monitor.metrics import serialize_metrics
from wsdriver.green.stats import Ledger
from wsdriver.log import log

__all__ = ["HEADERS", "View", "check_monitor"]

#: Where it is, unless told otherwise.
PATH = "/_wsdriver"

#: On all answers: not to be kept, and of no use to other pages.
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class View:
    """The page, its figures, and who may see them.

    Args:
        ledger: of the WebSockets.
        path: where it is.
        token, allow: see :class:`~wsdriver.green.monitor.access.Gate`.

    Attributes:
        path: as given.
        meter: makes the figures.
        streams: the event streams that are counted.

    Raises:
        ConfigurationError: an argument is wrong.
    """

    def __init__(
        self,
        ledger: Ledger,
        path: str = PATH,
        token: str | None = None,
        allow: Callable[[Environ], object] | None = None,
    ) -> None:
        if not isinstance(path, str) or not path.startswith("/") or path.endswith("/") or {"?", "#"} & set(path):
            raise ConfigurationError(f"path must be one such as '/_wsdriver', not {path!r}")
        self.path = path
        self.streams: set[Any] = set()
        self.meter = Meter(ledger, lambda: len(self.streams))
        self._gate = Gate(token, allow)

    def part_of(self, target: str) -> str | None:
        """Return which part of it a request's path or target is for: ``''`` is the page; None for no part."""
        path = split_target(target)[0]
        if path == self.path or path.startswith(self.path + "/"):
            return path[len(self.path) :].rstrip("/")
        return None

    def check(self, environ: Environ) -> None:
        """Let a request pass, or not.

        Raises:
            HandshakeError: it must not; ``.status`` and ``.headers`` are the answer.
        """
        try:
            self._gate.check(environ)
        except HandshakeError as error:
            log.info("monitor: %s is turned away: %s", environ.get("REMOTE_ADDR") or "a client", error)
            raise
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            raise HandshakeError("there is only something to look at", 405, {"Allow": "GET, HEAD"})

    def show(self, environ: Environ, part: str) -> tuple[dict[str, str], str]:
        """Return headers and the body of a part.

        Raises:
            HandshakeError: there is no such thing.
        """
        if part == "":
            nonce = secrets.token_urlsafe(16)
            page = files(__package__).joinpath("page.html").read_text("utf-8").replace("{nonce}", nonce)
            page = page.replace("{several}", "true" if environ.get("wsgi.multiprocess") else "false")
            policy = POLICY.format(nonce=nonce)
            return {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}, page
        if part == "/json":
            return {"Content-Type": "application/json"}, json.dumps(self.meter.look(), indent=2) + "\n"
        if part == "/metrics":
            content_type, text = serialize_metrics(self.meter.look(), environ.get("HTTP_ACCEPT", ""))
            return {"Content-Type": content_type}, text
        if part == "/events":
            raise HandshakeError("here is no event stream: the page asks for /json each second", 406)
        raise HandshakeError(f"there are {self.path}, {self.path}/json and {self.path}/metrics", 404)

    def answer(self, environ: Environ, part: str) -> HandshakeError:
        """Return the answer to a request as the HandshakeError that makes it: of any status, 200 among them."""
        try:
            self.check(environ)
            headers, body = self.show(environ, part)
        except HandshakeError as error:
            return HandshakeError(str(error), error.status, {**HEADERS, **error.headers})
        return HandshakeError(body.removesuffix("\n"), 200, {**HEADERS, **headers})


def check_monitor(given: object) -> dict[str, Any]:
    """Return the arguments of a View that an option means: a path, or a mapping.

    Raises:
        ConfigurationError: it means none.
    """
    if isinstance(given, str):
        given = {"path": given}
    if not isinstance(given, Mapping) or not {"path", "token", "allow"}.issuperset(given):
        raise ConfigurationError(
            f"monitor must be a path such as '/_wsdriver', or a dict with some of path, token and allow; not {given!r}"
        )
    arguments = dict(given)
    View(Ledger(), **arguments)
    return arguments
