"""The header Sec-WebSocket-Extensions, in both directions, and what permessage-deflate agrees on.

An input is: what the two sides' extensions want; then the header, in latin-1.
"""

from __future__ import annotations

from typing import Any

from tests.fuzz.checks import same
from tests.fuzz.inputs import Input
from tests.fuzz.worlds import World, worlds

__all__ = ["deflate_options", "target"]

MESSAGES = (b"hello hello hello " * 9, b"x" * 300, b"hello hello hello " * 9, bytes(range(256)))


def deflate_options(given: Input) -> dict[str, Any]:
    """Return options of a permessage-deflate."""
    flags = given.byte()
    bits = given.byte()
    options: dict[str, Any] = {
        "threshold": 0,
        "no_context_takeover": bool(flags & 1),
        "request_no_context_takeover": bool(flags & 2),
    }
    if flags & 4:
        options["max_window_bits"] = 9 + bits % 7
    if flags & 8:
        options["request_max_window_bits"] = 8 + (bits >> 4) % 8
    return options


def parse(world: World, header: str) -> Any:
    """Parse; what comes out serialises to a header that says the same. Returns it, or the words of the error."""
    module = world["extensions.header"]
    try:
        offers = module.parse(header)
    except world.errors.ExtensionError as error:
        return str(error)
    again = ", ".join(module.serialize(name, params) for name, params in offers)
    same(offers, module.parse(again), f"{again!r} says something else than {header!r}")
    return offers


def answer(world: World, server_options: dict[str, Any], header: str) -> Any:
    """Have a server answer the header as a client's offers; return the answer, or the words of the error."""
    framework = world["extensions.framework"]
    extensions = framework.Extensions([world["extensions"].PermessageDeflate(**server_options)])
    try:
        answered = extensions.generate_response(header)
    except world.errors.ExtensionError as error:
        return ["wrong", str(error)]
    assert (answered is not None) is extensions.active
    if answered is not None:
        ((name, params),) = world["extensions.header"].parse(answered)
        assert name == "permessage-deflate"
        assert set(params) <= {
            "server_no_context_takeover",
            "client_no_context_takeover",
            "server_max_window_bits",
            "client_max_window_bits",
        }
    return answered


def activate(world: World, client_options: dict[str, Any], header: str) -> Any:
    """Have a client read the header as the server's answer; return whether it does, or the words of the error."""
    extensions = world["extensions.framework"].Extensions([world["extensions"].PermessageDeflate(**client_options)])
    extensions.generate_offer()
    try:
        extensions.activate(header)
    except world.errors.ExtensionError as error:
        return str(error)
    return extensions.active


def agree(world: World, client_options: dict[str, Any], server_options: dict[str, Any]) -> Any:
    """Two of ours always agree, and then understand each other."""
    framework = world["extensions.framework"]
    deflate = world["extensions"].PermessageDeflate
    client = framework.Extensions([deflate(**client_options)])
    server = framework.Extensions([deflate(**server_options)])
    answered = server.generate_response(client.generate_offer())
    if client_options.get("request_max_window_bits") == 8:  # zlib cannot deflate with so few
        assert answered is None
        return answered
    assert answered is not None, "no agreement"
    client.activate(answered)
    for sender, receiver in ((client, server), (server, client)):
        for message in MESSAGES:
            data, reserved = sender.process_outgoing(2, message, None)
            same(receiver.process_incoming(2, data, reserved, 0), message, "a message came out as another")
    return answered


def target(data: bytes) -> None:
    given = Input(data)
    client_options, server_options = deflate_options(given), deflate_options(given)
    header = given.rest().decode("latin-1")
    results = [
        [
            parse(world, header),
            answer(world, server_options, header),
            activate(world, client_options, header),
            agree(world, client_options, server_options),
        ]
        for world in worlds()
    ]
    same(results[0], results[-1], "the plain and the compiled modules differ")
