"""A test client for the WebSockets and event streams of an application: in memory, without a port.

::

    from wsdriver.testing import Client

    def test_chat():
        client = Client(app)  # any WSGI application: of Flask, Django, Bottle, ...
        with client.websocket("/chat") as ada, client.websocket("/chat") as grace:
            ada.send("hello")
            assert grace.receive() == "hello"

    def test_secret():
        with pytest.raises(wsdriver.HandshakeError) as refused:
            Client(app).websocket("/secret")
        assert refused.value.status == 401

The application runs in a greenlet beside the test, behind gevent's WSGI server and :class:`~wsdriver.WebSocketHandler`,
so that it is called as in production; only the connection is a pair of sockets. What it raises is raised in the test.
Nothing waits for ever: where nothing comes within ``timeout`` seconds (5 unless given), ``TimeoutError`` says where the
application is.

With pytest, the fixture ``websocket_client`` is a client for the application of the suite's own fixture ``app``.
"""

from __future__ import annotations

from wsdriver.framing.eventstream import Event
from wsdriver.green.testing.client import Client
from wsdriver.green.testing.events import TestedEventSource
from wsdriver.green.testing.websocket import TestedWebSocket

__all__ = ["Client", "Event", "TestedEventSource", "TestedWebSocket"]
