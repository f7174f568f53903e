"""A peer made of the Python library `websockets`: commands come in on stdin, events go out on stdout, a JSON line each.

``ws_peer.js`` is its twin; ``peer.py`` in the folder above speaks to both, and lists the commands and events.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

from payload import binary, digest, text  # type: ignore[import-not-found]  # beside this program
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response


def emit(event: str, **details: Any) -> None:
    print(json.dumps({"event": event, **details}), flush=True)


def report_ping(event: Any) -> None:
    if isinstance(event, Frame) and event.opcode is Opcode.PING:
        emit("ping", data=bytes(event.data).decode())


class Client(ClientConnection):
    def process_event(self, event: Any) -> None:
        report_ping(event)
        super().process_event(event)


class Server(ServerConnection):
    def process_event(self, event: Any) -> None:
        report_ping(event)
        super().process_event(event)


class Peer:
    def __init__(self) -> None:
        self.ws: ClientConnection | ServerConnection | None = None
        self.echo = False
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        lines = asyncio.StreamReader(limit=2**24)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            command = json.loads(line)
            await getattr(self, command.pop("do"))(**command)

    async def connect(
        self, url: str, protocols: list[str], headers: dict[str, str], ca: str | None, echo: bool, limit: int
    ) -> None:
        self.echo = echo
        try:
            ws = await connect(
                url,
                subprotocols=protocols or None,  # type: ignore[arg-type]
                additional_headers=headers,
                ssl=ssl.create_default_context(cafile=ca) if url.startswith("wss:") else None,
                max_size=limit,
                ping_interval=None,
                proxy=None,
                create_connection=Client,
            )
        except InvalidStatus as error:
            emit("refused", status=error.response.status_code)
        except (OSError, EOFError) as error:
            emit("failed", error=f"{type(error).__name__}: {error}")
        else:
            assert ws.response is not None
            self.opened(ws, ws.response.headers)

    async def listen(
        self,
        protocols: list[str],
        headers: dict[str, str],
        certificate: str | None,
        answer: dict[str, Any] | None,
        echo: bool,
        limit: int,
    ) -> None:
        self.echo = echo
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)

        def refuse(ws: ServerConnection, request: Request) -> Response | None:
            if answer is None:
                return None
            body = answer["body"].encode()
            fields = {**answer["headers"], "Content-Length": str(len(body)), "Connection": "close"}
            return Response(answer["status"], HTTPStatus(answer["status"]).phrase, Headers(fields), body)

        def add_headers(ws: ServerConnection, request: Request, response: Response) -> None:
            response.headers.update(headers)

        server = await serve(
            self.accepted,
            "127.0.0.1",
            0,
            subprotocols=protocols or None,  # type: ignore[arg-type]
            ssl=context,
            max_size=limit,
            ping_interval=None,
            process_request=refuse,
            process_response=add_headers,
            create_connection=Server,
        )
        emit("listening", port=next(iter(server.sockets)).getsockname()[1])

    async def accepted(self, ws: ServerConnection) -> None:
        assert ws.request is not None
        self.opened(ws, ws.request.headers)
        await ws.wait_closed()

    def opened(self, ws: ClientConnection | ServerConnection, headers: Headers) -> None:
        self.ws = ws
        fields = {name.lower(): value for name, value in headers.raw_items()}
        emit("open", protocol=ws.subprotocol, headers=fields)
        self.start(self.read(ws))

    def start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def read(self, ws: ClientConnection | ServerConnection) -> None:
        try:
            while True:
                message = await ws.recv()
                size = len(message.encode() if isinstance(message, str) else message)
                emit("message", binary=isinstance(message, bytes), size=size, sha256=digest(message))
                if self.echo:
                    await ws.send(message)
        except ConnectionClosed:
            await ws.wait_closed()
            emit("close", code=ws.close_code, reason=ws.close_reason)

    async def send(self, kind: str, size: int | None = None, data: str | None = None) -> None:
        assert self.ws is not None
        make: Callable[[int], str | bytes] = text if kind == "text" else binary
        if data is None:
            assert size is not None
            await self.ws.send(make(size))
        else:
            await self.ws.send(data if kind == "text" else data.encode("latin-1"))

    async def send_fragments(self, kind: str, parts: list[str], ping: str) -> None:
        """Send a message in fragments, cut between any bytes, with a ping behind the first."""
        ws = self.ws
        assert ws is not None

        async def fragments() -> AsyncIterator[bytes]:
            for i, part in enumerate(parts):
                yield part.encode("latin-1")
                if i == 0:
                    await self.ping(ping)

        await ws.send(fragments(), text=kind == "text")

    async def ping(self, data: str) -> None:
        assert self.ws is not None
        pong = await self.ws.ping(data)

        async def wait() -> None:
            await pong
            emit("pong", data=data)

        self.start(wait())

    async def close(self, code: int | None, reason: str) -> None:
        ws = self.ws
        assert ws is not None
        if code is not None:
            await ws.close(code, reason)
            return
        # The library's own close() always has a code.
        ws.protocol.send_close()
        for data in ws.protocol.data_to_send():
            ws.transport.write(data)


asyncio.run(Peer().run())
