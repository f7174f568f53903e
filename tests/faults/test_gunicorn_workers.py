"""gunicorn's workers come and go, by force and in order, while clients are at work: none of these loses more than the
connection, and all come back.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import gevent
import pytest

import wsdriver
from tests.faults.gunicorn_crowd import Crowd, Session
from tests.faults.gunicorn_site import Site
from tests.support.gunicorn import is_alive
from tests.support.waiting import wait_for
from tests.support.wire import PATIENCE, until

Start = Callable[..., Site]

#: What the master says of a worker that was killed.
KILLED = "was sent SIGKILL"


#: An application's module that cannot be loaded.
BROKEN = "import no_such_module\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("pair"), "--workers", "2") as site:
        site.wait_for_workers(2)
        yield site


@pytest.fixture
def site(pair: Site) -> Site:
    """A gunicorn with two workers, of several tests."""
    pair.mark()
    return pair


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start one for this test alone."""
    with ExitStack() as stack:

        def starter(*arguments: str, **more: str) -> Site:
            return stack.enter_context(Site(tmp_path / uuid4().hex[:8], *arguments, **more))

        yield starter


def codes(sessions: list[Session]) -> set[tuple[int, bool]]:
    return {(one.code, one.clean) for one in sessions}


def attempt(url: str) -> Any:
    """Connect; return what came of it."""
    try:
        return wsdriver.connect(url, open_timeout=PATIENCE)
    except wsdriver.HandshakeError as error:
        return error


class TestKilledWorkers:
    def test_its_clients_see_1006_and_come_back_and_no_other_notices(self, site: Site) -> None:
        crowd = Crowd(site.url + "/echo")
        with crowd.at_work():
            crowd.spread(2)
            victim = crowd.open()[0].pid
            hit = crowd.open(victim)
            spared = [one for one in crowd.open() if one.pid != victim]
            site.kill_worker(victim)
            wait_for(lambda: all(one.code is not None for one in hit), "the end of the victim's sessions")
            assert codes(hit) == {(1006, False)}
            site.wait_for_workers(2)
            crowd.spread(2)
            crowd.wait_for_answers(crowd.open())
            assert {one.code for one in spared} == {None}
        assert codes(crowd.sessions) == {(1006, False), (1000, True)}
        site.assert_ended_once()
        site.assert_quiet_but_for(KILLED)

    def test_in_the_handshake_it_is_an_attempt_that_failed(self, site: Site) -> None:
        opening = gevent.spawn(attempt, site.url + "/slow")
        [asked] = wait_for(lambda: list(site.directory.glob("asked-*")), "the handler")
        site.kill_worker(int(asked.name.partition("-")[2]))
        assert isinstance(opening.get(timeout=PATIENCE), wsdriver.HandshakeError)
        for ws in wsdriver.reconnect(site.url + "/echo", initial_delay=0.05):
            ws.receive(PATIENCE)
            break
        site.wait_for_workers(2)
        site.assert_ended_once()
        site.assert_quiet_but_for(KILLED)

    def test_who_still_waits_to_be_accepted_gets_the_next_worker(self, site: Site) -> None:
        """The queue is the listening socket's, which the master holds too."""
        both = site.wait_for_workers(2)
        for pid in both:
            os.kill(pid, signal.SIGSTOP)
        opening = gevent.spawn(attempt, site.url + "/echo")
        gevent.sleep(0.1)
        assert not opening.ready()
        for pid in both:
            site.kill_worker(pid)
        with opening.get(timeout=PATIENCE) as ws:
            assert ws.receive(PATIENCE)
        site.wait_for_workers(2)
        site.assert_ended_once()
        site.assert_quiet_but_for(KILLED)


class TestReload:
    def test_clients_see_1001_and_come_back_to_the_new_code(self, site: Site) -> None:
        crowd = Crowd(site.url + "/echo")
        with crowd.at_work():
            before = site.wait_for_workers(2)
            old = crowd.open()
            site.publish("new")
            site.signal(signal.SIGHUP)
            crowd.wait_for_all(version="new")
            assert codes(old) == {(1001, True)}
            wait_for(lambda: not any(map(is_alive, before)), "the end of the old workers")
        assert crowd.refusals == []
        assert codes(crowd.sessions) == {(1001, True), (1000, True)}
        site.assert_ended_once()
        site.assert_quiet()

    def test_nobody_who_comes_meanwhile_is_refused(self, site: Site) -> None:
        """Clients that come all the time, each for one answer."""
        crowd = Crowd(site.url + "/echo", stay=1)
        with crowd.at_work(40):
            before = site.wait_for_workers(2)
            site.signal(signal.SIGHUP)
            wait_for(lambda: not any(map(is_alive, before)), "the end of the old workers")
        assert crowd.refusals == []
        assert codes(crowd.sessions) <= {(1001, True), (1000, True)}
        site.assert_ended_once()
        site.assert_quiet()


