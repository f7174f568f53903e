"""examples/reverse_extension.py: an extension that is written from the docstrings alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from examples.reverse_extension import Reverse
from wsdriver.exceptions import ConfigurationError, ExtensionError
from wsdriver.extensions import Extensions, PermessageDeflate

TEXT, BINARY = 1, 2
RSV3 = 0x10

ROOT = Path(__file__).parent.parent


def agree(client: Extensions, server: Extensions) -> str:
    answer = server.generate_response(client.generate_offer() or "")
    assert answer is not None
    client.activate(answer)
    return answer


def test_command_of_the_first_line_runs() -> None:
    path = ROOT / "examples/reverse_extension.py"
    first = path.read_text().splitlines()[0].strip('"')
    assert first == "python examples/reverse_extension.py hello 'a longer message'"
    done = subprocess.run(
        [sys.executable, str(path), "hello", "a longer message"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "client: Sec-WebSocket-Extensions: x-reverse",
        "server: Sec-WebSocket-Extensions: x-reverse; min=6",
        "hello -> hello (RSV3 clear) -> hello",
        "a longer message -> egassem regnol a (RSV3 set) -> a longer message",
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "answer"),
    [(0, 0, "x-reverse"), (5, 0, "x-reverse; min=5"), (0, 5, "x-reverse; min=5"), (4, 5, "x-reverse; min=5")],
)
def test_larger_minimum_holds(ours: int, theirs: int, answer: str) -> None:
    client, server = Extensions([Reverse(ours)]), Extensions([Reverse(theirs)])
    assert agree(client, server) == answer
    for sender, receiver in ((client, server), (server, client)):
        for opcode, message in ((TEXT, "größer".encode()), (BINARY, b"\0\1\2\3\4\xff"), (TEXT, b"hey"), (TEXT, b"")):
            data, reserved = sender.process_outgoing(opcode, message, None)
            turned = len(message) >= max(ours, theirs)
            assert reserved == (RSV3 if turned else 0)
            assert (data == message) is not (turned and len(message) > 1)
            assert receiver.process_incoming(opcode, data, reserved, 100) == message


def test_first_right_offer_is_taken() -> None:
    server = Extensions([Reverse()])
    assert server.generate_response("x-reverse; min, x-reverse; max=1, x-reverse; min=3") == "x-reverse; min=3"


WRONG = ["; min", "; min=-1", "; min=x", '; min=" 5"', "; max=1", "; min=1; min=2", "; min=1; max=2"]


@pytest.mark.parametrize("params", WRONG)
def test_wrong_offer_is_declined(params: str) -> None:
    assert Extensions([Reverse()]).generate_response(f"x-reverse{params}") is None


@pytest.mark.parametrize("params", [*WRONG, "", "; min=4"])
def test_wrong_answer_is_refused(params: str) -> None:
    client = Extensions([Reverse(5)])
    client.generate_offer()
    with pytest.raises(ExtensionError, match="do not fit"):
        client.activate(f"x-reverse{params}")


def test_text_that_is_no_text_is_an_error_of_the_extension() -> None:
    client, server = Extensions([Reverse()]), Extensions([Reverse()])
    agree(client, server)
    with pytest.raises(ExtensionError, match="x-reverse: "):
        server.process_incoming(TEXT, b"\xff", RSV3, 0)


@pytest.mark.parametrize("reverse_first", [True, False])
def test_beside_permessage_deflate(reverse_first: bool) -> None:
    client, server = (
        Extensions([Reverse(), PermessageDeflate()] if reverse_first else [PermessageDeflate(), Reverse()])
        for _ in range(2)
    )
    if reverse_first:
        agree(client, server)
        assert (server.reserved, server.only_marked) == (0x50, True)
        message = "ä rather longer message ".encode() * 20
        data, reserved = client.process_outgoing(TEXT, message, None)
        assert reserved == 0x50
        assert len(data) < len(message)
        assert server.process_incoming(TEXT, data, reserved, len(message)) == message
    else:
        # Compressed text is no text any more: order matters.
        agree(client, server)
        with pytest.raises(ExtensionError, match="x-reverse: "):
            client.process_outgoing(TEXT, b"a rather longer message " * 20, None)


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        Extensions([Reverse(), Reverse()])
