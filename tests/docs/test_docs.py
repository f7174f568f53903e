"""The documentation: it builds without a warning, its snippets are right, its links lead somewhere, and no name is left
out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

import wsdriver
from tests.support.peers import need_module

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def sphinx(builder: str, output: Path, *arguments: str) -> str:
    """Run one builder with warnings as errors; returns what it says."""
    for module in ("sphinx", "furo", "myst_parser"):
        need_module(module)
    need_module("gunicorn.workers.ggevent")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    result = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-b", builder, *arguments, "docs", str(output)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def doctrees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doctrees")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, doctrees: Path) -> Path:
    """The documentation as HTML."""
    output = tmp_path_factory.mktemp("site")
    sphinx("html", output, "-d", str(doctrees))
    return output


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    """The pages by path, but those that only list others."""
    found = {str(path.relative_to(site)): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    for name in ("genindex.html", "search.html"):
        found.pop(name, None)
    return found


class Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is not None and name == "id":
                self.anchors.add(value)
            elif value is not None and (tag, name) in {("a", "href"), ("img", "src")}:
                self.links.append(value)


def inventory(site: Path) -> set[str]:
    """Return the Python names that are documented."""
    data = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(data).decode().splitlines()
    return {line.split()[0] for line in lines if line.split()[1].startswith("py:")}


def test_snippets_are_right(site: Path, tmp_path: Path, doctrees: Path) -> None:
    said = sphinx("doctest", tmp_path, "-d", str(doctrees))
    tests = re.search(r"(\d+) tests?\n\s+0 failures in tests", said)
    assert tests, said
    assert int(tests[1]) > 30


def test_public_names_are_documented(site: Path) -> None:
    assert {f"wsdriver.{name}" for name in wsdriver.__all__} - inventory(site) == set()


def methods(cls: Any) -> Iterator[str]:
    """Yield the public attributes of a class that our own code has a docstring for."""
    for name in dir(cls):
        value = getattr(cls, name)
        ours = (getattr(value, "__module__", None) or "wsdriver").startswith("wsdriver")
        if not name.startswith("_") and ours and value.__doc__ and (callable(value) or isinstance(value, property)):
            yield name


#: What the layers call on each other.
INTERNAL = {
    "WebSocket": {"driver_event", "is_blocked", "http_status"},
    "EventSource": {"http_status"},
    "Driver": {
        *("asked_target", "environ_of", "feed", "filled", "for_client", "frame", "has_closing_frame", "judge"),
        *("may_be_forwarded", "room", "send_data", "send_head", "socket", "take_early", "take_inbox"),
        *("write_late_pong", "connected"),
    },
    "Channel": set(),
}


@pytest.mark.parametrize("name", INTERNAL)
def test_methods_are_documented(site: Path, name: str) -> None:
    documented = inventory(site)
    lacking = {f"wsdriver.{name}.{method}" for method in methods(getattr(wsdriver, name))} - documented
    assert lacking - {f"wsdriver.{name}.{method}" for method in INTERNAL[name]} == set()


def test_links_lead_somewhere(pages: dict[str, Page], site: Path) -> None:
    broken = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = os.path.normpath(os.path.join(os.path.dirname(name), unquote(parts.path))) if parts.path else name
            there = (site / path).exists()
            if not there or (parts.fragment and path in pages and unquote(parts.fragment) not in pages[path].anchors):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_each_page_is_in_the_contents(pages: dict[str, Page]) -> None:
    linked = {os.path.normpath(unquote(urlsplit(link).path)) for link in pages["index.html"].links}
    assert set(pages) - linked - {"index.html"} == set()


def test_python_in_pages_is_python() -> None:
    """What cannot be run there is at least what Python can read."""
    count = 0
    for path in sorted(DOCS.rglob("*.md")):
        for block in re.findall(r"^( *)```python\n(.*?)^\1```", path.read_text(encoding="utf-8"), re.M | re.S):
            indent, code = block
            source = re.sub(rf"^{indent}", "", code, flags=re.M)
            compile(source, f"{path.name}", "exec")
            count += 1
    assert count > 10
