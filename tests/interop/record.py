"""Record what the originals and the clients of tests/support/drafts.py say to each other, as vectors.

    python -m tests.interop.record

writes ``tests/vectors/recorded_<server>.json``. A vector has

- ``name``, ``version``, ``source`` (the library, its version and its language's);
- ``exchange``: who said what, in order: ``["client", bytes]`` and ``["server", bytes]``; bytes are hex, or base64 of
  zlib's where they are many: ``{"zlib": ...}``;
- ``events``: what a server has to tell its application of it, as in the other vector files.

The servers echo, and take a text that begins with a slash for an order (tests/interop/test_drafts.py).
"""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.interop.test_drafts import EM, NODE, RUBY, SPOKEN, start_original
from tests.support.drafts import DraftClient
from tests.support.driving import VECTORS, payload_of
from tests.support.peers import need_node

TEXTS = ["Hello", "größer als 日本 😀", "", "x" * 200]

#: As they stand in a vector.
BINARIES: list[dict[str, Any]] = [{"hex": bytes(range(256)).hex()}, {"hex": "00"}, {"fill": "55", "size": 65536}]

RUBY_VERSION = "puts Gem::Specification.find_by_name('{}').version, RUBY_VERSION"
NODE_VERSION = "console.log(require('websocket-driver/package.json').version); console.log(process.version.slice(1))"


def source_of(server: str) -> str:
    """Return what names an original and its version."""
    if server == NODE:
        command, environment = ["node", "-e", NODE_VERSION], need_node("websocket-driver")
        library, language = "websocket-driver (npm)", "Node"
    else:
        gem = {EM: "em-websocket", RUBY: "websocket-driver"}[server]
        command, environment = ["ruby", "-e", RUBY_VERSION.format(gem)], None
        library, language = f"{gem} (gem)", "Ruby"
    found = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    version, of_language = found.stdout.split()
    return f"{library} {version} on {language} {of_language}"


CLEAN = ["close", 1005, "", True]
LOST = ["close", 1006, "", False]


def client_closes(client: DraftClient) -> list[Any]:
    """Say all that the version has, then close; return the events of it."""
    events: list[Any] = [["connect"], ["open"]]
    client.open()
    for text in TEXTS:
        client.send_text(text)
        client.expect(("text", text))
        events.append(["message", text])
    if client.draft.has_frames:
        for binary in BINARIES:
            data = payload_of(binary)
            client.send_binary(data)
            client.expect(("binary", data))
            events.append(["message", binary])
        client.ping(b"a ping")
        client.expect(("pong", b"a ping"))
        events.append(["ping", "a ping"])
        client.send_fragments("text", [b"a\xc3", b"\xa9b"], client.frame("ping", b"between"))
        client.expect(("pong", b"between"), ("text", "aéb"))
        events += [["ping", "between"], ["message", "aéb"]]
        client.send_text("/ping data")
        client.expect(("ping", b"data"))
        client.send(client.frame("pong", b"data"))
        events += [["message", "/ping data"], ["pong", "data"]]
    client.close(*((3001, "bye") if client.draft.codes else ()))
    while client.recv() != ("end", b""):
        pass
    if client.draft.name == "hixie-75":
        return [*events, LOST]
    return [*events, ["close", 3001, "bye", True] if client.draft.codes else CLEAN]


def server_closes(client: DraftClient) -> list[Any]:
    """Order the server to close; return the events of it."""
    events: list[Any] = [["connect"], ["open"], ["message", "/close 3001 bye"]]
    client.open()
    client.send_text("/close 3001 bye")
    kind, body = client.recv()
    if kind == "end":
        # hixie-75 has no closing handshake; em-websocket does none in hixie-76, and its client does not answer it.
        return [*events, CLEAN if client.draft.name == "hixie-75" else LOST]
    assert isinstance(body, bytes)
    client.close(body=body)
    client.expect(("end", b""))
    if client.draft.name == "hixie-75":
        return [*events, LOST]  # which has no closing handshake
    return [*events, ["close", 3001, "bye", True] if client.draft.codes else CLEAN]


def encoded(data: bytes) -> str | dict[str, str]:
    """Return bytes as they stand in a vector."""
    return data.hex() if len(data) < 2000 else {"zlib": base64.b64encode(zlib.compress(data, 9)).decode()}


def record(server: str) -> list[dict[str, Any]]:
    """Return the vectors of one original."""
    source = source_of(server)
    vectors = []
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        port = start_original(server, stack, Path(directory) / "log")
        for version in SPOKEN[server]:
            for session in (client_closes, server_closes):
                name = f"{version}-{session.__name__.replace('_', '-')}"
                with DraftClient(version, port, "/a%20path?b=c", seed=name) as client:
                    events = session(client)
                exchange = [[side, encoded(data)] for side, data in client.log]
                vectors.append(
                    {"name": name, "version": version, "source": source, "exchange": exchange, "events": events}
                )
    return vectors


def write(path: Path, vectors: list[dict[str, Any]]) -> None:
    """Write vectors, one part a line."""
    text = ",\n".join(
        "  {\n"
        + ",\n".join(f'    "{key}": {json.dumps(vector[key])}' for key in ("name", "version", "source"))
        + ',\n    "exchange": [\n'
        + ",\n".join(f"      {json.dumps(part)}" for part in vector["exchange"])
        + '\n    ],\n    "events": [\n'
        + ",\n".join(f"      {json.dumps(event, ensure_ascii=False)}" for event in vector["events"])
        + "\n    ]\n  }"
        for vector in vectors
    )
    path.write_text(f"[\n{text}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    for server in (EM, RUBY, NODE):
        write(VECTORS / f"recorded_{server.replace('-', '_')}.json", record(server))
