"""permessage-deflate: streams that are right, cut off, garbled or bombs, and conversations of two drivers.

An input is: what to do, the options, a budget; then messages, or the payloads of messages, each with its size before.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from tests.fuzz.checks import error_seen, same
from tests.fuzz.inputs import Input
from tests.fuzz.targets.header import deflate_options
from tests.fuzz.worlds import World, worlds
from tests.support.driving import Session, Wire

__all__ = ["target"]

BUDGETS = (0, 1, 100, 5000, 65_536)


def parts(given: Input) -> Iterator[bytes]:
    """Yield pieces of the rest of an input, each with its size in two bytes before it; a third bit repeats it."""
    while given:
        size = given.byte() << 8 | given.byte()
        part = given.take(size & 0x0FFF)
        yield part * (1 << (size >> 12))


def inflate(world: World, bits: int, takeover: bool, payloads: list[bytes], budget: int) -> list[Any]:
    """Return what each payload becomes, up to the first that is wrong, and what is said of that one."""
    inflater = world["extensions.deflating"].Inflater(bits, takeover)
    results: list[Any] = []
    for payload in payloads:
        try:
            result = inflater.unpack(payload, budget)
        except (world.errors.InvalidPayload, world.errors.MessageTooBig) as error:
            results.append(error_seen(error))
            break
        assert not budget or len(result) <= budget, "more than the budget"
        results.append(result)
    return results


def garble(given: Input) -> None:
    """Any payloads: the twins agree, keep to the budget, and say what zlib says."""
    bits, takeover, budget = given.pick(range(9, 16)), given.pick((True, False)), given.pick(BUDGETS)
    payloads = [payload[:60_000] for payload in parts(given) if payload]
    results = [inflate(world, bits, takeover, payloads, budget) for world in worlds()]
    same(results[0], results[-1], "the twins differ")
    if payloads and isinstance(results[0][0], bytes):
        # Of one stream, zlib is the judge.
        oracle = zlib.decompressobj(-15)
        expected = oracle.decompress(payloads[0] + b"\0\0\xff\xff", (budget or 1 << 26) + 1)
        same(results[0][0][: len(expected)], expected, "zlib says something else")


def damage(given: Input) -> None:
    """Messages as a peer deflates them, one of them damaged: those before come out, then it depends."""
    bits, takeover, budget = given.pick(range(9, 16)), given.pick((True, False)), given.pick(BUDGETS)
    at, change, number = given.byte() << 8 | given.byte(), given.byte(), given.byte()
    messages = [message[:60_000] for message in parts(given) if message]
    payloads = []
    deflater = None
    for message in messages:
        if deflater is None or not takeover:
            deflater = zlib.compressobj(wbits=-bits)
        payloads.append((deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4])
    number = number % len(messages) if messages else 0
    if change and messages:
        wrong = bytearray(payloads[number])
        wrong[at % len(wrong)] ^= change
        payloads[number] = bytes(wrong[: at % len(wrong) + 1] if change & 1 else wrong)
    results = [inflate(world, bits, takeover, payloads, budget) for world in worlds()]
    same(results[0], results[-1], "the twins differ")
    whole = number if change else len(messages)
    for message, result in zip(messages[:whole], results[0], strict=False):
        if budget and len(message) > budget:
            assert result[0] == "MessageTooBig"
        else:
            same(message, result, "a message came out as another")


def converse(given: Input) -> None:
    """A client and a server agree on something, and say something: each message comes out as it went in."""
    client_options, server_options = deflate_options(given), deflate_options(given)
    flags = given.byte()
    limit = given.pick(BUDGETS)
    messages = [message[:60_000] for message in parts(given)]
    outcomes = []
    for world in worlds():
        with world.pinned():
            outcomes.append(talk(world, client_options, server_options, flags, limit, messages))
    same(outcomes[0], outcomes[-1], "the plain and the compiled drivers differ")


def talk(
    world: World, client_options: Any, server_options: Any, flags: int, limit: int, messages: list[bytes]
) -> list[Any]:
    deflate = world["extensions"].PermessageDeflate
    ends = {}
    for side, options in (("client", client_options), ("server", server_options)):
        wire = Wire()
        make = world.Driver.client if side == "client" else world.Driver.server
        ends[side] = Session(make(wire, extensions=[deflate(**options)], max_length=limit), wire, side)
        ends[side].driver.start()
    client, server = ends["client"], ends["server"]
    server.parse(client.wire.take())
    client.parse(server.wire.take())
    assert (client.driver.state, server.driver.state) == ("open", "open"), [client.events, server.events]
    for index, message in enumerate(messages):
        near, far = (client, server) if (flags >> index % 4) & 1 else (server, client)
        if near.driver.state != "open":
            break
        before = len(far.messages)
        near.driver.binary(message, compress=(None, True, False)[flags % 3])
        far.parse(near.wire.take())
        if limit and len(message) > limit:
            error = far.error
            assert type(error).__name__ == "MessageTooBig", error
            near.parse(far.wire.take())
            assert near.closes[-1][1] == 1009
        else:
            assert far.messages[before:] == [message], [far.events[-2:], message]
    return [client.names, server.names, client.messages, server.messages]


def target(data: bytes) -> None:
    given = Input(data)
    given.pick((garble, damage, converse))(given)
