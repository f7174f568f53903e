"""websockets on asyncio's own event loop: PORT [deflate]."""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, serve

COMPRESSION = "deflate" if "deflate" in sys.argv else None


async def echo(websocket: ServerConnection) -> None:
    """Echo every message."""
    async for message in websocket:
        await websocket.send(message)


async def main(port: int) -> None:
    """Serve until the process is told to end."""
    async with serve(echo, "127.0.0.1", port, max_size=None, compression=COMPRESSION) as server:
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
