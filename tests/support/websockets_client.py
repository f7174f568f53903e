"""``websockets`` as a client: what another library makes of a server of ours."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.peers import need_module

__all__ = ["talk_by_websockets"]


def talk_by_websockets(url: str, context: Any, patience: float) -> int:
    """Have messages echoed, and close; return the close code.

    With its asyncio client, since the threaded one uses one TLS connection from two threads, which OpenSSL forbids.
    """
    client = need_module("websockets.asyncio.client")

    async def talk() -> int:
        async with client.connect(url, ssl=context, open_timeout=patience) as ws:
            for message in ("hello", b"\x00\x01", "long " * 50_000):
                await ws.send(message)
                assert await asyncio.wait_for(ws.recv(), patience) == message
        return int(ws.close_code)

    return asyncio.run(talk())
