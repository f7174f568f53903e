"""A server that hears any bytes from the first one on: requests of every version, right and wrong, and what follows.

An input is: the options, when it starts, a seed for the pieces; then the bytes.
"""

from __future__ import annotations

from typing import Any

from tests.fuzz.checks import check_answer, check_end, same, seen
from tests.fuzz.inputs import Input, segmentations
from tests.fuzz.worlds import World, worlds
from tests.support.driving import Session, Wire

__all__ = ["target"]

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"protocols": ["chat", "b"], "headers": {"X-Own": "\xe9"}},
    {"extensions": True},
    {"versions": ["hybi-13", "hixie-76"]},
    {"origins": ["http://example.com", "null"]},
    {"origins": "same", "versions": ["hybi-8", "hybi-13"]},
)

#: What these leave out of the environ: objects, not words.
OBJECTS = ("wsgi.input", "wsgi.errors")


def serve(world: World, options: dict[str, Any], when: int, chunks: list[bytes]) -> list[Any]:
    """Give a server these chunks; return all that there is to compare of what it did."""
    given = dict(options)
    if "extensions" in given:
        given["extensions"] = [world["extensions"].PermessageDeflate()]
    wire = Wire()
    wire.base_environ = {"SERVER_NAME": "here", "SERVER_PORT": "80", "wsgi.url_scheme": "http", "REMOTE_ADDR": "::1"}
    driver = world.Driver.server(wire, max_length=200, max_fragments=5, **given)
    session = Session(driver, wire, "server")
    if when == 0:
        driver.start()
    elif when == 1:
        session.hook = lambda session, event: event[0] == "connect" and session.driver.start()
    with world.pinned():
        session.replay(chunks)
        if when == 2:
            driver.start()
    known = [driver.version, driver.protocol, driver.state, driver.method, driver.path, driver.url]
    headers = driver.headers
    known.append(None if headers is None else [(name, headers.get_all(name)) for name in headers])
    environ = driver.environ
    known.append(None if environ is None else {key: environ[key] for key in environ if key not in OBJECTS})
    events = seen(session)
    sent = wire.sent
    rest = check_answer(sent) if sent else b""
    check_end(session)
    return [events, sent, known, rest]


def target(data: bytes) -> None:
    given = Input(data)
    options = given.pick(OPTIONS)
    when = given.pick((0, 1, 2))
    seed = given.byte()
    data = given.rest()
    outcomes = []
    for chunks in segmentations(data, seed):
        results = [serve(world, options, when, chunks) for world in worlds()]
        same(results[0], results[-1], "the plain and the compiled driver differ")
        outcomes.append(results[0])
    for other in outcomes[1:]:
        compare(outcomes[0], other)


def compare(whole: list[Any], other: list[Any]) -> None:
    """The way in which bytes are cut means nothing. Only how much of a wrong request came may show in what is said."""
    (events, sent, known, _), (events_2, sent_2, known_2, _) = whole, other
    if "open" in [event[0] for event in events]:
        same(events, events_2, "the events depend on the segments")
        same(sent, sent_2, "the output depends on the segments")
        same(known, known_2, "what is known depends on the segments")
    else:
        same([event[0] for event in events], [event[0] for event in events_2], "the events depend on the segments")
        same(sent[:12], sent_2[:12], "the status depends on the segments")
        same(known[2], known_2[2], "the state depends on the segments")