class TestUpgrade:
    def test_with_preload_new_code_comes_with_a_new_master(self, start: Start) -> None:
        """SIGHUP replaces the workers only. SIGUSR2 starts a master beside the old one, which then gets SIGTERM."""
        site = start("--preload")
        crowd = Crowd(site.url + "/echo")
        with crowd.at_work():
            site.publish("new")
            for number, version in ((signal.SIGHUP, "old"), (signal.SIGUSR2, "new")):
                before = crowd.open()
                workers = len(site.workers())
                site.signal(number)
                wait_for(lambda count=workers + 1: len(site.workers()) == count, "the next worker")
                if number == signal.SIGUSR2:
                    site.signal(signal.SIGTERM)
                self.expect_1001(before)
                crowd.wait_for_all(version=version)
            assert crowd.refusals == []
            assert site.wait() == 0
            last = crowd.open()
            master = int(re.findall(r"Listening at: .*\((\d+)\)", site.error_log.read_text())[-1])
            os.kill(master, signal.SIGTERM)
            self.expect_1001(last)
            wait_for(lambda: not is_alive(master), "the end of the new master")
        site.assert_ended_once()
        site.assert_quiet()

    def expect_1001(self, sessions: list[Session]) -> None:
        wait_for(lambda: all(one.code is not None for one in sessions), "the end of all sessions")
        assert codes(sessions) == {(1001, True)}


class TestMaxRequests:
    def test_workers_are_replaced_and_nobody_is_refused(self, start: Start) -> None:
        """A WebSocket counts as one request. The worker that has had its number closes all with 1001."""
        site = start("--workers", "2", "--max-requests", "40", "--max-requests-jitter", "20")
        staying = Crowd(site.url + "/echo")
        passing = Crowd(site.url + "/echo", stay=3)
        with staying.at_work(10, 2), passing.at_work():
            wait_for(lambda: len(site.workers()) >= 4, "the next workers")
            staying.wait_for_all()
        assert staying.refusals + passing.refusals == []
        assert codes(staying.sessions) == {(1001, True), (1000, True)}
        assert codes(passing.sessions) <= {(1001, True), (1000, True)}
        counted = [name.partition("-")[0] for name in site.endings()]
        first, second, *_ = site.workers()
        assert counted.count(str(first)) >= 40
        assert counted.count(str(second)) >= 40
        site.assert_ended_once()
        site.assert_quiet()


class TestBooting:
    def test_sigterm_comes_through_while_a_worker_is_still_patching(self, start: Start) -> None:
        """A reload soon after the start: it would come to the master's handler, and be lost."""
        hook = "def post_fork(server, worker):\n    worker.patch = slow(worker.patch)\n"
        slow = "def slow(patch):\n    import time\n    return lambda: (time.sleep(0.5), patch())\n"
        site = start("--graceful-timeout", "60", hooks=slow + hook)
        site.signal(signal.SIGHUP)
        [_, second] = wait_for(lambda: len(site.workers()) == 2 and site.workers(), "the second worker")
        until(lambda: not is_alive(site.workers()[0]), "the end of the first")
        with wsdriver.connect(site.url + "/echo") as ws:
            assert f'"pid": {second}' in str(ws.receive(PATIENCE))
        site.assert_quiet()

    def test_an_application_that_cannot_be_loaded_ends_it_with_a_word(self, start: Start) -> None:
        self.assert_ends(start(code=BROKEN), workers=1)

    def test_a_reload_of_one_ends_it_in_order(self, start: Start) -> None:
        """gunicorn's rule: a worker that cannot boot ends the master too."""
        site = start()
        with wsdriver.connect(site.url + "/echo") as ws:
            ws.receive(PATIENCE)
            site.publish("broken", BROKEN)
            site.signal(signal.SIGHUP)
            assert ws.receive(PATIENCE) is None
            assert ws.close_code == 1001
        self.assert_ends(site, workers=2)

    def assert_ends(self, site: Site, workers: int) -> None:
        assert site.wait() == 3
        assert "ModuleNotFoundError: No module named 'no_such_module'" in site.text()
        assert "Worker failed to boot." in site.text()
        assert len(site.workers()) == workers
