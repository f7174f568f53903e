"""aiohttp's WebSocketResponse on uvloop: PORT [deflate]."""

import asyncio
import sys

import uvloop
from aiohttp import WSMsgType, web

COMPRESS = "deflate" in sys.argv


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Echo every message, text as text and binary as binary."""
    websocket = web.WebSocketResponse(max_msg_size=0, compress=COMPRESS)
    await websocket.prepare(request)
    async for message in websocket:
        if message.type is WSMsgType.TEXT:
            await websocket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await websocket.send_bytes(message.data)
    return websocket


asyncio.set_event_loop(loop := uvloop.new_event_loop())
app = web.Application()
app.router.add_get("/", echo)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=loop)
