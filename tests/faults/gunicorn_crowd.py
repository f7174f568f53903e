"""Clients that never rest: each sends numbered messages, has them echoed, and comes back whenever it is dropped."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gevent

import wsdriver
from tests.support.peers import need_module
from tests.support.waiting import wait_for
from tests.support.wire import PATIENCE

__all__ = ["Crowd", "Session"]

#: Messages that a client has under way, at most.
WINDOW = 4

#: Seconds between two of them.
PACE = 0.02


@dataclass
class Session:
    """One connection of a client, as that saw it.

    Attributes:
        answered: how many echoes came back; each was the next of what had been sent.
        code: the close code, or None while it is open.
    """

    name: str
    pid: int
    version: str
    answered: int = 0
    code: int | None = None
    clean: bool = False


@dataclass
class Crowd:
    """Clients of one server.

    Attributes:
        stay: answers after which a client closes, and comes again.
        sessions: all that were ever opened, in order.
        refusals: the errors of attempts that opened none.
        size: how many clients there are.
        faults: what must not be: an echo that is not the one that was due, or an error that no client expects.
    """

    url: str
    stay: int = 1_000_000
    sessions: list[Session] = field(default_factory=list)
    refusals: list[BaseException] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    ending: bool = False
    size: int = 0
    clients: list[gevent.Greenlet] = field(default_factory=list)

    def open(self, *pids: int) -> list[Session]:
        """The sessions that are open, or those with these workers."""
        return [one for one in self.sessions if one.code is None and (not pids or one.pid in pids)]

    def wait_for_all(self, **expected: object) -> None:
        """Wait until all clients are in again, and get answers, from a worker or a version that is named."""

        def are_in() -> bool:
            found = [one for one in self.open() if one.answered]
            return len(found) >= self.size and all(
                getattr(one, name) == value for one in found for name, value in expected.items()
            )

        wait_for(are_in, f"{self.size} open sessions {expected or ''}")

    def spread(self, workers: int) -> None:
        """Let more clients come until so many workers have some. (The kernel gives each to whom it likes.)"""

        def has_spread() -> bool:
            if len({one.pid for one in self.open()}) >= workers:
                return True
            self.clients.append(gevent.spawn(self.visit))
            self.size += 1
            gevent.sleep(0.05)
            return False

        wait_for(has_spread, f"clients of {workers} workers")
        self.wait_for_all()

    def wait_for_answers(self, sessions: list[Session], answers: int = 20) -> None:
        """Wait until each of these has had so many more, or has ended."""
        due = [(one, one.answered + answers) for one in sessions]
        wait_for(lambda: all(one.answered >= number or one.code is not None for one, number in due), "answers")

    def _greeted(self, greeting: Any) -> Session:
        session = Session(**json.loads(greeting))
        self.sessions.append(session)
        return session

    def _answered(self, session: Session, message: Any) -> None:
        if message != f"{session.name} {session.answered}":
            self.faults.append(f"{session} got {message!r}")
        session.answered += 1

    def _refused(self, error: BaseException) -> bool:
        self.refusals.append(error)
        return self.ending

    # --- our own client -----------------------------------------------------------------------------------------------

    def visit(self) -> None:
        """Be one client, until the end."""
        try:
            for ws in wsdriver.reconnect(self.url, initial_delay=0.05, max_delay=0.2, give_up=self._refused):
                session = self._converse(ws)
                if session is not None:
                    session.code, session.clean = ws.close_code, ws.was_clean
                if self.ending:
                    return
        except Exception as error:
            if error not in self.refusals:
                self.faults.append(repr(error))

    def _converse(self, ws: Any) -> Session | None:
        greeting = ws.receive(PATIENCE)
        if greeting is None:
            return None
        session = self._greeted(greeting)
        sent = 0
        try:
            while not self.ending and session.answered < self.stay:
                while sent < session.answered + WINDOW:
                    ws.send(f"{session.name} {sent}")
                    sent += 1
                message = ws.receive(PATIENCE)
                if message is None:
                    return session
                self._answered(session, message)
                gevent.sleep(PACE)
            ws.close()
        except wsdriver.ConnectionClosed:
            while (message := ws.receive(PATIENCE)) is not None:
                self._answered(session, message)
        return session

    # --- the client of another library --------------------------------------------------------------------------------

    async def visit_by_websockets(self) -> None:
        """The same with ``websockets``."""
        connect = need_module("websockets.asyncio.client").connect
        closed = need_module("websockets.exceptions").ConnectionClosed
        while not self.ending:
            try:
                async with connect(self.url, open_timeout=PATIENCE, ping_interval=None) as ws:
                    session = None
                    try:
                        session = self._greeted(await ws.recv())
                        sent = 0
                        while not self.ending and session.answered < self.stay:
                            while sent < session.answered + WINDOW:
                                await ws.send(f"{session.name} {sent}")
                                sent += 1
                            self._answered(session, await asyncio.wait_for(ws.recv(), PATIENCE))
                            await asyncio.sleep(PACE)
                    except closed:
                        pass
                if session is not None:
                    session.code, session.clean = ws.close_code, ws.close_code != 1006
            except (OSError, need_module("websockets.exceptions").InvalidHandshake) as error:
                self.refusals.append(error)
            except Exception as error:
                self.faults.append(repr(error))
                return
            await asyncio.sleep(0.05)

    @contextmanager
    def at_work(self, ours: int = 16, theirs: int = 4) -> Iterator[Crowd]:
        """Let so many clients of ours, and of ``websockets``, come; at the end they go. None may complain."""

        async def all_of_theirs() -> None:
            await asyncio.gather(*(self.visit_by_websockets() for _ in range(theirs)))

        self.size = ours + theirs
        thread = threading.Thread(target=lambda: asyncio.run(all_of_theirs()))
        thread.start()
        self.clients = [gevent.spawn(self.visit) for _ in range(ours)]
        try:
            wait_for(lambda: len(self.sessions) >= self.size, "the first sessions")
            yield self
        finally:
            self.ending = True
            gevent.joinall(self.clients, timeout=PATIENCE)
            gevent.killall(self.clients)
            wait_for(lambda: not thread.is_alive(), "the end of the other library's clients")
        assert self.faults == []
