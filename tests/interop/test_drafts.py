"""Every version of the protocol: the clients of tests/support/drafts.py talk to the originals, and to us.

The originals come first: they show that the clients are right. A version that an original does not have is not in
:data:`SPOKEN`; what it has, but does wrongly, is in :data:`FAULTS`. We have to do all of it, under three hosts::

    python -m tests.interop.test_drafts server --port 8000
    python -m tests.interop.test_drafts pywsgi --port 8000
    gunicorn -k wsdriver.worker tests.interop.test_drafts:app

All of these servers echo, and take texts that begin with a slash for orders: ``/ping <data>``,
``/close [<code> [<reason>]]``.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import wsdriver
from tests.support.drafts import DRAFTS, Draft, DraftClient, RefusedError
from tests.support.gunicorn import Gunicorn, Server
from tests.support.peers import need_node, need_program, need_ruby

# --- our server ------------------------------------------------------------------------------------------------------

LISTENING = "an echo server is listening"


def converse(ws: wsdriver.WebSocket) -> None:
    """Echo, and obey."""
    for message in ws:
        if isinstance(message, str) and message.startswith("/"):
            verb, _, rest = message.partition(" ")
            if verb == "/ping":
                ws.ping(rest)
            elif verb == "/version":
                ws.send(f"{ws.version} {ws.protocol} {ws.pingable} {ws.supports_close_codes}")
            else:
                code, _, reason = rest.partition(" ")
                ws.close(int(code or 1000), reason)
        else:
            ws.send(message)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The same in WSGI."""
    ws = wsdriver.WebSocket(environ, protocols=["chat"])
    converse(ws)
    return ws.wsgi_response()


def serve() -> None:
    """Serve it with the host that the command line names."""
    from gevent.pywsgi import WSGIServer

    parser = argparse.ArgumentParser()
    parser.add_argument("host", choices=["server", "pywsgi"])
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    address = ("127.0.0.1", options.port)
    if options.host == "server":
        server = wsdriver.WebSocketServer(address, converse, protocols=["chat"])
    else:
        server = WSGIServer(address, app, handler_class=wsdriver.WebSocketHandler, log=None)
    server.start()
    print(LISTENING, flush=True)
    server.serve_forever()


# --- all the servers -------------------------------------------------------------------------------------------------

PEERS = Path(__file__).with_name("peers")

#: An echo server on the npm package websocket-driver, as peers/driver_echo.rb is one on the gem.
NODE_SERVER = """
const net = require('net'), websocket = require('websocket-driver');
const server = net.createServer((socket) => {
  const driver = websocket.server();
  driver.on('connect', () => driver.start());
  driver.on('error', (error) => console.error(error.message));
  driver.on('close', () => socket.end());
  driver.messages.on('data', (message) => {
    if (typeof message !== 'string') return driver.binary(message);
    if (!message.startsWith('/')) return driver.text(message);
    const [verb, first, ...rest] = message.split(' ');
    if (verb === '/ping') driver.ping(first);
    else driver.close(rest.join(' '), first ? Number(first) : undefined);
  });
  socket.on('error', (error) => console.error(error.message));
  socket.pipe(driver.io).pipe(socket);
});
server.listen(0, '127.0.0.1', () => console.log('listening ' + server.address().port));
"""

HIXIE = ("hixie-75", "hixie-76")
MORE = ("hybi-1", "hybi-2", "hybi-3")
RFC = ("hybi-7", "hybi-8", "hybi-13")

EM = "em-websocket"
RUBY = "websocket-driver-ruby"
NODE = "websocket-driver-node"
OURS = ("ours-server", "ours-gunicorn", "ours-pywsgi")

#: The versions that each server has. hybi-04 is in none of the originals.
SPOKEN: dict[str, tuple[str, ...]] = {
    EM: (*HIXIE, *MORE, "hybi-5", "hybi-6", *RFC),
    RUBY: (*HIXIE, *RFC),
    NODE: (*HIXIE, "hybi-13"),
    **dict.fromkeys(OURS, tuple(DRAFTS)),
}

