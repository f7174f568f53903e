"""Native threads may send, ping, close and receive too, whatever is patched, while the hub's thread goes on."""

from __future__ import annotations

import os
import random
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.monkey import get_original
from gevent.queue import Queue

import wsdriver
from tests.support.serving import serving
from wsdriver.green.loop import call_in_hub, call_soon, take_calls

PATIENCE = 20.0  # seconds: what anything here may take before a test fails

#: The real ones, also where gevent has patched the names.
NativeThread: Any = get_original("threading", "Thread")
sleep: Callable[[float], None] = get_original("time", "sleep")
get_ident: Callable[[], int] = get_original("_thread", "get_ident")


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No wait in a test is for ever: this one, in the greenlet that runs it, ends all others."""
    with gevent.Timeout(40):
        yield


class Native:
    """A function in a native thread of its own; ``get`` waits in the hub."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._outcome: list[tuple[Any, BaseException | None]] = []

        def run() -> None:
            try:
                self._outcome.append((function(*arguments), None))
            except BaseException as error:
                self._outcome.append((None, error))

        NativeThread(target=run, daemon=True).start()

    def ready(self) -> bool:
        return bool(self._outcome)

    def get(self) -> Any:
        deadline = monotonic() + PATIENCE
        while not self._outcome:
            if monotonic() > deadline:
                pytest.fail(f"the thread has not ended within {PATIENCE:.0f} s")
            gevent.sleep(0.005)
        result, error = self._outcome[0]
        if error is not None:
            raise error
        return result


def pooled(function: Callable[..., Any], *arguments: Any) -> Any:
    """The same in a thread of the hub's pool."""
    return gevent.get_hub().threadpool.spawn(function, *arguments)


@contextmanager
def pair(side: str = "server", **options: Any) -> Iterator[tuple[wsdriver.WebSocket, wsdriver.WebSocket]]:
    """An open WebSocket of that side and the one at its other end, both in this hub."""
    accepted: Queue[Any] = Queue()
    over = Event()

    def handler(ws: wsdriver.WebSocket) -> None:
        ws.accept()
        accepted.put(ws)
        over.wait()

    try:
        with serving(handler, **options) as server, wsdriver.connect(server.url, **options) as client:
            ends = (accepted.get(timeout=PATIENCE), client)
            yield ends if side == "server" else (ends[1], ends[0])
    finally:
        over.set()


def make(sender: str, number: int) -> str:
    """Return a message that proves itself: checksum, sender, number, filling. Each 500th is larger than a buffer."""
    body = f"{sender} {number} {sender * (70_000 if number % 500 == 499 else number * 7919 % 300)}"
    return f"{zlib.crc32(body.encode()):08x}{body}"


