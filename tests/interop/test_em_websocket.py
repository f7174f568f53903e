"""em-websocket's own server and ours get the same bytes: what they answer, and tell the application, is compared.

A probe is one connection, done to Debian's ruby-em-websocket (peers/em_websocket.rb) and to ours
(peers/em_websocket_twin.py). Its outcome is lines: what the server said on the wire, then what its callbacks got. Only
the client's Host header is made up; nothing else is left out but the words about a fault, which are each library's own.
Where the two differ, :data:`RULES` or :data:`LISTED` says how, and why; a difference that is not there fails, and so
does one that is there and has gone.

All that em-websocket offers, ours, and the probe that shows it:

====================================  ==============================================  ================================
em-websocket 0.5.1                    wsdriver                                        shown by
====================================  ==============================================  ================================
EM::WebSocket.start                   serve(), WebSocketServer.serve_forever          the SIGTERM test
EM::WebSocket.run                     WebSocketServer(...).start                      all probes
EM::WebSocket.stop                    server.stop                                     the SIGTERM test
EM::WebSocket.max_frame_size          max_length=                                     limit_*
EM::WebSocket.close_timeout           close_timeout=                                  closes_unanswered
:host, :port                          the address                                     all probes
:secure, :tls_options                 certfile=, keyfile=, ssl_context= ...           secure
:secure_proxy                         secure_proxy=                                    secure_proxy
:close_timeout                        close_timeout=                                  closes_unanswered
:debug                                debug=                                           debug
(always) flash policy                 flash_policy=                                    request_for_a_flash_policy
onopen                                on('open')                                      request
onmessage, onbinary                   on('message'): str or bytes                     texts, binaries
onping, onpong                        on('ping'), on('pong')                          pings, ping_of_the_server
onerror                               on('error')                                     opcode_*, raises
onclose: code, reason, was_clean      on('close'): the same                           close_*, dropped_*
send, send_text, send_binary          send                                            text_of_the_server, binary_...
ping, pong (false where none)         ping, pong (the same)                           ping_of_the_server, pong_...
close, close_websocket                close                                           closes_*
close_connection (EventMachine)       terminate                                       drops
pingable?, supports_close_codes?      pingable, supports_close_codes                  request
state                                 state                                           request, closes_state
max_frame_size                        options.max_length                              request
max_frame_size=                       max_length                                      limit_of_a_connection
close_timeout                         options.close_timeout                           closes_unanswered
get_peername (EventMachine)           remote_address                                  request
handshake.path, query_string, query   handshake.path, query_string, query             request, target_*
handshake.headers, headers_downcased  handshake.headers: names in any case            request
handshake.origin, secure?             handshake.origin, secure                        request, secure
handshake.protocol_version            handshake.protocol_version                      request
WebSocketError, HandshakeError        the same                                        request_*
WSProtocolError, InvalidDataError     ProtocolError, InvalidPayload                   opcode_*, text_not_utf8
WSMessageTooBigError                  MessageTooBig                                   limit_exceeded
====================================  ==============================================  ================================

Connection's trigger_on_* and dispatch are for its own use. Debian's 0.5.1 has no ``:healthcheck``: request_for_health.
"""

from __future__ import annotations

import json
import os
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest

from tests.interop.em_probes import ALL, CODES, FEW, FRAMED, HIXIE, INVALID, OLD, PROBES, RFC, Client, show
from tests.interop.peer import Certificates
from tests.support.gunicorn import MORTAL, ROOT
from tests.support.peers import need_ruby

PATIENCE = 15.0


# --- the servers -----------------------------------------------------------------------------------------------------