#: What the originals do wrongly, by test: servers, versions, and why.
FAULTS: dict[str, list[tuple[str, Sequence[str], str]]] = {
    "three_fragments": [
        (EM, ["hybi-5", "hybi-6"], "takes a second continuation for the message's type (framing05.rb)")
    ],
    "server_closes": [(EM, ["hixie-76"], "has no closing frame of its own: ends TCP (close75.rb)")],
    "late_body": [(EM, ["hixie-76", *MORE], "parses a body that comes late as the head of one more request")],
    "early_frames": [
        (EM, SPOKEN[EM], "refuses what comes behind the challenge, or drops what comes behind the head"),
        (RUBY, ["hixie-75", *RFC], "drops what comes behind the head (0.6.3)"),
        (NODE, RFC, "reads frames before it has opened"),
    ],
}


def pairs(
    test: str = "", only: Callable[[Draft], bool] = lambda draft: True, servers: Sequence[str] = tuple(SPOKEN)
) -> pytest.MarkDecorator:
    """Parametrise over servers and the versions that they have."""
    faulty = {(server, version) for server, versions, _ in FAULTS.get(test, ()) for version in versions}
    return pytest.mark.parametrize(
        ("server", "version"),
        [
            pytest.param(server, version, id=f"{server}-{version}")
            for server in servers
            for version in SPOKEN[server]
            if only(DRAFTS[version]) and (server, version) not in faulty
        ],
    )


def has_frames(draft: Draft) -> bool:
    return draft.has_frames


def has_challenge(draft: Draft) -> bool:
    return draft.opening == "76"


def start_original(name: str, stack: ExitStack, log: Path) -> int:
    """Start one of the originals; return its port."""
    environment: Mapping[str, str] | None = None
    if name == NODE:
        environment = need_node("websocket-driver")
        command = [need_program("node"), "-e", NODE_SERVER]
    else:
        library, script = {EM: ("em-websocket", "em_echo.rb"), RUBY: ("websocket/driver", "driver_echo.rb")}[name]
        command = [need_ruby(library), str(PEERS / script)]
    stderr = stack.enter_context(log.open("ab"))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment)
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    stack.enter_context(process.stdout)
    line = process.stdout.readline()
    assert line.startswith(b"listening "), log.read_text()
    return int(line.split()[1])


def start_ours(name: str, stack: ExitStack, directory: Path) -> int:
    """Start our server under one of its hosts; return its port. At the end, its log has to be quiet."""
    if name == "ours-gunicorn":
        server: Server = stack.enter_context(Gunicorn(directory, application="tests.interop.test_drafts:app"))
    else:
        server = stack.enter_context(Server(directory))
        host = name.removeprefix("ours-")
        server.start(LISTENING, "-m", "tests.interop.test_drafts", host, "--port", str(server.port))
    stack.callback(server.assert_quiet)
    return server.port


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], int]]:
    """What starts a server, once, and returns its port."""
    found: dict[str, int] = {}
    with ExitStack() as stack:

        def port_of(name: str) -> int:
            if name not in found:
                directory = tmp_path_factory.mktemp(name)
                start = start_ours if name in OURS else start_original
                found[name] = start(name, stack, directory if name in OURS else directory / "peer.log")
            return found[name]

        yield port_of


@pytest.fixture
def client(ports: Callable[[str], int], server: str, version: str) -> Iterator[DraftClient]:
    """A client that has not connected yet."""
    with DraftClient(version, ports(server), "/a%20path?b=c") as client:
        yield client


def end(client: DraftClient) -> None:
    """Do the closing handshake, and check that it is done."""
    codes = client.draft.codes
    client.close(*((3001, "bye") if codes else ()))
    if client.draft.name != "hixie-75":
        kind, body = client.recv()
        assert kind == "close"
        assert body[:2] == (struct.pack("!H", 3001) if codes else b"")
    client.expect(("end", b""))


# --- messages --------------------------------------------------------------------------------------------------------

