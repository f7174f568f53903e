"""The logger of all of this, ``wsdriver``: one that never raises."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter

__all__ = ["log"]


class _Log(_Adapter):
    """Where a handler of the application's raises, because its disk is full, that must not cost a connection.

    (The standard library's handlers do not raise; they say on stderr what is wrong.)
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if self.isEnabledFor(level):
            try:
                self.logger.log(level, msg, *args, stacklevel=2, **kwargs)  # told as the caller's line, not this one
            except Exception:
                pass  # there is nowhere to tell


log = _Log(logging.getLogger("wsdriver"), {})
