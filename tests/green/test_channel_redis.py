"""Channels over a real Redis, which is stopped, killed, frozen and cut off. A second URL for the same Redis is a second
process to all that looks at it; where more is at stake there are real ones.
"""

from __future__ import annotations

import gc
import logging
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import gevent
import pytest
from gevent import socket
from gevent.monkey import get_original
from gevent.server import StreamServer

import wsdriver
from tests.support.channels import serving_members
from tests.support.net import free_port
from tests.support.redis import RedisServer
from tests.support.serving import serving
from tests.support.tls import make_certificates
from tests.support.waiting import wait_for

NativeThread: Any = get_original("threading", "Thread")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with gevent.Timeout(60):
        yield


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for tests that leave it alone."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def name() -> str:
    """A channel's name that no other test has."""
    return uuid4().hex


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have silence judged within tenths of seconds."""
    from wsdriver.green.channel import redis_link

    monkeypatch.setattr(redis_link, "IDLE", 0.3)
    monkeypatch.setattr(redis_link, "PATIENCE", 0.3)


def elsewhere(server: RedisServer) -> str:
    """Return a URL that makes this process another one."""
    user = f":{quote(server.password, safe='')}@" if server.password else ""
    return f"unix://{user}{server.socket}"


def received(subscription: Any, count: int) -> list[Any]:
    return [subscription.receive(10) for _ in range(count)]


def has_nothing(subscription: Any) -> bool:
    try:
        subscription.receive(0.05)
    except TimeoutError:
        return True
    return False


def connections_of(server: RedisServer) -> list[dict[str, str]]:
    """Return the connections that speak the third protocol: those of links."""
    with server.client() as client:
        return [known for known in client.client_list() if known["resp"] == "3" and known["cmd"] != "client|list"]


def run(script: str, *arguments: str, stdin: Any = None) -> Any:
    """Start a Python program in a process of its own."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: Any) -> tuple[str, str]:
    """Wait, while the hub goes on, until a program ends well; returns what it printed."""
    wait_for(lambda: process.poll() is not None, "the end of a program")
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out, err