TEXTS = ["Hello", "größer als 日本 😀", "", "x" * 200, "\x00\x01\x7f", "é" * 35000, "x" * 70000]


@pairs()
def test_texts_of_any_size_come_back(client: DraftClient) -> None:
    client.open()
    for text in TEXTS:
        client.send_text(text)
        client.expect(("text", text))
    end(client)


@pairs()
def test_texts_sent_at_once_come_back_in_order(client: DraftClient) -> None:
    client.open()
    texts = [f"{i}" * (i % 50) for i in range(1, 100)]
    client.send(b"".join(client.frame("text", text.encode()) for text in texts))
    client.expect(*(("text", text) for text in texts))
    end(client)


@pairs(only=has_frames)
def test_binaries_of_any_size_come_back(client: DraftClient) -> None:
    client.open()
    for size in (1, 200, 70000):
        data = bytes(i * 7 & 0xFF for i in range(size))
        client.send_binary(data)
        client.expect(("binary", data))
    end(client)


@pairs(only=has_frames)
def test_an_empty_binary_comes_back(client: DraftClient) -> None:
    client.open()
    client.send_binary(b"")
    client.expect(("binary", b""))
    end(client)


@pairs(only=has_frames)
def test_a_text_in_two_fragments_comes_back_whole(client: DraftClient) -> None:
    client.open()
    for _ in range(2):
        client.send_fragments("text", [b"a\xc3", b"\xa9b"])
        client.expect(("text", "aéb"))
    end(client)


@pairs("three_fragments", only=has_frames)
def test_a_message_in_many_fragments_with_a_ping_between_comes_back_whole(client: DraftClient) -> None:
    client.open()
    client.send_fragments("text", [b"a", b"b\xc3", b"\xa9", b""], client.frame("ping", b"between"))
    client.expect(("pong", b"between"), ("text", "abé"))
    client.send_fragments("binary", [b"\xff" * 200, b"", b"\x00" * 70000])
    client.expect(("binary", b"\xff" * 200 + b"\x00" * 70000))
    end(client)


@pairs(only=has_frames)
def test_bytes_that_come_one_by_one_are_frames_all_the_same(client: DraftClient) -> None:
    client.open()
    data = client.frame("text", "größer".encode()) + client.frame("ping", b"") + client.frame("binary", b"x" * 130)
    for index in range(len(data)):
        client.send(data[index : index + 1])
    # A pong may come before the answer to an earlier message: it does not wait for the application.
    found = [client.recv() for _ in range(3)]
    found.remove(("pong", b""))
    assert found == [("text", "größer"), ("binary", b"x" * 130)]
    end(client)


# --- control frames --------------------------------------------------------------------------------------------------


@pairs(only=has_frames)
def test_pings_are_answered(client: DraftClient) -> None:
    client.open()
    for data in (b"ping", b"", b"x" * 125):
        client.ping(data)
        client.expect(("pong", data))
    end(client)


@pairs(only=has_frames)
def test_pings_of_the_server_arrive(client: DraftClient) -> None:
    client.open()
    client.send_text("/ping data")
    client.expect(("ping", b"data"))
    client.send(client.frame("pong", b"data"))
    client.send_text("after")
    client.expect(("text", "after"))
    end(client)


@pairs("server_closes")
def test_a_close_of_the_server_is_answered(client: DraftClient) -> None:
    client.open()
    client.send_text("/close 3001 bye")
    if client.draft.name != "hixie-75":
        kind, body = client.recv()
        assert kind == "close"
        # hybi-05 has the server say "S".
        assert body in ([b"\x0b\xb9bye"] if client.draft.codes else [b"", b"S"])
        assert isinstance(body, bytes)
        client.close(body=body)
    client.expect(("end", b""))


@pairs(only=lambda draft: draft.codes)
def test_a_close_without_a_code_is_answered(client: DraftClient) -> None:
    client.open()
    client.close()
    kind, body = client.recv()
    assert kind == "close"
    assert body in (b"", b"\x03\xe8"), "em-websocket and websocket-driver say 1000"
    client.expect(("end", b""))