class Server:
    """One of the two, in a process of its own."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", MORTAL, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr
            )
        assert self.process.stdout is not None
        self._pipe = self.process.stdout.fileno()
        self._unread = b""
        self._events: list[Any] = []
        self.ports: dict[str, int] = self._line()

    def _line(self) -> Any:
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self._unread:
            readable, _, _ = select.select([self._pipe], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._pipe, 1 << 20) if readable else b""
            assert data, f"the server says nothing more:\n{self.log.read_text()[-4000:]}"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def events(self, peer: int) -> list[list[Any]]:
        """Wait until the connection of this port is gone; return what was told of it."""
        found = []
        while True:
            told, event, *details = self._line()
            if told == peer:
                if event == "gone":
                    return found
                found.append([event, *details])

    def stop(self) -> int:
        """End it as a service manager would; return its status."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def start_both(directory: Path, certificate: Path, stack: ExitStack) -> tuple[Server, Server]:
    """Start em-websocket's and ours."""
    peers = Path(__file__).with_name("peers")
    theirs = Server([need_ruby("em-websocket"), str(peers / "em_websocket.rb"), str(certificate)], directory / "em.log")
    stack.callback(theirs.kill)
    twin = "tests.interop.peers.em_websocket_twin"
    ours = Server([sys.executable, "-m", twin, str(certificate)], directory / "ours.log")
    stack.callback(ours.kill)
    return theirs, ours


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[tuple[Server, Server]]:
    with ExitStack() as stack:
        yield start_both(tmp_path_factory.mktemp("em-websocket"), certificates.localhost, stack)


# --- what came of it -------------------------------------------------------------------------------------------------


def unhex(data: str) -> str:
    """Show what a server has told in hexadecimal digits, or only of what size it is."""
    return data if " " in data else show(bytes.fromhex(data))


def told(events: list[list[Any]], with_facts: bool) -> list[str]:
    """Return what a server's callbacks got, in lines."""
    lines = []
    for event, *details in events:
        if event == "open":
            lines.append("event open")
            if with_facts:
                facts = dict(details[0])
                lines += sorted(f"request header {name}: {value}" for name, value in facts.pop("headers").items())
                lines += [f"request {name} {value!r}" for name, value in facts.items()]
        elif event in ("message", "ping", "pong"):
            lines.append(" ".join(["event", event, *details[:-1], unhex(details[-1])]))
        elif event == "close":
            code, reason, was_clean = details
            words = "with words" if code in (1002, 1007, 1009) and not was_clean else unhex(reason)
            lines.append(f"event close {code} {words} {'clean' if was_clean else 'unclean'}")
        else:
            lines.append(" ".join(map(str, ["event", event, *details])))
    return lines


def outcome(server: Server, name: str, version: str, context: ssl.SSLContext) -> list[str]:
    """Do a probe to one server; return what came of it."""
    probe = PROBES[name]
    with Client(version, server.ports[probe.listener], context if probe.listener == "secure" else None) as client:
        probe.do(client)
    return client.lines + told(server.events(client.peer), probe.facts)


def difference(theirs: list[str], ours: list[str]) -> tuple[list[str], list[str]]:
    """Return the lines that are only theirs, and only ours."""
    only_theirs, only_ours = [], []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes():
        if tag != "equal":
            only_theirs += theirs[i1:i2]
            only_ours += ours[j1:j2]
    return only_theirs, only_ours


class Comparison:
    """Does each probe once, to both servers."""

    def __init__(self, servers: tuple[Server, Server], context: ssl.SSLContext) -> None:
        self._servers = servers
        self._context = context
        self._done: dict[tuple[str, str], tuple[set[Rule], list[str], list[str]]] = {}

    def of(self, name: str, version: str) -> tuple[set[Rule], list[str], list[str]]:
        """Return the rules that hold, and what they leave unexplained: lines of theirs, and of ours."""
        if (name, version) not in self._done:
            theirs, ours = difference(*(outcome(server, name, version, self._context) for server in self._servers))
            holding = set()
            for rule in RULES:
                if version in rule.versions and set(rule.theirs) <= set(theirs) and set(rule.ours) <= set(ours):
                    holding.add(rule)
                    for line in rule.theirs:
                        theirs.remove(line)
                    for line in rule.ours:
                        ours.remove(line)
            self._done[name, version] = holding, theirs, ours
        return self._done[name, version]


