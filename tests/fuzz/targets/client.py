"""A client that hears any bytes: an answer right or wrong, frames behind it; perhaps a proxy's answer before.

An input is: the options, whether there is a proxy, a seed for the pieces; then the bytes. The client's key is always
the same, so that an input may hold the right answer.
"""

from __future__ import annotations

from typing import Any

from tests.fuzz.checks import check_end, check_output, error_seen, same, seen
from tests.fuzz.inputs import Input, segmentations
from tests.fuzz.worlds import World, worlds
from tests.support.driving import Session, Wire, split_head

__all__ = ["target"]

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"protocols": ["chat", "b"]},
    {"extensions": {}},
    {"extensions": {"request_max_window_bits": 9, "request_no_context_takeover": True}},
)


def ask(world: World, options: dict[str, Any], proxied: bool, chunks: list[bytes]) -> list[Any]:
    """Give a client these chunks; return all that there is to compare of what it did."""
    given = dict(options)
    if "extensions" in given:
        given["extensions"] = [world["extensions"].PermessageDeflate(**given["extensions"])]
    wire = Wire("ws://example.com/path?query")
    tunnel: list[Any] = []
    with world.pinned():
        driver = world.Driver.client(wire, max_length=200, max_fragments=5, **given)
        session = Session(driver, wire, "client")
        if proxied:
            proxy = driver.proxy("http://user:password@proxy:3128")
            proxy.on("connect", lambda event: (tunnel.append("connect"), driver.start()))
            proxy.on("error", lambda error: tunnel.append(error_seen(error)))
            proxy.on("close", lambda event: tunnel.append((event.code, event.was_clean)))
            proxy.start()
            for chunk in chunks:
                proxy.parse(chunk)
        else:
            driver.start()
            session.replay(chunks)
    events, sent, known = seen(session), wire.sent, [driver.state, driver.status, driver.protocol]
    if proxied:
        tunnel.append(proxy.state)
        check_tunnel(tunnel)
        _, sent = split_head(sent)
    if not proxied or tunnel[0] == "connect":
        check_output(split_head(sent)[1], masked=True)
        check_end(session)
    else:
        assert (events, sent) == ([], b""), "something was said without a tunnel"
    return [events, sent, known, tunnel]


def check_tunnel(tunnel: list[Any]) -> None:
    """Either there is a tunnel, or there is one error and one close."""
    *told, state = tunnel
    if state == "connecting":
        assert told == []
    elif state == "open":
        assert told == ["connect"]
    else:
        assert state == "closed"
        error, close = told
        assert error[0] == "ProxyError"
        assert close == (1006, False)


def target(data: bytes) -> None:
    given = Input(data)
    options = given.pick(OPTIONS)
    proxied = given.pick((False, True))
    seed = given.byte()
    data = given.rest()
    outcomes = []
    for chunks in segmentations(data, seed):
        results = [ask(world, options, proxied, chunks) for world in worlds()]
        same(results[0], results[-1], "the plain and the compiled driver differ")
        outcomes.append(results[0])
    for other in outcomes[1:]:
        compare(outcomes[0], other)


def compare(whole: list[Any], other: list[Any]) -> None:
    """The way in which bytes are cut means nothing. Only how much of a wrong answer came may show in what is said."""
    (events, sent, known, tunnel), (events_2, sent_2, known_2, tunnel_2) = whole, other
    same(known, known_2, "what is known depends on the segments")
    same(sent, sent_2, "the output depends on the segments")
    if "open" in [event[0] for event in events]:
        same([events, tunnel], [events_2, tunnel_2], "the events depend on the segments")
    else:
        same([event[:2] for event in events], [event[:2] for event in events_2], "the events depend on the segments")
        same(tunnel[-1:], tunnel_2[-1:], "the tunnel depends on the segments")
