"""The channels of this process, by name: one room for all Channel objects of the same one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from wsdriver.exceptions import ConfigurationError
from wsdriver.green.channel.room import Room
from wsdriver.green.native import allocate_lock

if TYPE_CHECKING:
    from wsdriver.green.channel.shared import SharedRoom

__all__ = ["check_url", "room_of"]

_rooms: WeakValueDictionary[tuple[int, str, str, str], Room] = WeakValueDictionary()
_lock = allocate_lock()


def check_url(url: str) -> None:
    """Refuse what cannot be the URL of a Redis.

    Raises:
        ConfigurationError: it cannot, or redis-py is missing.
    """
    if not url.startswith(("redis://", "rediss://", "unix://")):
        scheme = url.partition(":")[0]
        raise ConfigurationError(f"a channel's url begins with redis://, rediss:// or unix://, not with {scheme!r}")
    try:
        from wsdriver.green.channel.redis_socket import make_connection
    except ImportError as error:
        raise ConfigurationError(
            f"a channel with a url needs redis-py ({error}): pip install 'wsdriver[redis]'"
        ) from error
    make_connection(url)


def room_of(url: str, namespace: str, name: str, history: int) -> Room:
    """Return this process' room of that name; it keeps as much as the one who asks for most."""
    key = (os.getpid(), url, namespace, name)
    with _lock:
        room = _rooms.get(key)
        if room is None:
            room = _rooms[key] = _shared(url, namespace, name, history) if url else Room(history)
        room.history = max(room.history, history)
    return room


def _shared(url: str, namespace: str, name: str, history: int) -> SharedRoom:
    from wsdriver.green.channel.redis_socket import database_of, make_connection
    from wsdriver.green.channel.shared import SharedRoom

    return SharedRoom(history, url, namespace, name, database_of(make_connection(url)))


def _after_fork() -> None:
    """A thread that is no more may have held it."""
    global _lock
    _lock = allocate_lock()


os.register_at_fork(after_in_child=_after_fork)