@pytest.fixture(scope="module")
def comparison(servers: tuple[Server, Server], certificates: Certificates) -> Comparison:
    return Comparison(servers, certificates.client_context())


# --- where ours differs, and why -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A difference that many probes show.

    Attributes:
        versions: in which.
        theirs: lines that only em-websocket's outcome has.
        ours: lines that only ours has.
        why: it is so.
    """

    versions: tuple[str, ...]
    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    why: str


LOST = "event close 1006 b'' unclean"

RULES = [
    Rule(
        ("hixie-76",),
        (LOST,),
        ("event close 1005 b'' clean",),
        "em-websocket does the closing handshake of hixie-76 and tells of none (framing76.rb)",
    ),
    Rule(("hixie-76",), (), ("close b''",), "hixie-76 §5.4: the server sends a closing frame; em-websocket has none"),
    Rule(
        ("hybi-5",),
        ("close b'S'",),
        ("close b''",),
        "em-websocket says S for server, as hybi-05 has it; that has no meaning, and we say nothing",
    ),
    *(
        Rule(
            ALL,
            (LOST,),
            (f"event close {code} with words unclean",),
            "who failed the connection knows why: ours tells it, as websocket-driver does; em-websocket says 1006",
        )
        for code in (1002, 1007, 1009)
    ),
    Rule(
        CODES,
        ("close 3000 b'Application error'", "event close 3000 b'Application error' clean"),
        ("close 1011 b'internal error'", "event close 1011 b'internal error' clean"),
        "1011 is for an error in the server's application (RFC 6455 §7.4.1); em-websocket is older than it",
    ),
    *(
        Rule(
            ALL,
            ("said nothing", "event error handshake"),
            (f"status HTTP/1.1 {status}",),
            "RFC 6455 §4.2.2 wants an answer; em-websocket drops the connection, and tells a handler that has no peer",
        )
        for status in ("400 Bad Request", "426 Upgrade Required", "431 Request Header Fields Too Large")
    ),
]


@dataclass(frozen=True)
class Listed:
    """A difference that the rules do not explain.

    Attributes:
        probe: its name.
        versions: in which.
        theirs: a line that tells of it in em-websocket's outcome; None where that has only less.
        ours: the same in ours.
        why: it is so.
    """

    probe: str
    versions: tuple[str, ...]
    theirs: str | None
    ours: str | None
    why: str


REFUSED = "close 1002 with words"
BAD = "status HTTP/1.1 400 Bad Request"
LENIENT = "em-websocket does not look at it: "
OPENED = "event open"

LISTED = [
    # Messages.
    Listed(
        "three_fragments",
        ("hybi-5", "hybi-6"),
        None,
        "binary b'abc'",
        "em-websocket takes a second continuation for the message's type, and loses the message (framing05.rb)",
    ),
    Listed("reserved_bit_40", RFC, "text 'x'", REFUSED, LENIENT + "RFC 6455 §5.2"),
    Listed("reserved_bit_20", RFC, "text 'x'", REFUSED, LENIENT + "RFC 6455 §5.2"),
    Listed("reserved_bit_10", RFC, "text 'x'", REFUSED, LENIENT + "RFC 6455 §5.2"),
    Listed("unmasked", RFC, "text 'x'", REFUSED, "RFC 6455 §5.1: a server closes; em-websocket has that commented out"),
    Listed("length_too_long_a_form", RFC, "text 'x'", REFUSED, LENIENT + "RFC 6455 §5.2, the shortest form"),
    Listed("reserved_bit_of_old_drafts", OLD, "text 'x'", "event error 1002", LENIENT + "hybi-03 §4.2"),
    Listed("text_between_fragments", OLD, "text 'b'", "event error 1002", "em-websocket drops the first fragment"),
    Listed("ping_in_fragments", OLD, "pong b'ab'", "event error 1002", LENIENT + "hybi-03 §4.3"),
    *(
        Listed("ping_over_125_bytes", (version,), "pong 126 bytes d1c4e44b", "event error 1002", LENIENT + "§5.5")
        for version in FRAMED
    ),
    *(
        Listed(
            probe,
            HIXIE,
            "event error websocket",
            "event error 1007",
            "em-websocket hands it to the application, whose echo of it then fails",
        )
        for probe in ("text_not_utf8", "text_cut_in_a_character")
    ),
    *(
        Listed(
            f"old_{probe}",
            OLD[:2],
            "event error websocket",
            "event error 1007",
            "em-websocket hands it to the application, whose echo of it then fails",
        )
        for probe in ("text_not_utf8", "text_cut_in_a_character")
    ),
    Listed(
        "hixie_frame_of_type_1",
        HIXIE,
        "event error 1002",
        "text 'done'",
        "hixie-76 §5.3: frames of types 01 to 7F are read and dropped",
    ),
    Listed(
        "hixie_frame_of_a_length",
        HIXIE,
        None,
        "event message text b'done'",
        "em-websocket waits for one more segment behind a frame that is dropped",
    ),
    Listed(
        "hixie_closing_frame",
        ("hixie-75",),
        "close b''",
        "text 'done'",
        "hixie-75 has no closing frame: it is one more frame to drop; em-websocket answers as in hixie-76",
    ),
    Listed(
        "hixie_length_without_end",
        ("hixie-75",),
        "close b''",
        None,
        "em-websocket takes any frame of length 0 for the closing frame of hixie-76; ours gives up at the 10th byte",
    ),
    # Limits.
    *(
        Listed(
            "limit_of_a_text",
            versions,
            "event error 1009",
            "event message text b'done'",
            "max_length is bytes of the message; em-websocket counts the frame's head, or what waits behind it, too",
        )
        for versions in (HIXIE, RFC)
    ),
    Listed(
        "limit_exceeded_by_64_bits",
        RFC,
        "close 1009 with words",
        REFUSED,
        "RFC 6455 §5.2: the first bit of such a length is 0; em-websocket looks at half of them",
    ),
    Listed(
        "limit_exceeded_by_fragments",
        FRAMED,
        "event message text b'done'",
        "event error 1009",
        "max_length is for the whole message; em-websocket's for a frame, so that it takes messages without end",
    ),
    # The end.
    *(
        Listed(f"close_invalid_{code}", FEW, f"close {code} b''", REFUSED, LENIENT + "RFC 6455 §7.4")
        for code in INVALID
    ),
    Listed(
        "close_with_reason",
        CODES,
        "close 1000 b''",
        "close 1000 b'gr\\xc3\\xb6\\xc3\\x9fer'",
        "em-websocket repeats the code only; RFC 6455 §5.5.1 leaves that open, and we repeat all",
    ),
    *(
        Listed(
            probe, CODES, "close 1000 b''", "close b''", "RFC 6455 §5.5.1: the answer repeats what was said: no code"
        )
        for probe in ("close_without_code", "close_then_text")
    ),
    Listed(
        "close_then_text",
        OLD[:2],
        "event message text b'late'",
        None,
        "RFC 6455 §5.5.1: nothing comes behind a close frame; em-websocket hands it on",
    ),
    Listed("close_with_a_reason_not_utf8", CODES, "close 1000 b''", "close 1007 with words", LENIENT + "§5.5.1"),
    Listed("close_over_125_bytes", RFC, "close 1000 b''", REFUSED, LENIENT + "RFC 6455 §5.5"),
    *(
        Listed(
            probe,
            CODES,
            "close b''",
            "close 1000 b''",
            "without a code from the application, ours says 1000, as websocket-driver does",
        )
        for probe in ("closes", "closes_state")
    ),
    *(
        Listed(
            f"closes_refused_{code}",
            ("hybi-13",),
            "close 3000 b'Application error'",
            f"close {code} b''",
            "an application may say that a message is too big, or that the service restarts, or is busy (IANA)",
        )
        for code in (1009, 1012, 1013)
    ),
    Listed("closes_twice", ("hybi-3",), "close b''", None, "RFC 6455 §5.5.1: one close frame; em-websocket sends two"),
    Listed("closes_twice", ("hybi-5",), "close b'S'", None, "RFC 6455 §5.5.1: one close frame; em-websocket sends two"),
    Listed("closes_twice", CODES, "close 3002 b''", None, "RFC 6455 §5.5.1: one close frame; em-websocket sends two"),
    Listed("closes_state", ("hixie-75",), "event state connected", "event state closed", "em-websocket: close75.rb"),
    Listed("closes_state", ("hixie-76",), "event state connected", "event state closing", "em-websocket: close75.rb"),
    Listed(
        "sends_after_closing",
        HIXIE,
        None,
        "event refused",
        "sending raises once the end has begun; em-websocket drops it in silence in these versions",
    ),
    Listed(
        "closes_unanswered",
        FRAMED,
        "event error 1002",
        None,
        "that a peer does not answer is no fault in what it sent: ws.close_error is a TimeoutError, no error event",
    ),
    # Requests.
    Listed("target_percent", ("hixie-76", "hybi-13"), "request path '/a%20b'", "request path '/a b'", "as PATH_INFO"),
    Listed(
        "target_plus", ("hixie-76", "hybi-13"), "request query {'a': 'b+c'}", "request query {'a': 'b c'}", "decoded"
    ),
    Listed(
        "target_no_value",
        ("hixie-76", "hybi-13"),
        "request query {'a': None, 'b': ''}",
        "request query {'a': '', 'b': ''}",
        "as parse_qsl of the standard library has it",
    ),
    Listed(
        "target_absolute",
        ("hixie-76",),
        "header Sec-WebSocket-Location: ws://example.test:81http://example.test:81/chat?x=y",
        "header Sec-WebSocket-Location: ws://example.test:81/chat?x=y",
        "RFC 9112 §3.2.2: a server takes the absolute form",
    ),
    Listed(
        "target_fragment",
        ("hixie-76", "hybi-13"),
        "request path '/chat'",
        BAD,
        "a target has no fragment (RFC 6455 §3)",
    ),
    Listed(
        "target_brackets", ("hixie-76", "hybi-13"), "event error handshake", OPENED, "em-websocket parses a strict URI"
    ),
    *(
        Listed(
            f"request_{probe}",
            ("hixie-76", "hybi-3"),
            f"header Sec-WebSocket-Protocol: {protocols}",
            None,
            "em-websocket agrees to all that is asked for; ours to what protocols= has",
        )
        for probe, protocols in (("one_protocol", "chat"), ("two_protocols", "chat, superchat"))
    ),
    Listed("request_without_origin", ("hixie-75",), "header WebSocket-Origin: ", None, "there is none to repeat"),
    Listed(
        "request_without_origin",
        ("hixie-76", "hybi-3"),
        "header Sec-WebSocket-Origin: ",
        None,
        "there is none to repeat",
    ),
    Listed("request_without_host", ALL, OPENED, BAD, LENIENT + "RFC 9112 §3.2"),
    Listed("request_http_1_0", ALL, OPENED, BAD, LENIENT + "RFC 6455 §4.2.1"),
    Listed("request_with_a_bad_key", RFC, OPENED, BAD, LENIENT + "RFC 6455 §4.2.1: 16 bytes in base64"),
    Listed("request_of_bare_lf", ("hybi-13",), OPENED, BAD, LENIENT + "a way past proxies (RFC 9112 §2.2)"),
    Listed(
        "request_of_many_headers",
        ("hybi-13",),
        OPENED,
        "status HTTP/1.1 431 Request Header Fields Too Large",
        "ours limits their number",
    ),
    Listed(
        "request_of_a_header_twice",
        ("hybi-13",),
        "request header x: ['a', 'b']",
        "request header x: a, b",
        "RFC 9110 §5.3: one list",
    ),
    Listed("request_without_version", ("hybi-13",), OPENED, BAD, "em-websocket takes it for hixie-75"),
    Listed("request_version_4", ("hybi-13",), "event error handshake", OPENED, "em-websocket has no hybi-04"),
    Listed(
        "request_version_13x",
        ("hybi-13",),
        OPENED,
        "status HTTP/1.1 426 Upgrade Required",
        "em-websocket takes the digits that it begins with",
    ),
    Listed(
        "request_with_an_early_frame",
        ("hixie-76", "hybi-3"),
        "event error handshake",
        "text 'early'",
        "em-websocket refuses what comes behind the challenge: a client must wait, but a proxy may join segments",
    ),
    Listed(
        "request_with_an_early_frame",
        FRAMED[1:],
        None,
        "text 'early'",
        "em-websocket loses what comes in the segment of the request",
    ),
    Listed(
        "request_with_a_late_body",
        ("hixie-76",),
        "event error handshake",
        OPENED,
        "em-websocket parses a body that comes late as the head of one more request",
    ),
    Listed(
        "request_for_health",
        FEW,
        "event error handshake",
        "status HTTP/1.1 200 OK",
        "em-websocket 0.5.3 has :healthcheck; Debian's 0.5.1 has not",
    ),
]


def listed(name: str, version: str) -> Listed | None:
    found = [entry for entry in LISTED if entry.probe == name and version in entry.versions]
    assert len(found) <= 1, f"{name} is listed twice for {version}"
    return found[0] if found else None


# --- the tests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROBES)
def test_probe_is_answered_as_em_websocket_answers_it_or_the_reason_is_listed(
    comparison: Comparison, name: str
) -> None:
    for version in PROBES[name].versions:
        _, theirs, ours = comparison.of(name, version)
        entry = listed(name, version)
        if entry is None:
            assert (version, theirs, ours) == (version, [], [])
        else:
            found = f"{version}: theirs {theirs}, ours {ours}"
            assert theirs or ours, f"{version}: no difference any more: {entry.why}"
            assert entry.theirs in theirs if entry.theirs is not None else not theirs, found
            assert entry.ours in ours if entry.ours is not None else not ours, found


def test_every_reason_is_one_of_a_difference(comparison: Comparison) -> None:
    for entry in LISTED:
        assert set(entry.versions) <= set(PROBES[entry.probe].versions), entry
    holding: set[Rule] = set()
    for name, probe in PROBES.items():
        for version in probe.versions:
            holding |= comparison.of(name, version)[0]
    assert holding == set(RULES)


def test_sigterm_stops_both_in_order_and_ours_closes_with_1001(tmp_path: Path, certificates: Certificates) -> None:
    """em-websocket only ends TCP: its clients cannot tell that from a crash (RFC 6455 §7.4.1 has 1001 for it)."""
    with ExitStack() as stack:
        found = []
        for server in start_both(tmp_path, certificates.localhost, stack):
            client = stack.enter_context(Client("hybi-13", server.ports["started"]))
            assert client.ask()
            client.send_text("before")
            client.expect(("text", "before"))
            server.process.send_signal(signal.SIGTERM)
            client.lines.clear()
            client.listen(answer=True)
            found.append((client.lines, told(server.events(client.peer), False)[-1], server.process.wait(PATIENCE)))
        theirs, ours = found
        assert theirs == (["end b''"], LOST, 0)
        assert ours == (
            ["close 1001 b'server going away'", "end b''"],
            "event close 1001 b'server going away' clean",
            0,
        )
