"""``wsdriver bench``: figures that are those of the server."""

from __future__ import annotations

import json
import signal
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import gevent
import pytest

import wsdriver
from tests.cli.programs import in_terminal, run, started
from tests.support.peers import need_module
from tests.support.serving import serving
from wsdriver.cli import main
from wsdriver.cli.chart import svg
from wsdriver.cli.histogram import Histogram
from wsdriver.cli.report import Report
from wsdriver.green.client.options import ClientOptions
from wsdriver.green.load import Load, Outcome
from wsdriver.options import make_options


class Bench:
    """The command, in this process: a start takes longer than what it measures here."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, server: wsdriver.WebSocketServer, *arguments: str) -> tuple[int, dict[str, Any], str]:
        status = main(["bench", server.url, "--no-proxy", "--json", *arguments])
        output, errors = self._capsys.readouterr()
        return status, json.loads(output), errors


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(capsys)


class Counting:
    """An echo that counts; each message takes it so long."""

    def __init__(self, pause: float = 0.0) -> None:
        self.got: list[Any] = []
        self.pause = pause

    def __call__(self, ws: wsdriver.WebSocket) -> None:
        ws.send("a greeting, which is no answer")
        for message in ws:
            self.got.append(message)
            if self.pause:
                gevent.sleep(self.pause)
            ws.send(message)


class TestClosedLoop:
    def test_each_message_is_counted_and_timed(self, bench: Bench) -> None:
        handler = Counting(0.02)
        with serving(handler) as server:
            status, told, errors = bench(server, "--connections", "4", "--duration", "600ms", "--size", "1k")
        assert (status, errors) == (0, "")
        assert told["sent"] == told["received"] == len(handler.got) > 4
        assert {len(message) for message in handler.got} == {1024}
        assert all(isinstance(message, str) for message in handler.got)
        assert told["connections_opened"] == 4
        assert told["errors"] == {}
        # Of the server's making, and what the machine adds.
        assert 20 <= told["latency_ms"]["min"] <= told["latency_ms"]["p50"] <= told["latency_ms"]["max"]
        assert told["messages_per_second"] <= 4 / 0.02
        assert sum(row["count"] for row in told["histogram_ms"]) == told["received"]

    def test_text_report_has_figures_and_a_picture(self, tmp_path: Path) -> None:
        picture = tmp_path / "out.svg"
        with serving() as server:
            status, output, _ = run(
                "bench", server.url, "--duration", "300ms", "--connections", "2", "--binary", "--svg", str(picture)
            )
        assert status == 0
        for word in ("2 connections, 32 B binary, closed loop", "messages  ", "p50 ", "p90 ", "p99 ", "max ", "█"):
            assert word in output
        assert "errors     none" in output
        assert ElementTree.fromstring(picture.read_text()).tag.endswith("svg")

    def test_connections_that_end_are_errors_by_kind(self, bench: Bench) -> None:
        turns = iter(range(1000))

        def moody(ws: wsdriver.WebSocket) -> None:
            turn = next(turns)
            if turn == 0:
                ws.reject(503, "full")
            elif turn == 1:
                ws.receive()
                ws.close(1013, "later")
            else:
                Counting(0.01)(ws)

        with serving(moody) as server:
            status, told, _ = bench(server, "--connections", "3", "--duration", "300ms")
        assert status == 1
        assert told["errors"] == {"http 503": 1, "closed with 1013 (later)": 1}
        assert told["received"] > 1


class TestOpenLoop:
    def test_rate_is_kept_whatever_the_answers_take(self, bench: Bench) -> None:
        with serving(Counting(0.05)) as server:
            status, told, _ = bench(server, "--rate", "200", "--connections", "20", "--duration", "1s")
        assert status == 0
        assert told["sent"] == told["received"] == pytest.approx(200, abs=3)

    def test_pause_of_the_server_is_felt_by_all_that_were_due_in_it(self, bench: Bench) -> None:
        """A closed loop would see it once: coordinated omission."""
        stalled = []

        def stalling(ws: wsdriver.WebSocket) -> None:
            for number, message in enumerate(ws):
                if number == 20 and not stalled:
                    stalled.append(True)
                    gevent.sleep(0.5)
                ws.send(message)

        with serving(stalling) as server:
            status, told, _ = bench(server, "--rate", "100", "--connections", "1", "--duration", "1s")
        assert status == 0
        # Of 100 messages, 50 were due meanwhile; on average, they waited for half of it.
        slow = sum(row["count"] for row in told["histogram_ms"] if row["from"] >= 100)
        assert slow >= 30
        assert told["latency_ms"]["max"] >= 450

    def test_no_answer_only_sends(self, bench: Bench) -> None:
        handler: Any = Counting()
        with serving(lambda ws: handler.got.extend(ws)) as server:
            status, told, _ = bench(server, "--no-answer", "--rate", "100", "--duration", "500ms")
            assert status == 0
            assert told["latency_ms"] is None
            assert told["sent"] == len(handler.got) == pytest.approx(50, abs=5)
            status, told, _ = bench(server, "--no-answer", "--duration", "200ms", "--connections", "2")
            assert status == 0
            assert told["messages_per_second"] > 100


def test_answers_that_do_not_come_are_errors(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsdriver.cli.bench.PATIENCE", 0.2)
    with serving(lambda ws: [None for _ in ws]) as server:
        status, told, _ = bench(server, "--duration", "100ms", "--connections", "3")
    assert status == 1
    assert told["errors"] == {"no answer within 0.2 s": 3}


def test_ctrl_c_shows_what_there_is() -> None:
    handler = Counting()
    with serving(handler) as server, started("bench", server.url, "--duration", "1h", "--json") as process:
        while len(handler.got) < 10:
            gevent.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        told = json.loads(process.stdout.read())
        assert process.stderr.read() == b""
    assert told["interrupted"] is True
    assert told["errors"] == {}
    assert told["received"] > 0


def test_bar_runs_in_a_terminal_and_leaves_no_trace() -> None:
    need_module("pyte")
    with serving() as server, in_terminal("bench", server.url, "--duration", "800ms", columns=100) as terminal:
        assert terminal.status() == 0
        assert b"[=" in terminal.written
        assert b"messages/s, p50 " in terminal.written
        assert terminal.lines[0] == server.url
        assert not any("[=" in line for line in terminal.lines)


class TestReport:
    @staticmethod
    def report(**outcome: Any) -> Report:
        options = make_options(ClientOptions, {})
        load = Load("ws://user:secret@host/", options, 8, "x" * 32, 10.0, outcome.pop("rate", None), True, 5.0)
        times = Histogram()
        for number in range(1, 1001):
            times.record(number / 1e5)
        return Report(load, Outcome(opened=8, sent=1000, received=1000, elapsed=10.0, **outcome), times, Histogram())

    def test_it_says_when_it_is_itself_the_limit(self) -> None:
        assert "used 95% of its one core" in self.report(cpu=9.5).text()
        assert self.report(cpu=8.9).warnings() == []

    def test_it_says_when_the_rate_was_not_reached(self) -> None:
        assert "only 100 of 200 messages/s could be sent" in self.report(rate=200.0).text()
        assert self.report(rate=100.0).warnings() == []

    def test_password_is_in_no_report(self) -> None:
        report = self.report()
        assert "secret" not in report.text() + json.dumps(report.json()) + svg(report)

    def test_terminal_without_unicode_gets_other_bars(self) -> None:
        assert "#" in self.report().text(blocks=False)
        self.report().text(blocks=False).encode("ascii")

    def test_percentiles_are_those_of_the_times(self) -> None:
        told = self.report().json()["latency_ms"]
        assert (told["min"], told["max"]) == (0.01, 10)
        assert told["p50"] == pytest.approx(5, rel=0.01)
        assert told["p99"] == pytest.approx(9.9, rel=0.01)

    def test_picture_is_whole_without_answers_and_with_one(self) -> None:
        report = self.report()
        one = Histogram()
        one.record(0.001)
        for times in (Histogram(), one):
            made = svg(Report(report.load, report.outcome, times, Histogram()))
            ElementTree.fromstring(made)
