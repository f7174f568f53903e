"""Channels keep their promise over many processes, and through a restart of the Redis between them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.channels.cluster import Cluster
from tests.channels.exchange import Exchange
from tests.support.redis import RedisServer

pytestmark = pytest.mark.timeout(240)

#: Plain Python takes longer, and has to show only that it does the same.
PURE = os.environ.get("WSDRIVER_PURE") == "1"

CLIENTS = 48 if PURE else 200
MESSAGES = 2_000 if PURE else 10_000

#: Connecting again and again costs more than messages do.
RETURNING = {"websockets": 8, "eventsources": 4} if PURE else {"websockets": 20, "eventsources": 12}


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A Redis that all programs of the test find; a parameter has more of its arguments."""
    with RedisServer(tmp_path, *getattr(request, "param", ())) as redis:
        monkeypatch.setenv("CHANNEL_URL", redis.url)
        yield redis


def check_through_a_restart(exchange: Exchange, redis: RedisServer, end: Callable[[], None]) -> None:
    """End Redis while all publish, start it again, and see that it made no difference to any client."""
    exchange.let("begin")
    exchange.wait_for(0.1)
    exchange.let("go-on")
    time.sleep(0.2)
    end()
    time.sleep(1.5)
    redis.start()
    exchange.finish()
    assert all(exchange.refusals), "Redis was there all the time that they published"


def test_each_client_gets_each_message_exactly_once_and_in_order_through_a_restart(
    redis: RedisServer, tmp_path: Path
) -> None:
    with Cluster.running(tmp_path, workers=4, singles=2) as cluster:
        with Exchange(tmp_path, cluster, history=20_000, clients=CLIENTS, messages=MESSAGES, pause=0.005) as exchange:
            check_through_a_restart(exchange, redis, redis.stop)
        cluster.assert_told_of_restarts(1)
        cluster.stop()


def test_clients_that_come_back_miss_nothing_through_a_restart(redis: RedisServer, tmp_path: Path) -> None:
    with Cluster.running(tmp_path, workers=2, singles=1) as cluster:
        with Exchange(tmp_path, cluster, history=5_000, clients=6, messages=2_000, pause=0.02, text=True) as exchange:
            exchange.come_and_go(**RETURNING)
            check_through_a_restart(exchange, redis, redis.stop)
        cluster.assert_told_of_restarts(1)
        cluster.stop()


@pytest.mark.parametrize("redis", [["--appendfsync", "always"]], indirect=True, ids=["always-written"])
def test_killed_redis_loses_nothing_that_it_wrote(redis: RedisServer, tmp_path: Path) -> None:
    with Cluster.running(tmp_path, workers=2, singles=1) as cluster:
        with Exchange(tmp_path, cluster, history=5_000, clients=30, messages=2_000, pause=0.01) as exchange:
            check_through_a_restart(exchange, redis, redis.kill)
        cluster.assert_told_of_restarts(1)
        cluster.stop()


def test_without_history_each_client_gets_all_while_redis_is_there(redis: RedisServer, tmp_path: Path) -> None:
    with Cluster.running(tmp_path, workers=4, singles=2) as cluster:
        with Exchange(tmp_path, cluster, history=0, clients=60, messages=MESSAGES) as exchange:
            exchange.finish()
        cluster.assert_told_of_restarts(0)
        cluster.stop()
