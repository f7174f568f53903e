"""The WSGI environ (PEP 3333): what a request asks for, and how to build one from a request's head."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from wsdriver.exceptions import HandshakeError
from wsdriver.forwarded import is_forwarded_secure
from wsdriver.http import Headers, Request, has_token, parse_host

__all__ = [
    "Environ",
    "build_environ",
    "headers_of",
    "is_eventsource",
    "is_secure",
    "is_websocket",
    "split_target",
    "url_of",
]

Environ = Mapping[str, Any]

#: What stands in a URL as it is: all that is visible in ASCII.
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


def is_websocket(environ: Environ) -> bool:
    """Tell whether a request asks for a WebSocket: GET, with the upgrade named in both headers (RFC 6455 §4.2.1).

    Whether it asks *rightly* is judged by the opening handshake.
    """
    return (
        environ.get("REQUEST_METHOD") == "GET"
        and environ.get("HTTP_UPGRADE", "").strip().lower() == "websocket"
        and has_token(environ.get("HTTP_CONNECTION", ""), "upgrade")
    )


def is_eventsource(environ: Environ) -> bool:
    """Tell whether a request asks for server-sent events: GET or HEAD, and ``text/event-stream`` accepted."""
    if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
        return False
    accepted = (part.split(";", 1)[0].strip().lower() for part in environ.get("HTTP_ACCEPT", "").split(","))
    return "text/event-stream" in accepted


def is_secure(environ: Environ) -> bool:
    """Tell whether the client speaks TLS, to this server or to a proxy that the server trusts."""
    return (
        environ.get("wsgi.url_scheme") == "https" or environ.get("HTTPS") in ("on", "1") or is_forwarded_secure(environ)
    )


def headers_of(environ: Environ) -> Headers:
    """Return the request's headers, by their usual names."""
    fields = [
        ("-".join(part.capitalize() for part in key[5:].split("_")), str(value))
        for key, value in environ.items()
        if key.startswith("HTTP_")
    ]
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            fields.append((key.replace("_", "-").title(), str(environ[key])))
    return Headers(fields)


def url_of(environ: Environ, secure: bool | None = None) -> str:
    """Return the URL that the client asked for: ``ws://host/path?query``, or ``wss`` when the connection is secure."""
    if secure is None:
        secure = is_secure(environ)
    host = environ.get("HTTP_HOST")
    if not host:
        host = environ.get("SERVER_NAME", "localhost")
        port = str(environ.get("SERVER_PORT", ""))
        if port and port != ("443" if secure else "80"):
            host = f"{host}:{port}"
    target = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if not target or not target.startswith("/"):
        target = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if environ.get("QUERY_STRING"):
            target += "?" + environ["QUERY_STRING"]
    # A path comes unquoted (PEP 3333): what it hides, such as a line's end, must not get into a header that repeats it.
    target = quote(target.encode("latin-1", "replace"), safe=_VISIBLE)
    return f"{'wss' if secure else 'ws'}://{host}{target or '/'}"


def split_target(target: str) -> tuple[str, str]:
    """Return the path and the query of a request's target, both as they were sent."""
    path, _, query = target.partition("?")
    if not path.startswith("/") and "://" in path:  # the absolute form, RFC 9112 §3.2.2
        path = "/" + path.split("://", 1)[1].partition("/")[2]
    return path, query


def build_environ(request: Request, body: bytes, base: Environ) -> dict[str, Any]:
    """Build a WSGI environ from a request's head.

    Args:
        request: the head.
        body: what has come behind the head so far; it becomes ``wsgi.input``.
        base: what only the server knows, such as REMOTE_ADDR and wsgi.url_scheme.
    """
    path, query = split_target(request.target)
    headers = request.headers
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": request.target,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    environ.update(base)
    for name in headers:
        if "_" in name:
            # Would be read as the name with a dash: a way past proxies that filter headers.
            continue
        key = name.upper().replace("-", "_")
        value = "; ".join(headers.get_all(name)) if key == "COOKIE" else headers[name]
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key] = value
    if "HTTP_HOST" in environ and "SERVER_NAME" not in base:
        try:
            host, port = parse_host(environ["HTTP_HOST"])
        except HandshakeError:
            pass
        else:
            environ["SERVER_NAME"] = host
            environ["SERVER_PORT"] = str(port or (443 if is_secure(environ) else 80))
    return environ
