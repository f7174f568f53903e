"""What frameworks keep to themselves: errors of views, which they turn into a page for the user."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["errors_of_frameworks"]


@contextmanager
def errors_of_frameworks(note: Callable[[BaseException], object]) -> Iterator[None]:
    """Have each error that Flask or Django catches noted, by the signal that both send then."""

    def on_error(sender: Any, **details: Any) -> None:
        # Flask tells the error; Django sends the signal while it handles it.
        error = details.get("exception") or sys.exc_info()[1]
        if error is not None:
            note(error)

    signals = [
        sys.modules[name].got_request_exception
        for name in ("flask.signals", "django.core.signals")
        if hasattr(sys.modules.get(name), "got_request_exception")
    ]
    for signal in signals:
        signal.connect(on_error, weak=False)
    try:
        yield
    finally:
        for signal in signals:
            signal.disconnect(on_error)
