"""SECURITY.md: its tables say what the code has, and leave nothing out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import wsdriver
from tests.support.peers import need_module
from wsdriver.driver.options import DriverOptions
from wsdriver.green.client.options import ClientOptions
from wsdriver.green.options import ConnectionOptions
from wsdriver.green.server import ServerOptions

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")

UNITS = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024 * 1024}

EVERY = "Options of every WebSocket"
OF_SERVERS = "Options of `WebSocketServer`"
OF_CLASSES = "Attributes of the gunicorn worker and of the pywsgi handler"
OF_CLIENTS = "Options of `connect`"
FIXED = "Fixed"

#: How many of the first are the driver's.
OF_DRIVER = 6

#: What makes the name of an option that of a limit.
LIMIT = re.compile(r"max_.*|.*_limit|.*_timeout|.*_messages|ping")


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield (heading, limit, default) of each row of the tables of limits."""
    heading = ""
    for line in PAGE.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith("| `"):
            yield heading, cells[1].strip("`"), cells[2]


ROWS = list(rows())


def number(text: str) -> Any:
    """Return what a default says: None, or a number of a unit, less something."""
    if text == "none":
        return None
    match = re.fullmatch(r"(\d+) ?(s|KiB|MiB|)(?: - (\d+))?", text)
    assert match, text
    return int(match[1]) * UNITS[match[2]] - int(match[3] or 0)


def value_of(heading: str, name: str) -> Any:
    """Return what the code has under that name."""
    kinds: dict[str, Any] = {EVERY: ConnectionOptions, OF_SERVERS: ServerOptions, OF_CLIENTS: ClientOptions}
    if heading in kinds:
        return getattr(kinds[heading](), name)
    where, _, attribute = name.rpartition(".")
    if heading == OF_CLASSES:
        if where == "worker":
            need_module("gunicorn.workers.ggevent")
        return getattr(getattr(wsdriver, where), attribute)
    assert heading == FIXED
    return getattr(import_module(where), attribute)


@pytest.mark.parametrize(("heading", "name", "default"), ROWS, ids=[f"{row[0]}: {row[1]}" for row in ROWS])
def test_limit_of_the_page_is_that_of_the_code(heading: str, name: str, default: str) -> None:
    assert value_of(heading, name) == number(default)


def test_page_has_all_limits_among_the_options() -> None:
    known = {
        heading: [name for where, name, _ in ROWS if where == heading] for heading in (EVERY, OF_SERVERS, OF_CLIENTS)
    }
    every = {field.name for field in fields(ConnectionOptions) if LIMIT.fullmatch(field.name)}
    assert set(known[EVERY]) == every
    driver = {field.name for field in fields(DriverOptions) if LIMIT.fullmatch(field.name)}
    assert set(known[EVERY][:OF_DRIVER]) == driver
    servers = {field.name for field in fields(ServerOptions) if LIMIT.fullmatch(field.name)}
    assert {*known[OF_SERVERS]} - every == servers - every
    clients = {field.name for field in fields(ClientOptions) if LIMIT.fullmatch(field.name)}
    assert {*known[OF_CLIENTS]} == clients - every
    assert len(set(ROWS)) == len(ROWS)


def test_page_names_files_that_are_there() -> None:
    for name in re.findall(r"`((?:tests|examples|docs)/[\w./]+)`", PAGE):
        assert (ROOT / name).exists(), name


def test_hijacking_comes_first() -> None:
    first, second, *_ = re.findall(r"^## (.*)", PAGE, re.M)
    assert "pages" in first
    assert second == "Limits"
    assert "origins" in PAGE.partition("## Limits")[0]
