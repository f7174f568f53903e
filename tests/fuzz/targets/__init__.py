"""The targets: functions of bytes. An input that makes one raise has found something."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.targets import client, deflate, frames, header, heads, server

__all__ = ["TARGETS"]

TARGETS: dict[str, Callable[[bytes], None]] = {
    "server": server.target,
    "frames": frames.target,
    "client": client.target,
    "header": header.target,
    "heads": heads.target,
    "deflate": deflate.target,
}
