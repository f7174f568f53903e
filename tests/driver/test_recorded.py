"""What real servers heard and said, replayed into our driver: the bytes of tests/interop/record.py.

Our driver hears the client's bytes; it has to tell of the same events, and to say what the original said. Where it says
something else, the reason is in :data:`DIFFERENCES`.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.driving import (
    CHUNKINGS,
    Chunk,
    Seen,
    Session,
    cut,
    events_of,
    load_vectors,
    new_server,
    new_wsgi,
    parse_head,
    said,
    split_head,
    wsgi_environ,
)

SERVERS = ("em_websocket", "websocket_driver_ruby", "websocket_driver_node")

RFC = ("hybi-7", "hybi-8", "hybi-13")

CODE = b"\x0b\xb9"  # 3001

#: By server and vector: the end of what it says, ours instead, and why.
DIFFERENCES: dict[tuple[str, str], tuple[bytes, bytes, str]] = {
    **{
        ("em_websocket", f"{version}-client-closes"): (
            bytes([first, 2]) + CODE,
            bytes([first, 5]) + CODE + b"bye",
            "em-websocket repeats the code only; RFC 6455 §5.5.1 leaves that open, and we repeat all",
        )
        for version, first in [("hybi-6", 0x81), *((version, 0x88) for version in RFC)]
    },
    ("em_websocket", "hybi-5-server-closes"): (
        b"\x81\x01S",
        b"\x81\x00",
        "em-websocket says S for server, as hybi-05 has it; that has no meaning, and we say nothing",
    ),
    ("em_websocket", "hixie-76-server-closes"): (
        b"",
        b"\xff\x00",
        "em-websocket ends TCP without a closing frame; hixie-76 §5.4 has the server send one",
    ),
}

VECTORS = [
    pytest.param(server, vector, id=f"{server}-{vector['name']}")
    for server in SERVERS
    for vector in load_vectors(f"recorded_{server}")
]


def serve(session: Session, event: Seen) -> None:
    """Do what the recorded server's application did: echo and obey."""
    driver = session.driver
    if event[0] == "connect":
        driver.start()
    elif event[0] == "message":
        message = event[1]
        if isinstance(message, bytes):
            assert driver.binary(message)
        elif message.startswith("/ping "):
            assert driver.ping(message[6:])
        elif message.startswith("/close "):
            assert driver.close(int(message[7:11]), message[12:])
        else:
            assert driver.text(message)


def check(session: Session, server: str, vector: dict[str, Any]) -> None:
    """Compare events and bytes with the recorded ones."""
    assert session.driver.version == vector["version"]
    assert session.events == events_of(vector["events"])
    head, frames = split_head(session.wire.take())
    expected_head, expected = split_head(said(vector, "server"))
    assert parse_head(head) == parse_head(expected_head)
    theirs, ours, _ = DIFFERENCES.get((server, vector["name"]), (b"", b"", ""))
    if theirs or ours:
        assert expected.endswith(theirs)
        expected = expected[: len(expected) - len(theirs)] + ours
    assert frames == expected


@pytest.mark.parametrize("how", CHUNKINGS)
@pytest.mark.parametrize(("server", "vector"), VECTORS)
def test_recorded_client_in_chunks_is_served_as_the_original_served_it(
    server: str, vector: dict[str, Any], how: str
) -> None:
    session = new_server()
    session.hook = serve
    session.replay(cut(said(vector, "client"), how, seed=vector["name"]))
    session.driver.eof()
    check(session, server, vector)


@pytest.mark.parametrize(("server", "vector"), VECTORS)
def test_recorded_client_with_the_pauses_it_made_is_answered_between_them(server: str, vector: dict[str, Any]) -> None:
    """What the original said before the client went on, we have said too."""
    session = new_server()
    session.hook = serve
    expected = b""
    for side, part in vector["exchange"]:
        data = said({"exchange": [[side, part]]}, side)
        if side == "client":
            session.parse(data)
        else:
            expected += data
            if (server, vector["name"]) not in DIFFERENCES:
                assert len(session.wire.sent) == len(expected)
    session.driver.eof()
    check(session, server, vector)


@pytest.mark.parametrize("how", ["whole", "bytes"])
@pytest.mark.parametrize(("server", "vector"), VECTORS)
def test_recorded_client_behind_a_wsgi_server_is_served_as_the_original_served_it(
    server: str, vector: dict[str, Any], how: str
) -> None:
    head, rest = split_head(said(vector, "client"))
    session = new_wsgi(wsgi_environ(head))
    session.hook = serve
    session.driver.start()
    session.replay(cut(rest, how, seed=vector["name"]))
    session.driver.eof()
    session.events.insert(0, ("connect",))
    check(session, server, vector)


@pytest.mark.parametrize(("server", "vector"), VECTORS)
def test_recorded_client_that_goes_away_anywhere_gives_one_close(server: str, vector: dict[str, Any]) -> None:
    data = said(vector, "client")
    complete = new_server()
    complete.hook = serve
    complete.parse(data)
    for at in [*range(0, min(len(data), 1500), 7), *range(1500, len(data), 4999)]:
        session = new_server()
        session.hook = serve
        chunks: list[Chunk] = [data[:at]]
        session.replay(chunks)
        session.driver.eof()
        session.driver.eof()
        assert len(session.closes) == 1
        assert session.names[-1] == "close"
        before = session.events[:-1]
        assert before == complete.events[: len(before)]
