"""Events and the emitter."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from wsdriver.events import (
    CloseEvent,
    ConnectEvent,
    Emitter,
    MessageEvent,
    OpenEvent,
    PingEvent,
    PongEvent,
    check_event,
)

ALL = ["connect", "open", "message", "ping", "pong", "error", "close"]

#: An event and its fields.
INSTANCES: list[tuple[Any, list[str]]] = [
    (ConnectEvent(), []),
    (OpenEvent(), []),
    (MessageEvent("text"), ["data"]),
    (MessageEvent(b"bytes"), ["data"]),
    (PingEvent(b"p"), ["data"]),
    (PongEvent(b"p"), ["data"]),
    (CloseEvent(1000, "bye", True), ["code", "reason", "was_clean"]),
]


@pytest.mark.parametrize(("event", "names"), INSTANCES, ids=lambda value: repr(value))
def test_event_has_its_fields_and_is_frozen(event: Any, names: list[str]) -> None:
    assert [field.name for field in dataclasses.fields(event)] == names
    assert not hasattr(event, "__dict__"), "slots: there are millions of these"
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        event.data = "other"
    assert event == dataclasses.replace(event)
    assert hash(event) == hash(dataclasses.replace(event))


def test_close_event_by_default_is_not_clean() -> None:
    assert CloseEvent(1006, "") == CloseEvent(1006, "", False)


@pytest.mark.parametrize("name", ALL)
def test_event_name_known_is_taken(name: str) -> None:
    check_event(name)
    called: list[object] = []
    emitter = Emitter()
    emitter.on(name, called.append)
    emitter.emit(name, 5)
    assert called == [5]


@pytest.mark.parametrize("name", ["", "mesage", "MESSAGE", "data", "drain", None, 5])
def test_event_name_unknown_is_a_value_error(name: Any) -> None:
    emitter = Emitter()
    for call in (
        lambda: check_event(name),
        lambda: emitter.on(name, print),
        lambda: emitter.on(name),
        lambda: emitter.off(name),
        lambda: emitter.off(name, print),
    ):
        with pytest.raises(ValueError, match=f"there is no event {name!r}; the events are {', '.join(ALL)}"):
            call()


def test_emitter_without_listeners_does_nothing() -> None:
    emitter = Emitter()
    emitter.emit("open", None)
    emitter.off("open")
    emitter.off("open", print)
    assert emitter.has_listeners("open") is False


def test_emitter_calls_listeners_in_order_with_the_event() -> None:
    emitter = Emitter()
    called: list[tuple[int, object]] = []
    emitter.on("open", lambda event: called.append((1, event)))
    emitter.on("open", lambda event: called.append((2, event)))
    emitter.on("close", lambda event: called.append((3, event)))
    event = OpenEvent()
    emitter.emit("open", event)
    assert called == [(1, event), (2, event)]


def test_emitter_on_returns_the_listener() -> None:
    emitter = Emitter()
    assert emitter.on("open", print) is print

    @emitter.on("open")
    def listener(event: object) -> None:
        """Stays a function that can be called and taken off."""

    assert callable(listener)
    emitter.off("open", listener)
    emitter.off("open", print)
    assert emitter.has_listeners("open") is False


def test_emitter_has_listeners_until_the_last_is_off() -> None:
    emitter = Emitter()
    first, second = (lambda event: None), (lambda event: None)
    assert emitter.has_listeners("ping") is False
    emitter.on("ping", first)
    emitter.on("ping", second)
    emitter.off("ping", first)
    assert emitter.has_listeners("ping") is True
    emitter.off("ping", first)
    assert emitter.has_listeners("ping") is True
    emitter.off("ping", second)
    assert emitter.has_listeners("ping") is False
    emitter.on("ping", first)
    emitter.off("pong")
    assert emitter.has_listeners("ping") is True
    emitter.off("ping")
    assert emitter.has_listeners("ping") is False


def test_emitter_off_of_one_listener_leaves_the_same_one_once() -> None:
    emitter = Emitter()
    called: list[object] = []
    emitter.on("open", called.append)
    emitter.on("open", called.append)
    emitter.off("open", called.append)
    emitter.emit("open", 1)
    assert called == [1]


def test_emitter_given_listeners_that_change_the_list_calls_those_of_before() -> None:
    emitter = Emitter()
    called: list[str] = []

    def first(event: object) -> None:
        called.append("first")
        emitter.off("open", second)
        emitter.on("open", lambda event: called.append("new"))

    def second(event: object) -> None:
        called.append("second")

    emitter.on("open", first)
    emitter.on("open", second)
    emitter.emit("open", None)
    assert called == ["first", "second"]
    emitter.off("open", first)
    emitter.emit("open", None)
    assert called == ["first", "second", "new"]


def test_emitter_passes_on_what_a_listener_raises() -> None:
    emitter = Emitter()
    missing: dict[str, int] = {}
    emitter.on("open", lambda event: missing["listener"])
    with pytest.raises(KeyError):
        emitter.emit("open", None)