class TestSend:
    @pytest.mark.parametrize(("start", "count"), [(Native, 10_000), (pooled, 2_000)], ids=["thread", "pool"])
    @pytest.mark.parametrize("side", ["server", "client"])
    def test_two_threads_keep_their_messages_whole_and_in_order(
        self, side: str, start: Callable[..., Any], count: int
    ) -> None:
        def work(sender: str) -> int:
            for number in range(count):
                ws.send(make(sender, number))
            return get_ident()

        counts: dict[str, int] = {}
        with pair(side, write_limit=1000) as (ws, other):
            workers = [start(work, "a"), start(work, "b")]
            for _ in range(2 * count):
                message = other.receive(PATIENCE)
                assert isinstance(message, str)
                checksum, body = message[:8], message[8:]
                assert int(checksum, 16) == zlib.crc32(body.encode()), "a message was mixed with another"
                sender, number, _ = body.split(" ", 2)
                assert int(number) == counts.get(sender, 0), f"a message of {sender} is out of order"
                counts[sender] = int(number) + 1
            idents = {worker.get() for worker in workers}
        assert counts == {"a": count, "b": count}
        assert len(idents | {get_ident()}) == 3, "these were not three threads"

    def test_threads_and_greenlets_together(self) -> None:
        def work(sender: str) -> None:
            for number in range(1000):
                ws.send(f"{sender} {number}")

        def work_green(sender: str) -> None:
            for number in range(1000):
                ws.send(f"{sender} {number}")
                gevent.sleep(0)

        received: dict[str, list[int]] = {"a": [], "b": [], "c": []}
        with pair() as (ws, other):
            workers = [Native(work, "a"), Native(work, "b"), gevent.spawn(work_green, "c")]
            for _ in range(3000):
                message = other.receive(PATIENCE)
                assert isinstance(message, str)
                sender, number = message.split()
                received[sender].append(int(number))
            for worker in workers:
                worker.get()
        assert received == {sender: list(range(1000)) for sender in "abc"}

    def test_blocked_by_a_slow_peer_stops_that_thread_only(self) -> None:
        message = random.Random(1).randbytes(30 * 1024 * 1024)
        with pair(max_length=0, inbound_limit=100_000) as (ws, other):
            first = Native(other.send, "wait")  # a message that nobody takes yet: reading pauses behind it
            sender = Native(ws.send, message)
            first.get()
            for _ in range(20):
                gevent.sleep(0.01)
            assert other.receive(PATIENCE) == message
            sender.get()
            assert ws.receive(PATIENCE) == "wait"

    def test_first_use_from_a_thread_does_the_handshake(self) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            Native(ws.send, "first").get()
            ws.send(str(ws.receive(PATIENCE)))

        with serving(handler) as server, wsdriver.connect(server.url) as client:
            assert client.receive(PATIENCE) == "first"
            client.send("second")
            assert client.receive(PATIENCE) == "second"

    @pytest.mark.parametrize("how", ["receive", "accept", "close", "ping"])
    def test_other_first_uses_from_a_thread_do_the_handshake(self, how: str) -> None:
        def handler(ws: wsdriver.WebSocket) -> None:
            if how == "receive":
                ws.send(Native(ws.receive, PATIENCE).get())
            elif how == "accept":
                assert Native(ws.accept).get() is True
                ws.send(str(ws.receive(PATIENCE)))
            elif how == "ping":
                Native(ws.ping, "first").get()
                ws.send(str(ws.receive(PATIENCE)))
            else:
                Native(ws.close, 4000, "first").get()

        with serving(handler) as server, wsdriver.connect(server.url) as client:
            if how != "close":
                client.send("a message")
                assert client.receive(PATIENCE) == "a message"
            else:
                assert client.receive(PATIENCE) is None
                assert (client.close_code, client.was_clean) == (4000, True)

    def test_errors_come_out_in_the_thread(self) -> None:
        with pair() as (ws, other):
            for call, arguments, error in (
                (ws.send, (17,), TypeError),
                (ws.send, ("\ud800",), UnicodeError),
                (ws.send, (b"\xff", False), UnicodeError),
                (ws.ping, ("x" * 126,), ValueError),
                (ws.close, (1005,), ValueError),
            ):
                with pytest.raises(error):
                    Native(call, *arguments).get()
            Native(ws.send, "still here").get()
            assert other.receive(PATIENCE) == "still here"


class TestPing:
    @pytest.mark.parametrize("side", ["server", "client"])
    def test_ping_calls_back(self, side: str) -> None:
        with pair(side) as (ws, _):
            answered = Event()
            Native(ws.ping, "from a thread", answered.set).get()
            assert answered.wait(PATIENCE)

    def test_pong_goes_out(self) -> None:
        with pair() as (ws, other):
            pongs: list[bytes] = []
            other.on("pong", lambda event: pongs.append(event.data))
            Native(ws.pong, "unasked").get()
            Native(ws.send, "behind it").get()
            assert other.receive(PATIENCE) == "behind it"
            assert pongs == [b"unasked"]


