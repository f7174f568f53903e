"""The protocol driver on plain sockets: `python examples/selectors_client.py ws://127.0.0.1:8080/ hello world`

A client of one's own I/O, in one thread, with the ``selectors`` of the standard library: it says each word, prints what
comes back, and closes.
"""

from __future__ import annotations

import selectors
import socket
import sys

import wsdriver
from wsdriver.events import CloseEvent, MessageEvent, OpenEvent

TIMEOUT = 10  # seconds of silence


class Client:
    """A socket, a driver, and the bytes that wait for the network."""

    def __init__(self, url: str, words: list[str]) -> None:
        self.url = url
        self.words = words
        self.answers: list[str | bytes] = []
        self.unsent = bytearray()
        self.driver = driver = wsdriver.Driver.client(self, max_length=1024 * 1024)
        driver.on("open", self.on_open)
        driver.on("message", self.on_message)
        driver.on("close", self.on_close)
        driver.on("error", print)
        self.closed: CloseEvent | None = None

    def write(self, data: bytes) -> None:
        """Take bytes for the network: the driver's only demand, beside the url."""
        self.unsent += data

    def on_open(self, event: OpenEvent) -> None:
        for word in self.words:
            self.driver.text(word)

    def on_message(self, event: MessageEvent) -> None:
        print(event.data)
        self.answers.append(event.data)
        if len(self.answers) == len(self.words):
            self.driver.close()

    def on_close(self, event: CloseEvent) -> None:
        self.closed = event

    def run(self) -> None:
        """Talk until the connection is closed."""
        target = self.driver.target
        with (
            socket.create_connection((target.host, target.port), TIMEOUT) as sock,
            selectors.DefaultSelector() as ready,
        ):
            sock.setblocking(False)
            ready.register(sock, selectors.EVENT_READ)
            self.driver.start()
            while self.closed is None:
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)
                ready.modify(sock, wanted)
                events = ready.select(TIMEOUT)
                if not events:
                    raise TimeoutError(f"nothing came for {TIMEOUT} seconds")
                if events[0][1] & selectors.EVENT_WRITE:
                    del self.unsent[: sock.send(self.unsent)]
                if events[0][1] & selectors.EVENT_READ:
                    data = sock.recv(65536)
                    if data:
                        self.driver.parse(data)
                    else:
                        self.driver.eof()
            sock.setblocking(True)
            sock.sendall(self.unsent)  # our half of the closing handshake


def main() -> int:
    if len(sys.argv) < 3:
        print("usage: selectors_client.py URL WORD...", file=sys.stderr)
        return 2
    try:
        client = Client(sys.argv[1], sys.argv[2:])
        if client.driver.target.secure:
            raise wsdriver.ConfigurationError("this example has no TLS: give it a ws: URL")
        client.run()
    except wsdriver.ConfigurationError as error:
        print(f"selectors_client.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"selectors_client.py: {error}", file=sys.stderr)
        return 1
    return 0 if client.closed is not None and client.closed.was_clean else 1


if __name__ == "__main__":
    sys.exit(main())
