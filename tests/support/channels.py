"""WebSockets and event streams that are members of a channel, over real sockets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from gevent.pywsgi import WSGIServer

import wsdriver
from tests.support.eventstream import Client
from tests.support.waiting import wait_for

__all__ = ["Members", "serving_members"]


class Members:
    """A server whose connections all join a channel, and publish what they receive.

    Args:
        channel: which they join.
        encode: for WebSockets.

    Attributes:
        joined: what each join() returned.
    """

    def __init__(self, channel: wsdriver.Channel, encode: Any = None) -> None:
        self._channel = channel
        self._encode = encode
        self.joined: list[bool] = []
        self.server: Any = None

    def app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if wsdriver.is_eventsource(environ):
            es = wsdriver.EventSource(environ)
            self.joined.append(self._channel.join(es))
            es.run()
            return es.wsgi_response()
        ws = wsdriver.WebSocket(environ)
        since = ws.handshake.query.get("since")
        self.joined.append(self._channel.join(ws, since=since, encode=self._encode))
        for message in ws:
            self._channel.publish(message)
        return ws.wsgi_response()

    def websocket(self, since: str | None = None, **options: Any) -> Any:
        """Return a client that is a member."""
        count = len(self.joined)
        query = "" if since is None else f"?since={since}"
        ws = wsdriver.connect(f"ws://127.0.0.1:{self.server.server_port}/{query}", **options)
        wait_for(lambda: len(self.joined) > count, "a member")
        return ws

    def stream(self, last_event_id: str = "", receive_buffer: int = 0, wait: bool = True) -> Client:
        """Return the client of an event stream that is a member."""
        count = len(self.joined)
        headers = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else ""
        client = Client(self.server.server_port, headers=headers, receive_buffer=receive_buffer)
        if wait:
            wait_for(lambda: len(self.joined) > count, "a member")
        return client


@contextmanager
def serving_members(channel: wsdriver.Channel, encode: Any = None) -> Iterator[Members]:
    """Serve members of a channel on a free port."""
    members = Members(channel, encode)
    server = WSGIServer(("127.0.0.1", 0), members.app, handler_class=wsdriver.WebSocketHandler, log=None)
    server.start()
    members.server = server
    try:
        yield members
    finally:
        server.stop(timeout=1)
