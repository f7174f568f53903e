"""reconnect(): open WebSockets again and again."""

from __future__ import annotations

import gc
import logging
from typing import Any

import gevent
import pytest

import wsdriver
from tests.support.net import free_port
from tests.support.recording import answering
from tests.support.serving import serving
from wsdriver.green.client.reconnecting import Backoff

QUICK: dict[str, Any] = {"initial_delay": 0.001, "max_delay": 0.004}


def busy(status: int) -> bytes:
    return f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()


class TestLoop:
    def test_yields_open_sockets_again_and_again_and_closes_each(self) -> None:
        seen = []
        with serving() as server:
            for number, ws in enumerate(wsdriver.reconnect(server.url, **QUICK)):
                assert ws.state == "open"
                assert all(before.state == "closed" for before in seen)
                ws.send(str(number))
                assert ws.receive(5) == str(number)
                seen.append(ws)
                if number == 4:
                    break
            assert [(ws.close_code, ws.was_clean) for ws in seen] == [(1000, True)] * 5
            assert len(set(map(id, seen))) == 5

    def test_goes_on_where_the_server_ends_it(self) -> None:
        with serving(lambda ws: ws.close(1012, "restart")) as server:
            codes = []
            for ws in wsdriver.reconnect(server.url, **QUICK):
                assert list(ws) == []
                codes.append(ws.close_code)
                if len(codes) == 3:
                    break
        assert codes == [1012] * 3

    def test_finds_a_server_that_comes_later(self) -> None:
        port = free_port()
        server = wsdriver.WebSocketServer(("127.0.0.1", port), lambda ws: ws.send("there"))
        later = gevent.spawn_later(0.1, server.start)
        try:
            for ws in wsdriver.reconnect(f"ws://127.0.0.1:{port}/", **QUICK):
                assert ws.receive(5) == "there"
                break
        finally:
            later.join()
            server.stop(timeout=1)

    def test_passes_its_options_on(self) -> None:
        with serving(protocols=["chat"]) as server:
            for ws in wsdriver.reconnect(server.url, ["chat"], ping=7, headers={"X-A": "b"}, **QUICK):
                assert (ws.protocol, ws.options.ping) == ("chat", 7)
                break

    def test_connects_at_the_first_step_only(self) -> None:
        with answering(busy(404)) as server:
            wsdriver.reconnect(server.url)
            gevent.sleep(0.05)
            assert server.heads == []

    def test_what_the_body_raises_ends_it_and_closes(self) -> None:
        with serving() as server:
            seen = []

            def body() -> None:
                for ws in wsdriver.reconnect(server.url):
                    seen.append(ws)
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                body()
            gc.collect()  # the traceback held the loop
            assert [ws.state for ws in seen] == ["closed"]
            gevent.sleep(0.05)
            assert len(server.connections) == 0

    def test_greenlet_that_is_killed_leaves_nothing(self) -> None:
        def stay() -> None:
            for ws in wsdriver.reconnect(server.url):
                ws.receive()

        with serving() as server:
            greenlet = gevent.spawn(stay)
            while not server.connections:
                gevent.sleep(0.01)
            greenlet.kill(timeout=10)
            assert greenlet.dead
            for _ in range(100):
                if not server.connections:
                    break
                gevent.sleep(0.02)
            assert len(server.connections) == 0


