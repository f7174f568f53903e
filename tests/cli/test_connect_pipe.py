"""``wsdriver connect`` in a pipe: lines in, lines out, and an exit status."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from pathlib import Path

import gevent
import pytest

import wsdriver
from tests.cli.programs import run, started
from tests.support.peers import need_module, need_node
from tests.support.recording import http_proxy
from tests.support.serving import serving
from tests.support.tls import make_certificates


def connect(server: wsdriver.WebSocketServer, *arguments: str, given: bytes = b"") -> tuple[int, str, str]:
    return run("connect", server.url, *arguments, given=given)


class TestLines:
    def test_each_line_is_a_message_and_each_answer_a_line(self) -> None:
        got = []

        def echo(ws: wsdriver.WebSocket) -> None:
            for message in ws:
                got.append(message)
                ws.send(message)

        with serving(echo) as server:
            # (An empty line is an empty message; the last line may have no end.)
            assert connect(server, given="a\n\né \r\nlast".encode()) == (0, "a\n\né \r\nlast\n", "")
        assert got == ["a", "", "é \r", "last"]

    def test_many_lines_come_back_in_order(self) -> None:
        lines = "".join(f"{number}\n" for number in range(20_000))
        with serving() as server:
            assert connect(server, given=lines.encode()) == (0, lines, "")

    def test_binary_sends_and_writes_any_bytes(self) -> None:
        with serving() as server, started("connect", server.url, "--binary") as process:
            output, errors = process.communicate(b"\xff\x00\n\x80", timeout=60)
        assert (process.returncode, output, errors) == (0, b"\xff\x00\n\x80\n", b"")

    def test_json_is_laid_out(self) -> None:
        with serving() as server:
            status, output, _ = connect(server, "--json", given=b'{"a":[1,2]}\nno json\n')
        assert status == 0
        assert output == json.dumps({"a": [1, 2]}, indent=2) + "\nno json\n"

    def test_line_comes_out_while_the_input_stays_open(self) -> None:
        with serving() as server, started("connect", server.url) as process:
            process.stdin.write(b"one\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"one\n"

    def test_reader_that_goes_away_ends_it_quietly(self) -> None:
        with serving() as server, started("connect", server.url) as process:
            process.stdin.write(b"one\ntwo\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"one\n"
            process.stdout.close()
            process.stdin.write(b"three\n")
            process.stdin.flush()
            assert process.wait(20) == 141
            assert process.stderr.read() == b""


class TestEnd:
    def test_slow_answers_are_awaited(self) -> None:
        def slow(ws: wsdriver.WebSocket) -> None:
            ws.send("welcome")
            for message in ws:
                gevent.sleep(0.4)
                ws.send(message)

        with serving(slow) as server:
            assert connect(server, "--wait", "2", given=b"a\nb\n") == (0, "welcome\na\nb\n", "")

    def test_wait_0_closes_at_once(self) -> None:
        ended = []

        def silent(ws: wsdriver.WebSocket) -> None:
            ended.extend(ws)
            ended.append(ws.close_code)

        with serving(silent) as server:
            assert connect(server, "--wait", "0", given=b"a\n") == (0, "", "")
        assert ended == ["a", 1000]

    def test_wait_inf_leaves_the_end_to_the_server(self) -> None:
        def feed(ws: wsdriver.WebSocket) -> None:
            for number in range(3):
                ws.send(str(number))
                gevent.sleep(0.3)

        with serving(feed) as server:
            assert connect(server, "--wait", "inf") == (0, "0\n1\n2\n", "")

    def test_server_that_goes_away_in_order_is_no_failure(self) -> None:
        with serving(lambda ws: ws.send("bye")) as server, started("connect", server.url) as process:
            assert process.wait(20) == 0  # its input is open still
            assert process.stdout.read() == b"bye\n"

    def test_close_with_an_error_says_code_and_reason(self) -> None:
        with serving(lambda ws: ws.close(4000, "not you")) as server:
            status, output, errors = connect(server, "--wait", "inf")
        assert (status, output) == (1, "")
        assert errors == "wsdriver connect: closed with 4000: not you\n"

    def test_input_that_cannot_be_sent_any_more_is_a_failure(self) -> None:
        with serving(lambda ws: ws.receive()) as server, started("connect", server.url) as process:
            with suppress(BrokenPipeError):
                process.stdin.write(b"a line\n" * 500_000)
            assert process.wait(20) == 1
            assert process.stderr.read().endswith(b", before all of the input was sent\n")

    def test_connection_that_is_lost_is_a_failure(self) -> None:
        with serving(lambda ws: ws.accept() and ws.terminate()) as server:
            status, _, errors = connect(server, "--wait", "inf")
        assert status == 1
        assert errors.startswith("wsdriver connect: closed with 1006 (abnormal closure)")
        assert errors.count("\n") == 1

    def test_input_that_is_not_utf_8_is_named_by_its_line(self) -> None:
        with serving() as server:
            status, output, errors = connect(server, given=b"a\n\xff\n")
        assert (status, output) == (2, "a\n")
        assert errors == "wsdriver connect: line 2 of the input is not UTF-8; --binary sends any bytes\n"

    def test_ctrl_c_closes_and_says_so(self) -> None:
        codes = []

        def wait(ws: wsdriver.WebSocket) -> None:
            ws.send("go on")
            assert ws.receive() is None
            codes.append(ws.close_code)

        with serving(wait) as server, started("connect", server.url) as process:
            assert process.stdout.readline() == b"go on\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert process.stderr.read() == b""
        assert codes == [1000]


class TestHandshake:
    def test_what_is_asked_for_is_sent(self) -> None:
        asked = {}

        def tell(ws: wsdriver.WebSocket) -> None:
            asked.update(ws.handshake.headers)
            ws.accept()
            ws.send(f"{ws.protocol} {ws.handshake.path}")

        with serving(tell, protocols=["chat"], extensions=[wsdriver.PermessageDeflate()]) as server:
            status, output, errors = run(
                "connect",
                server.url + "room",
                *("-s", "other", "-s", "chat", "-H", "X-One: 1", "-H", "X-Two:2", "--compress", "--verbose"),
                *("--origin", "https://example.com"),
            )
        assert (status, output) == (0, "chat /room\n")
        assert errors.startswith("HTTP 101\n")
        assert "Sec-WebSocket-Protocol: chat\n" in errors
        assert "permessage-deflate" in errors
        assert (asked["X-One"], asked["X-Two"], asked["Origin"]) == ("1", "2", "https://example.com")

    def test_tls_through_a_proxy_with_our_own_authority(self, tmp_path: Path) -> None:
        known = make_certificates(tmp_path)
        with serving(certfile=str(known.certificate), keyfile=str(known.key)) as server, http_proxy() as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            assert connect(server, "--cacert", str(known.authority), "--proxy", url, given=b"a") == (0, "a\n", "")
            assert proxy.targets == [("127.0.0.1", server.server_port)]

    def test_proxy_of_the_environment_is_taken_unless_told_otherwise(self) -> None:
        with serving() as server, http_proxy() as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            assert run("connect", server.url, given=b"a", http_proxy=url) == (0, "a\n", "")
            assert len(proxy.targets) == 1
            assert run("connect", server.url, "--no-proxy", given=b"a", http_proxy=url) == (0, "a\n", "")
            assert len(proxy.targets) == 1

    def test_insecure_accepts_any_certificate_and_says_nothing_in_a_pipe(self, tmp_path: Path) -> None:
        known = make_certificates(tmp_path)
        with serving(certfile=str(known.certificate), keyfile=str(known.key)) as server:
            assert connect(server, "--insecure", given=b"a") == (0, "a\n", "")


WEBSOCKETS = """
import asyncio, websockets
async def echo(ws):
    async for message in ws:
        await ws.send(message)
async def main():
    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()
asyncio.run(main())
"""

NODE = """
const server = new (require("ws").WebSocketServer)({port: 0, host: "127.0.0.1", perMessageDeflate: true});
server.on("listening", () => console.log(server.address().port));
server.on("connection", ws => ws.on("message", (data, binary) => ws.send(data, {binary})));
"""


@pytest.mark.parametrize("peer", ["websockets", "node ws"])
def test_other_servers_are_talked_to(peer: str) -> None:
    import sys

    if peer == "websockets":
        need_module("websockets")
        command, environment = [sys.executable, "-c", WEBSOCKETS], None
    else:
        environment = need_node("ws")
        command = ["node", "-e", NODE]
    server = gevent.subprocess.Popen(command, stdout=gevent.subprocess.PIPE, env=environment)
    try:
        url = f"ws://127.0.0.1:{int(server.stdout.readline())}/"
        text = "".join(f"line {number}, é\n" for number in range(500))
        assert run("connect", url, "--compress", given=text.encode()) == (0, text, "")
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