class TestReceive:
    def test_receive_returns_messages_and_then_none(self) -> None:
        with pair() as (ws, other):
            for message in ("text", b"binary", ""):
                other.send(message)
            assert Native(lambda: [ws.receive(), ws.receive(PATIENCE), ws.receive()]).get() == ["text", b"binary", ""]
            waiting = Native(ws.receive)
            closing = gevent.spawn(other.close, 4000)
            assert waiting.get() is None
            closing.get()
            assert Native(ws.receive, 0).get() is None

    def test_receive_with_timeout_raises_and_loses_nothing(self) -> None:
        with pair() as (ws, other):
            for timeout in (0, 0.05):
                with pytest.raises(TimeoutError):
                    Native(ws.receive, timeout).get()
            other.send("still here")
            assert Native(ws.receive, PATIENCE).get() == "still here"

    def test_iteration_ends_with_the_connection(self) -> None:
        with pair() as (ws, other):
            received = Native(lambda: list(ws))
            for number in range(1000):
                other.send(str(number))
            other.close()
            assert received.get() == [str(number) for number in range(1000)]

    def test_second_receiver_is_refused_whichever_thread_it_is_in(self) -> None:
        with pair() as (ws, other):
            first = gevent.spawn(ws.receive)
            gevent.sleep(0)
            with pytest.raises(RuntimeError):
                Native(ws.receive).get()
            other.send("for the first")
            assert first.get(timeout=PATIENCE) == "for the first"


class TestClose:
    @pytest.mark.parametrize("side", ["server", "client"])
    def test_close_is_clean(self, side: str) -> None:
        with pair(side) as (ws, other):
            Native(ws.close, 4000, "from a thread").get()
            assert (ws.close_code, ws.was_clean) == (4000, True)
            assert other.receive(PATIENCE) is None
            assert (other.close_code, other.close_reason) == (4000, "from a thread")

    def test_close_ends_a_receive_in_another_thread(self) -> None:
        with pair() as (ws, _):
            receiver = Native(ws.receive)
            gevent.sleep(0.05)
            Native(ws.close).get()
            assert receiver.get() is None

    def test_use_after_close_raises(self) -> None:
        with pair() as (ws, _):
            ws.close(4000, "over")
            for call, arguments in ((ws.send, ("x",)), (ws.send, (b"x",)), (ws.ping, ()), (ws.pong, ())):
                with pytest.raises(wsdriver.ConnectionClosed) as caught:
                    Native(call, *arguments).get()
                assert caught.value.sent == (4000, "over")
            Native(ws.close).get()
            Native(ws.terminate).get()
            assert ws.close_code == 4000

    def test_close_while_threads_send_ends_them(self) -> None:
        def work() -> int:
            sent = 0
            try:
                while True:
                    ws.send(b"x" * 1000)
                    sent += 1
            except wsdriver.ConnectionClosed:
                return sent

        with pair() as (ws, other):
            senders = [Native(work) for _ in range(3)]
            for _ in range(100):
                assert other.receive(PATIENCE) == b"x" * 1000
            drained = gevent.spawn(lambda: sum(1 for _ in other))
            ws.close()
            assert 100 + drained.get(timeout=PATIENCE) == sum(sender.get() for sender in senders)
            assert ws.was_clean

    def test_terminate_ends_all_who_wait(self) -> None:
        with pair() as (ws, other):
            receivers = [Native(other.receive), Native(ws.receive)]
            gevent.sleep(0.05)  # they wait by now, as a rule
            Native(ws.terminate).get()
            assert [receiver.get() for receiver in receivers] == [None, None]
            assert ws.close_code == other.close_code == 1006
            with pytest.raises(wsdriver.ConnectionClosed):
                Native(ws.send, "too late").get()


