"""Who is it? Five ways to know before a WebSocket is used: `gunicorn -k wsdriver.worker examples.authentication:app`

A token says who somebody is, is signed by this server, and soon expires. It comes in a cookie, in the query, as a
subprotocol, or in the first message; Basic authentication is for programs. `python examples/authentication.py Ada`
prints a token for Ada, to try it with:

    python examples/client.py "ws://127.0.0.1:8000/query?token=$(python examples/authentication.py Ada)" hello
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

import wsdriver

SECRET = os.environ.get("TOKEN_SECRET", "an example's").encode()  # of yours: 32 random bytes, the same for all workers
PASSWORDS = {"Ada": hashlib.sha256(b"engine").digest()}  # of yours: a slow hash with salt, such as hashlib.scrypt


def make_token(name: str, seconds: int = 60) -> str:
    """Return a token that says so for some seconds; of letters that may stand in a query, a cookie and a header."""
    claim = base64.urlsafe_b64encode(json.dumps([name, int(time.time()) + seconds]).encode()).decode().rstrip("=")
    return f"{claim}.{sign(claim)}"


def name_of(token: str) -> str | None:
    """Return whom a token names; None where it is not ours, or has expired."""
    claim, _, signature = token.partition(".")
    if not hmac.compare_digest(signature.encode(), sign(claim).encode()):
        return None
    name, expires = json.loads(base64.urlsafe_b64decode(claim + "=" * (-len(claim) % 4)))
    return name if time.time() < expires else None


def sign(claim: str) -> str:
    return hmac.new(SECRET, claim.encode(), hashlib.sha256).hexdigest()


def by_cookie(environ: dict[str, Any]) -> str | None:
    """A cookie, as a login page sets it: ``Set-Cookie: token=...; HttpOnly; Secure; SameSite=Lax``."""
    try:
        cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    except CookieError:
        return None
    return name_of(cookies["token"].value) if "token" in cookies else None


def by_query(environ: dict[str, Any]) -> str | None:
    """``new WebSocket("wss://host/query?token=" + token)``"""
    return name_of(parse_qs(environ.get("QUERY_STRING", "")).get("token", [""])[0])


def by_subprotocol(environ: dict[str, Any]) -> str | None:
    """``new WebSocket("wss://host/subprotocol", ["chat", "token." + token])``"""
    for protocol in environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(","):
        kind, _, token = protocol.strip().partition(".")
        if kind == "token":
            return name_of(token)
    return None


def by_password(environ: dict[str, Any]) -> str | None:
    """``wsdriver.connect("wss://Ada:engine@host/basic")``"""
    scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    try:
        name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return None
    given = hashlib.sha256(password.encode()).digest()
    right = hmac.compare_digest(given, PASSWORDS.get(name, b""))
    return name if scheme.lower() == "basic" and right else None


def by_first_message(ws: wsdriver.WebSocket) -> str | None:
    """``ws.onopen = () => ws.send(token)``; the handshake has gone out before anybody is known."""
    usual, ws.max_length = ws.max_length, 1024
    try:
        token = ws.receive(timeout=10)
    except TimeoutError:
        token = None
    ws.max_length = usual
    return name_of(token) if isinstance(token, str) else None


WAYS: dict[str, Callable[[dict[str, Any]], str | None]] = {
    "/cookie": by_cookie,
    "/query": by_query,
    "/subprotocol": by_subprotocol,
    "/basic": by_password,
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Echo for those who are known."""
    if not wsdriver.is_websocket(environ):
        start_response("426 Upgrade Required", [("Content-Type", "text/plain"), ("Upgrade", "websocket")])
        return [b"Connect with a WebSocket.\n"]
    path = environ["PATH_INFO"]
    # A cookie comes from any page of the web; a token comes only from whoever has it.
    ws = wsdriver.WebSocket(environ, protocols=["chat"], origins="same" if path == "/cookie" else None)
    if path == "/first-message":
        name = by_first_message(ws)
        if name is None:
            ws.close(1008, "who are you?")
    elif path in WAYS:
        name = WAYS[path](environ)
        if name is None:
            ws.reject(401, "who are you?", {"WWW-Authenticate": "Basic"} if path == "/basic" else None)
    else:
        name = None
        ws.reject(404)
    if name is not None:
        converse(ws, name)
    return ws.wsgi_response()


def converse(ws: wsdriver.WebSocket, name: str) -> None:
    """Say each message back, with the name of who said it."""
    for message in ws:
        ws.send(f"{name}: {message}")


if __name__ == "__main__":
    print(make_token(*sys.argv[1:2] or ["somebody"]))
