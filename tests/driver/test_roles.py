"""What a driver wants of those around it: the protocols that type checkers read."""

from __future__ import annotations

from tests.driver.test_observer import Observer as ObserverOfTests
from tests.support.driving import Wire
from wsdriver import Driver
from wsdriver.driver import roles


def test_socket_with_url_and_write_is_enough_for_a_client() -> None:
    class Socket:
        url = "ws://localhost/"
        sent = b""

        def write(self, data: bytes) -> None:
            self.sent += data

    socket: roles.Socket = Socket()
    driver = Driver.client(socket)
    assert driver.start() is True
    assert socket.sent.startswith(b"GET / HTTP/1.1\r\n")  # type: ignore[attr-defined]


def test_roles_are_those_of_the_documents() -> None:
    assert roles.__all__ == ["Observer", "Socket"]
    observer: roles.Observer = ObserverOfTests()
    socket: roles.Socket = Wire()
    assert observer.is_blocked() is False
    assert socket.url
