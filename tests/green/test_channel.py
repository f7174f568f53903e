"""Channels in one process."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import gevent
import pytest
from gevent.monkey import get_original

import wsdriver
from tests.support.channels import serving_members
from tests.support.waiting import wait_for
from wsdriver.green.channel import rooms

NativeThread: Any = get_original("threading", "Thread")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with gevent.Timeout(40):
        yield


@pytest.fixture(autouse=True)
def no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHANNEL_URL", raising=False)


@pytest.fixture
def name() -> str:
    """A channel's name that no other test has."""
    return uuid4().hex


def received(subscription: Any, count: int) -> list[Any]:
    return [subscription.receive(5) for _ in range(count)]


def has_nothing(subscription: Any) -> bool:
    try:
        subscription.receive(0)
    except TimeoutError:
        return True
    return False


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "options"),
        [
            ((), {}),
            (("",), {}),
            ((5,), {}),
            (("a", 5), {}),
            (("a", "http://localhost"), {}),
            (("a", "redis//localhost"), {}),
            (("a", "redis://localhost:port"), {}),
            (("a", "redis://localhost/?nonsense=1"), {}),
            (("a", "redis://localhost/?db=x"), {}),
            (("a", "rediss://localhost/?ssl_cert_reqs=whatever"), {}),
            (("a", "rediss://localhost/?ssl_validate_ocsp=1"), {}),
            (("a", "unix://"), {}),
            (("a",), {"history": -1}),
            (("a",), {"history": True}),
            (("a",), {"backlog": 1.5}),
            (("a",), {"slow": "wait"}),
            (("a",), {"namespace": ""}),
        ],
    )
    def test_wrong_one_is_refused(self, arguments: Any, options: Any) -> None:
        with pytest.raises((wsdriver.ConfigurationError, TypeError) if not arguments else wsdriver.ConfigurationError):
            wsdriver.Channel(*arguments, **options)

    def test_redis_missing_is_said_with_the_cure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in [module for module in sys.modules if module.startswith("wsdriver.green.channel.redis_")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, "redis", None)
        for module in [module for module in sys.modules if module.startswith("redis.")]:
            monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(wsdriver.ConfigurationError, match=r"pip install 'wsdriver\[redis\]'"):
            wsdriver.Channel("a", "redis://localhost")

    def test_environment_gives_the_url(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv("CHANNEL_URL", "gopher://localhost")
        with pytest.raises(wsdriver.ConfigurationError, match="gopher"):
            wsdriver.Channel(name)
        assert wsdriver.Channel(name, "").publish("here only") is None
        monkeypatch.setenv("CHANNEL_URL", "")
        assert wsdriver.Channel(name).publish("here only") is None

    @pytest.mark.parametrize("message", [None, 5, ["a"]])
    def test_message_of_another_type_is_refused(self, name: str, message: Any) -> None:
        with pytest.raises(TypeError, match="publish"):
            wsdriver.Channel(name).publish(message)

    @pytest.mark.parametrize("since", ["", "x", "1-", "-1", "1-2-3", "1-2~", "1-2~a", "1-2~a:b", "9" * 30, "1\n", 5])
    def test_since_that_is_no_id_is_refused(self, name: str, since: Any) -> None:
        with pytest.raises(ValueError, match=r"is no id|is beyond"):
            wsdriver.Channel(name, history=5).subscribe(since=since)

    def test_since_without_history_is_refused(self, name: str) -> None:
        with pytest.raises(wsdriver.ConfigurationError, match="history"):
            wsdriver.Channel(name).subscribe(since="0")

    def test_others_of_a_wrong_type_are_refused(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        with pytest.raises(TypeError, match="member"):
            channel.join("me")
        with pytest.raises(TypeError, match="callable"):
            channel.subscribe("me")  # type: ignore[arg-type]
        with pytest.raises(wsdriver.ConfigurationError, match="limit"):
            channel.subscribe(limit=0)


class TestSubscriptions:
    def test_message_arrives_as_it_was_sent(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        with channel.subscribe() as messages:
            for message in ("text", b"bytes", bytearray(b"array"), memoryview(b"view"), "", b"", "\0é😀"):
                channel.publish(message)
            assert received(messages, 7) == ["text", b"bytes", b"array", b"view", "", b"", "\0é😀"]
            assert has_nothing(messages)

    def test_channels_of_one_name_are_one(self, name: str) -> None:
        other = wsdriver.Channel(name, "")
        with other.subscribe() as messages:
            wsdriver.Channel(name).publish("one")
            wsdriver.Channel(name + "x").publish("two")
            wsdriver.Channel(name, namespace="other").publish("three")
            assert received(messages, 1) == ["one"]
            assert has_nothing(messages)

    def test_iteration_stops_at_close(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        messages = channel.subscribe()
        reader = gevent.spawn(list, messages)
        gevent.sleep(0)
        channel.publish("one")
        channel.publish("two")
        wait_for(lambda: not messages._feed.inbox.entries)
        messages.close()
        messages.close()
        assert reader.get(timeout=5) == ["one", "two"]
        assert messages.receive() is None

    def test_receive_in_two_greenlets_is_refused(self, name: str) -> None:
        messages = wsdriver.Channel(name).subscribe()
        first = gevent.spawn(messages.receive)
        gevent.sleep(0)
        with pytest.raises(RuntimeError, match="another"):
            messages.receive(1)
        messages.close()
        assert first.get(timeout=5) is None

    def test_subscriber_too_far_behind_is_ended(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        messages = channel.subscribe(limit=3)
        for number in range(4):
            channel.publish(str(number))
        for _ in range(2):
            with pytest.raises(RuntimeError, match="more than 3 messages behind"):
                messages.receive(1)
        assert not messages._feed.inbox.entries

    def test_callback_is_called_in_order_and_may_fail(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        channel = wsdriver.Channel(name)
        got: list[str] = []
        running: list[int] = []

        def callback(message: str) -> None:
            assert not running
            running.append(1)
            gevent.sleep(0.001)
            running.clear()
            got.append(message)
            if message == "3":
                raise ValueError("the callback's own")

        subscription = channel.subscribe(callback)
        for number in range(10):
            channel.publish(str(number))
        wait_for(lambda: len(got) == 10)
        assert got == [str(number) for number in range(10)]
        assert "the callback's own" in caplog.text
        subscription.close()
        channel.publish("no more")
        gevent.sleep(0.01)
        assert len(got) == 10

    def test_subscription_that_is_dropped_is_forgotten(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        room = channel._room
        channel.subscribe()
        gc.collect()
        assert len(room._inboxes) == 0

    def test_native_threads_publish_and_receive(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        got: dict[int, list[Any]] = {}
        ready: list[int] = []

        def read(number: int) -> None:
            with channel.subscribe() as messages:
                ready.append(number)
                got[number] = [messages.receive(10) for _ in range(300)]

        def write(number: int) -> None:
            for count in range(100):
                channel.publish(f"{number}:{count}")

        with channel.subscribe() as messages:
            threads = [NativeThread(target=read, args=(number,), daemon=True) for number in range(2)]
            for thread in threads:
                thread.start()
            wait_for(lambda: len(ready) == 2)
            writers = [NativeThread(target=write, args=(number,), daemon=True) for number in range(2)]
            for thread in writers:
                thread.start()
            write(2)
            here = received(messages, 300)
        wait_for(lambda: len(got) == 2)
        for messages_there in got.values():
            assert messages_there == here, "the order is the same for all"
        for number in range(3):
            own = [message for message in here if message.startswith(f"{number}:")]
            assert own == [f"{number}:{count}" for count in range(100)]


class TestMembers:
    def test_member_gets_text_and_bytes(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        with serving_members(channel) as members, members.websocket() as one, members.websocket() as two:
            one.send("text")
            two.send(b"bytes")
            for ws in (one, two):
                assert {ws.receive(5), ws.receive(5)} == {"text", b"bytes"}
            assert len(channel.members) == 2

    def test_member_leaves_at_its_end(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        with serving_members(channel) as members:
            one, two, three = members.websocket(), members.websocket(), members.stream()
            assert len(channel.members) == 3
            one.close()
            two.terminate()
            three.reset()
            wait_for(lambda: not channel.members)
            assert channel._room._audiences == {}

    def test_eventsource_gets_text_only(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        with serving_members(channel) as members, members.stream() as client:
            channel.publish(b"bytes")
            channel.publish("one\ntwo")
            assert [(event.data, event.last_event_id) for event in client.take(1)] == [("one\ntwo", "")]

    def test_joining_twice_and_leaving_twice_is_harmless(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        with serving_members(channel) as members, members.websocket() as client:
            ws = channel.members[0]
            assert channel.join(ws) is True
            assert len(ws._on_release) == 2  # the server's, and this one
            channel.publish("once")
            assert client.receive(5) == "once"
            channel.leave(ws)
            channel.leave(ws)
            assert channel.members == ()
            assert len(ws._on_release) == 1
            channel.publish("not any more")
            with pytest.raises(TimeoutError):
                client.receive(0.05)

    def test_joining_what_has_ended_joins_nothing(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        with serving_members(channel) as members, members.websocket() as client:
            ws = channel.members[0]
            client.close()
            wait_for(lambda: not channel.members)
            assert channel.join(ws) is False
            assert channel.members == ()

    def test_client_may_be_a_member(self, name: str) -> None:
        here, there = wsdriver.Channel(name), wsdriver.Channel(name + "there")
        with serving_members(there) as members, members.websocket() as client, there.subscribe() as messages:
            here.join(client)
            here.publish("over the wire")
            assert messages.receive(5) == "over the wire"

    def test_slow_member_holds_up_nobody(self, name: str) -> None:
        channel = wsdriver.Channel(name)
        with serving_members(channel) as members, members.stream(receive_buffer=4096), members.websocket() as good:
            slow = next(member for member in channel.members if isinstance(member, wsdriver.EventSource))
            for number in range(1000):
                channel.publish(f"{number}" + "x" * 100_000)
                assert good.receive(5).startswith(f"{number}x")
                if slow not in channel.members:
                    break
            assert slow not in channel.members, "it is cut, so that it comes back"

    def test_encode_makes_what_members_get(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        channel = wsdriver.Channel(name, history=5)
        calls: list[Any] = []

        def encode(message: Any, id_: str | None) -> str:
            calls.append(message)
            if message == "bad":
                raise ValueError("not this one")
            return f"{id_} {message}"

        with serving_members(channel, encode) as members, members.websocket() as one, members.websocket() as two:
            channel.publish("bad")
            id_ = channel.publish("good")
            assert one.receive(5) == two.receive(5) == f"{id_} good"
            assert calls == ["bad", "good"]
            assert "not this one" in caplog.text
            with members.websocket(since=id_) as three:
                channel.publish("better")
                assert three.receive(5) == f"{channel.id} better"

    def test_nothing_is_left_of_a_channel_that_nobody_has(self, name: str) -> None:
        channel = wsdriver.Channel(name, history=5)
        channel.publish("kept")
        room = weakref.ref(channel._room)
        with serving_members(channel) as members, members.websocket():
            del members._channel, channel
            gc.collect()
            assert room() is not None, "a member holds it"
            wsdriver.Channel(name).publish("to the member")
        wait_for(lambda: gc.collect() is not None and room() is None)
        assert not any(key[3] == name for key in rooms._rooms)


class TestHistory:
    def test_subscriber_goes_on_where_it_was(self, name: str) -> None:
        channel = wsdriver.Channel(name, history=1000)
        with channel.subscribe() as messages:
            assert messages.id is None
            ids = [channel.publish(str(number)) for number in range(500)]
            assert len(set(ids)) == 500
            assert received(messages, 200) == [str(number) for number in range(200)]
            since = messages.id
            assert since == ids[199]
        with channel.subscribe(since=since) as messages:
            channel.publish("500")
            assert received(messages, 301) == [str(number) for number in range(200, 501)]
            assert messages.id == channel.id
            assert has_nothing(messages)

    def test_so_many_are_kept(self, name: str) -> None:
        channel = wsdriver.Channel(name, history=3)
        for number in range(10):
            channel.publish(str(number))
        with channel.subscribe(since="0") as messages:
            assert received(messages, 3) == ["7", "8", "9"]
            assert has_nothing(messages)

    def test_eventsource_that_comes_back_gets_what_it_missed(self, name: str) -> None:
        channel = wsdriver.Channel(name, history=1000)
        with serving_members(channel) as members:
            with members.stream() as client:
                channel.publish("one")
                (event,) = client.take(1)
            wait_for(lambda: not channel.members)
            for number in range(250):
                channel.publish(str(number))
            with members.stream(event.last_event_id) as client:
                channel.publish("live")
                assert [event.data for event in client.take(251)] == [*map(str, range(250)), "live"]

    @pytest.mark.parametrize("hostile", ["x", "99999999999999-0", "18446744073709551615-18446744073709551615", "~a:1"])
    def test_eventsource_with_a_made_up_id_gets_what_comes(self, name: str, hostile: str) -> None:
        channel = wsdriver.Channel(name, history=10)
        channel.publish("before")
        with serving_members(channel) as members, members.stream(hostile) as client:
            channel.publish("one")
            channel.publish("two")
            assert [event.data for event in client.take(2)] == ["one", "two"]

    def test_slow_joiner_gets_all_once_and_holds_up_nobody(self, name: str) -> None:
        channel = wsdriver.Channel(name, history=10_000)
        for number in range(300):
            channel.publish(f"{number}:" + "x" * 40_000)
        with (
            serving_members(channel) as members,
            members.stream("0", receive_buffer=4096, wait=False) as slow,
            members.websocket() as good,
        ):
            for number in range(300, 2000):  # more than may wait for it
                channel.publish(f"{number}:")
            for number in range(300, 2000):
                assert good.receive(5) == f"{number}:"
            assert len(members.joined) == 1, "the slow one is still being told"
            got = slow.take(2000)
            assert [int(event.data.partition(":")[0]) for event in got] == list(range(2000))
            wait_for(lambda: len(members.joined) == 2)
            channel.publish("live")
            assert [event.data for event in slow.take(1)] == ["live"]

    def test_joiner_that_ends_meanwhile_is_forgotten(self, name: str) -> None:
        channel = wsdriver.Channel(name, history=1000)
        for _ in range(1000):
            channel.publish("x" * 10_000)
        with serving_members(channel) as members:
            slow = members.stream("0", receive_buffer=4096, wait=False)
            wait_for(lambda: channel.members)
            slow.reset()
            wait_for(lambda: members.joined)
            assert members.joined == [False]
            assert channel.members == ()
            assert len(channel._room._inboxes) == 0


def test_module_level_channel_survives_a_fork_and_a_script_ends() -> None:
    script = """
import os, socket, wsdriver
before = socket.socket
channel = wsdriver.Channel("a", history=3)
channel.subscribe(print)
channel.publish("parent")
pid = os.fork()
if pid == 0:
    with channel.subscribe(since="0") as messages:
        channel.publish("child")
        assert messages.receive(5) == "child", "what the parent kept is the parent's"
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert socket.socket is before
"""
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (result.returncode, result.stderr) == (0, "")


def test_log_is_silent_where_nothing_is_wrong(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    channel = wsdriver.Channel(name)
    with channel.subscribe() as messages:
        channel.publish("one")
        assert messages.receive(5) == "one"
    assert channel.connected
    assert caplog.text == ""
