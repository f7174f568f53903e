"""picows on uvloop, and a loop of send: it has no broadcast."""

import asyncio
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

transports: set[WSTransport] = set()


class Chat(WSListener):
    """Send every message to all."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take one in."""
        transports.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Let one go."""
        transports.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Send one frame to all."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
            return
        payload = frame.get_payload_as_bytes()
        for each in tuple(transports):
            each.send(frame.msg_type, payload)


def accept(request: WSUpgradeRequest) -> WSListener:
    """Take every request."""
    return Chat()


async def main(port: int) -> None:
    """Serve until the process is told to end."""
    server = await ws_create_server(accept, "127.0.0.1", port, max_frame_size=2**30)
    await server.serve_forever()


asyncio.set_event_loop(loop := uvloop.new_event_loop())
loop.run_until_complete(main(int(sys.argv[1])))
