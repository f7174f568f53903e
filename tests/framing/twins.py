"""The plain and the compiled twin of ``wsdriver.framing.hybi``, both in one process."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from tests.support import twins

#: The names that both must have.
NAMES = ("BytesLike", "COMPILED", "FrameDecoder", "Item", "append_frame", "append_head", "apply_mask")


MODULE = "wsdriver.framing.hybi"
plain, compiled, twin = (functools.partial(get, MODULE) for get in (twins.plain, twins.compiled, twins.twin))


def decode(hybi: ModuleType, chunks: Iterable[Any], *arguments: Any, **attributes: Any) -> tuple[list[Any], Any, bool]:
    """Feed a new decoder; return the items of each chunk, the error, and whether it is closed."""
    raw = attributes.pop("raw", False)
    decoder = hybi.FrameDecoder(*arguments, **attributes)
    decoder.raw = raw
    items: list[Any] = []
    for chunk in chunks:
        out: list[Any] = []
        try:
            decoder.feed(chunk, 0, len(chunk), out)
        except Exception as error:
            items.append(out)
            return items, (type(error), str(error), getattr(error, "code", None)), decoder.closed
        items.append(out)
    return items, None, decoder.closed
