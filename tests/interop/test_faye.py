"""`faye-websocket` of Ruby and of npm, as client and as server, the way that they are used: over TLS, through a proxy.

The proxy is tinyproxy; certificates and host names are checked on both sides. What they do plainly is tested beside
`websocket-driver`, in ``test_ruby_driver.py``.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import pytest
from gevent.event import AsyncResult

import wsdriver
from tests.interop.conversations import WORDS, make, received
from tests.interop.originals import ENDS, Start, command_of, exchange, say
from tests.interop.peer import PATIENCE, Bench, Certificates, Peer
from tests.support.gunicorn import Server
from tests.support.net import free_port
from tests.support.tinyproxy import Tinyproxy

#: Around where the length of a frame takes more bytes.
MESSAGES = [*(make(kind, size) for size in [0, 1, 125, 126, 65535, 65536] for kind in ("text", "binary")), *WORDS]

#: No buffer on the way holds it in one piece.
LONG = make("binary", 1024 * 1024 + 1)

LIBRARIES = ["ruby faye-websocket", "npm faye-websocket"]

both_libraries = pytest.mark.parametrize("name", LIBRARIES)
both_roles = pytest.mark.parametrize("role", ["client", "server"])


@dataclass(frozen=True)
class Way:
    """How a client gets to a server.

    Attributes:
        certificates: for TLS, or None.
        proxy: on the way, or None.
    """

    certificates: Certificates | None
    proxy: Tinyproxy | None

    @property
    def options(self) -> dict[str, Any]:
        """The same for ``Bench.join``."""
        return {"certificates": self.certificates, "proxy": None if self.proxy is None else self.proxy.url}


@pytest.fixture(params=LIBRARIES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(*command_of(request.param), tmp_path, stack)


WAYS = ["plain", "tls", "proxy", "tls through proxy"]

#: Plainly, the rest is tested in ``test_ruby_driver.py``.
by_other_ways = pytest.mark.parametrize("way", WAYS[1:], indirect=True)
by_the_longest_way = pytest.mark.parametrize("way", WAYS[-1:], indirect=True)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return Way(
        request.getfixturevalue("certificates") if "tls" in request.param else None,
        request.getfixturevalue("proxy") if "proxy" in request.param else None,
    )


@both_libraries
@both_roles
class TestEveryWay:
    @by_other_ways
    def test_messages_come_back(self, start: Start, name: str, role: str, way: Way) -> None:
        ws, peer, _ = start(name, role, echo=True, **way.options)
        assert ws.secure == (way.certificates is not None)
        if way.proxy is not None:
            way.proxy.assert_asked(f"CONNECT {urlsplit(ws.url).netloc}")
        for message in MESSAGES:
            exchange(ws, peer, message)

    @by_the_longest_way
    def test_messages_sent_at_once_from_both_sides_stay_in_order(
        self, start: Start, name: str, role: str, way: Way
    ) -> None:
        ws, peer, _ = start(name, role, **way.options)
        messages = [*(make("text" if i % 3 else "binary", (i * 37) % 700) for i in range(200)), LONG, *MESSAGES]

        def speak() -> None:
            for message in messages:
                ws.send(message)

        sender = gevent.spawn(speak)
        for message in messages:
            say(peer, message)
        for message in messages:
            received(peer.event("message"), message)
            same = ws.receive(PATIENCE) == message
            assert same, f"{len(message)} arrived changed"
        sender.get()

    @by_other_ways
    def test_the_handshake_and_pings_get_through(self, start: Start, name: str, role: str, way: Way) -> None:
        ws, peer, opened = start(
            name,
            role,
            headers={"X-Ours": "our value"},
            peer_headers={"X-Theirs": "their value"},
            protocols=["chat.v2", "chat.v1"],
            peer_protocols=["chat.v1", "chat.v0"],
            ping=0.1,
            **way.options,
        )
        assert opened["headers"]["x-ours"] == "our value"
        theirs = ws.handshake.headers if role == "client" else ws.headers  # type: ignore[attr-defined]
        assert theirs["X-Theirs"] == "their value"
        assert opened["protocol"] == ws.protocol == "chat.v1"
        for data in ("a ping", "é" * 62):
            peer.do("ping", data=data)
            assert peer.event("pong") == {"data": data}
        answered: Any = AsyncResult()
        ws.ping("our ping", answered.set)
        answered.get(timeout=PATIENCE)
        while ws.latency is None:  # bounded by the fixture of that name
            gevent.sleep(0.01)

    @by_other_ways
    def test_closes_of_both_are_told_and_answered(self, start: Start, name: str, role: str, way: Way) -> None:
        ws, peer, _ = start(name, role, **way.options)
        say(peer, "the last words")
        peer.do("close", code=3000, reason=ENDS[2][1])
        assert ws.receive(PATIENCE) == "the last words"
        assert ws.receive(PATIENCE) is None
        assert (ws.close_code, ws.close_reason, ws.was_clean) == (*ENDS[2], True)
        assert peer.event("close") == {"code": 3000, "reason": ENDS[2][1]}
        for code, reason in [(1000, ""), (1011, "an accident"), (4999, "é" * 61)]:
            ws, _, _ = start(name, role, peer=peer, **way.options)
            ws.send("the last words")
            ws.close(code, reason)
            received(peer.event("message"), "the last words")
            assert peer.event("close") == {"code": code, "reason": reason}
            assert (ws.close_code, ws.close_reason, ws.was_clean) == (code, reason, True)

    @by_other_ways
    def test_an_end_without_a_close_is_noticed_by_both(self, start: Start, name: str, role: str, way: Way) -> None:
        ws, peer, _ = start(name, role, **way.options)
        ws.terminate()
        assert peer.event("close")["code"] == 1006
        ws, _, _ = start(name, role, peer=peer, **way.options)
        peer.kill()
        assert ws.receive(PATIENCE) is None
        assert (ws.close_code, ws.was_clean) == (1006, False)

    @by_the_longest_way
    def test_messages_over_a_limit_end_with_1009(self, start: Start, name: str, role: str, way: Way) -> None:
        ws, peer, _ = start(name, role, max_length=1000, **way.options)
        say(peer, "x" * 1001)
        assert ws.receive(PATIENCE) is None
        assert ws.close_code == 1009
        assert peer.event("close")["code"] == 1009
        ws, _, _ = start(name, role, peer=peer, limit=1000, **way.options)
        ws.send("x" * 1001)
        assert ws.receive(PATIENCE) is None
        assert ws.close_code == 1009
        assert peer.event("close")["code"] == 1009


@both_roles
@by_the_longest_way
def test_deflated_messages_come_back(start: Start, role: str, way: Way) -> None:
    extensions = [wsdriver.PermessageDeflate()]
    ws, peer, opened = start("npm faye-websocket", role, deflate=True, echo=True, extensions=extensions, **way.options)
    assert "permessage-deflate" in opened["headers"]["sec-websocket-extensions"]
    for message in MESSAGES:
        exchange(ws, peer, message)
    ws.close(4000, "deflated")
    assert peer.event("close") == {"code": 4000, "reason": "deflated"}


# --- a server of another process ------------------------------------------------------------------------------------


def test_gunicorn_serves_their_client(bench: Bench, way: Way, gunicorn: Callable[[str, bool], Server]) -> None:
    server, peer = gunicorn("tests.interop.test_drafts:app", way.certificates is not None), bench.peer()
    ca = None if way.certificates is None else way.certificates.ca
    settings = {"ca": ca, "proxy": way.options["proxy"], "protocols": ["chat.v0", "chat"]}
    peer.connect(server.url, **settings)
    assert peer.event("open")["protocol"] == "chat"
    for message in MESSAGES:
        say(peer, message)
        received(peer.event("message"), message)
    peer.do("ping", data="a ping")
    assert peer.event("pong") == {"data": "a ping"}
    say(peer, "/close 3001 größer")
    assert peer.event("close") == {"code": 3001, "reason": "größer"}
    peer.connect(server.url, **settings)
    peer.event("open")
    peer.do("close", code=4999, reason="bye")
    assert peer.event("close") == {"code": 4999, "reason": "bye"}


# --- what must not work -------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["direct", "through proxy"])
def proxied(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"proxy": request.getfixturevalue("proxy").url if request.param else None}


def assert_failed(peer: Peer, why: str) -> None:
    """Check that a peer has got no answer, and why."""
    error = peer.event("failed")["error"]
    assert why.lower() in error.lower()


def assert_serves(server: Any, peer: Peer, ca: Path, proxied: dict[str, Any]) -> None:
    """Check that a server of ours, behind all that, is well."""
    peer.connect(server.url, ca=ca, echo=True, **proxied)
    ws = server.websocket()
    peer.event("open")
    ws.send("still here")
    assert ws.receive(PATIENCE) == "still here"


class TestTrust:
    def test_their_client_does_not_trust_a_certificate_of_nobody(
        self, bench: Bench, certificates: Certificates, proxied: dict[str, Any]
    ) -> None:
        server, peer = bench.serve(certificates.localhost), bench.peer()
        peer.connect(server.url, **proxied)
        assert_failed(peer, "unable to verify")
        assert_serves(server, peer, certificates.ca, proxied)

    def test_their_client_does_not_take_the_certificate_of_another_host(
        self, bench: Bench, certificates: Certificates, proxied: dict[str, Any]
    ) -> None:
        peer = bench.peer()
        peer.connect(bench.serve(certificates.elsewhere).url, ca=certificates.ca, **proxied)
        assert_failed(peer, "match")

    def test_our_client_does_not_trust_a_certificate_of_nobody(
        self, bench: Bench, certificates: Certificates, proxied: dict[str, Any]
    ) -> None:
        peer = bench.peer()
        port = peer.listen(certificate=certificates.localhost)
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            wsdriver.connect(f"wss://localhost:{port}/", **proxied)
        assert caught.value.stage == "tls"  # type: ignore[attr-defined]
        with wsdriver.connect(f"wss://localhost:{port}/", tls={"root_cert_file": certificates.ca}, **proxied):
            peer.event("open")

    def test_our_client_does_not_take_the_certificate_of_another_host(
        self, bench: Bench, certificates: Certificates, proxied: dict[str, Any]
    ) -> None:
        port = bench.peer().listen(certificate=certificates.elsewhere)
        tls = {"root_cert_file": certificates.ca}
        with pytest.raises(ssl.SSLCertVerificationError):
            wsdriver.connect(f"wss://localhost:{port}/", tls=tls, **proxied)
        tls["server_hostname"] = "elsewhere.example"  # type: ignore[assignment]
        with wsdriver.connect(f"wss://localhost:{port}/", tls=tls, **proxied) as ws:
            assert ws.secure


class TestRefusals:
    def test_our_server_refuses_their_client(self, bench: Bench, proxied: dict[str, Any]) -> None:
        server, peer = bench.serve(origins=["https://right.example"]), bench.peer()
        peer.connect(server.url, headers={"Origin": "https://wrong.example"}, **proxied)
        assert peer.event("refused") == {"status": 403}
        peer.connect(server.url, headers={"Origin": "https://right.example"}, **proxied)
        assert server.websocket().accept()
        peer.event("open")

    def test_their_client_is_not_let_through_without_the_password(self, bench: Bench, proxy: Tinyproxy) -> None:
        server, peer = bench.serve(), bench.peer()
        peer.connect(server.url, proxy=f"http://127.0.0.1:{proxy.port}")
        assert_failed(peer, "Can't establish")
        peer.connect(server.url, proxy=proxy.url)
        peer.event("open")

    def test_their_client_finds_nobody_behind_the_proxy(self, bench: Bench, proxy: Tinyproxy) -> None:
        peer = bench.peer()
        peer.connect(f"ws://127.0.0.1:{free_port()}/", proxy=proxy.url)
        assert_failed(peer, "Can't establish")
