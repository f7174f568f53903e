"""What the commands that connect have in common: their arguments, and how a failed connection is told."""

from __future__ import annotations

import argparse
import re
import ssl
from typing import Any

from wsdriver.cli.arguments import header, seconds, seconds_or_none
from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.extensions import PermessageDeflate
from wsdriver.green.client.opening import check_url
from wsdriver.green.client.options import ClientOptions
from wsdriver.options import make_options

__all__ = ["STATUSES", "add_client_arguments", "client_options", "explain"]

STATUSES = """\
exit status:
  0    all went well
  1    the connection failed, or ended otherwise than with 1000, 1001 or no code
  2    the arguments, or the input, are wrong
  130  Ctrl-C
"""

#: Seconds that the closing handshake may take: somebody waits for his prompt.
CLOSE_TIMEOUT = 3

MAX_REDIRECTS = 5

#: The library's advice, which speaks of its arguments, and ours.
_ADVICE = {
    r"\(tls=\{'root_cert_file': \.\.\.\} trusts another authority\)": "(--cacert FILE trusts another authority, "
    "--insecure anybody)",
    r"root_cert_file ('.*?') cannot": r"--cacert \1 cannot",
    r"\btls: certfile ('.*?') cannot": r"--cert \1 cannot",
    r"\btls: keyfile is of no use without certfile": "--key is of no use without --cert",
    r"^tls: ": "",
}


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where to connect, and how."""
    parser.add_argument("url", metavar="URL", help="ws://host:port/path or wss://...; without a scheme, ws://")
    group = parser.add_argument_group("the opening handshake")
    group.add_argument(
        "--subprotocol", "-s", metavar="NAME", action="append", default=[], help="offer it; may be repeated"
    )
    group.add_argument(
        "--header",
        "-H",
        metavar="'NAME: VALUE'",
        type=header,
        action="append",
        default=[],
        help="one more header of the request; may be repeated",
    )
    group.add_argument("--origin", "-o", metavar="URL", help="the Origin header, as a page of that site would send it")
    group.add_argument("--compress", "-c", action="store_true", help="offer compression (permessage-deflate)")
    group = parser.add_argument_group("the way there")
    group.add_argument(
        "--proxy",
        metavar="URL",
        help="http://user:password@host:3128, https://, socks5h://; the environment's unless given",
    )
    group.add_argument("--no-proxy", action="store_true", help="no proxy, whatever the environment says")
    group.add_argument("--unix", metavar="PATH", help="connect to that Unix socket")
    group.add_argument("--insecure", "-k", action="store_true", help="accept any certificate of the server")
    group.add_argument("--cacert", metavar="FILE", help="trust these authorities instead of the system's")
    group.add_argument("--cert", metavar="FILE", help="our own certificate, for a server that asks for one")
    group.add_argument("--key", metavar="FILE", help="its private key, where that is a file of its own")
    group.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, default=10.0, help="for the whole way, until it is open (10)"
    )
    group.add_argument(
        "--ping",
        metavar="SECONDS",
        type=seconds_or_none,
        default=20.0,
        help="send a ping so often, and give up a server that is silent as long (20); 0: never",
    )


def client_options(arguments: argparse.Namespace) -> tuple[str, ClientOptions]:
    """Return the URL and the options that the arguments ask for.

    Raises:
        ConfigurationError: they do not go together.
    """
    options: dict[str, Any] = {
        "protocols": arguments.subprotocol,
        "headers": [*arguments.header, *([("Origin", arguments.origin)] if arguments.origin else [])],
        "extensions": [PermessageDeflate()] if arguments.compress else [],
        "open_timeout": arguments.timeout,
        "close_timeout": CLOSE_TIMEOUT,
        "ping": arguments.ping if 0 < arguments.ping < float("inf") else None,
        "max_redirects": MAX_REDIRECTS,
        "unix": arguments.unix,
    }
    options["ping_timeout"] = options["ping"]
    if arguments.proxy is not None and arguments.no_proxy:
        raise ConfigurationError("--proxy and --no-proxy exclude each other")
    # As curl does, the environment's proxy is taken unless told otherwise.
    options["proxy"] = arguments.proxy or not (arguments.no_proxy or arguments.unix)
    tls: dict[str, Any] = {}
    if arguments.cacert is not None:
        tls["root_cert_file"] = arguments.cacert
    if arguments.cert is not None:
        tls["certfile"] = arguments.cert
    if arguments.key is not None:
        tls["keyfile"] = arguments.key
    if arguments.insecure:
        tls["verify_peer"] = False
    if tls:
        options["tls"] = tls
    url = _url(arguments.url)
    try:
        made = make_options(ClientOptions, options)
        check_url(url, made)
    except ConfigurationError as error:
        raise ConfigurationError(_advise(str(error))) from error
    return url, made


def _url(text: str) -> str:
    """Return a WebSocket URL for what people type or paste."""
    if text.startswith(("http://", "https://")):
        return "ws" + text.removeprefix("http")
    return text if "://" in text else f"ws://{text}"


def _advise(sentence: str) -> str:
    for words, ours in _ADVICE.items():
        sentence = re.sub(words, ours, sentence)
    return sentence


def explain(error: Exception) -> str:
    """Return one line that says at which stage a connection failed, and why."""
    sentence = _advise(str(error))
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.strerror:
        sentence = _advise(error.strerror)
    stage = getattr(error, "stage", None)
    body = error.body if isinstance(error, HandshakeError) else b""
    if body:
        # What the server says about it: as far as it is words, for a page of HTML is none.
        words = " ".join(body.decode("utf-8", "replace").split())
        if not words.startswith("<") and words.isprintable():
            sentence += f" ({words[:200]})"
    return f"{stage}: {sentence}" if stage else sentence
