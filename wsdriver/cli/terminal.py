"""Talking in a terminal: a prompt that keeps what is being typed, while messages come in above it."""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path
from time import monotonic
from typing import Any

from wsdriver.cli.above import Above
from wsdriver.cli.commands import COMMANDS, HELP, Close, Help, Ping, Send, Typed, Wrong, parse
from wsdriver.cli.show import Show, ending
from wsdriver.cli.status import FAILED, INTERRUPTED, USAGE, Failure
from wsdriver.exceptions import ConnectionClosed
from wsdriver.green.client.connecting import ClientWebSocket

__all__ = ["Terminal", "history_file", "need_prompt_toolkit"]

#: Seconds that what was typed last has to be sent in, when the user leaves.
PATIENCE = 3


def need_prompt_toolkit() -> None:
    """See that there is what the prompt needs.

    Raises:
        Failure: it is not installed.
    """
    try:
        import prompt_toolkit  # noqa: F401
    except ImportError:
        raise Failure(
            "a terminal needs more: pip install 'wsdriver[cli]' (a pipe does not: echo hello | wsdriver connect URL)",
            USAGE,
        ) from None


def history_file() -> Path | None:
    """Return the file that keeps what was typed, made so that only its owner reads it; None where it cannot be."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # The specification: a relative path is no path.
    base = Path(state) if os.path.isabs(state) else Path("~/.local/state").expanduser()
    path = base / "wsdriver" / "history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError:
        return None
    return path


class Terminal:
    """One conversation.

    Args:
        ws: open.
        show: how messages look.
        where: the URL, to be shown.
        colours: whether the prompt has them.
        binary: whether what is typed goes out as binary messages.
        history: the file that keeps what was typed, or None.
        verbose: whether the server's pings and pongs are shown.
    """

    def __init__(
        self,
        ws: ClientWebSocket,
        show: Show,
        where: str,
        *,
        colours: bool,
        binary: bool,
        history: Path | None,
        verbose: bool,
    ) -> None:
        self._ws = ws
        self._show = show
        self._where = where
        self._binary = binary
        self._latency: float | None = None
        self._ended = self._left = False
        self._typed: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._session = self._make_session(colours, history)
        self._above = Above(self._session.app)
        if verbose:
            ws.on("ping", lambda event: self._note(f"a ping came{self._payload(event.data)}"))
            ws.on("pong", lambda event: self._note(f"a pong came{self._payload(event.data)}"))

    @staticmethod
    def _payload(data: bytes) -> str:
        return f": {data.decode('utf-8', 'replace')}" if data else ""

    def _make_session(self, colours: bool, history: Path | None) -> Any:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.history import FileHistory, InMemoryHistory
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.output import ColorDepth
        from prompt_toolkit.styles import Style

        keys = KeyBindings()

        @keys.add("enter")
        def send(event: Any) -> None:
            # The prompt stays: between two of them, the terminal would echo what is typed, anywhere.
            buffer = event.current_buffer
            text = buffer.text
            buffer.reset(append_to_history=True)
            if text:
                self._print(self._show.typed(text))
                self._typed.put(text)

        @keys.add("escape", "enter")
        def new_line(event: Any) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-c")
        def interrupt(event: Any) -> None:
            if event.current_buffer.text:
                event.current_buffer.reset()
            else:
                event.app.exit(exception=KeyboardInterrupt)

        return PromptSession(
            [("class:prompt", "> ")],
            multiline=True,  # Enter would begin another line then, but for the keys above
            prompt_continuation=[("class:prompt", "… ")],
            key_bindings=keys,
            history=InMemoryHistory() if history is None else FileHistory(str(history)),
            completer=WordCompleter(list(COMMANDS), sentence=True),
            complete_while_typing=False,
            bottom_toolbar=self._toolbar,
            refresh_interval=1,
            reserve_space_for_menu=0,
            color_depth=None if colours else ColorDepth.DEPTH_1_BIT,
            style=Style([("prompt", "ansicyan bold"), ("bottom-toolbar", "noreverse ansibrightblack")]),
        )

    def _toolbar(self) -> str:
        ws = self._ws
        latency = ws.latency if self._latency is None else self._latency
        parts = [self._where, *([ws.protocol] if ws.protocol else [])]
        parts.append(f"{ws.messages_received} in, {ws.messages_sent} out")
        if latency is not None:
            parts.append(f"ping {latency * 1000:.1f} ms")
        return " · ".join(parts)

    def run(self) -> int:
        """Talk until one side has enough; returns the exit status.

        Raises:
            Failure: it did not end well.
        """
        # Neither what is typed nor what comes makes the other wait.
        receiver = threading.Thread(target=self._receive, daemon=True)
        sender = threading.Thread(target=self._send, daemon=True)
        receiver.start()
        sender.start()
        status = 0
        try:
            self._session.prompt(pre_run=self._begin)
        except KeyboardInterrupt:
            status = INTERRUPTED
        except EOFError:
            pass
        self._typed.put(None)
        sender.join(PATIENCE)
        self._ws.close()
        receiver.join()
        sentence, well = ending(self._ws)
        well = well or (self._left and self._ws.was_clean)  # with the user's own code
        self._print(self._show.note(sentence) if well else self._show.error(sentence))
        self._above.flush()
        return status if well or status else FAILED

    def _begin(self) -> None:
        self._above.begin()
        self._leave_if_ended()

    def _print(self, text: str) -> None:
        self._above.print(text)

    # --- in threads of their own -------------------------------------------------------------------------------------

    def _send(self) -> None:
        while (text := self._typed.get()) is not None:
            self._do(parse(text, self._binary))

    def _receive(self) -> None:
        ws = self._ws
        while (message := ws.receive()) is not None:
            self._print(f"{self._show.paint('in', '<')} {self._show.message(message)}")
        self._ended = True
        loop = self._session.app.loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._leave_if_ended)
            except RuntimeError:
                pass  # it is closed: nobody is at the prompt

    def _leave_if_ended(self) -> None:
        """Leave the prompt, where it has come after the end, or the end while it was there."""
        app = self._session.app
        if self._ended and app.is_running and not app.future.done():
            app.exit(exception=EOFError)

    # --- what was typed ----------------------------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        self._print(self._show.note(text))

    def _do(self, typed: Typed) -> None:
        ws = self._ws
        try:
            if isinstance(typed, Send):
                ws.send(typed.message)
            elif isinstance(typed, Ping):
                sent = monotonic()
                ws.ping(typed.data, lambda: self._answered(monotonic() - sent))
            elif isinstance(typed, Close):
                self._left = True
                ws.close(typed.code, typed.reason)
            elif isinstance(typed, Help):
                self._note(HELP)
            elif isinstance(typed, Wrong):
                self._print(self._show.error(typed.sentence))
        except ConnectionClosed:
            pass  # who receives says how it ended
        except ValueError as error:
            self._left = False
            self._print(self._show.error(str(error)))

    def _answered(self, seconds: float) -> None:
        self._latency = seconds
        self._note(f"pong after {seconds * 1000:.1f} ms")
