"""The servers of the benchmark: a table for each kind of work, in which each has the name of the library it shows."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from tests.bench.server import Server

PURE = {"WSDRIVER_PURE": "1"}
OURS = (sys.executable, "examples/echo.py", "--port", "{port}")
GUNICORN = (
    *(sys.executable, "-m", "gunicorn", "-k", "wsdriver.worker", "--workers", "1", "--bind", "127.0.0.1:{port}"),
    *("--log-level", "warning", "--graceful-timeout", "1", "--no-control-socket", "examples.echo:app"),
)


def table(*servers: Server) -> dict[str, Server]:
    """Return servers by their names."""
    return {server.name: server for server in servers}


def script(name: str, *arguments: str, folder: str = "servers", program: str = sys.executable) -> tuple[str, ...]:
    """Return the command of a script in a folder of servers."""
    return (program, f"tests/bench/{folder}/{name}", "{port}", *arguments)


def broadcasters(*arguments: str) -> dict[str, Server]:
    """Return servers that send to all what one sends."""

    def command(name: str, program: str = sys.executable) -> tuple[str, ...]:
        return script(name, *arguments, folder="broadcasters", program=program)

    ours = command("wsdriver_server.py")
    return table(
        Server("wsdriver", "wsdriver.broadcast", ours, ("gevent",), ours=True),
        Server("wsdriver-pure", "wsdriver.broadcast, plain Python", ours, ("gevent",), env=PURE, ours=True),
        Server("raw-gevent", "gevent StreamServer, loop of send", command("raw_gevent.py"), ("gevent",)),
        Server(
            "gevent-websocket",
            "gevent-websocket, loop of send",
            command("gevent_websocket.py"),
            ("gevent", "gevent-websocket", "wsaccel"),
        ),
        Server("websockets-asyncio", "websockets.broadcast", command("websockets_asyncio.py"), ("websockets",)),
        Server("picows", "picows, loop of send", command("picows_uvloop.py"), ("picows", "uvloop")),
        Server("node-ws", "node ws, loop of send", command("ws.js", "node"), npm=("ws",)),
    )


def clients() -> dict[str, Server]:
    """Return client libraries; they all talk to the fastest server that is here."""
    picows = all(map(find_spec, ("picows", "uvloop")))
    fast = script("picows_uvloop.py") if picows else OURS
    needs = ("picows", "uvloop") if picows else ("gevent",)
    return table(
        Server("wsdriver", "wsdriver.connect", fast, ("gevent", *needs), client="wsdriver_client.py", ours=True),
        Server(
            "websocket-client", "websocket-client", fast, ("websocket-client", *needs), client="websocket_client.py"
        ),
        Server("websockets-sync", "websockets.sync", fast, ("websockets", *needs), client="websockets_sync.py"),
    )


SERVERS = table(
    Server("wsdriver", "wsdriver, WebSocketServer", OURS, ("gevent",), ours=True),
    Server("wsdriver-gunicorn", "wsdriver, gunicorn worker", GUNICORN, ("gevent", "gunicorn"), ours=True),
    Server("wsdriver-pure", "wsdriver, plain Python", OURS, ("gevent",), env=PURE, ours=True),
    Server("raw-gevent", "TCP echo, gevent StreamServer", script("raw_gevent.py"), ("gevent",), raw=True),
    Server(
        "gevent-websocket",
        "gevent-websocket, pywsgi",
        script("gevent_websocket.py"),
        ("gevent", "gevent-websocket", "wsaccel"),
    ),
    Server("websockets-asyncio", "websockets, asyncio", script("websockets_asyncio.py"), ("websockets",)),
    Server("websockets-sync", "websockets, threads", script("websockets_sync.py"), ("websockets",)),
    Server("aiohttp", "aiohttp, uvloop", script("aiohttp_uvloop.py"), ("aiohttp", "uvloop")),
    Server("picows", "picows, uvloop", script("picows_uvloop.py"), ("picows", "uvloop")),
    Server("node-ws", "node ws", script("ws.js", program="node"), npm=("ws",)),
    Server(
        "ruby-em-websocket",
        "Ruby em-websocket",
        script("em_websocket.rb", program="ruby"),
        gems=("em-websocket", "eventmachine"),
    ),
    Server(
        "ruby-websocket-driver",
        "Ruby websocket-driver",
        script("websocket_driver.rb", program="ruby"),
        gems=("websocket-driver", "eventmachine"),
    ),
)
DEFLATING = table(
    Server("wsdriver", "wsdriver, WebSocketServer", script("deflate_wsdriver.py"), ("gevent",), ours=True),
    Server("wsdriver-pure", "wsdriver, plain Python", script("deflate_wsdriver.py"), ("gevent",), env=PURE, ours=True),
    Server("websockets-asyncio", "websockets, asyncio", script("websockets_asyncio.py", "deflate"), ("websockets",)),
    Server("aiohttp", "aiohttp, uvloop", script("aiohttp_uvloop.py", "deflate"), ("aiohttp", "uvloop")),
    Server("node-ws", "node ws", script("ws.js", "deflate", program="node"), npm=("ws",)),
)
TLS = table(
    Server(
        "wsdriver",
        "wsdriver, WebSocketServer",
        script("tls_wsdriver.py", "{certificate}", "{key}"),
        ("gevent", "trustme"),
        tls=True,
        ours=True,
    ),
    Server(
        "gevent-websocket",
        "gevent-websocket, pywsgi",
        script("gevent_websocket.py", "{certificate}", "{key}"),
        ("gevent", "gevent-websocket", "wsaccel", "trustme"),
        tls=True,
    ),
)
BROADCASTERS = broadcasters()
COMPRESSING_BROADCASTERS = broadcasters("deflate")
PUBLISHERS = table(
    Server(
        "wsdriver",
        "Channel.publish",
        script("wsdriver_server.py", "channel", folder="broadcasters"),
        ("gevent",),
        ours=True,
    ),
    Server(
        "wsdriver-broadcast",
        "wsdriver.broadcast",
        script("wsdriver_server.py", folder="broadcasters"),
        ("gevent",),
        ours=True,
    ),
)
CLIENTS = clients()
