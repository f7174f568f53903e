"""picows on uvloop: a callback per frame, which does not check that text is UTF-8."""

import asyncio
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server


class Echo(WSListener):
    """Echo every frame without copying its payload first."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer one frame."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


def accept(request: WSUpgradeRequest) -> WSListener:
    """Take every request."""
    return Echo()


async def main(port: int) -> None:
    """Serve until the process is told to end."""
    server = await ws_create_server(accept, "127.0.0.1", port, max_frame_size=2**30)
    await server.serve_forever()


asyncio.set_event_loop(loop := uvloop.new_event_loop())
loop.run_until_complete(main(int(sys.argv[1])))