class TestGivingUp:
    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_where_more_attempts_are_of_no_use(self, status: int) -> None:
        with answering(busy(503), busy(status)) as server:
            with pytest.raises(wsdriver.HandshakeError) as caught:
                next(wsdriver.reconnect(server.url, **QUICK))
            assert caught.value.status == status
            assert len(server.heads) == 2

    def test_not_for_what_may_pass(self) -> None:
        answers = [busy(500), busy(502), busy(429), b"", b"nonsense\r\n\r\n", busy(503), busy(404)]
        with answering(*answers) as server:
            with pytest.raises(wsdriver.HandshakeError) as caught:
                next(wsdriver.reconnect(server.url, **QUICK))
            assert caught.value.status == 404
            assert len(server.heads) == len(answers)

    def test_as_the_predicate_says(self) -> None:
        errors: list[Exception] = []

        def give_up(error: Exception) -> bool:
            errors.append(error)
            return len(errors) == 3

        with answering(busy(404)) as server:
            with pytest.raises(wsdriver.HandshakeError) as caught:
                next(wsdriver.reconnect(server.url, give_up=give_up, **QUICK))
            assert len(server.heads) == 3
        assert caught.value is errors[-1]

    def test_after_so_many_attempts(self) -> None:
        with pytest.raises(ConnectionRefusedError):
            next(wsdriver.reconnect(f"ws://127.0.0.1:{free_port()}/", max_attempts=3, **QUICK))
        with answering(busy(503)) as server:
            with pytest.raises(wsdriver.HandshakeError):
                next(wsdriver.reconnect(server.url, max_attempts=3, **QUICK))
            assert len(server.heads) == 3

    def test_after_so_many_attempts_in_a_row(self) -> None:
        """An attempt that succeeds lets the count begin again."""
        count = 0

        def handler(ws: wsdriver.WebSocket) -> None:
            nonlocal count
            count += 1
            if count % 2:
                ws._driver.refuse(wsdriver.HandshakeError("busy", 503))

        with serving(handler) as server:
            for opened, _ in enumerate(wsdriver.reconnect(server.url, max_attempts=2, **QUICK), 1):
                if opened == 4:
                    break
        assert count == 8

    def test_at_once_where_the_configuration_is_wrong(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ws_proxy", "ftp://nonsense")
        with pytest.raises(wsdriver.ConfigurationError, match="ws_proxy"):
            next(wsdriver.reconnect("ws://host.invalid/", proxy=True))

    def test_stays_given_up(self) -> None:
        with answering(busy(404)) as server:
            sockets = wsdriver.reconnect(server.url)
            with pytest.raises(wsdriver.HandshakeError):
                next(sockets)
            assert list(sockets) == []
            assert len(server.heads) == 1


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"initial_delay": 0}, "initial_delay must be a positive number"),
            ({"initial_delay": None}, "initial_delay must be a positive number"),
            ({"max_delay": "60"}, "max_delay must be a positive number"),
            ({"max_delay": 0.1}, "max_delay 0.1 is less than initial_delay 1"),
            ({"stable_after": -1}, "stable_after must be a positive number"),
            ({"give_up": 404}, "give_up must be callable"),
            ({"max_attempts": 0}, "max_attempts must be an int"),
            ({"max_delai": 3}, "unknown option 'max_delai': did you mean 'max_delay'"),
            ({"open_timeout": "x"}, "open_timeout must be"),
        ],
    )
    def test_wrong_ones_are_refused_at_the_call(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(wsdriver.ConfigurationError, match=message):
            wsdriver.reconnect("ws://localhost/", **options)


class TestBackoff:
    def test_grows_to_its_limit(self) -> None:
        backoff = Backoff(initial_delay=1, max_delay=60)
        for failures in range(2000):
            most = min(60, 2**failures)
            delays = [backoff.delay(failures) for _ in range(20)]
            assert all(0 <= delay <= most for delay in delays)
            assert len(set(delays)) > 1, "no two clients come back together"

    def test_uses_its_whole_range(self) -> None:
        delays = [Backoff(initial_delay=10).delay(0) for _ in range(1000)]
        assert min(delays) < 1
        assert max(delays) > 9

    @staticmethod
    def limits(monkeypatch: pytest.MonkeyPatch, stable_after: float, stay: float) -> list[int]:
        """Return how many failures each pause counted, over two refusals, three connections and a refusal."""
        counted: list[int] = []
        plain = Backoff.delay

        def delay(self: Backoff, failures: int) -> float:
            if self.stable_after != stable_after:  # not this test's: a link to a Redis that is gone
                return plain(self, failures)
            counted.append(failures)
            return plain(self, 0)

        monkeypatch.setattr(Backoff, "delay", delay)
        attempts = 0

        def handler(ws: wsdriver.WebSocket) -> None:
            nonlocal attempts
            attempts += 1
            if attempts in (1, 2, 6):
                ws._driver.refuse(wsdriver.HandshakeError("busy", 503))

        with serving(handler) as server:
            sockets = wsdriver.reconnect(server.url, initial_delay=0.001, stable_after=stable_after)
            for opened, _ in enumerate(sockets, 1):
                gevent.sleep(stay)
                if opened == 4:
                    break
        return counted

    def test_begins_again_after_a_stable_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.limits(monkeypatch, stable_after=0.01, stay=0.05) == [0, 1, 0, 0, 0, 1]

    def test_does_not_after_a_short_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.limits(monkeypatch, stable_after=1000, stay=0) == [0, 1, 2, 3, 4, 5]


class TestLog:
    def test_says_what_failed_and_when_it_goes_on(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "wsdriver")
        with serving(lambda ws: ws.close(4000, "enough")) as server:
            url = server.url.replace("//", "//user:secret@")
            for number, ws in enumerate(wsdriver.reconnect(url, **QUICK)):
                ws.receive(5)
                if number == 1:
                    break
        port = free_port()
        with pytest.raises(ConnectionRefusedError):
            next(wsdriver.reconnect(f"ws://u:secret@127.0.0.1:{port}/", max_attempts=2, **QUICK))
        ended, failed = caplog.records
        assert ended.levelno == logging.INFO
        assert "ended with 4000 enough; next attempt in 0.0 seconds" in ended.getMessage()
        assert failed.levelno == logging.WARNING
        assert f"cannot connect to 127.0.0.1:{port}: Connection refused; next attempt in" in failed.getMessage()
        assert "secret" not in caplog.text