class TestHubs:
    def test_calls_from_threads_leave_the_count_of_the_loop_as_it_was(self) -> None:
        """The loop counts what keeps it running. It is counted by its own thread alone, since that holds no GIL."""

        class Calls:
            def __init__(self) -> None:
                self.made = self.wanted = 0

            def make(self) -> None:
                self.made += 1

            def want(self) -> None:
                while self.wanted < 100_000:
                    if self.wanted - self.made < 50:
                        call_soon(hub, self.make)
                        self.wanted += 1
                    else:
                        sleep(0)

        def serve() -> None:
            nonlocal hub
            hub = gevent.get_hub()
            take_calls(hub)
            before = hub.loop.activecnt
            calls = [Calls(), Calls()]
            threads = [Native(each.want) for each in calls]
            while not all(thread.ready() for thread in threads):
                timers = [hub.loop.timer(i * 0.00002) for i in range(200)]
                for timer in timers:
                    timer.start(int)
                gevent.sleep(0.005)  # the loop's thread counts each of them down
                for timer in timers:
                    timer.close()
            for thread in threads:
                thread.get()
            gevent.sleep(0.01)
            assert [each.made for each in calls] == [100_000, 100_000]
            assert hub.loop.activecnt == before
            hub.destroy()

        hub: Any = None
        Native(serve).get()  # in a hub of its own, where nothing else is counted

    def test_a_thread_may_have_connections_of_its_own(self) -> None:
        def work(url: str) -> str | bytes | None:
            with wsdriver.connect(url) as ws:
                ws.send("from another hub")
                message = ws.receive(PATIENCE)
            gevent.get_hub().destroy()
            return message

        with serving() as server:
            workers = [Native(work, server.url) for _ in range(3)]
            assert [worker.get() for worker in workers] == ["from another hub"] * 3

    def test_threads_that_end_leave_nothing_behind(self) -> None:
        """gevent wants each of them to call ``hub.destroy()``; who calls connect in one knows of no hub."""

        def work(url: str) -> None:
            with wsdriver.connect(url) as ws:
                ws.send("from another hub")
                assert ws.receive(PATIENCE) == "from another hub"

        def held() -> tuple[int, int]:
            status = Path("/proc/self/status").read_text()
            return len(os.listdir("/proc/self/fd")), int(re.findall(r"Threads:\s+(\d+)", status)[0])

        with serving() as server:
            Native(work, server.url).get()
            descriptors, threads = held()
            for _ in range(20):
                Native(work, server.url).get()
            for _ in range(20):
                gevent.sleep(0.05)  # a pool's thread ends when it has its turn
                Native(work, server.url).get()
                more_descriptors, more_threads = held()
                if more_descriptors < descriptors + 10 and more_threads < threads + 5:
                    return
        pytest.fail(f"{descriptors} descriptors have become {more_descriptors}, {threads} threads {more_threads}")

    def test_thread_that_destroys_its_hub_has_another(self) -> None:
        """gevent keeps something of a hub; not our read buffer."""

        def work(url: str) -> list[bool]:
            hubs = []
            for _ in range(3):
                wsdriver.connect(url).close()
                hubs.append(gevent.get_hub())
                hubs[-1].destroy()
            return [hasattr(hub, "_wsdriver_scratch") for hub in hubs]

        with serving() as server:
            assert Native(work, server.url).get() == [False, False, True]

    def test_call_to_a_hub_that_has_had_no_connection(self) -> None:
        hubs: list[Any] = []

        def run() -> int:
            hubs.append(gevent.get_hub())
            while len(hubs) < 2:
                gevent.sleep(0.005)
            hubs[0].destroy()
            return get_ident()

        thread = Native(run)
        while not hubs:
            gevent.sleep(0.005)
        ident = call_in_hub(hubs[0], get_ident)
        hubs.append(None)
        assert ident == thread.get()
        call_soon(hubs[0], pytest.fail, "a hub that is destroyed calls nothing")

    def test_connection_of_a_thread_that_has_ended(self) -> None:
        opened: list[wsdriver.WebSocket] = []
        with serving() as server:
            Native(lambda: opened.append(wsdriver.connect(server.url))).get()
            for _ in range(2):  # in the second round another thread has its ident, and has destroyed its hub
                for call in (lambda: opened[0].send("x"), opened[0].receive, opened[0].close, opened[0].terminate):
                    with pytest.raises(RuntimeError, match="the thread that the connection belongs to has ended"):
                        call()
                Native(lambda: wsdriver.connect(server.url).close()).get()
