"""websockets.broadcast on asyncio's own event loop."""

import asyncio
import sys
from contextlib import suppress

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

connections: set[ServerConnection] = set()


async def chat(websocket: ServerConnection) -> None:
    """Send every message to all."""
    connections.add(websocket)
    try:
        with suppress(ConnectionClosed):
            async for message in websocket:
                broadcast(connections, message)
    finally:
        connections.remove(websocket)


async def main(port: int) -> None:
    """Serve until the process is told to end."""
    compression = "deflate" if "deflate" in sys.argv else None
    async with serve(chat, "127.0.0.1", port, max_size=None, compression=compression) as server:
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
