"""examples/dashboard in a real Chromium, over `gunicorn -k wsdriver.worker`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .conftest import Page, Server, serving

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# Keeps the id and the second of each event that comes, over all reconnections.
WATCH = """
window.events = [];
const Native = window.EventSource;
window.EventSource = class extends Native {
  constructor(...parameters) {
    super(...parameters);
    this.addEventListener('message', (event) => events.push([event.lastEventId, JSON.parse(event.data).time]));
  }
};
"""

TILES = ("messages", "open", "traffic", "trip", "cpu")


@pytest.fixture(scope="module")
def chrome(chrome: Chrome) -> Chrome:
    chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    return chrome


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("examples.dashboard:app", tmp_path_factory.mktemp("dashboard") / "gunicorn.log") as server:
        yield server


@pytest.fixture
def page(chrome: Chrome, dashboard: Server) -> Iterator[Page]:
    chrome.get(dashboard.url)
    yield Page(chrome)
    chrome.get("about:blank")


def value(page: Page, tile: str) -> float | None:
    """The figure of a tile."""
    text = page.texts(f"#{tile} .value")[0]
    return float(text.replace(",", "")) if text[0].isdecimal() else None


def load(page: Page, slider: str, amount: int) -> None:
    """Move a slider, as a hand does."""
    page.driver.execute_script(
        "const slider = document.getElementById(arguments[0]); slider.value = arguments[1];"
        "slider.dispatchEvent(new Event('input', { bubbles: true }));",
        *(slider, amount),
    )


def events(page: Page) -> list[list[str]]:
    return list(page.script("window.events"))


def test_charts_move_with_what_the_page_does(page: Page) -> None:
    page.until_state("online")
    page.until(lambda: value(page, "open") == 6 and (value(page, "messages") or 0) > 100, "the page's own load")
    page.until(lambda: all(value(page, tile) is not None for tile in TILES), "all figures")
    line = "document.querySelector('#messages .line').getAttribute('points')"
    before = page.script(line)
    load(page, "sockets", 9)
    page.until(lambda: value(page, "open") == 9, "three WebSockets more")
    load(page, "rate", 0)
    page.until(lambda: value(page, "messages") == 0, "the end of the messages")
    after = page.script(line)
    assert len(after.split()) > len(before.split()) >= 2
    for tile in TILES:
        label = page.script(f"document.querySelector('#{tile} svg').getAttribute('aria-label')")
        assert "the last two minutes: at most " in label
    assert page.driver.get_log("browser") == []  # nothing against the Content-Security-Policy, for one


def test_page_that_reloads_has_the_last_minutes_at_once(page: Page) -> None:
    page.until(lambda: len(events(page)) >= 3, "three events")
    seen = events(page)
    page.driver.refresh()
    page.until(lambda: len(events(page)) >= len(seen), "the events of before")
    assert events(page)[: len(seen)] == seen


def test_page_comes_back_after_a_restart_and_nothing_comes_twice(page: Page, dashboard: Server) -> None:
    page.until(lambda: len(events(page)) >= 2, "two events")
    assert dashboard.stop() == 0
    page.until_state("reconnecting")
    count = len(events(page))
    dashboard.start()
    page.until_state("online")
    page.until(lambda: len(events(page)) >= count + 2, "events of the new process")
    page.until(lambda: value(page, "open") == 6, "the page's WebSockets")
    seconds = [second for _, second in events(page)]
    assert seconds == sorted(set(seconds))
