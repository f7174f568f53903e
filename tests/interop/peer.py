"""The other end, in a process of its own, and what joins it to ours.

A peer takes commands (``connect``, ``listen``, ``send``, ``send_fragments``, ``ping``, ``close``) and reports events:

==============  ================================================================================
``listening``   ``port``
``open``        ``protocol``, ``headers`` (of our half of the handshake, names in lower case)
``refused``     ``status``: the server answered, but not with 101
``failed``      ``error``: no answer came, or TLS failed
``message``     ``binary``, ``size`` in bytes, ``sha256``
``ping pong``   ``data``
``close``       ``code``, ``reason``
==============  ================================================================================
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import gevent
import pytest
from gevent.event import Event
from gevent.queue import Queue
from gevent.subprocess import PIPE, Popen

import wsdriver

PATIENCE = 20.0  # seconds: what a peer may take before a test fails
NO_LIMIT = 64 * 1024 * 1024

PEERS = Path(__file__).with_name("peers")


class Peer:
    """A peer program.

    Args:
        command: starts it.
        environment: of it.
        log: where its stderr goes.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as stderr:
            self._process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=stderr, cwd=PEERS, env=dict(environment))
        self._commands: IO[bytes] = self._process.stdin
        self._events: IO[bytes] = self._process.stdout

    def do(self, command: str, **details: Any) -> None:
        """Give a command; what comes of it is an event."""
        self._commands.write(json.dumps({"do": command, **details}).encode() + b"\n")
        self._commands.flush()

    def event(self, *names: str) -> dict[str, Any]:
        """Wait for the next event, which has to be that one, or one of those; return its details."""
        line = b""
        with gevent.Timeout(PATIENCE, False):
            line = self._events.readline()
        if not line:
            pytest.fail(f"no event {' or '.join(names)} came from the peer; its stderr:\n{self._log.read_text()}")
        details: dict[str, Any] = json.loads(line)
        assert details.pop("event") in names, line
        return details

    def connect(
        self,
        url: str,
        *,
        protocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        ca: Path | None = None,
        proxy: str | None = None,
        echo: bool = False,
        limit: int = NO_LIMIT,
    ) -> None:
        """Be a client; ``open``, ``refused`` or ``failed`` follows.

        Args:
            url: of our server.
            protocols: to offer.
            headers: to send.
            ca: the certificate to trust.
            proxy: to go through; not every peer can.
            echo: send each message back.
            limit: bytes of a message.
        """
        self.do(
            "connect",
            url=url,
            protocols=list(protocols),
            headers=headers or {},
            ca=None if ca is None else str(ca),
            echo=echo,
            limit=limit,
            **({} if proxy is None else {"proxy": proxy}),
        )

    def listen(
        self,
        *,
        protocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        certificate: Path | None = None,
        answer: Mapping[str, Any] | None = None,
        echo: bool = False,
        limit: int = NO_LIMIT,
    ) -> int:
        """Be a server; return its port.

        Args:
            protocols: to choose from.
            headers: to send.
            certificate: for TLS: a PEM file of key and certificates.
            answer: what every request gets instead of a handshake: ``status``, ``headers`` and ``body``.
            echo: send each message back.
            limit: bytes of a message.
        """
        self.do(
            "listen",
            protocols=list(protocols),
            headers=headers or {},
            certificate=None if certificate is None else str(certificate),
            answer=answer,
            echo=echo,
            limit=limit,
        )
        return int(self.event("listening")["port"])

    def kill(self) -> None:
        """End it as a power cut would, but for the network: SIGKILL."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def stop(self) -> None:
        """Let nothing of it survive the test."""
        self.kill()
        self._commands.close()
        self._events.close()


class Certificates:
    """An authority of our own, and what it has signed.

    Attributes:
        ca: the file of the authority's certificate.
        localhost: key and certificate for the loopback address.
        elsewhere: key and certificate for another host.
    """

    def __init__(self, directory: Path, trustme: Any) -> None:
        authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self.localhost = directory / "localhost.pem"
        self.elsewhere = directory / "elsewhere.pem"
        authority.cert_pem.write_to_path(self.ca)
        authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(self.localhost)
        authority.issue_cert("elsewhere.example").private_key_and_cert_chain_pem.write_to_path(self.elsewhere)

    def client_context(self) -> ssl.SSLContext:
        """Return a client's context that trusts the authority."""
        return ssl.create_default_context(cafile=self.ca)


