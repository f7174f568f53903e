"""Requests to a WSGI application, without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(app: Any, path: str = "/_wsdriver", method: str = "GET", **more: str) -> Answer:
    """Ask as this machine does, unless ``more`` of the environ says otherwise; the answer is one by PEP 3333."""
    environ: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "REQUEST_METHOD": method,
        "HTTP_HOST": "localhost:8000",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "QUERY_STRING": "",
        **more,
    }
    setup_testing_defaults(environ)
    got: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        got[:] = [status, headers]
        return lambda data: None

    result = validator(app)(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        result.close()
    headers: Mapping[str, str] = dict(got[1])
    assert len(headers) == len(got[1]), "a header came twice"
    return Answer(int(got[0].split()[0]), dict(headers), body.decode())
