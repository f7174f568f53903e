"""python examples/reverse_extension.py hello 'a longer message'

An extension of the protocol, as anybody can write one: ``x-reverse`` turns messages round on the wire. The two sides
agree on how long a message must be to be worth it (the parameter ``min``), and RSV3 marks those that were turned.

The command lets a client and a server agree, and shows what each message looks like on its way. Between real ones:

    server = wsdriver.WebSocketServer(("127.0.0.1", 8080), handler, extensions=[Reverse(min=8)])
    ws = wsdriver.connect("ws://127.0.0.1:8080/", extensions=[Reverse()])
"""

from __future__ import annotations

import sys

from wsdriver.extensions import (
    ClientSession,
    Extension,
    Extensions,
    Message,
    Params,
    ReadParams,
    ServerSession,
    Session,
)

TEXT = 1


class Reverse(Extension):
    """Turns round each message of at least ``min`` bytes; the larger ``min`` of the two sides holds."""

    name = "x-reverse"
    rsv3 = True
    only_marked = True

    def __init__(self, min: int = 0) -> None:  # noqa: A002
        self.min = min

    def create_client_session(self) -> ClientSession:
        return ReverseClient(self.min)

    def create_server_session(self, offers: list[ReadParams]) -> ServerSession | None:
        for offer in offers:
            wanted = read_min(offer)
            if wanted is not None:
                return ReverseServer(max(self.min, wanted))
        return None


def read_min(params: ReadParams) -> int | None:
    """Return the one parameter that there is, 0 where it is left out, None where the parameters are wrong."""
    value = params.get("min", "0")
    if params.keys() <= {"min"} and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return None


class ReverseSession(Session):
    """What both sides do with messages."""

    def __init__(self, min: int) -> None:  # noqa: A002
        self.min = min

    def process_outgoing_message(self, message: Message) -> Message:
        if len(message.data) >= self.min:
            message.data = turn_round(message)
            message.rsv3 = True
        return message

    def process_incoming_message(self, message: Message, budget: int) -> Message:
        if message.rsv3:  # only_marked spares us the others, but not where it is not supported
            message.data = turn_round(message)  # as long as before: the budget is of no concern
            message.rsv3 = False
        return message


def turn_round(message: Message) -> bytes:
    """Return the data reversed: text by characters, since it must stay UTF-8, binary by bytes."""
    return message.data.decode()[::-1].encode() if message.opcode == TEXT else message.data[::-1]


class ReverseClient(ReverseSession, ClientSession):
    """The side that asks."""

    def generate_offer(self) -> Params:
        return {"min": self.min} if self.min else {}

    def activate(self, params: ReadParams) -> bool:
        answered = read_min(params)
        if answered is None or answered < self.min:
            return False
        self.min = answered
        return True


class ReverseServer(ReverseSession, ServerSession):
    """The side that decides."""

    def generate_response(self) -> Params:
        return {"min": self.min} if self.min else {}


def main(words: list[str]) -> None:
    """Agree, and pass each word from a client to a server."""
    client, server = Extensions([Reverse()]), Extensions([Reverse(min=6)])
    offer = client.generate_offer() or ""
    answer = server.generate_response(offer) or ""
    client.activate(answer)
    print(f"client: Sec-WebSocket-Extensions: {offer}")
    print(f"server: Sec-WebSocket-Extensions: {answer}")
    for word in words or ["hello", "a longer message"]:
        data, reserved = client.process_outgoing(TEXT, word.encode(), None)
        there = server.process_incoming(TEXT, data, reserved, max_length=1024)
        print(f"{word} -> {data.decode()} (RSV3 {'set' if reserved else 'clear'}) -> {there.decode()}")


if __name__ == "__main__":
    main(sys.argv[1:])