class OurServer:
    """A WebSocketServer whose WebSockets the test itself works with."""

    def __init__(self, certificate: Path | None, options: Mapping[str, Any]) -> None:
        self._accepted: Queue[Any] = Queue()
        self._over = Event()
        tls = {} if certificate is None else {"certfile": str(certificate)}
        settings: dict[str, Any] = {**tls, **options}
        self._server = wsdriver.WebSocketServer(("127.0.0.1", 0), self._handle, **settings)
        self._server.start()
        scheme, host = ("ws", "127.0.0.1") if certificate is None else ("wss", "localhost")
        self.url = f"{scheme}://{host}:{self._server.server_port}/"

    def _handle(self, ws: wsdriver.WebSocket) -> None:
        ws.accept()
        self._accepted.put(ws)
        self._over.wait()

    def websocket(self) -> wsdriver.WebSocket:
        """Return the next one that was accepted."""
        ws: wsdriver.WebSocket = self._accepted.get(timeout=PATIENCE)
        return ws

    def stop(self) -> None:
        """Close what is open and stop."""
        self._server.stop(PATIENCE)
        self._over.set()


class Bench:
    """Starts peers of one kind, joins them to us in either role, and cleans up.

    Args:
        command: starts a peer.
        environment: of the peers.
        directory: for their logs.
        stack: what to undo behind the test.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], directory: Path, stack: ExitStack
    ) -> None:
        self._command = command
        self._environment = environment
        self._directory = directory
        self._stack = stack

    def peer(self) -> Peer:
        """Start a peer."""
        peer = Peer(self._command, self._environment, self._directory / "peer.log")
        self._stack.callback(peer.stop)
        return peer

    def serve(self, certificate: Path | None = None, **options: Any) -> OurServer:
        """Start a server of ours."""
        server = OurServer(certificate, options)
        self._stack.callback(server.stop)
        return server

    def join(
        self,
        role: str,
        *,
        peer: Peer | None = None,
        certificates: Certificates | None = None,
        proxy: str | None = None,
        echo: bool = False,
        limit: int = NO_LIMIT,
        peer_protocols: Sequence[str] = (),
        peer_headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> tuple[wsdriver.WebSocket, Peer, dict[str, Any]]:
        """Return an open WebSocket of ours, the peer at its other end, and the peer's ``open`` event.

        Args:
            role: of the peer: ``client`` or ``server``.
            peer: one that has been used already; else one is started.
            certificates: for TLS.
            proxy: for the client, whoever it is.
            echo, limit, peer_protocols, peer_headers: of the peer.
            **options: of ours.
        """
        peer = peer or self.peer()
        ws: wsdriver.WebSocket
        if role == "client":
            server = self.serve(None if certificates is None else certificates.localhost, **options)
            peer.connect(
                server.url,
                protocols=peer_protocols,
                headers=peer_headers,
                ca=None if certificates is None else certificates.ca,
                proxy=proxy,
                echo=echo,
                limit=limit,
            )
            ws = server.websocket()
        else:
            certificate = None if certificates is None else certificates.localhost
            port = peer.listen(
                protocols=peer_protocols, headers=peer_headers, certificate=certificate, echo=echo, limit=limit
            )
            if certificates is None:
                ws = wsdriver.connect(f"ws://127.0.0.1:{port}/", proxy=proxy, **options)
            else:
                tls = {"root_cert_file": certificates.ca}
                ws = wsdriver.connect(f"wss://localhost:{port}/", tls=tls, proxy=proxy, **options)
            self._stack.callback(ws.terminate)
        return ws, peer, peer.event("open")