@pairs(only=has_frames)
def test_an_opcode_that_is_none_ends_the_connection(client: DraftClient) -> None:
    client.open()
    assert client.draft.opcodes is not None
    client.draft = replace(client.draft, opcodes={**client.draft.opcodes, "nonsense": 15})
    client.send(client.frame("nonsense"))
    kind, body = client.recv()
    if kind == "close":
        assert body[:2] in ([b"\x03\xea"] if client.draft.codes else [b"", b"S"])
        client.expect(("end", b""))
    else:
        assert kind == "end"


# --- the opening handshake -------------------------------------------------------------------------------------------


@pairs("late_body", only=has_challenge)
def test_a_challenge_whose_body_comes_late_is_answered(client: DraftClient) -> None:
    client.connect()
    client.send(client.head())
    time.sleep(0.1)
    client.send(client.body)
    client.check_answer()
    client.send_text("Hello")
    client.expect(("text", "Hello"))
    end(client)


@pairs("late_body", only=has_challenge)
@pytest.mark.parametrize("at", [1, 5, 7])
def test_a_challenge_whose_body_is_split_is_answered(client: DraftClient, at: int) -> None:
    client.connect()
    client.send(client.head() + client.body[:at])
    time.sleep(0.05)
    client.send(client.body[at:])
    client.check_answer()
    client.send_text("Hello")
    client.expect(("text", "Hello"))
    end(client)


@pairs("early_frames", only=has_challenge)
def test_frames_behind_a_late_body_in_one_segment_are_not_lost(client: DraftClient) -> None:
    client.connect()
    client.send(client.head())
    time.sleep(0.05)
    client.send(client.body + client.frame("text", b"early") + client.frame("text", b"and more"))
    client.check_answer()
    client.expect(("text", "early"), ("text", "and more"))
    end(client)


@pairs("early_frames", only=lambda draft: draft.mask != "nonce")  # which needs the server's
def test_frames_in_the_segment_of_the_request_are_not_lost(client: DraftClient) -> None:
    client.open(early=client.frame("text", b"early") + client.frame("text", b"and more"))
    client.expect(("text", "early"), ("text", "and more"))
    end(client)


@pairs("late_body")
def test_a_request_that_comes_byte_by_byte_is_answered(client: DraftClient) -> None:
    client.connect()
    data = client.head() + client.body
    for index in range(len(data)):
        client.send(data[index : index + 1])
    client.check_answer()
    client.send_text("Hello")
    client.expect(("text", "Hello"))
    end(client)


@pairs(only=has_challenge)
def test_a_challenge_without_a_number_is_refused(client: DraftClient) -> None:
    client.connect()
    client.keys[0] = ("no digits here", 0)
    client.send(client.head() + client.body)
    with pytest.raises((RefusedError, EOFError)):
        client.check_answer()


# --- ours alone ------------------------------------------------------------------------------------------------------


@pairs(servers=OURS)
def test_our_server_knows_the_version(client: DraftClient, version: str) -> None:
    client.open()
    client.send_text("/version")
    draft = client.draft
    client.expect(("text", f"{version} None {draft.has_frames} {draft.codes}"))
    end(client)


@pairs(servers=OURS)
def test_our_server_agrees_to_a_subprotocol(client: DraftClient, version: str) -> None:
    client.protocols = ["chat"]
    client.open()
    prefix = "" if version == "hixie-75" else "sec-"
    assert client.headers[f"{prefix}websocket-protocol"] == "chat"
    client.send_text("/version")
    draft = client.draft
    client.expect(("text", f"{version} chat {draft.has_frames} {draft.codes}"))
    end(client)


@pairs(servers=OURS)
def test_our_server_tells_a_version_without_pings_that_there_are_none(client: DraftClient) -> None:
    """An order to ping is passed over, and all goes on."""
    client.open()
    client.send_text("/ping data")
    if client.draft.has_frames:
        client.expect(("ping", b"data"))
    client.send_text("after")
    client.expect(("text", "after"))
    end(client)


if __name__ == "__main__":
    serve()
