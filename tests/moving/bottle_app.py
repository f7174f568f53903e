"""bottle-websocket's example; COMPAT is put before the name of the package that it imports."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from bottle import Bottle, run

package: Any = importlib.import_module(os.environ.get("COMPAT", "") + "bottle_websocket")
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
