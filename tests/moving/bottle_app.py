"""bottle-websocket's example; BOTTLE_WEBSOCKET names the package that is imported."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from bottle import Bottle, run

package: Any = importlib.import_module(os.environ["BOTTLE_WEBSOCKET"])
app = Bottle()


@app.get("/")
def page() -> str:
    return "a page"


@app.get("/websocket", apply=[package.websocket])
def echo(ws: Any) -> None:
    while True:
        msg = ws.receive()
        if msg is not None:
            ws.send(msg)
        else:
            break


if __name__ == "__main__":

    class Server(package.GeventWebSocketServer):
        """Which says when it serves."""

        def run(self, handler: Any) -> None:
            print("it listens", flush=True)
            super().run(handler)

    run(app, host="127.0.0.1", port=int(sys.argv[1]), server=Server, quiet=True)