class TestMessages:
    @pytest.mark.parametrize("history", [0, 100])
    def test_message_arrives_as_it_was_sent_here_and_there(self, shared: RedisServer, name: str, history: int) -> None:
        channel = wsdriver.Channel(name, shared.url, history=history)
        there = wsdriver.Channel(name, elsewhere(shared), history=history)
        sent = ["text", b"bytes", bytearray(b"array"), "", b"", "\0é😀 \r\n", bytes(range(256)), "x" * 1_000_000]
        with channel.subscribe() as here, there.subscribe() as far:
            for message in sent:
                channel.publish(message)
            assert received(here, len(sent)) == received(far, len(sent)) == sent
            for message, expected in zip(sent, received(far, 0), strict=False):
                assert type(message) is type(expected)
            assert has_nothing(here)
            assert has_nothing(far)
            assert there.publish("back") is None if history == 0 else True

    def test_members_are_sent_what_others_publish(self, shared: RedisServer, name: str) -> None:
        channel = wsdriver.Channel(name, shared.url)
        there = wsdriver.Channel(name, elsewhere(shared))
        with serving_members(channel) as members, members.websocket() as ws, members.stream() as stream:
            there.publish("text")
            there.publish(b"bytes")
            assert [ws.receive(5), ws.receive(5)] == ["text", b"bytes"]
            assert [event.data for event in stream.take(1)] == ["text"]
            with there.subscribe() as messages:
                ws.send("back")
                assert messages.receive(5) == "back"

    def test_client_misses_nothing_from_the_moment_that_it_is_open(self, redis: RedisServer, name: str) -> None:
        """Also the first one, for which this process has yet to connect to Redis, and to subscribe."""

        def handler(ws: wsdriver.WebSocket) -> None:
            wsdriver.Channel(ws.handshake.path, url=redis.url).join(ws)
            ws.receive()

        publishers = [wsdriver.Channel(f"/{name}{number}", url=elsewhere(redis)) for number in range(3)]
        publishers[0].publish("from before")
        with serving(handler) as server:
            for number, publisher in enumerate(publishers):
                with wsdriver.connect(f"{server.url}{name}{number}") as ws:
                    publisher.publish("first")
                    assert ws.receive(5) == "first"

    def test_environment_gives_the_url(self, shared: RedisServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CHANNEL_URL", shared.url)
        channel = wsdriver.Channel(name)
        with wsdriver.Channel(name, elsewhere(shared)).subscribe() as messages:
            channel.publish("one")
            assert messages.receive(5) == "one"

    def test_databases_are_apart(self, shared: RedisServer, name: str) -> None:
        other = wsdriver.Channel(name, shared.url.removesuffix("/0") + "/1")
        with wsdriver.Channel(name, shared.url).subscribe() as messages:
            other.publish("one")
            assert has_nothing(messages)

    def test_one_connection_serves_all_channels(self, redis: RedisServer) -> None:
        channels = [wsdriver.Channel(f"channel {number}", redis.url, history=number) for number in range(20)]
        assert connections_of(redis) == [], "making one does nothing yet"
        subscriptions = [channel.subscribe() for channel in channels]
        for channel in channels:
            gevent.spawn(channel.publish, channel.name)
        for channel, messages in zip(channels, subscriptions, strict=True):
            assert messages.receive(5) == channel.name
        assert len(connections_of(redis)) == 1
        with redis.client() as client:
            assert len(client.pubsub_channels()) == 20
            subscriptions[0].close()
            wait_for(lambda: len(client.pubsub_channels()) == 19)
            del messages
            subscriptions.clear()
            gc.collect()
            wsdriver.Channel("channel 1", elsewhere(redis)).publish("nobody has this one any more")
            wait_for(lambda: len(client.pubsub_channels()) == 18)

    def test_link_that_nobody_uses_ends(self, redis: RedisServer, name: str, brisk: None) -> None:
        channel = wsdriver.Channel(name, redis.url)
        channel.publish("one")
        assert len(connections_of(redis)) == 1
        del channel
        gc.collect()
        wait_for(lambda: connections_of(redis) == [])
        channel = wsdriver.Channel(name, redis.url)
        channel.publish("and it is made again")
        assert len(connections_of(redis)) == 1

    def test_many_greenlets_publish_in_few_writes(self, shared: RedisServer, name: str) -> None:
        channel = wsdriver.Channel(name, shared.url)
        with wsdriver.Channel(name, elsewhere(shared)).subscribe() as messages:
            gevent.joinall([gevent.spawn(channel.publish, str(number)) for number in range(2000)], raise_error=True)
            assert received(messages, 2000) == [str(number) for number in range(2000)]

    def test_script_that_was_flushed_is_brought_again(self, shared: RedisServer, name: str) -> None:
        channel = wsdriver.Channel(name, shared.url, backlog=10_000)
        with shared.client() as client, wsdriver.Channel(name, elsewhere(shared)).subscribe() as messages:
            for number in range(10):
                client.script_flush()
                gevent.joinall([gevent.spawn(channel.publish, f"{number}:{count}") for count in range(100)])
                client.script_flush()
            assert received(messages, 1000) == [f"{number}:{count}" for number in range(10) for count in range(100)]

    def test_junk_of_others_is_logged(self, shared: RedisServer, name: str, caplog: pytest.LogCaptureFixture) -> None:
        channel = wsdriver.Channel(name, shared.url, history=10)
        with channel.subscribe() as messages, shared.client() as client:
            for junk in ("", "junk", "t:", "tx:y: z", "\u00ff", "xa:1: z"):
                client.publish(f"{{wsdriver:{name}}}@0", junk)
            client.xadd(f"{{wsdriver:{name}}}:stream", {"a": "b"})
            wait_for(lambda: caplog.text.count("somebody else publishes") == 6)
            wsdriver.Channel(name, elsewhere(shared), history=10).publish("one")
            assert messages.receive(5) == "one"
            with channel.subscribe(since="0") as again:
                assert again.receive(5) == "one"

    def test_native_threads_publish_and_receive(self, shared: RedisServer, name: str) -> None:
        channel = wsdriver.Channel(name, shared.url, history=1000)
        got: list[Any] = []

        def read() -> None:
            with channel.subscribe(since="0") as messages:
                got.extend(messages.receive(10) for _ in range(100))

        def write(number: int) -> None:
            for count in range(50):
                channel.publish(f"{number}:{count}")

        threads = [NativeThread(target=write, args=(number,), daemon=True) for number in range(2)]
        for thread in [*threads, NativeThread(target=read, daemon=True)]:
            thread.start()
        wait_for(lambda: len(got) == 100)
        for number in range(2):
            assert [item for item in got if item[0] == str(number)] == [f"{number}:{count}" for count in range(50)]


class TestPrograms:
    def test_script_without_monkey_patching_ends_by_itself(self, shared: RedisServer, name: str) -> None:
        script = """
import socket, sys, gevent, wsdriver
before = socket.socket
channel = wsdriver.Channel(sys.argv[2], sys.argv[1], history=5)
subscription = channel.subscribe()
channel.publish("one")
assert subscription.receive(5) == "one"
ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.001)
ticker = gevent.spawn(tick)
try:
    subscription.receive(0.1)
except TimeoutError:
    pass
assert len(ticks) > 5, "the hub goes on while one waits"
ticker.kill()
gevent.wait()
assert socket.socket is before
"""
        assert finish(run(script, shared.url, name)) == ("", "")

    def test_threads_without_a_hub_share_a_link(self, redis: RedisServer, name: str) -> None:
        script = """
import sys, threading, wsdriver
channel = wsdriver.Channel(sys.argv[2], sys.argv[1], history=50)
got = []
everything = threading.Event()
def callback(message):
    got.append(message)
    if len(got) == 4:
        everything.set()
def work(number):
    with channel.subscribe() as messages:
        barrier.wait()
        channel.publish(str(number))
        seen = {messages.receive(10) for _ in range(4)}
        assert seen == set("0123"), seen
        barrier.wait()
def listen():
    channel.subscribe(callback)
listener = threading.Thread(target=listen); listener.start(); listener.join()
barrier = threading.Barrier(4)
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
everything.wait(10)
print(sorted(got))
"""
        assert finish(run(script, redis.url, name)) == ("['0', '1', '2', '3']\n", "")

    def test_server_of_threads_shares_a_channel(self, redis: RedisServer, name: str) -> None:
        script = """
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
import wsdriver
class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
class Handler(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass
channel = wsdriver.Channel(sys.argv[2], sys.argv[1], history=100)
def app(environ, start_response):
    ws = wsdriver.WebSocket(environ)
    channel.join(ws, since=ws.handshake.query.get("since"))
    for message in ws:
        channel.publish(message)
    return ws.wsgi_response()
server = make_server("127.0.0.1", 0, app, Server, Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
        channel = wsdriver.Channel(name, redis.url, history=100)
        id_ = channel.publish("missed")
        with run(script, redis.url, name) as process:
            try:
                url = f"ws://127.0.0.1:{int(process.stdout.readline())}/"
                with wsdriver.connect(url + "?since=0") as one, wsdriver.connect(f"{url}?since={id_}") as two:
                    assert one.receive(10) == "missed"
                    one.send("text")
                    assert one.receive(10) == two.receive(10) == "text"
                    two.send(b"bytes")
                    assert one.receive(10) == two.receive(10) == b"bytes"
                    channel.publish("far")
                    assert one.receive(10) == two.receive(10) == "far"
            finally:
                process.terminate()

    def test_child_after_a_fork_has_a_link_of_its_own(self, redis: RedisServer, name: str) -> None:
        script = """
import os, sys, gevent, wsdriver
from gevent import os as gevent_os
channel = wsdriver.Channel(sys.argv[2], sys.argv[1])
subscription = channel.subscribe()
channel.publish("before")
assert subscription.receive(5) == "before"
pid = gevent_os.fork()
if pid == 0:
    with channel.subscribe() as messages:
        gevent.sleep(0.05)
        channel.publish("child")
        assert messages.receive(5) == "child"
        assert messages.receive(5) == "parent"
    os._exit(0)
assert subscription.receive(10) == "child"
channel.publish("parent")
assert subscription.receive(5) == "parent"
assert gevent_os.waitpid(pid, 0)[1] == 0  # which knows of what gevent has reaped
assert channel.connected
"""
        assert finish(run(script, redis.url, name)) == ("", "")


class TestConnecting:
    def test_tls_and_password(self, tmp_path: Path, name: str) -> None:
        certificates = make_certificates(tmp_path)
        with RedisServer(tmp_path, password="a b/é?", certificates=certificates) as server:
            channel = wsdriver.Channel(name, server.url)
            with wsdriver.Channel(name, elsewhere(server)).subscribe() as messages:
                channel.publish("one" * 100_000)
                assert messages.receive(5) == "one" * 100_000
                untrusting = wsdriver.Channel(name, server.url.partition("?")[0])
                with pytest.raises(ConnectionError, match="certificate"):
                    untrusting.publish("nobody gets this")
                assert has_nothing(messages)
                server.stop()
                wait_for(lambda: not channel.connected)
                server.start()
                wait_for(lambda: channel.connected)
                channel.publish("two")

    def test_wrong_password_is_said_and_tried_again(
        self, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with RedisServer(tmp_path, password="right") as server:
            wrong = wsdriver.Channel(name, f"redis://:wrong-secret@127.0.0.1:{server.port}")
            none = wsdriver.Channel(name, f"redis://127.0.0.1:{server.port}")
            for channel in (wrong, none):
                with pytest.raises(ConnectionError, match=rf"127.0.0.1:{server.port}") as caught:
                    channel.publish("one")
                assert caught.value.__cause__ is not None
            assert caplog.text.count(f"the Redis at 127.0.0.1:{server.port} is away") == 2
            assert "secret" not in caplog.text
            with server.client() as client:
                client.config_set("requirepass", "wrong-secret")
            wait_for(lambda: wrong.connected)
            wrong.publish("two")

    def test_old_redis_is_refused_with_a_reason(self, name: str) -> None:
        def serve(sock: Any, address: Any) -> None:
            while sock.recv(65536):
                sock.sendall(b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n")

        server = StreamServer(("127.0.0.1", 0), serve)
        server.start()
        try:
            channel = wsdriver.Channel(name, f"redis://127.0.0.1:{server.server_port}")
            with pytest.raises(ConnectionError, match="Redis 6"):
                channel.publish("one")
        finally:
            server.stop()


class TestErrors:
    def test_error_of_redis_comes_out_of_publish(self, redis: RedisServer, name: str) -> None:
        channel = wsdriver.Channel(name, redis.url, backlog=10)
        with channel.subscribe() as here, redis.client() as client:
            client.config_set("maxmemory", "1")
            with pytest.raises(ConnectionError, match="maxmemory") as caught:
                channel.publish("one")
            assert type(caught.value.__cause__).__name__ == "OutOfMemoryError"
            client.config_set("maxmemory", "0")
            client.replicaof("127.0.0.1", free_port())
            with pytest.raises(ConnectionError, match=r"read only|READONLY"):
                channel.publish("two")
            client.replicaof("NO", "ONE")
            channel.publish("three")
            assert channel.connected
            assert received(here, 3) == ["one", "two", "three"], "those here have got them all"

    def test_name_that_may_not_be_subscribed_to_is_said(
        self, redis: RedisServer, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with redis.client() as client:
            client.execute_command("ACL", "SETUSER", "writer", "on", ">pw", "+@all", "~*", "resetchannels")
        channel = wsdriver.Channel(name, f"redis://writer:pw@127.0.0.1:{redis.port}", history=5)
        with channel.subscribe() as messages:
            assert "gets no messages of other processes" in caplog.text
            with pytest.raises(ConnectionError):
                channel.publish("one")
            assert messages.receive(5) == "one"
            assert channel.connected

    def test_redis_that_was_never_there(self, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        server = RedisServer(tmp_path)
        strict = wsdriver.Channel(name + "strict", server.url)
        channel = wsdriver.Channel(name, server.url, backlog=2, history=10)
        with strict.subscribe() as here, channel.subscribe() as also:
            with pytest.raises(ConnectionError, match="has been away"):
                strict.publish("one")
            assert here.receive(5) == "one"
            for number in range(2):
                assert channel.publish(str(number)) is None
            with pytest.raises(ConnectionError, match="in this process have got"):
                channel.publish("2")
            assert received(also, 3) == ["0", "1", "2"]
            caplog.clear()
            # (Since the beginning: what waits may go out before this one is there.)
            with server, wsdriver.Channel(name, elsewhere(server), history=10).subscribe(since="0") as far:
                assert received(far, 2) == ["0", "1"]
                assert has_nothing(far)
                wait_for(lambda: strict.connected)
                strict.publish("two")
                assert here.receive(5) == "two"
                assert has_nothing(also), "those here have had them"
                assert "is back" in caplog.text

    def test_redis_that_vanishes_is_noticed(
        self, redis: RedisServer, name: str, brisk: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        channel = wsdriver.Channel(name, redis.url, backlog=5)
        with channel.subscribe() as here:
            gevent.sleep(1)
            assert channel.connected, "it is asked, and answers"
            redis.freeze()
            try:
                publisher = gevent.spawn(channel.publish, "one")
                assert here.receive(5) == "one", "at once"
                wait_for(lambda: not channel.connected)
                assert publisher.get(timeout=5) is None
            finally:
                redis.thaw()
            wait_for(lambda: channel.connected)
            channel.publish("two")
            assert here.receive(5) == "two"
            assert has_nothing(here)
        assert "silent" in caplog.text


@contextmanager
def cutting(port: int) -> Iterator[Any]:
    """Yield the URL's port of a relay to Redis, and a list: each item put into it cuts one connection, after the next
    command that publishes was forwarded and before its reply.
    """
    cuts: list[int] = []

    def relay(sock: Any, address: Any) -> None:
        far = socket.create_connection(("127.0.0.1", port))
        cut: list[int] = []

        def back() -> None:
            while data := far.recv(65536):
                if cut:
                    break
                sock.sendall(data)
            sock.close()

        reader = gevent.spawn(back)
        try:
            while data := sock.recv(65536):
                if cuts and b"EVAL" in data:
                    cuts.pop()
                    cut.append(1)
                far.sendall(data)
        except OSError:
            pass
        reader.join()
        far.close()

    server = StreamServer(("127.0.0.1", 0), relay)
    server.start()
    try:
        yield server.server_port, cuts
    finally:
        server.stop()


class TestExactlyOnce:
    @pytest.mark.parametrize("history", [0, 1000])
    @pytest.mark.parametrize("backlog", [0, 1000])
    def test_message_whose_reply_was_lost_is_there_once(
        self, shared: RedisServer, name: str, history: int, backlog: int
    ) -> None:
        with cutting(shared.port) as (port, cuts):
            channel = wsdriver.Channel(name, f"redis://127.0.0.1:{port}", history=history, backlog=backlog)
            there = wsdriver.Channel(name, elsewhere(shared), history=history)
            with channel.subscribe() as here, there.subscribe() as far:
                sent = []
                for number in range(60):
                    if number % 20 == 10:
                        cuts.append(1)
                    wait_for(lambda: channel.connected)
                    sent.append(str(number))
                    channel.publish(str(number))
                assert cuts == []
                assert received(here, 60) == sent
                assert received(far, 60) == sent
                assert has_nothing(here)
                assert has_nothing(far)

    @pytest.mark.parametrize("history", [0, 5000])
    def test_redis_restarted_in_the_middle(self, redis: RedisServer, name: str, history: int) -> None:
        """Without history, what the others publish while one's own connection is away is missed; what they publish once
        all are back is not.
        """
        script = """
import sys, gevent, wsdriver
url, name, who, history = sys.argv[1:]
channel = wsdriver.Channel(name, url, history=int(history), backlog=10_000)
channel.publish(f"{who}:0")
sys.stdin.readline()
for number in range(1, 399):
    channel.publish(f"{who}:{number}")
    gevent.sleep(0.003)
sys.stdin.readline()
channel.publish(f"{who}:399")
while channel._room.outstanding:
    gevent.sleep(0.01)
"""
        channel = wsdriver.Channel(name, redis.url, history=history, backlog=10_000)
        there = wsdriver.Channel(name, elsewhere(redis), history=history)
        with channel.subscribe() as here, there.subscribe() as far, ExitStack() as stack:
            others = [
                stack.enter_context(run(script, redis.url, name, who, str(history), stdin=subprocess.PIPE))
                for who in "ab"
            ]
            for process in others:
                stack.callback(process.kill)
            got = {here: received(here, 2), far: received(far, 2)}

            def tell_others() -> None:
                for process in others:
                    process.stdin.write("go\n")
                    process.stdin.flush()

            def publish() -> None:
                for number in range(399):
                    channel.publish(f"m:{number}")
                    gevent.sleep(0.003)

            tell_others()
            publisher = gevent.spawn(publish)
            gevent.sleep(0.3)
            if history:
                redis.kill()
            else:
                redis.stop()
            wait_for(lambda: not channel._room._ready and not there._room._ready)
            gevent.sleep(0.2)
            redis.start()
            publisher.get()
            wait_for(lambda: channel._room._ready and there._room._ready, "that both are back")
            tell_others()
            channel.publish("m:399")
            for process in others:
                finish(process)
            for subscription, own in ((here, "m"), (far, "")):
                ends = {f"{who}:399" for who in "abm"}
                while not ends.issubset(got[subscription]):
                    got[subscription] += received(subscription, 1)
                for who in "abm":
                    numbers = [int(message[2:]) for message in got[subscription] if message.startswith(who)]
                    assert numbers == sorted(set(numbers)), "none twice, and in order"
                    if history or who == own:
                        assert numbers == list(range(400))
            assert has_nothing(here)
            assert has_nothing(far)

    def test_connections_cut_again_and_again(self, redis: RedisServer, name: str) -> None:
        channel = wsdriver.Channel(name, redis.url, history=100_000, backlog=100_000)
        there = wsdriver.Channel(name, elsewhere(redis), history=100_000, backlog=100_000)

        def publish(publisher: Any, who: str) -> None:
            for number in range(400):
                publisher.publish(f"{who}:{number}")
                if number % 10 == 0:
                    gevent.sleep(random.random() * 0.02)

        with channel.subscribe() as here, there.subscribe() as far, redis.client() as client:
            names = [f"{side}{number}" for side in "ab" for number in range(6)]
            publishers = [gevent.spawn(publish, channel if who[0] == "a" else there, who) for who in names]
            while not all(publisher.dead for publisher in publishers):
                gevent.sleep(random.random() * 0.15)
                client.client_kill_filter(_type="pubsub", skipme=True)
            gevent.joinall(publishers, raise_error=True)
            for subscription in (here, far):
                got: dict[str, list[int]] = {}
                for message in received(subscription, 400 * len(names)):
                    who, _, number = message.partition(":")
                    got.setdefault(who, []).append(int(number))
                assert got == {who: list(range(400)) for who in names}
                assert has_nothing(subscription)

    def test_more_missed_than_kept_is_said(
        self, redis: RedisServer, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with cutting(redis.port) as (port, cuts):
            channel = wsdriver.Channel(name, f"redis://127.0.0.1:{port}", history=10, backlog=10)
            there = wsdriver.Channel(name, elsewhere(redis), history=10)
            with channel.subscribe() as here:
                there.publish("first")
                assert here.receive(5) == "first"
                with redis.client() as client:
                    cuts.append(1)
                    publisher = gevent.spawn(channel.publish, "mine")
                    wait_for(lambda: not channel.connected)
                    client.xtrim(f"{{wsdriver:{name}}}:stream", maxlen=0)
                    there.publish("second")
                publisher.join()
                assert here.receive(5) == "mine"
                assert here.receive(5) == "second"
                assert "are gone" in caplog.text


class TestHistory:
    def test_eventsource_comes_back_to_another_process(self, shared: RedisServer, name: str) -> None:
        channel = wsdriver.Channel(name, shared.url, history=1000)
        there = wsdriver.Channel(name, elsewhere(shared), history=1000)
        with serving_members(channel) as members, serving_members(there) as far:
            with members.stream() as client:
                channel.publish("one")
                there.publish("two")
                events = client.take(2)
            for number in range(250):
                (channel if number % 2 else there).publish(str(number))
            for event, missed in zip(events, (["two"], []), strict=True):
                expected = [*missed, *map(str, range(250))]
                with far.stream(event.last_event_id) as client:
                    assert [got.data for got in client.take(len(expected))] == expected
                with there.subscribe(since=event.last_event_id) as messages:
                    assert received(messages, len(expected)) == expected
                    assert has_nothing(messages)

    def test_all_that_is_kept_to_who_asks_for_it(self, shared: RedisServer, name: str) -> None:
        channel = wsdriver.Channel(name, shared.url, history=1000)
        for number in range(5):
            channel.publish(str(number))
        with serving_members(channel) as members, members.websocket(since="0") as ws:
            assert received(ws, 5) == ["0", "1", "2", "3", "4"]
            wsdriver.Channel(name, elsewhere(shared), history=1000).publish("live")
            assert ws.receive(5) == "live"

    @pytest.mark.parametrize("hostile", ["99999999999999-0", "18446744073709551615-18446744073709551615"])
    def test_made_up_id_gets_what_comes(self, shared: RedisServer, name: str, hostile: str) -> None:
        channel = wsdriver.Channel(name, shared.url, history=10)
        there = wsdriver.Channel(name, elsewhere(shared), history=10)
        channel.publish("before")
        with serving_members(channel) as members, members.stream(hostile) as client:
            channel.publish("one")
            there.publish("two")
            assert [event.data for event in client.take(2)] == ["one", "two"]

    def test_joiners_on_a_busy_channel_miss_nothing(self, shared: RedisServer, name: str) -> None:
        channel = wsdriver.Channel(name, shared.url, history=10_000)
        there = wsdriver.Channel(name, elsewhere(shared), history=10_000)

        def publish(publisher: Any, who: str) -> None:
            for number in range(400):
                publisher.publish(f"{who}:{number}")
                gevent.sleep(0.002)

        with serving_members(channel) as members, ExitStack() as stack:
            publishers = [gevent.spawn(publish, channel, "a"), gevent.spawn(publish, there, "b")]
            clients = []
            for _ in range(20):
                clients.append(stack.enter_context(members.websocket(since="0")))
                gevent.sleep(0.02)
            gevent.joinall(publishers, raise_error=True)
            for client in clients:
                got = received(client, 800)
                for who in "ab":
                    own = [message for message in got if message.startswith(who)]
                    assert own == [f"{who}:{number}" for number in range(400)]
                assert has_nothing(client)

    def test_id_given_while_redis_was_away_is_good_everywhere(self, redis: RedisServer, name: str) -> None:
        channel = wsdriver.Channel(name, redis.url, history=1000, backlog=1000)
        there = wsdriver.Channel(name, elsewhere(redis), history=1000, backlog=1000)
        with (
            serving_members(channel) as members,
            serving_members(there) as far,
            far.stream() as witness,
            members.stream() as client,
            members.stream() as staying,
        ):
            channel.publish("0")
            redis.kill()
            wait_for(lambda: not channel.connected and not there.connected)
            for number in range(1, 4):
                channel.publish(str(number))
            there.publish("x")
            events = client.take(3)
            assert "~" in events[-1].last_event_id
            assert [event.data for event in events] == ["0", "1", "2"], "at once"
            # While Redis is away, they wait: here, and in another process.
            again = [members.stream(events[-1].last_event_id, wait=False)]
            again.append(far.stream(events[-1].last_event_id, wait=False))
            gevent.sleep(0.05)
            redis.start()
            channel.publish("4")
            for back in again:
                got = {event.data for event in back.take(3)}
                assert got == {"3", "x", "4"}
            staid = [event.data for event in staying.take(6)]
            assert sorted(staid) == ["0", "1", "2", "3", "4", "x"]
            seen = [event.data for event in witness.take(6)]
            assert sorted(seen) == sorted(staid)
            assert [data for data in seen if data != "x"] == ["0", "1", "2", "3", "4"]
            there.publish("last")
            for back in (*again, staying, witness):
                assert [event.data for event in back.take(1)] == ["last"]
            for back in again:
                back.sock.close()

    def test_id_before_the_publishers_messages_have_passed_is_good_live(self, shared: RedisServer, name: str) -> None:
        """The client is in the other process before the messages are that it has had."""
        channel = wsdriver.Channel(name, shared.url, history=1000)
        channel.publish("kept")
        with serving_members(channel) as members:
            base = channel.publish("base")
            with members.stream(f"{base}~abc:2") as client, channel.subscribe() as all_:
                with shared.client() as redis:
                    for number in range(1, 5):
                        push(redis, name, "abc", number)
                assert received(all_, 4) == ["abc 1", "abc 2", "abc 3", "abc 4"]
                events = client.take(2)
                assert [event.data for event in events] == ["abc 3", "abc 4"]
            with members.stream(events[0].last_event_id) as client:
                assert [event.data for event in client.take(1)] == ["abc 4"]


def push(client: Any, name: str, publisher: str, number: int) -> None:
    """Publish as another process does."""
    from wsdriver.green.channel.script import SCRIPT, make_arguments

    base = f"{{wsdriver:{name}}}"
    keys = [f"{base}:publisher:{publisher}", f"{base}:stream", f"{base}@0"]
    client.eval(SCRIPT, 3, *keys, *make_arguments(f"{publisher} {number}", publisher, number, 1000))
